# SPDX-License-Identifier: Apache-2.0
"""Starts a pod of two containers with a shared volume and stops it. Exit 3: it failed, and said why."""

import signal
import sys

import podfast
from podfast import spec
from podfast.errors import PodfastError

POD = """
apiVersion: v1
kind: Pod
metadata: {name: crash-point}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: shared, emptyDir: {}}
  containers:
  - name: first
    image: host
    command: [sh, -c, 'trap "exit 0" TERM; echo started; sleep 1000 & wait']
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: second
    image: host
    command: [sh, -c, 'trap "exit 0" TERM; sleep 1000 & wait']
    volumeMounts: [{name: shared, mountPath: /shared, readOnly: true}]
"""


def main() -> int:
    run, _ = podfast.run, spec.load(POD)  # what is imported late is imported before the first point
    signal.raise_signal(signal.SIGURG)
    try:
        with run(POD) as pod:
            pod.stop()
    except (PodfastError, OSError, MemoryError, ImportError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    finally:
        signal.raise_signal(signal.SIGWINCH)
    return 0


if __name__ == "__main__":
    sys.exit(main())
