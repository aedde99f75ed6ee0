# SPDX-License-Identifier: Apache-2.0
"""The end of a pod: grace, its limits, and everything that may come in between."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

import pytest

import podfast
from podfast.errors import NotFound, PodfastError, WaitTimeout
from tests.pod.conftest import (
    PATIENCE,
    READY,
    STAYS,
    World,
    container,
    kill,
    manifest,
    pid_of,
    shim_of,
    terminated,
    until,
)

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1000 & wait $!; done"


def exit_codes(pod: podfast.Pod) -> list[int]:
    """As the last status before the pod was gone has them."""
    return [state.current.exit_code for state in pod._supervised.state.containers]  # type: ignore[union-attr]


def test_a_graceful_end(world: World) -> None:
    pod = world.ready("trap 'exit 7' TERM; echo ready; while :; do sleep 1000 & wait $!; done", READY)
    begin = time.monotonic()
    status = pod.stop()
    assert time.monotonic() - begin < 1
    assert pod.gone and status.phase == "Failed" and exit_codes(pod) == [7, 0]
    assert status.container_statuses[0].state.terminated.reason == "Error"  # type: ignore[union-attr]


def test_all_who_end_well_make_a_success(world: World) -> None:
    pod = world.ready(READY, READY)
    assert pod.stop().phase == "Succeeded"


@pytest.mark.parametrize("grace", [0.25, 1.0])
def test_term_ignored_is_kill_at_the_grace_period(world: World, grace: float) -> None:
    pod = world.ready(STUBBORN, READY)
    pid = pid_of(pod)
    pidfd = os.pidfd_open(pid)
    ended: list[float] = []

    def watch() -> None:
        select.select([pidfd], [], [], PATIENCE)
        ended.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.monotonic()
    pod.stop(grace)
    watcher.join()
    os.close(pidfd)
    assert grace - 0.005 <= ended[0] - begin <= grace + 0.05
    assert exit_codes(pod) == [137, 0]


def test_the_pods_own_grace_period(world: World) -> None:
    pod = world.ready(STUBBORN, grace=1)
    begin = time.monotonic()
    pod.stop()
    assert 0.99 <= time.monotonic() - begin < 1.5


def test_no_grace(world: World) -> None:
    pod = world.ready(STUBBORN)
    begin = time.monotonic()
    pod.stop(0)
    assert time.monotonic() - begin < 0.5 and exit_codes(pod) == [137]


def test_kill(world: World) -> None:
    pod = world.ready(STUBBORN, STUBBORN)
    begin = time.monotonic()
    pod.kill()
    assert time.monotonic() - begin < 0.5 and pod.gone


def test_twice_is_once(world: World) -> None:
    pod = world.ready(READY)
    first = pod.stop()
    assert pod.stop() == first == pod.kill() == pod.wait(0) == pod.status


def test_a_later_stop_can_only_shorten(world: World) -> None:
    pod = world.ready(STUBBORN, grace=30)
    pod.begin_stop()
    begin = time.monotonic()
    pod.begin_stop(60)
    pod.stop(0.2)
    assert time.monotonic() - begin < 1


def test_kill_during_a_graceful_stop(world: World) -> None:
    pod = world.ready(STUBBORN, grace=30)
    pod.begin_stop()
    pod.step()
    begin = time.monotonic()
    pod.kill()
    assert time.monotonic() - begin < 0.5


@pytest.mark.parametrize("n", range(6))
def test_stop_during_the_start(world: World, n: int) -> None:
    pod = podfast.create(manifest(READY, STAYS, policy="Always", grace=1))
    for _ in range(n):
        pod.step()
        time.sleep(0.0005)
    pod.stop()
    assert pod.gone


def test_kill_during_the_start(world: World) -> None:
    for _ in range(5):
        podfast.create(manifest(STAYS, STAYS)).kill()


def test_a_pod_that_has_ended_is_removed(world: World) -> None:
    with world.run("exit 0") as pod:
        pod.wait(PATIENCE)
        directory = pod._supervised.names.run_directory
        assert os.path.exists(directory)
    assert not os.path.exists(directory) and not os.path.exists(pod.log_directory)


def test_an_exception_leaves_through_the_block(world: World) -> None:
    with pytest.raises(ValueError, match="mine"), world.ready(READY) as pod:
        raise ValueError("mine")
    assert pod.gone and exit_codes(pod) == [0]


def test_a_keyboard_interrupt_is_graceful_and_the_second_kills(world: World) -> None:
    with pytest.raises(KeyboardInterrupt), world.ready(READY) as pod:
        raise KeyboardInterrupt
    assert pod.gone and exit_codes(pod) == [0]
    timer = threading.Timer(0.6, lambda: os.kill(os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt), world.ready(STUBBORN, grace=30) as pod:
        raise KeyboardInterrupt
    assert pod.gone and exit_codes(pod) == [137] and time.monotonic() - begin < 3


def test_no_restart_after_stop(world: World) -> None:
    pod = world.ready("echo ready; trap 'exit 1' TERM; sleep 1000 & wait", policy="Always")
    pod.stop()
    assert pod._supervised.state.containers[0].restart_count == 0


def test_everything_of_the_pod_is_gone(world: World) -> None:
    pod = world.ready(f"setsid sleep 4321 & {READY}", READY)
    pids = [shim_of(pod), pid_of(pod), pid_of(pod, "c1")]
    pod.stop()
    until(
        lambda: (
            not any(os.path.exists(f"/proc/{pid}/exe") and os.readlink(f"/proc/{pid}/exe") for pid in pids if _is(pid))
        ),
        "their end",
        3,
    )


def _is(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# ---- waiting ----


def test_wait_runs_out(world: World) -> None:
    with world.run(STAYS) as pod:
        begin = time.monotonic()
        with pytest.raises(WaitTimeout, match=r"0\.1 s"):
            pod.wait(0.1)
        assert 0.1 <= time.monotonic() - begin < 0.3
        assert issubclass(WaitTimeout, TimeoutError) and pod.status.phase == "Running"


def test_a_start_that_takes_too_long_leaves_nothing(world: World) -> None:
    with pytest.raises(WaitTimeout):
        podfast.run(manifest(STAYS), timeout=0.0)
    assert not world.engine.pods


def test_wait_ready_tells_when_it_cannot_be(world: World) -> None:
    with world.run("exit 1") as pod:
        pod.wait(PATIENCE)
        with pytest.raises(PodfastError, match="ended without becoming ready: Failed"):
            pod.wait_ready(1)


def test_a_pod_that_is_gone_can_still_be_asked(world: World) -> None:
    pod = world.ready(READY)
    pod.stop()
    assert pod.containers["c0"].pid is None and pod.status.phase == "Succeeded"
    assert list(pod.logs()) == []
    with pytest.raises(NotFound):
        pod.exec("c0", ["true"])
    pod.step()


def test_pods_are_made_by_run_only() -> None:
    with pytest.raises(TypeError, match=r"podfast\.run"):
        podfast.Pod()


def test_names(world: World) -> None:
    with world.run(container(STAYS, "only")) as pod:
        assert (pod.name, pod.namespace) == ("test", "default") and len(pod.id) == 64 and len(pod.uid) == 36
        assert list(pod.containers) == ["only"] and "default/test" in repr(pod)
        with pytest.raises(NotFound, match=r'no container "nope"; it has only'):
            pod.exec("nope", ["true"])


def test_a_container_that_is_killed_from_outside(world: World) -> None:
    with world.ready(READY, READY) as pod:
        kill(pid_of(pod))
        world.engine.drive(lambda: not pod._supervised.state.containers[0].alive, PATIENCE)
        assert terminated(pod).exit_code == 137 and pod.containers["c0"].pid is None
        assert pod.status.phase == "Running" and not pod._supervised.state.ready
