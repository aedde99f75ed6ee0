# SPDX-License-Identifier: Apache-2.0
"""How pods end: stopped, killed, without their sandbox."""

from __future__ import annotations

import pytest

from podfast.lifecycle import (
    ContainerExited,
    ContainerStarted,
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

from .world import KILL, TERM, World

# ---- stop ----


def test_term_together_then_kill_then_removal() -> None:
    world = World(containers=3)
    world.start()
    assert world.happen(StopRequested()) == tuple(SignalContainer(index, TERM) for index in range(3))
    assert world.deadline() == world.now + 30
    assert world.exit(1, 0) == ()
    assert world.until_deadline() == (SignalContainer(0, KILL), SignalContainer(2, KILL))
    assert world.exit(0, 137, signal=9) == ()
    assert world.exit(2, 137, signal=9) == (RemoveSandbox(),)
    assert world.phase() == "Failed"
    assert [world.terminated(index).exit_code for index in range(3)] == [137, 0, 137]


def test_all_that_end_with_zero_have_succeeded_whatever_the_policy() -> None:
    world = World("Always", 2)
    world.start()
    world.happen(StopRequested())
    world.exit(0, 0)
    assert world.phase() == "Running"
    assert world.exit(1, 0) == (RemoveSandbox(),)
    assert world.phase() == "Succeeded"


@pytest.mark.parametrize(("asked", "seconds"), [(None, 7.0), (2.5, 2.5), (100.0, 100.0)])
def test_grace_period(asked: float | None, seconds: float) -> None:
    world = World(grace=7.0)
    world.start()
    world.happen(StopRequested(asked))
    assert world.deadline() == world.now + seconds
    assert world.after(seconds - 0.01, Tick()) == ()
    assert world.after(0.01, Tick()) == (SignalContainer(0, KILL),)


@pytest.mark.parametrize(("grace", "asked"), [(30.0, 0.0), (0.0, None), (30.0, -1.0)])
def test_no_grace_kills_at_once(grace: float, asked: float | None) -> None:
    world = World(grace=grace)
    world.start()
    assert world.happen(StopRequested(asked)) == (SignalContainer(0, KILL),)
    assert world.exit(code=137) == (RemoveSandbox(),)
    assert world.deadline() is None


def test_a_second_stop_can_only_shorten_the_grace_period() -> None:
    world = World()
    world.start()
    world.happen(StopRequested(10.0))
    due = world.deadline()
    assert world.happen(StopRequested(20.0)) == ()
    assert world.deadline() == due
    assert world.happen(StopRequested(3.0)) == ()
    assert world.deadline() == world.now + 3
    assert world.happen(StopRequested(0.0)) == (SignalContainer(0, KILL),)


def test_kill_during_a_stop() -> None:
    world = World(containers=2)
    world.start()
    world.happen(StopRequested())
    assert world.happen(KillRequested()) == (SignalContainer(0, KILL), SignalContainer(1, KILL))
    assert world.happen(KillRequested(), StopRequested()) == ()


def test_stop_of_a_pod_that_has_ended_removes_it() -> None:
    world = World("Never")
    world.start()
    world.exit(code=3)
    assert world.phase() == "Failed"
    assert world.happen(StopRequested()) == (RemoveSandbox(),)
    assert world.happen(StopRequested(), KillRequested(), Tick()) == ()
    assert world.terminated().exit_code == 3


def test_a_container_in_back_off_keeps_its_exit_code_and_is_not_waited_for() -> None:
    world = World()
    world.start()
    world.exit()
    world.start()
    world.exit(code=9)
    assert world.waiting().reason == "CrashLoopBackOff"
    assert world.happen(StopRequested()) == (RemoveSandbox(),)
    assert world.terminated().exit_code == 9
    assert world.deadline() is None
    assert world.phase() == "Failed"


def test_a_container_that_is_just_being_started_is_told_when_it_has() -> None:
    world = World()
    assert world.happen(StopRequested()) == ()
    assert world.after(1.0, ContainerStarted(0, 0)) == (SignalContainer(0, TERM),)
    assert world.exit(code=143) == (RemoveSandbox(),)


def test_kill_reaches_a_container_that_is_just_being_started() -> None:
    world = World()
    assert world.happen(KillRequested()) == (SignalContainer(0, KILL),)
    assert world.start() == (SignalContainer(0, KILL),)
    assert world.exit(code=137) == (RemoveSandbox(),)


def test_a_start_that_fails_during_a_stop() -> None:
    world = World()
    world.happen(StopRequested())
    assert world.fail() == (RemoveSandbox(),)


def test_the_grace_period_ends_for_a_container_that_is_just_being_started() -> None:
    world = World()
    world.happen(StopRequested(1.0))
    assert world.until_deadline() == (SignalContainer(0, KILL),)


def test_a_pod_is_removed_around_a_process_that_does_not_die() -> None:
    world = World(containers=2)
    world.start(0)
    world.happen(StopRequested(1.0))
    assert world.until_deadline() == (SignalContainer(0, KILL), SignalContainer(1, KILL))
    killed = world.now
    assert world.until_deadline() == (RemoveSandbox(),)
    assert world.now == killed + 2.0
    assert world.deadline() is None
    # What is still told is taken down, and nothing is done about it.
    assert world.start(1) == ()
    assert world.exit(1, 137) == ()
    world.happen(SandboxGone())
    assert [world.terminated(index).reason for index in range(2)] == ["ContainerStatusUnknown", "Error"]
    assert world.phase() == "Failed"


def test_a_pod_without_its_sandbox_is_removed_around_a_process_that_does_not_die() -> None:
    world = World()
    world.start()
    world.happen(PauseDied())
    assert world.deadline() is None
    world.happen(StopRequested())
    assert world.until_deadline() == (RemoveSandbox(),)


# ---- the reasons of an end ----


@pytest.mark.parametrize(
    ("code", "signal", "oom_killed", "unknown", "reason", "reported"),
    [
        (0, 0, False, False, "Completed", 0),
        (1, 0, False, False, "Error", 1),
        (143, 15, False, False, "Error", 143),
        (137, 9, True, False, "OOMKilled", 137),
        (1, 0, True, False, "OOMKilled", 1),  # its child was killed
        (0, 0, False, True, "ContainerStatusUnknown", 137),
    ],
)
def test_reasons(code: int, signal: int, oom_killed: bool, unknown: bool, reason: str, reported: int) -> None:
    world = World("Never")
    world.start()
    world.exit(0, code, signal, oom_killed, unknown)
    assert (world.terminated().reason, world.terminated().exit_code) == (reason, reported)
    assert world.terminated().signal == signal


# ---- the sandbox ----


def test_when_pause_dies_the_pod_fails_with_it() -> None:
    world = World("Always", 2)
    world.happen(SandboxReady())
    world.start()
    assert world.happen(PauseDied()) == (SignalContainer(0, KILL), SignalContainer(1, KILL))
    assert not world.state.sandbox_ready
    assert world.exit(0, 137, signal=9) == ()
    assert world.phase() == "Running"
    assert world.exit(1, 137, signal=9) == ()
    assert (world.phase(), world.state.reason) == ("Failed", "SandboxChanged")
    assert world.happen(PauseDied(), Tick()) == ()
    assert world.happen(StopRequested()) == (RemoveSandbox(),)


def test_when_pause_dies_containers_in_back_off_stay_down() -> None:
    world = World()
    world.start()
    world.exit()
    world.start()
    world.exit(code=4)
    assert world.happen(PauseDied()) == ()
    assert world.deadline() is None
    assert world.phase() == "Failed"
    assert world.terminated().exit_code == 4


def test_when_pause_dies_a_last_success_does_not_save_the_pod() -> None:
    world = World()
    world.start()
    world.happen(PauseDied())
    world.exit(code=0)
    assert world.phase() == "Failed"


def test_when_pause_dies_after_the_pod_has_succeeded_it_has_succeeded() -> None:
    world = World("Never")
    world.start()
    world.exit(code=0)
    world.happen(PauseDied())
    assert (world.phase(), world.state.reason) == ("Succeeded", "")


def test_when_pause_dies_during_a_stop_removal_still_follows() -> None:
    world = World()
    world.start()
    world.happen(StopRequested())
    assert world.happen(PauseDied()) == (SignalContainer(0, KILL),)
    assert world.exit(code=137) == (RemoveSandbox(),)


def test_what_lives_when_the_sandbox_is_gone_has_ended_unseen() -> None:
    world = World(containers=3)
    world.happen(SandboxReady())
    world.start(0, 1)
    world.exit(1, 0)
    assert world.happen(SandboxGone()) == ()
    assert [world.terminated(index).reason for index in range(3)] == ["ContainerStatusUnknown"] * 3
    assert world.state.gone
    assert world.phase() == "Failed"
    assert not world.state.sandbox_ready
    before = world.state
    assert world.happen(KillRequested(), StopRequested(), Tick(), SandboxReady(), ContainerStarted(0, 0)) == ()
    assert world.state is before


def test_removal_keeps_the_exit_codes_of_a_stopped_pod() -> None:
    world = World("OnFailure", 2)
    world.start()
    world.exit(0, 0)
    world.happen(StopRequested())
    world.exit(1, 143, signal=15)
    world.happen(SandboxGone())
    assert [world.terminated(index).exit_code for index in range(2)] == [0, 143]
    assert world.phase() == "Failed"


# ---- events that come late or twice ----


def test_stale_events_change_nothing() -> None:
    world = World(containers=2)
    world.start()
    world.exit(0)
    before = world.state
    stale = (
        ContainerStarted(0, 0),
        ContainerExited(0, 0, 1),
        StartFailed(0, 0, "StartError", "", 127),
        ContainerStarted(0, 2),
        ContainerExited(0, 7, 1),
        ContainerStarted(1, 0),
        StartFailed(1, 0, "StartError", "", 127),
        ContainerStarted(9, 0),
        ContainerExited(-1, 0, 1),
        Tick(),
    )
    for event in stale:
        assert world.happen(event) == ()
        assert world.state is before


def test_a_repeated_exit_does_not_start_a_second_process() -> None:
    world = World()
    world.start()
    assert world.happen(ContainerExited(0, 0, 1)) == (StartContainer(0, 1),)
    assert world.happen(ContainerExited(0, 0, 1), ContainerExited(0, 0, 1)) == ()


def test_when_pause_dies_during_a_stop_a_process_that_does_not_die_is_not_waited_for() -> None:
    world = World()
    world.start()
    world.happen(StopRequested())
    world.happen(PauseDied())
    assert world.deadline() == world.now + 2.0
    assert world.until_deadline() == (RemoveSandbox(),)


def test_nothing_is_due_any_more_once_removal_was_asked_for() -> None:
    world = World()
    world.start()
    world.happen(StopRequested())
    assert world.exit(code=143) == (RemoveSandbox(),)
    assert world.happen(KillRequested(), StopRequested(0.0)) == ()
    assert world.deadline() is None
