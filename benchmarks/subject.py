# SPDX-License-Identifier: Apache-2.0
"""podfast's side of the comparisons: the pod of two containers, started and stopped through the Python API.

As a program it is a coprocess like the floors: `python -m benchmarks.subject ROOT RUNROOT [MOUNTS]` answers `start` and
`stop`, in a mount namespace of its own that holds MOUNTS foreign mounts more than the host's.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import podfast

_numbers = itertools.count()


def two_containers(name: str, command: str = "[/usr/bin/sleep, infinity]") -> str:
    """The manifest of the pod whose start is the first of all figures."""
    return f"""\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: first
    image: host
    command: {command}
  - name: second
    image: host
    command: {command}
"""


class Pods:
    """Starts the pod and stops it, in turns. Returns seconds: from text to both running, until all is gone."""

    def __init__(self, root: str, runroot: str) -> None:
        self._root, self._runroot = root, runroot
        self._pod: podfast.Pod | None = None

    def start(self) -> float:
        import podfast

        text = two_containers(f"bench-{os.getpid()}-{next(_numbers)}")
        begin = time.perf_counter()
        self._pod = podfast.run(text, root=self._root, runroot=self._runroot)
        return time.perf_counter() - begin

    def stop(self) -> float:
        assert self._pod is not None
        pod, self._pod = self._pod, None
        begin = time.perf_counter()
        pod.stop(grace=0)
        return time.perf_counter() - begin


CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18


def make_foreign_mounts(count: int, folder: Path) -> None:
    """Gives this process a mount namespace of its own with `count` more mounts; it goes with the process."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int, what: str) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")

    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    folder.mkdir()
    check(libc.mount(b"foreign", bytes(folder), b"tmpfs", 0, None), "mount")
    for number in range(count - 1):
        point = folder / str(number)
        point.mkdir()
        check(libc.mount(bytes(point), bytes(point), None, MS_BIND, None), "mount")


def main() -> None:
    root, runroot, *rest = sys.argv[1:]
    if rest and int(rest[0]) > 0:
        make_foreign_mounts(int(rest[0]), Path(runroot, "foreign"))
    pods = Pods(root, runroot)
    acts = {"start": pods.start, "stop": pods.stop}
    for line in sys.stdin:
        print(int(acts[line.strip()]() * 1e9), flush=True)


if __name__ == "__main__":
    main()
