# SPDX-License-Identifier: Apache-2.0
"""A pod with a clock of its own, driven by hand: what tests of the state machine need."""

from __future__ import annotations

from podfast import lifecycle
from podfast.lifecycle import (
    Action,
    ContainerExited,
    ContainerRules,
    ContainerStarted,
    ContainerState,
    Event,
    Rules,
    StartFailed,
    Terminated,
    Tick,
    Waiting,
)
from podfast.lifecycle.model import RestartPolicy

TERM, KILL = 15, 9
# The wall clock at monotonic time 0; nanoseconds.
EPOCH = 1_700_000_000_000_000_000


def rules(policy: RestartPolicy = "Always", containers: int = 1, grace: float = 30.0, **options: float) -> Rules:
    return Rules(tuple(ContainerRules("abcdefgh"[i], policy) for i in range(containers)), grace, **options)


class World:
    """One pod. `now` is its monotonic clock; `actions` is all that the machine has asked for, with the times."""

    def __init__(self, policy: RestartPolicy = "Always", containers: int = 1, **more: float) -> None:
        self.rules = rules(policy, containers, **more)
        self.now = 1000.0
        self.state, first = lifecycle.initial(self.rules, self.now, self.wall)
        self.actions: list[tuple[float, Action]] = [(self.now, action) for action in first]

    @property
    def wall(self) -> int:
        return EPOCH + int(self.now * 1e9)

    def happen(self, *events: Event) -> tuple[Action, ...]:
        """Let events happen, now; returns what is to be done."""
        asked: tuple[Action, ...] = ()
        for event in events:
            self.state, actions = lifecycle.step(self.rules, self.state, event, self.now, self.wall)
            asked += actions
        self.actions += [(self.now, action) for action in asked]
        return asked

    def after(self, seconds: float, *events: Event) -> tuple[Action, ...]:
        self.now += seconds
        return self.happen(*events)

    def until_deadline(self) -> tuple[Action, ...]:
        """Sleep as long as the state says, and tick."""
        assert self.state.deadline is not None
        self.now = max(self.now, self.state.deadline)
        return self.happen(Tick())

    def start(self, *indices: int) -> tuple[Action, ...]:
        """Tell that containers (all without `indices`) have started the run last asked for."""
        chosen = indices or range(len(self.state.containers))
        return self.happen(*(ContainerStarted(i, self.state.containers[i].attempt) for i in chosen))

    def exit(
        self, index: int = 0, code: int = 1, signal: int = 0, oom_killed: bool = False, unknown: bool = False
    ) -> tuple[Action, ...]:
        attempt = self.state.containers[index].attempt
        return self.happen(ContainerExited(index, attempt, code, signal, oom_killed, unknown))

    def fail(self, index: int = 0, code: int = 127) -> tuple[Action, ...]:
        attempt = self.state.containers[index].attempt
        return self.happen(StartFailed(index, attempt, "StartError", "not found", code))

    def phase(self) -> str:
        return self.state.phase

    def deadline(self) -> float | None:
        return self.state.deadline

    def container(self, index: int = 0) -> ContainerState:
        return self.state.containers[index]

    def terminated(self, index: int = 0) -> Terminated:
        current = self.container(index).current
        assert isinstance(current, Terminated)
        return current

    def waiting(self, index: int = 0) -> Waiting:
        current = self.container(index).current
        assert isinstance(current, Waiting)
        return current
