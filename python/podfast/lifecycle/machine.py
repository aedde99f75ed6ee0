# SPDX-License-Identifier: Apache-2.0
"""The state machine of a pod.

A container is started by `_start` alone, which marks it as `starting` under a new attempt number; only the report of
exactly that attempt (started, failed or exited) takes the mark away, and without that nothing starts it again. That is
why no order, delay or repetition of events runs a container twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from podfast.lifecycle import back_off
from podfast.lifecycle.model import (
    KILL_PATIENCE,
    Action,
    ContainerExited,
    ContainerStarted,
    ContainerState,
    Event,
    KillRequested,
    PauseDied,
    PodState,
    RemoveSandbox,
    Rules,
    Running,
    SandboxGone,
    SandboxReady,
    SignalContainer,
    StartContainer,
    StartFailed,
    StopRequested,
    Terminated,
    Tick,
    Waiting,
)
from podfast.lifecycle.phase import settle

Step = tuple[PodState, tuple[Action, ...]]

# By number, the same on every Linux machine: the signal module costs 2 ms to import.
_TERM, _KILL = 15, 9
# What the kubelet reports for a container whose end nobody saw.
_UNKNOWN = "ContainerStatusUnknown"
_NOT_LOCATED = "The container could not be located when the pod was terminated"


def initial(rules: Rules, now: float, wall: int, *, attempts: Sequence[int] = ()) -> Step:
    """A pod whose containers are being started, and their `StartContainer` actions.

    `attempts`: for a pod that another engine has left, the runs that its shim knows of. Its containers wait for what
    the shim tells of these runs; the actions are not to be carried out then. Back-offs start anew, as they do when a
    kubelet is restarted.
    """
    containers = tuple(
        ContainerState(rule.name, attempt, attempt, Waiting("ContainerCreating"), starting=True, back_off_since=now)
        for rule, attempt in zip(rules.containers, attempts or (0,) * len(rules.containers), strict=True)
    )
    state = PodState("Pending", containers, wall, sandbox_changed=wall, ready_changed=wall)
    return state, tuple(StartContainer(index, container.attempt) for index, container in enumerate(containers))


def step(rules: Rules, state: PodState, event: Event, now: float, wall: int) -> Step:
    """What an event makes of a pod, and what is to be done about it, in order.

    At most one action for each container and `RemoveSandbox`. After `SandboxGone` nothing changes any more.
    """
    if state.gone:
        return state, ()
    changed, actions = _HANDLERS[type(event)](rules, state, event, now, wall)
    if changed.stopping and not changed.removing and _is_over(changed, now):
        changed = replace(changed, removing=True, kill_at=None, remove_at=None)
        actions = (*actions, RemoveSandbox())
    if changed is state:
        return state, actions
    return settle(rules, changed, wall), actions


def _is_over(state: PodState, now: float) -> bool:
    """Whether nothing is left to wait for. A process in uninterruptible sleep does not hold up the pod for ever."""
    stuck = state.remove_at is not None and state.remove_at <= now
    return stuck or not any(container.alive for container in state.containers)


# ---- the sandbox ----


def _sandbox_ready(rules: Rules, state: PodState, event: SandboxReady, now: float, wall: int) -> Step:
    if state.sandbox_ready or state.broken:
        return state, ()
    return replace(state, sandbox_ready=True, sandbox_changed=wall), ()


def _pause_died(rules: Rules, state: PodState, event: PauseDied, now: float, wall: int) -> Step:
    """The pod lives exactly as long as pause: all is killed and nothing restarted. (A new sandbox comes later.)"""
    if state.broken or state.removing:
        return state, ()
    state = _end_sandbox(state, wall)
    if state.phase in ("Succeeded", "Failed"):
        return replace(state, broken=True), ()
    actions = () if state.killing else _signal(state, _KILL, lambda container: container.alive)
    message = "The infra container (pause) died, and all containers of the pod were killed"
    if state.stopping and not state.killing:
        state = replace(state, kill_at=None, remove_at=now + KILL_PATIENCE)
    state = replace(state, broken=True, killing=True, reason="SandboxChanged", message=message)
    return _no_restarts(state), actions


def _sandbox_gone(rules: Rules, state: PodState, event: SandboxGone, now: float, wall: int) -> Step:
    """What still counted as alive has ended unseen: 137, as the kubelet reports it."""
    containers = tuple(
        container if not container.alive else _ended(container, 137, _UNKNOWN, _NOT_LOCATED, 0, wall)
        for container in _no_restarts(state).containers
    )
    state = replace(_end_sandbox(state, wall), containers=containers, gone=True, removing=True)
    return replace(state, kill_at=None, remove_at=None), ()


def _end_sandbox(state: PodState, wall: int) -> PodState:
    return replace(state, sandbox_ready=False, sandbox_changed=wall) if state.sandbox_ready else state


# ---- a container ----


def _started(rules: Rules, state: PodState, event: ContainerStarted, now: float, wall: int) -> Step:
    container = _awaited(state, event)
    if container is None:
        return state, ()
    last = container.current if type(container.current) is Terminated else container.last
    container = replace(
        container,
        current=Running(wall),
        last=last,
        starting=False,
        restart_count=max(container.restart_count, event.attempt),
    )
    state = _with(state, event.index, container)
    if state.removing:
        return state, ()
    if state.killing:
        return state, (SignalContainer(event.index, _KILL),)
    if state.stopping:
        return state, (SignalContainer(event.index, _TERM),)
    return state, ()


def _start_failed(rules: Rules, state: PodState, event: StartFailed, now: float, wall: int) -> Step:
    container = _awaited(state, event)
    if container is None:
        return state, ()
    ended = _ended(container, event.exit_code or 128, event.reason or "StartError", event.message, 0, wall)
    return _end(rules, state, event.index, ended, now)


def _exited(rules: Rules, state: PodState, event: ContainerExited, now: float, wall: int) -> Step:
    container = _at(state, event.index)
    # Its start may not have been told: the exit tells it.
    if container is None or event.attempt != container.attempt or not container.alive:
        return state, ()
    if event.unknown:
        ended = _ended(container, 137, _UNKNOWN, _NOT_LOCATED, 0, wall)
    else:
        reason = "OOMKilled" if event.oom_killed else "Error" if event.exit_code else "Completed"
        ended = _ended(container, event.exit_code, reason, "", event.signal, wall)
    return _end(rules, state, event.index, ended, now)


def _end(rules: Rules, state: PodState, index: int, container: ContainerState, now: float) -> Step:
    """A container has ended: it is restarted now, or later, or never."""
    assert type(container.current) is Terminated
    if state.stopping or state.broken or not rules.containers[index].restarts(container.current.exit_code):
        return _with(state, index, container), ()
    wait = back_off.wait_after_exit(container, now)
    if wait <= 0.0:
        return _start(rules, state, index, replace(container, back_off=0.0), now)
    message = f"back-off {back_off.text(wait)} restarting failed container={container.name}"
    waiting = replace(
        container,
        current=Waiting("CrashLoopBackOff", message),
        last=container.current,
        back_off=wait,
        restart_at=now + wait,
    )
    return _with(state, index, waiting), ()


def _start(rules: Rules, state: PodState, index: int, container: ContainerState, now: float) -> Step:
    container = replace(
        container,
        attempt=container.attempt + 1,
        starting=True,
        restart_at=None,
        back_off=back_off.after_restart(container.back_off, rules),
        back_off_since=now,
    )
    return _with(state, index, container), (StartContainer(index, container.attempt),)


def _ended(
    container: ContainerState, exit_code: int, reason: str, message: str, signo: int, wall: int
) -> ContainerState:
    """The container after the run that it was in, or was about to begin."""
    current = container.current
    return replace(
        container,
        current=Terminated(
            exit_code=exit_code,
            reason=reason,
            message=message,
            signal=signo,
            started_at=current.started_at if type(current) is Running else 0,
            finished_at=wall,
            attempt=container.attempt,
        ),
        last=current if type(current) is Terminated else container.last,
        starting=False,
        restart_count=max(container.restart_count, container.attempt),
    )


# ---- the end ----


def _stop(rules: Rules, state: PodState, event: StopRequested, now: float, wall: int) -> Step:
    """TERM together, KILL when the grace period is over. A later request can only shorten it, as in Kubernetes."""
    grace = rules.grace if event.grace is None else max(0.0, event.grace)
    if grace <= 0.0:
        return _kill(rules, state, event, now, wall)
    kill_at = now + grace
    if state.stopping:
        if state.killing or state.kill_at is None or kill_at >= state.kill_at:
            return state, ()
        return replace(state, kill_at=kill_at, grace=grace), ()
    if state.killing:  # its sandbox died
        return _kill(rules, state, event, now, wall)
    actions = _signal(state, _TERM, lambda container: container.running)
    state = replace(state, stopping=True, stop_at=wall, grace=grace, kill_at=kill_at)
    return _no_restarts(state), actions


def _kill(rules: Rules, state: PodState, event: KillRequested | StopRequested, now: float, wall: int) -> Step:
    if state.removing or (state.stopping and state.killing):
        return state, ()
    # Those that are being started are killed, too: the shim may already have made the process.
    actions = () if state.killing else _signal(state, _KILL, lambda container: container.alive)
    if not state.stopping:
        state = _no_restarts(replace(state, stopping=True, stop_at=wall))
    return replace(state, killing=True, kill_at=None, remove_at=now + KILL_PATIENCE, grace=0.0), actions


def _tick(rules: Rules, state: PodState, event: Tick, now: float, wall: int) -> Step:
    if state.kill_at is not None and state.kill_at <= now:
        actions = _signal(state, _KILL, lambda container: container.alive)
        return replace(state, killing=True, kill_at=None, remove_at=now + KILL_PATIENCE), actions
    started: tuple[Action, ...] = ()
    for index, container in enumerate(state.containers):
        if container.restart_at is not None and container.restart_at <= now:
            state, actions = _start(rules, state, index, container, now)
            started += actions
    return state, started


def _no_restarts(state: PodState) -> PodState:
    """Containers that waited for a restart will not get one: they are what they were when they ended."""
    if all(container.restart_at is None for container in state.containers):
        return state
    containers = tuple(
        container
        if container.restart_at is None or container.last is None
        else replace(container, current=container.last, last=None, restart_at=None)
        for container in state.containers
    )
    return replace(state, containers=containers)


# ---- small parts ----


def _at(state: PodState, index: int) -> ContainerState | None:
    return state.containers[index] if 0 <= index < len(state.containers) else None


def _awaited(state: PodState, event: ContainerStarted | StartFailed) -> ContainerState | None:
    """The container that an event tells of, if it is exactly the run that is being started."""
    container = _at(state, event.index)
    return container if container is not None and container.starting and container.attempt == event.attempt else None


def _with(state: PodState, index: int, container: ContainerState) -> PodState:
    containers = (*state.containers[:index], container, *state.containers[index + 1 :])
    return replace(state, containers=containers)


def _signal(state: PodState, signo: int, whom: Callable[[ContainerState], bool]) -> tuple[Action, ...]:
    return tuple(SignalContainer(index, signo) for index, one in enumerate(state.containers) if whom(one))


_HANDLERS: dict[type, Callable[[Rules, PodState, Any, float, int], Step]] = {
    SandboxReady: _sandbox_ready,
    ContainerStarted: _started,
    StartFailed: _start_failed,
    ContainerExited: _exited,
    PauseDied: _pause_died,
    SandboxGone: _sandbox_gone,
    StopRequested: _stop,
    KillRequested: _kill,
    Tick: _tick,
}
