# SPDX-License-Identifier: Apache-2.0
"""The machine against a made-up shim: processes that run and end as they like, messages that take their time."""

from __future__ import annotations

from collections import deque

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from podfast import lifecycle
from podfast.lifecycle import (
    Action,
    ContainerExited,
    ContainerStarted,
    Event,
    KillRequested,
    PauseDied,
    RemoveSandbox,
    SandboxGone,
    SandboxReady,
    SignalContainer,
    StartContainer,
    StartFailed,
    StopRequested,
    Tick,
)
from podfast.lifecycle.model import RestartPolicy

from .world import EPOCH, KILL, TERM, rules


class Shim(RuleBasedStateMachine):
    """Knows the truth about processes. Its messages wait in a queue, in order, until the engine reads them."""

    @initialize(policy=st.sampled_from(["Always", "OnFailure", "Never"]), containers=st.integers(1, 3))
    def begin(self, policy: RestartPolicy, containers: int) -> None:
        self.pod_rules = rules(policy, containers)
        self.now = 0.0
        self.preparing: dict[int, int] = {}
        self.running: dict[int, int] = {}
        self.ignores_term = set[int]()
        self.ran: list[tuple[int, int]] = []
        self.pause = True
        self.removed = False
        self.messages: deque[Event] = deque([SandboxReady()])
        self.phases: list[str] = []
        self.state, actions = lifecycle.initial(self.pod_rules, self.now, EPOCH)
        self.do(actions)

    # ---- the engine's side ----

    def take(self, event: Event) -> None:
        wall = EPOCH + int(self.now * 1e9)
        self.state, actions = lifecycle.step(self.pod_rules, self.state, event, self.now, wall)
        self.do(actions)

    def do(self, actions: tuple[Action, ...]) -> None:
        self.phases.append(self.state.phase)
        for action in actions:
            assert not self.removed
            if isinstance(action, StartContainer):
                assert action.index not in self.preparing and action.index not in self.running
                assert (action.index, action.attempt) not in self.ran
                self.preparing[action.index] = action.attempt
            elif isinstance(action, SignalContainer):
                self.signal(action)
            else:
                assert isinstance(action, RemoveSandbox)
                assert not self.preparing and not self.running
                self.removed = True
                self.messages.append(SandboxGone())

    @precondition(lambda self: self.messages)
    @rule()
    def read(self) -> None:
        self.take(self.messages.popleft())

    @rule(seconds=st.sampled_from([0.1, 10.0, 31.0, 700.0]))
    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.state.deadline is not None and self.state.deadline <= until:
            self.now = max(self.now, self.state.deadline)
            self.take(Tick())
        self.now = until

    @rule(grace=st.sampled_from([None, 0.0, 5.0]))
    def stop(self, grace: float | None) -> None:
        self.take(StopRequested(grace))

    @rule()
    def kill(self) -> None:
        self.take(KillRequested())

    # ---- the machine's side ----

    def signal(self, action: SignalContainer) -> None:
        index = action.index
        if action.signo == KILL or (action.signo == TERM and index not in self.ignores_term):
            if index in self.running:
                self.end(index, 128 + action.signo)
            elif index in self.preparing and action.signo == KILL:
                self.started(index)
                self.end(index, 137)

    def started(self, index: int) -> None:
        attempt = self.preparing.pop(index)
        self.running[index] = attempt
        self.ran.append((index, attempt))
        self.messages.append(ContainerStarted(index, attempt))

    def end(self, index: int, code: int) -> None:
        self.messages.append(ContainerExited(index, self.running.pop(index), code))

    @precondition(lambda self: self.preparing and self.pause)
    @rule(data=st.data(), stubborn=st.booleans())
    def exec(self, data: st.DataObject, stubborn: bool) -> None:
        index = data.draw(st.sampled_from(sorted(self.preparing)))
        (self.ignores_term.add if stubborn else self.ignores_term.discard)(index)
        self.started(index)

    @precondition(lambda self: self.preparing)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.preparing)))
        self.messages.append(StartFailed(index, self.preparing.pop(index), "StartError", "no such file", 127))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), code=st.sampled_from([0, 1]))
    def exit(self, data: st.DataObject, code: int) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.running))), code)

    @precondition(lambda self: self.pause and not self.removed)
    @rule()
    def pause_dies(self) -> None:
        self.pause = False
        self.messages.append(PauseDied())
        for index in list(self.running):
            self.end(index, 137)

    # ---- what must hold ----

    @invariant()
    def what_is_shown_agrees_with_what_is(self) -> None:
        if self.messages:
            return  # the engine does not know everything yet
        for index, container in enumerate(self.state.containers):
            assert container.running == (index in self.running)
            assert container.starting == (index in self.preparing)
            runs = [attempt for i, attempt in self.ran if i == index]
            assert runs == sorted(set(runs))
            assert not runs or max(runs) <= container.attempt

    @invariant()
    def phases_go_forward(self) -> None:
        ranks = [("Pending", "Running", "Succeeded", "Failed").index(phase) for phase in self.phases]
        assert ranks == sorted(ranks) and not {"Succeeded", "Failed"} <= set(self.phases)

    def teardown(self) -> None:
        """However the story went, a stop ends it: in time, and with everything gone."""
        if not hasattr(self, "state"):
            return
        self.take(StopRequested())
        for _ in range(100):
            for index in list(self.preparing):
                self.messages.append(StartFailed(index, self.preparing.pop(index), "StartError", "", 127))
            while self.messages:
                self.take(self.messages.popleft())
            if self.state.gone:
                break
            self.sleep(31.0)
        assert self.removed and self.state.gone
        assert self.state.phase in ("Succeeded", "Failed")
        assert all(container.ended for container in self.state.containers)
        assert self.state.deadline is None


TestShim = Shim.TestCase
TestShim.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
