# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order: the promises that hold for every pod."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from podfast import lifecycle
from podfast.lifecycle import (
    Action,
    ContainerExited,
    ContainerStarted,
    Event,
    KillRequested,
    PauseDied,
    PodState,
    RemoveSandbox,
    Rules,
    SandboxGone,
    SandboxReady,
    SignalContainer,
    StartContainer,
    StartFailed,
    StopRequested,
    Tick,
)
from podfast.lifecycle.model import KILL_PATIENCE

from .world import EPOCH, rules

RANK = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}

index = st.integers(-1, 3)
attempt = st.integers(0, 4)
code = st.sampled_from([0, 1, 137])
events = st.one_of(
    st.builds(ContainerStarted, index, attempt),
    st.builds(
        ContainerExited, index, attempt, code, signal=st.just(0), oom_killed=st.booleans(), unknown=st.booleans()
    ),
    st.builds(StartFailed, index, attempt, st.just("StartError"), st.just(""), st.sampled_from([126, 127, 128])),
    st.just(Tick()),
    st.just(Tick()),
    st.just(SandboxReady()),
    st.just(PauseDied()),
    st.builds(StopRequested, st.one_of(st.none(), st.floats(-1.0, 50.0))),
    st.just(KillRequested()),
    st.just(SandboxGone()),
)
histories = st.lists(st.tuples(st.one_of(st.just(0.0), st.floats(0.0, 700.0)), events), max_size=40)
some_rules = st.builds(
    rules,
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.integers(1, 3),
    grace=st.sampled_from([0.0, 5.0, 30.0]),
    back_off_initial=st.sampled_from([0.01, 10.0]),
    back_off_max=st.sampled_from([0.01, 300.0]),
)


class Watch:
    """Looks at every step of one pod, and complains."""

    def __init__(self, rules: Rules, state: PodState, first: tuple[Action, ...]) -> None:
        self.rules = rules
        self.state = state
        self.open: set[int] = set()  # started, and no end was told
        self.removed = False
        self.killed = 0.0
        self.look(state, first, 0.0)

    def report(self, event: Event) -> None:
        """An end counts only for the run that is open."""
        if isinstance(event, (ContainerExited, StartFailed)) and 0 <= event.index < len(self.state.containers):
            container = self.state.containers[event.index]
            if event.attempt == container.attempt and (isinstance(event, ContainerExited) or container.starting):
                self.open.discard(event.index)

    def look(self, state: PodState, actions: tuple[Action, ...], now: float) -> None:
        assert len(actions) <= len(state.containers) + 1
        if state.killing and not (self.state.killing and self.state.stopping):
            self.killed = now
        for action in actions:
            assert not self.removed, "an action after RemoveSandbox"
            if isinstance(action, RemoveSandbox):
                patient = state.killing and now - self.killed >= KILL_PATIENCE
                assert patient or not self.open, "removed while a container may run"
                self.removed = True
            elif isinstance(action, StartContainer):
                assert action.index not in self.open, "a container started twice"
                assert not state.stopping and not state.broken
                assert action.attempt == state.containers[action.index].attempt
                self.open.add(action.index)
            else:
                assert isinstance(action, SignalContainer)
                assert action.index in self.open, "a signal for a container that does not run"
        assert RANK[state.phase] >= RANK[self.state.phase]
        assert (
            RANK[state.phase] < 2 or self.state.phase not in ("Succeeded", "Failed") or state.phase == self.state.phase
        )
        assert state.deadline is None or state.deadline >= 0.0
        assert {i for i, container in enumerate(state.containers) if container.alive} == (
            set() if state.gone else self.open
        )
        for before, after in zip(self.state.containers, state.containers, strict=True):
            assert before.attempt <= after.attempt <= before.attempt + 1
            assert before.restart_count <= after.restart_count <= after.attempt
            assert 0.0 <= after.back_off <= self.rules.back_off_max
        self.state = state


@settings(max_examples=400, deadline=None)
@given(some_rules, histories)
def test_promises_hold_in_any_order_of_events(rules: Rules, history: list[tuple[float, Event]]) -> None:
    now = 0.0
    state, actions = lifecycle.initial(rules, now, EPOCH)
    watch = Watch(rules, state, actions)
    for pause, event in history:
        now += pause
        watch.report(event)
        state, actions = lifecycle.step(rules, state, event, now, EPOCH + int(now * 1e9))
        watch.look(state, actions, now)
        if isinstance(event, Tick):
            assert state.deadline is None or state.deadline > now, "a tick left something undone"


@settings(max_examples=200, deadline=None)
@given(some_rules, histories)
def test_an_event_told_twice_changes_nothing_the_second_time(rules: Rules, history: list[tuple[float, Event]]) -> None:
    now = 0.0
    state, _ = lifecycle.initial(rules, now, EPOCH)
    for pause, event in history:
        now += pause
        state, _ = lifecycle.step(rules, state, event, now, EPOCH)
        # An exit that starts the next run is followed by an exit of that run only under its own number.
        again, actions = lifecycle.step(rules, state, event, now, EPOCH)
        assert actions == ()
        assert again == state


@settings(max_examples=50, deadline=None)
@given(some_rules, histories)
def test_the_machine_is_a_function(rules: Rules, history: list[tuple[float, Event]]) -> None:
    def play() -> list[object]:
        now, seen = 0.0, []
        state, actions = lifecycle.initial(rules, now, EPOCH)
        for pause, event in history:
            now += pause
            state, actions = lifecycle.step(rules, state, event, now, EPOCH)
            seen += [state, actions]
        return seen

    assert play() == play()
