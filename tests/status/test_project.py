# SPDX-License-Identifier: Apache-2.0
"""PodState → PodStatus, in Kubernetes' words."""

from __future__ import annotations

import pytest

from podfast import lifecycle, spec, status
from podfast.lifecycle import (
    ContainerExited,
    ContainerStarted,
    Event,
    PauseDied,
    PodState,
    Rules,
    SandboxReady,
    StartFailed,
    StopRequested,
    Tick,
)
from podfast.spec.model import Pod
from podfast.status import Condition, Facts, PodStatus
from podfast.status.model import State

# 2026-01-02T03:04:05.6Z
CREATED = 1_767_323_045_600_000_000
SECOND = 1_000_000_000
ID = "0123456789abcdef" * 4
UID = "5b0c6f0e-7c1f-4a47-a4b8-6a1c2f0e9d11"


def manifest(*names: str, policy: str = "Always", resources: dict[str, object] | None = None) -> Pod:
    containers = [{"name": name, "resources": resources or {}} for name in names]
    return spec.load(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"who": "me"}},
            "spec": {"restartPolicy": policy, "containers": containers},
        }
    )


def facts(pod: Pod) -> Facts:
    images = tuple(container.image for container in pod.spec.containers)
    return Facts(UID, ID, CREATED, "node-1", images, tuple(f"sha256:{'5' * 64}" for _ in images))


def play(pod: Pod, *events: Event) -> PodState:
    """One event a second."""
    rules = Rules.of(pod)
    state, _ = lifecycle.initial(rules, 0.0, CREATED)
    for second, event in enumerate(events, 1):
        state, _ = lifecycle.step(rules, state, event, float(second), CREATED + second * SECOND)
    return state


def shown(pod: Pod, *events: Event) -> PodStatus:
    return status.project(pod, play(pod, *events), facts(pod))


def conditions(shown: PodStatus) -> dict[str, Condition]:
    return {one.type: one for one in shown.conditions}


def test_a_new_pod() -> None:
    new = shown(manifest("a", "b"))
    assert (new.phase, new.start_time, new.reason, new.message) == ("Pending", "2026-01-02T03:04:05Z", "", "")
    (a, _) = new.container_statuses
    assert a.state.waiting is not None
    assert (a.state.waiting.reason, a.state.waiting.message) == ("ContainerCreating", "")
    assert a.state.running is None
    assert a.state.terminated is None
    assert a.last_state == State()
    assert (a.ready, a.started, a.restart_count, a.container_id) == (False, False, 0, "")
    assert (a.image, a.image_id) == ("host", f"sha256:{'5' * 64}")
    assert [(one.type, one.status, one.reason) for one in new.conditions] == [
        ("PodReadyToStartContainers", "False", ""),
        ("Initialized", "True", ""),
        ("Ready", "False", "ContainersNotReady"),
        ("ContainersReady", "False", "ContainersNotReady"),
        ("PodScheduled", "True", ""),
    ]
    assert conditions(new)["Ready"].message == "containers with unready status: [a b]"
    assert {one.last_transition_time for one in new.conditions} == {"2026-01-02T03:04:05Z"}


def test_a_running_pod() -> None:
    running = shown(manifest("a", "b"), SandboxReady(), ContainerStarted(0, 0), ContainerStarted(1, 0))
    assert running.phase == "Running"
    a = running.container_statuses[0]
    assert a.state.running is not None
    assert a.state.running.started_at == "2026-01-02T03:04:07Z"
    assert (a.ready, a.started, a.container_id) == (True, True, f"podfast://{status.container_id(ID, 0, 0)}")
    found = conditions(running)
    assert all(running.condition(name) for name in found)
    assert not running.condition("Nonsense")
    assert {one.reason for one in running.conditions} == {""}
    assert found["PodReadyToStartContainers"].last_transition_time == "2026-01-02T03:04:06Z"
    assert found["Ready"].last_transition_time == found["ContainersReady"].last_transition_time
    assert found["Ready"].last_transition_time == "2026-01-02T03:04:08Z"


def test_a_container_that_ended() -> None:
    ended = shown(manifest("a", policy="Never"), ContainerStarted(0, 0), ContainerExited(0, 0, 139, signal=11))
    terminated = ended.container_statuses[0].state.terminated
    assert terminated is not None
    assert (terminated.exit_code, terminated.signal, terminated.reason) == (139, 11, "Error")
    assert (terminated.started_at, terminated.finished_at) == ("2026-01-02T03:04:06Z", "2026-01-02T03:04:07Z")
    assert terminated.container_id == ended.container_statuses[0].container_id
    assert ended.phase == "Failed"


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (1, "Failed", "PodFailed")])
def test_conditions_of_a_pod_that_is_over(code: int, phase: str, reason: str) -> None:
    over = shown(manifest("a", policy="Never"), ContainerStarted(0, 0), ContainerExited(0, 0, code))
    assert over.phase == phase
    found = conditions(over)
    assert (found["Ready"].status, found["Ready"].reason, found["Ready"].message) == ("False", reason, "")
    assert found["ContainersReady"].reason == reason
    assert (found["Initialized"].status, found["Initialized"].reason) == (
        "True",
        "PodCompleted" if phase == "Succeeded" else "",
    )


def test_a_crash_loop() -> None:
    crashing = shown(
        manifest("a"),
        ContainerStarted(0, 0),
        ContainerExited(0, 0, 1),
        StartFailed(0, 1, "StartError", 'container "a" did not start', 127),
    )
    (a,) = crashing.container_statuses
    assert a.state.waiting is not None
    assert a.state.waiting.reason == "CrashLoopBackOff"
    assert a.state.waiting.message == f"back-off 10s restarting failed container=a pod=web_shop({UID})"
    assert a.last_state.terminated is not None
    assert (a.last_state.terminated.exit_code, a.last_state.terminated.reason) == (127, "StartError")
    assert a.last_state.terminated.message == 'container "a" did not start'
    assert a.last_state.terminated.started_at == ""
    assert (a.restart_count, crashing.phase) == (1, "Running")
    assert a.container_id == a.last_state.terminated.container_id == f"podfast://{status.container_id(ID, 0, 1)}"


def test_a_restarted_container() -> None:
    again = shown(manifest("a"), ContainerStarted(0, 0), ContainerExited(0, 0, 0), ContainerStarted(0, 1))
    (a,) = again.container_statuses
    assert a.last_state.terminated is not None
    assert (a.last_state.terminated.reason, a.restart_count) == ("Completed", 1)
    assert a.last_state.terminated.container_id != a.container_id


def test_a_pod_without_its_sandbox() -> None:
    pod = manifest("a")
    lost = shown(pod, SandboxReady(), ContainerStarted(0, 0), PauseDied(), ContainerExited(0, 0, 137, signal=9))
    assert (lost.phase, lost.reason) == ("Failed", "SandboxChanged")
    assert not lost.condition("PodReadyToStartContainers")


def test_deadline_and_back_off_do_not_change_what_is_shown() -> None:
    pod = manifest("a")
    assert shown(pod, SandboxReady(), ContainerStarted(0, 0)) == shown(
        pod, SandboxReady(), ContainerStarted(0, 0), Tick()
    )


def test_a_stop_shows_in_the_metadata_only() -> None:
    pod = manifest("a")
    state = play(pod, SandboxReady(), ContainerStarted(0, 0), StopRequested(2.5))
    one = status.project(pod, state, facts(pod))
    assert one == shown(pod, SandboxReady(), ContainerStarted(0, 0))
    document = status.decode(status.encode(pod, one, facts(pod), state=state))
    assert document.metadata.deletion_timestamp == "2026-01-02T03:04:11Z"
    assert document.metadata.deletion_grace_period_seconds == 2


def test_container_ids_are_64_hex_digits_that_differ_from_the_first_ones() -> None:
    ids = [status.container_id(ID, index, attempt) for index in range(16) for attempt in range(64)]
    assert all(len(one) == 64 and set(one) <= set("0123456789abcdef") for one in ids)
    assert len({one[:12] for one in [*ids, ID]}) == len(ids) + 1
    assert status.container_id("f" * 64, 1, 1) == status.container_id("f" * 64, 1, 1)
