# SPDX-License-Identifier: Apache-2.0
"""PodState → PodStatus, as the kubelet would report it (kubelet_pods.go; status/generate.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podfast.lifecycle import ContainerState, PodState, Running, Terminated, Waiting
from podfast.status.model import (
    Condition,
    ConditionStatus,
    ContainerStatus,
    Facts,
    PodStatus,
    RunningState,
    State,
    TerminatedState,
    WaitingState,
)
from podfast.status.qos import qos_class
from podfast.status.times import rfc3339

if TYPE_CHECKING:
    from podfast.spec.model import Pod

# Odd, and without a pattern (the golden ratio): multiples of it differ from each other in their first digits already.
_STEP = 0x9E3779B97F4A7C15F39CC0605CEDC8341082276BF3A27251F86C6A11D0C18E95
_MOST_CONTAINERS = 1 << 20
_ALL_BITS = (1 << 256) - 1
_NOTHING = State()


def project(pod: Pod, state: PodState, facts: Facts) -> PodStatus:
    """The status of a pod. Pure: all times in it come from `state` and `facts`."""
    return PodStatus(
        phase=state.phase,
        conditions=_conditions(state, facts),
        reason=state.reason,
        message=state.message,
        start_time=rfc3339(state.created_at),
        container_statuses=tuple(
            _container(pod, facts, index, container) for index, container in enumerate(state.containers)
        ),
        qos_class=qos_class(pod),
    )


def container_id(pod_id: str, index: int, attempt: int) -> str:
    """64 hex digits for one run of one container: made from the pod's id, so that whoever knows that knows these."""
    number = int(pod_id or "0", 16) + (attempt * _MOST_CONTAINERS + index + 1) * _STEP
    return f"{number & _ALL_BITS:064x}"


# ---- containers ----


def _container(pod: Pod, facts: Facts, index: int, container: ContainerState) -> ContainerStatus:
    current, last, running = container.current, container.last, container.running
    # A run that nobody has told of yet has no id: the one shown is that of the last run known.
    if running:
        attempt: int | None = container.attempt
    elif type(current) is Terminated:
        attempt = current.attempt
    else:
        attempt = None if last is None else last.attempt
    return ContainerStatus(
        name=container.name,
        state=_state(pod, facts, index, current),
        last_state=_NOTHING if last is None else _state(pod, facts, index, last),
        ready=running,
        started=running,
        restart_count=container.restart_count,
        image=facts.images[index] if index < len(facts.images) else pod.spec.containers[index].image,
        image_id=facts.image_ids[index] if index < len(facts.image_ids) else "",
        container_id="" if attempt is None else _url(facts, index, attempt),
    )


def _state(pod: Pod, facts: Facts, index: int, state: Waiting | Running | Terminated) -> State:
    if isinstance(state, Running):
        return State(running=RunningState(rfc3339(state.started_at)))
    if isinstance(state, Waiting):
        message = state.message
        if state.reason == "CrashLoopBackOff":  # the kubelet's message ends with the pod
            message += f" pod={pod.metadata.name}_{pod.metadata.namespace}({facts.uid})"
        return State(waiting=WaitingState(state.reason, message))
    return State(
        terminated=TerminatedState(
            exit_code=state.exit_code,
            signal=state.signal,
            reason=state.reason,
            message=state.message,
            started_at=rfc3339(state.started_at),
            finished_at=rfc3339(state.finished_at),
            container_id=_url(facts, index, state.attempt),
        )
    )


def _url(facts: Facts, index: int, attempt: int) -> str:
    return f"podfast://{container_id(facts.id, index, attempt)}"


# ---- conditions ----


def _conditions(state: PodState, facts: Facts) -> tuple[Condition, ...]:
    """All five, in the kubelet's order. There are no init containers and readiness gates yet."""
    created, ready_changed = rfc3339(facts.created), rfc3339(state.ready_changed)
    status, reason, message = _readiness(state)
    return (
        Condition("PodReadyToStartContainers", _word(state.sandbox_ready), rfc3339(state.sandbox_changed)),
        Condition("Initialized", "True", created, "PodCompleted" if state.phase == "Succeeded" else ""),
        Condition("Ready", status, ready_changed, reason, message),
        Condition("ContainersReady", status, ready_changed, reason, message),
        Condition("PodScheduled", "True", created),
    )


def _readiness(state: PodState) -> tuple[ConditionStatus, str, str]:
    if state.phase == "Succeeded":
        return "False", "PodCompleted", ""
    if state.phase == "Failed":
        return "False", "PodFailed", ""
    if state.ready:
        return "True", "", ""
    unready = " ".join(container.name for container in state.containers if not container.running)
    return "False", "ContainersNotReady", f"containers with unready status: [{unready}]"


def _word(yes: bool) -> ConditionStatus:
    return "True" if yes else "False"
