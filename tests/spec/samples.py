# SPDX-License-Identifier: Apache-2.0
"""Manifests that the tests of the loader share."""

from __future__ import annotations

import copy
from typing import Any

from podfast.errors import Problem, SpecError
from podfast.spec import load
from podfast.spec.model import ResourceList
from podfast.spec.quantity import Bytes, Millicores

HELLO = """\
apiVersion: v1
kind: Pod
metadata:
  name: helloworld
  labels: {app: helloworld}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  volumes:
  - name: shared
    emptyDir: {}
  containers:
  - name: api
    image: host
    command: [python3, -c, "print('hello')"]
    env:
    - name: PORT
      value: "8080"
    volumeMounts:
    - {name: shared, mountPath: /shared}
  - name: main
    command: ["/bin/sh", "-c"]
    args:
    - |
      for i in 1 2 3; do echo $i >> /shared/log; done
      echo done
    volumeMounts:
    - name: shared
      mountPath: /shared
  - name: log
    command: ["tail", "-F", "/shared/log"]
    volumeMounts:
    - name: shared
      mountPath: /shared
      readOnly: true
  - name: compute
    command: ["sh", "-c", "expr 1 + 1"]
    resources:
      limits: {cpu: 500m, memory: 64Mi}
"""

# Every honoured field once, with a value that is not the default.
FULL: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "full",
        "namespace": "tests",
        "labels": {"app.kubernetes.io/name": "full"},
        "annotations": {"podfast.dev/init": "true", "example.com/note": "two\nlines"},
    },
    "spec": {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 3,
        "shareProcessNamespace": True,
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1001},
        "volumes": [
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            {"name": "logs", "hostPath": {"path": "/var/log", "type": "Directory"}},
        ],
        "containers": [
            {
                "name": "app",
                "image": "localhost/app:1",
                "command": ["/bin/app"],
                "args": ["--port", "$(PORT)"],
                "workingDir": "/srv",
                "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
                "env": [{"name": "PORT", "value": "8080"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Mi"}},
                "volumeMounts": [{"name": "scratch", "mountPath": "/tmp/scratch", "readOnly": True}],
                "securityContext": {
                    "runAsUser": 1,
                    "runAsGroup": 2,
                    "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "privileged": False,
                    "allowPrivilegeEscalation": False,
                },
            }
        ],
    },
}


def minimal(**container: Any) -> dict[str, Any]:
    """A Pod of one container with these fields."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", **container}]},
    }


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """FULL with another value at a path."""
    result = copy.deepcopy(FULL)
    parent: Any = result
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return result


def problems(source: Any, name: str | None = None) -> tuple[Problem, ...]:
    """What is wrong with a source; nothing when it loads."""
    try:
        load(source, source_name=name)
    except SpecError as error:
        found = error.problems
    else:
        return ()
    assert found
    return found


def amounts(cpu: int, memory: int) -> ResourceList:
    return ResourceList(Millicores(cpu), Bytes(memory))


def messages(source: Any) -> list[str]:
    return [problem.message for problem in problems(source)]
