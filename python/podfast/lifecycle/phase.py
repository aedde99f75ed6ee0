# SPDX-License-Identifier: Apache-2.0
"""The phase of a pod, as Kubernetes has it (kubelet_pods.go, `getPhase`), and the deadline and readiness beside it."""

from __future__ import annotations

from msgspec.structs import replace

from podfast.lifecycle.model import Phase, PodState, Rules, Terminated, Waiting

_FINAL = ("Succeeded", "Failed")


def settle(rules: Rules, state: PodState, wall: int) -> PodState:
    """The state with everything that follows from its containers. A phase never goes back, and a final one stays."""
    phase = state.phase if state.phase in _FINAL else _phase(rules, state)
    ready = all(container.running for container in state.containers)
    changed = state.ready_changed if ready is state.ready else wall
    deadline = _deadline(state)
    if phase == state.phase and ready is state.ready and deadline == state.deadline:
        return state
    return replace(state, phase=phase, ready=ready, ready_changed=changed, deadline=deadline)


def _phase(rules: Rules, state: PodState) -> Phase:
    """
    Pending until every container has started once; then Running while one runs or will. When all have ended for good,
    because nothing restarts them or because the pod is being stopped, it is Succeeded when all exited with 0.
    """
    # Once the pod ends, nothing is restarted whatever the policy says: the kubelet's `podIsTerminal`.
    final = state.stopping or state.broken or state.gone
    waiting = running = restarting = failed = 0
    for container, rule in zip(state.containers, rules.containers, strict=True):
        current = container.current
        if type(current) is Waiting:
            if container.last is None:
                waiting += 1
            else:
                restarting += 1
        elif type(current) is Terminated:
            failed += current.exit_code != 0
            restarting += container.starting or (not final and rule.restarts(current.exit_code))
        else:
            running += 1
    if waiting:
        return state.phase
    if running or restarting:
        return "Running"
    # A pod whose sandbox died has not done what it was for, even if the last program happened to exit with 0.
    return "Failed" if failed or state.broken else "Succeeded"


def _deadline(state: PodState) -> float | None:
    if state.gone:
        return None
    times = [container.restart_at for container in state.containers if container.restart_at is not None]
    times += [time for time in (state.kill_at, state.remove_at) if time is not None]
    return min(times, default=None)
