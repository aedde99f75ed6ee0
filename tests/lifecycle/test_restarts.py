# SPDX-License-Identifier: Apache-2.0
"""Who is restarted, and when: the kubelet's policies and back-off."""

from __future__ import annotations

import pytest

from podfast import lifecycle
from podfast.lifecycle import Running, StartContainer, StopRequested, Tick
from podfast.lifecycle.back_off import text
from podfast.lifecycle.model import RestartPolicy

from .world import World


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("Always", 137, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("OnFailure", 143, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_policy(policy: RestartPolicy, code: int, restarted: bool) -> None:
    world = World(policy)
    world.start()
    assert world.exit(code=code) == ((StartContainer(0, 1),) if restarted else ())
    assert world.container().ended is not restarted


def restart_waits(world: World, count: int, run: float = 0.0, code: int = 1) -> list[float]:
    """How long each restart comes after the end before it, for a program that runs for `run` seconds."""
    waits = []
    world.start()
    for _ in range(count):
        world.after(run)
        ended = world.now
        if not world.exit(code=code):
            world.until_deadline()
        waits.append(world.now - ended)
        world.start()
    return waits


def test_kubelets_series() -> None:
    assert restart_waits(World(), 9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_series_does_not_depend_on_the_exit_code() -> None:
    assert restart_waits(World(), 4, code=0) == [0, 10, 20, 40]


def test_times_of_all_starts_of_a_program_that_crashes_at_once() -> None:
    world = World()
    restart_waits(world, 8)
    starts = [at - 1000.0 for at, action in world.actions if isinstance(action, StartContainer)]
    assert starts == [0, 0, 10, 30, 70, 150, 310, 610, 910]


def test_ten_minutes_of_running_are_not_enough_to_forget() -> None:
    assert restart_waits(World(), 4, run=600.0) == [0, 10, 20, 40]


def test_more_than_ten_minutes_of_running_reset_the_back_off() -> None:
    world = World()
    assert restart_waits(world, 4) == [0, 10, 20, 40]
    assert restart_waits(world, 2, run=600.1) == [0, 0]
    assert restart_waits(world, 3) == [10, 20, 40]


def test_numbers_of_the_pod_are_used() -> None:
    assert restart_waits(World(back_off_initial=0.05, back_off_max=0.3), 6) == pytest.approx(
        [0, 0.05, 0.1, 0.2, 0.3, 0.3]
    )


def test_the_longest_wait_holds_for_the_first_too() -> None:
    assert restart_waits(World(back_off_initial=10.0, back_off_max=4.0), 3) == [0, 4, 4]


def test_a_start_that_fails_backs_off_like_an_end() -> None:
    world = World()
    world.start()
    world.exit()
    waits = []
    for _ in range(4):
        failed = world.now
        assert world.fail() == ()
        world.until_deadline()
        waits.append(world.now - failed)
    assert waits == [10, 20, 40, 80]
    assert world.container().restart_count == 4


def test_the_first_start_that_fails_is_tried_again_at_once() -> None:
    world = World()
    assert world.fail() == (StartContainer(0, 1),)


def test_the_first_start_that_fails_ends_a_pod_that_never_restarts() -> None:
    world = World("Never")
    assert world.fail(code=126) == ()
    assert (world.terminated().exit_code, world.terminated().reason) == (126, "StartError")
    assert world.terminated().started_at == 0
    assert world.phase() == "Failed"


def test_crash_loop_is_a_waiting_reason_and_not_a_phase() -> None:
    world = World()
    world.start()
    world.exit()
    world.start()
    world.exit(code=3)
    assert world.waiting().reason == "CrashLoopBackOff"
    assert world.waiting().message == "back-off 10s restarting failed container=a"
    assert world.phase() == "Running"
    last = world.container().last
    assert last is not None
    assert last.exit_code == 3
    assert last.attempt == 1


def test_states_of_one_restart() -> None:
    world = World()
    world.start()
    began = world.wall
    world.after(2.0)
    world.exit(code=5)
    # Until the next run is told, the container shows how the last one ended: as a kubelet between two syncs.
    assert world.terminated().exit_code == 5
    assert (world.terminated().started_at, world.terminated().finished_at) == (began, world.wall)
    assert world.container().restart_count == 0
    world.start()
    assert world.container().current == Running(world.wall)
    assert world.container().last is not None
    assert world.container().restart_count == world.container().attempt == 1


def test_containers_back_off_by_themselves() -> None:
    world = World(containers=2)
    world.start()
    for index in (0, 0, 1):
        world.exit(index)
        if world.container(index).starting:
            world.start(index)
    assert world.container(0).restart_at == world.deadline() == world.now + 10
    assert world.container(1).running


def test_a_tick_starts_all_that_are_due_and_only_those() -> None:
    world = World(containers=3)
    world.start()
    for _ in range(2):
        for index in range(2):
            world.exit(index)
            if world.container(index).starting:
                world.start(index)
    assert world.after(9.9, Tick()) == ()
    assert world.after(0.1, Tick()) == (StartContainer(0, 2), StartContainer(1, 2))
    assert world.happen(Tick()) == ()
    assert world.deadline() is None


def test_an_exit_whose_start_was_never_told() -> None:
    world = World("Never")
    assert world.exit(code=7) == ()
    assert (world.terminated().exit_code, world.terminated().started_at) == (7, 0)
    assert world.phase() == "Failed"


def test_what_another_engine_left_is_taken_over() -> None:
    world = World(containers=2)
    world.state, _ = lifecycle.initial(world.rules, world.now, world.wall, attempts=(4, 0))
    assert world.start() == ()
    assert [container.restart_count for container in world.state.containers] == [4, 0]
    assert world.exit() == (StartContainer(0, 5),)


def test_nothing_restarts_in_a_pod_that_stops() -> None:
    world = World(containers=2)
    world.start()
    world.happen(StopRequested())
    assert world.exit(0) == ()
    assert world.container(0).ended


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s"), (5025.5, "1h23m45.5s"), (0.05, "50ms"), (0, "0s")],
)
def test_durations_as_go_prints_them(seconds: float, shown: str) -> None:
    assert text(float(seconds)) == shown
