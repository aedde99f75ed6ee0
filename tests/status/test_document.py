# SPDX-License-Identifier: Apache-2.0
"""The published Pod: exactly Kubernetes' JSON, readable again, and a manifest that podfast takes back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from pytest_benchmark.fixture import BenchmarkFixture

from podfast import spec, status
from podfast.lifecycle import ContainerExited, ContainerStarted, SandboxReady, StartFailed
from podfast.status.times import rfc3339

from .test_project import CREATED, ID, UID, facts, manifest, play

FULL = """
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {app: full}}
spec:
  restartPolicy: OnFailure
  securityContext: {runAsUser: 0}
  containers:
  - name: one
    command: [sh, -c, ""]
    env: [{name: EMPTY}, {name: A, value: b}]
    ports: [{containerPort: 80}]
    resources: {limits: {cpu: 1500m, memory: 64Mi}, requests: {cpu: 1}}
    securityContext: {capabilities: {drop: [ALL]}, runAsUser: 0, readOnlyRootFilesystem: true}
    volumeMounts: [{name: disk, mountPath: /disk}, {name: ram, mountPath: /ram, readOnly: true}]
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: ram, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: host, hostPath: {path: /usr}}
"""


def published(pod: spec.Pod, *events: Any, pids: dict[str, int | None] | None = None) -> dict[str, Any]:
    state = play(pod, *events)
    data = status.encode(pod, status.project(pod, state, facts(pod)), facts(pod), pids or {}, state=state)
    document: dict[str, Any] = json.loads(data)
    return document


def test_the_whole_document() -> None:
    pod = manifest("a", policy="Never")
    document = published(pod, SandboxReady(), ContainerStarted(0, 0), pids={"a": 4711, "gone": None})
    when = "2026-01-02T03:04:05Z"
    assert document["metadata"] == {
        "name": "web",
        "namespace": "shop",
        "uid": UID,
        "creationTimestamp": when,
        "labels": {"app": "web"},
        "annotations": {"who": "me"},
    }
    assert (document["apiVersion"], document["kind"]) == ("v1", "Pod")
    assert document["podfast"] == {"id": ID, "node": "node-1", "pids": {"a": 4711}}
    assert document["status"] == {
        "phase": "Running",
        "conditions": [
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "2026-01-02T03:04:06Z"},
            {"type": "Initialized", "status": "True", "lastTransitionTime": when},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:07Z"},
            {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-01-02T03:04:07Z"},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": when},
        ],
        "startTime": when,
        "containerStatuses": [
            {
                "name": "a",
                "state": {"running": {"startedAt": "2026-01-02T03:04:07Z"}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": "host",
                "imageID": f"sha256:{'5' * 64}",
                "containerID": f"podfast://{status.container_id(ID, 0, 0)}",
                "started": True,
            }
        ],
        "qosClass": "BestEffort",
    }


def test_zeros_that_matter_are_written() -> None:
    document = published(manifest("a", policy="Never"), ContainerStarted(0, 0), ContainerExited(0, 0, 0))
    (a,) = document["status"]["containerStatuses"]
    assert a["state"]["terminated"]["exitCode"] == 0
    assert (a["ready"], a["started"], a["restartCount"]) == (False, False, 0)


def test_the_spec_means_what_the_manifest_meant() -> None:
    pod = spec.load(FULL)
    document = published(pod)
    assert document["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1500m", "memory": "64Mi"},
        "requests": {"cpu": "1", "memory": "64Mi"},
    }
    assert document["spec"]["volumes"][:2] == [
        {"name": "disk", "emptyDir": {}},
        {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    ]
    again = spec.load(
        {key: document[key] for key in ("apiVersion", "kind")}
        | {"metadata": {"name": "full"}, "spec": document["spec"]}
    )
    assert again.spec == pod.spec


def test_one_pods_spec_is_never_anothers() -> None:
    # Ids of objects are used again: the memo must not be fooled by that.
    for number in range(300):
        assert published(manifest(f"c{number}"))["spec"]["containers"][0]["name"] == f"c{number}"


def test_decode_reads_what_encode_wrote() -> None:
    pod = manifest("a", "b")
    state = play(pod, SandboxReady(), ContainerStarted(0, 0), StartFailed(1, 0, "StartError", "no", 127))
    shown = status.project(pod, state, facts(pod))
    document = status.decode(status.encode(pod, shown, facts(pod), {"a": 1}))
    assert document.status == shown
    assert (document.podfast.id, document.podfast.pids) == (ID, {"a": 1})
    assert (document.metadata.uid, document.metadata.deletion_timestamp) == (UID, "")


def test_decode_passes_over_what_it_does_not_know_and_refuses_nonsense() -> None:
    text = b'{"metadata":{"name":"a","namespace":"b","new":1},"status":{"phase":"Running","new":{}},"new":[]}'
    assert status.decode(text).status.phase == "Running"
    for broken in (b"", b"{", b"[]", b'{"metadata":{},"status":{}}'):
        with pytest.raises(msgspec.DecodeError):
            status.decode(broken)


@given(st.integers(1, 253402300799))
def test_times(seconds: int) -> None:
    from datetime import UTC, datetime

    text = rfc3339(seconds * 1_000_000_000 + 999_999_999)
    assert datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() == seconds


def test_never_has_no_text() -> None:
    assert rfc3339(0) == ""
    assert rfc3339(CREATED) == "2026-01-02T03:04:05Z"


def test_speed_of_one_change(benchmark: BenchmarkFixture) -> None:
    """Budget: 100 µs for a pod of four containers."""
    pod = manifest("a", "b", "c", "d")
    state = play(pod, SandboxReady(), *(ContainerStarted(index, 0) for index in range(4)), ContainerExited(0, 0, 1))
    known = facts(pod)
    benchmark(lambda: status.encode(pod, status.project(pod, state, known), known, {"b": 1}, state=state))
