# SPDX-License-Identifier: Apache-2.0
"""SIGKILL for engine, shim or both: an embedded pod is gone and undone; a served one goes on and is adopted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import podfast
from podfast import node
from podfast.errors import Conflict, NotFound, PodfastError
from podfast.pod import Pod
from tests.pod.conftest import (
    PATIENCE,
    READY,
    World,
    alive,
    container,
    kill,
    lines,
    manifest,
    parent,
    pause_below,
    pause_of,
    pid_of,
    said,
    shim_of,
    terminated,
    until,
)

VOLUME: dict[str, Any] = {"volumes": [{"name": "v", "emptyDir": {}}]}
MOUNT: dict[str, Any] = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
# Counts its starts in the volume and its beats in the log.
BEATS = (
    "echo x >> /v/starts; trap 'echo bye; exit 7' TERM; n=0; "
    "while [ ! -e /v/end ]; do n=$((n + 1)); echo $n; sleep 0.02; done; exit 5"
)

ENGINE = """
pod = podfast.run(eval(sys.argv[1]), life=sys.argv[2])
print("pids", os.getpid(), *(pod.containers[name].pid for name in pod.containers), shim_of(pod), pod.id, flush=True)
while True:
    pod.step()
    time.sleep(0.01)
"""


class Elsewhere:
    """A pod whose engine is another process."""

    def __init__(self, world: World, description: dict[str, Any], life: str) -> None:
        self.world = world
        self.process = world.process(ENGINE, repr(description), life)
        words = said(self.process, "pids").split()
        self.id = words[-1]
        self.engine, *self.containers, self.shim = map(int, words[:-1])
        self.pause = pause_below(self.shim)
        self.run = f"{world.roots.runroot}/pods/{self.id}"
        self.state = f"{world.roots.root}/pods/{self.id}"

    @property
    def all(self) -> list[int]:
        return [*self.containers, self.shim, self.pause]

    def end_engine(self) -> None:
        kill(self.engine)
        self.process.wait(PATIENCE)

    def gone(self) -> bool:
        return not any(alive(pid) for pid in self.all)

    def undone(self) -> bool:
        return (
            not os.path.exists(self.run)
            and not os.path.exists(self.state)
            and not os.listdir(f"{self.world.roots.runroot}/names")
        )


def embedded(world: World) -> Elsewhere:
    return Elsewhere(world, manifest(container(f"setsid sleep 5432 & {READY}", **MOUNT), READY, **VOLUME), "embedded")


def served(world: World, *more: Any, policy: str = "Never") -> Elsewhere:
    return Elsewhere(
        world,
        manifest(
            container(BEATS, **MOUNT),
            *(more or (READY,)),
            policy=policy,
            options={"back-off-initial": "20ms"},
            **VOLUME,
        ),
        "served",
    )


# ---- embedded ----


def test_the_engine_dies(world: World) -> None:
    """All processes within a second, and everything undone, by the shim alone."""
    pod = embedded(world)
    begin = time.monotonic()
    pod.end_engine()
    until(lambda: pod.gone() and pod.undone(), "the undo", 2)
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("wait", [0.0, 0.002, 0.01])
def test_the_engine_dies_during_the_start(world: World, wait: float) -> None:
    process = world.process(
        "print('go', flush=True)\npod = podfast.create(eval(sys.argv[1]))\nprint('made', flush=True)\ntime.sleep(100)",
        repr(manifest(READY, READY)),
    )
    said(process, "made")
    time.sleep(wait)
    kill(process.pid)
    process.wait(PATIENCE)
    until(lambda: not os.listdir(f"{world.roots.runroot}/pods"), "the undo", 2)


def test_the_engine_ends_without_a_word(world: World) -> None:
    """A program that forgets its pods: they go with it."""
    process = world.process(
        "pod = podfast.run(eval(sys.argv[1]))\nprint('pids', *(c.pid for c in pod.containers.values()), flush=True)",
        repr(manifest(READY, READY)),
    )
    pids = [int(word) for word in said(process, "pids").split()]
    process.wait(PATIENCE)
    until(lambda: not any(map(alive, pids)) and not os.listdir(f"{world.roots.runroot}/pods"), "the undo", 2)


def test_the_shim_dies(world: World) -> None:
    with world.ready(container(f"setsid sleep 5433 & {READY}"), READY) as pod:
        pids = [pid_of(pod), pid_of(pod, "c1"), pause_of(pod)]
        kill(shim_of(pod))
        status = pod.wait(PATIENCE)
        assert status.phase == "Failed" and pod.gone
        assert [one.state.terminated.exit_code for one in status.container_statuses] == [137, 137]  # type: ignore[union-attr]
        assert not any(map(alive, pids))
        names = pod._supervised.names
        assert not os.path.exists(names.run_directory) and not os.path.exists(names.state_directory)


def test_the_shim_dies_during_the_start(world: World) -> None:
    """On a busy machine the pod may run before the kill arrives; then it has died later, and is gone as well."""
    during = 0
    for _ in range(20):
        pod = podfast.create(manifest(READY))
        kill(shim_of(pod))
        try:
            pod.wait_started(PATIENCE)
        except PodfastError:
            during += 1
            assert pod.gone
        pod.stop()
        assert pod.gone
        if during == 3:
            return
    assert during


def test_both_die(world: World) -> None:
    """The kernel ends the processes; the next command sweeps the rest."""
    pod = embedded(world)
    os.kill(pod.engine, 19)  # neither may act on the other's death
    os.kill(pod.shim, 19)
    begin = time.monotonic()
    kill(pod.shim)
    kill(pod.engine)
    pod.process.wait(PATIENCE)
    until(pod.gone, "the processes", 1)
    assert time.monotonic() - begin < 1
    assert os.path.exists(pod.run)
    assert node.sweep(*world.roots) == 1
    assert pod.undone()
    assert node.sweep(*world.roots) == 0


def test_the_name_of_a_dead_pod_is_free(world: World) -> None:
    pod = embedded(world)
    os.kill(pod.engine, 19)
    kill(pod.shim)
    kill(pod.engine)
    pod.process.wait(PATIENCE)
    with world.ready(READY, READY) as successor:  # without a sweep
        assert successor.id != pod.id and not os.path.exists(pod.run)


def test_a_name_in_use(world: World) -> None:
    with world.ready(READY) as pod:
        with pytest.raises(Conflict, match='a pod "test" is running already') as caught:
            world.run(READY)
        assert caught.value.owner == pod.id
        with world.ready(READY, name="other"):
            pass
        assert pod.exec("c0", ["true"]).exit_code == 0
    with world.ready(READY):
        pass


def test_a_stale_claim(world: World) -> None:
    """A name that points to a pod which is not there, or to nonsense."""
    with world.ready(READY) as pod:
        claim = pod._supervised.names.name_claim
    for target in ("ab" * 32, "../../etc", "x"):
        os.symlink(target, claim)
        with world.ready(READY):
            assert os.readlink(claim) != target


# ---- served ----


def adopt(pod: Elsewhere) -> Pod:
    return podfast.adopt(pod.id)


def starts(pod: Elsewhere) -> int:
    return len(Path(f"{pod.state}/v0/starts").read_text().split())


def unbroken(pod: Pod) -> bool:
    """Every beat is in the log, once."""
    numbers = [int(line) for line in lines(pod, "c0") if line.isdigit()]
    assert numbers == list(range(1, len(numbers) + 1)), lines(pod, "c0")
    return True


def test_adopted_after_the_engine_died(world: World) -> None:
    pod = served(world)
    pod.end_engine()
    time.sleep(0.1)
    assert all(map(alive, pod.all))
    adopted = adopt(pod)
    adopted.wait_ready(PATIENCE)
    assert [pid_of(adopted, name) for name in adopted.containers] == pod.containers and shim_of(adopted) == pod.shim
    assert adopted.exec("c1", ["true"]).exit_code == 0
    Path(f"{pod.state}/v0/end").touch()
    world.engine.drive(lambda: not adopted._supervised.state.containers[0].alive, PATIENCE)
    assert terminated(adopted).exit_code == 5 and unbroken(adopted) and starts(pod) == 1
    adopted.stop()
    until(lambda: pod.gone() and pod.undone(), "the undo", 2)


def test_what_ended_while_there_was_no_engine(world: World) -> None:
    pod = served(world)
    pod.end_engine()
    Path(f"{pod.state}/v0/end").touch()
    until(lambda: not alive(pod.containers[0]), "its end")
    with adopt(pod) as adopted:
        world.engine.drive(lambda: not adopted._supervised.state.containers[0].alive, PATIENCE)
        assert terminated(adopted).exit_code == 5 and terminated(adopted).reason == "Error"
        assert unbroken(adopted) and starts(pod) == 1


def test_restarted_after_adoption(world: World) -> None:
    pod = served(world, policy="Always")
    pod.end_engine()
    Path(f"{pod.state}/v0/end").touch()
    until(lambda: not alive(pod.containers[0]), "its end")
    os.unlink(f"{pod.state}/v0/end")
    assert starts(pod) == 1
    with adopt(pod) as adopted:
        world.engine.drive(
            lambda: (
                adopted._supervised.state.containers[0].running and adopted._supervised.state.containers[0].attempt == 1
            ),
            PATIENCE,
        )
        until(lambda: starts(pod) == 2)
        assert adopted.containers["c0"].restart_count == 1
        assert adopted.status.container_statuses[0].last_state.terminated.exit_code == 5  # type: ignore[union-attr]


def test_the_shim_of_a_served_pod_dies(world: World) -> None:
    one = container(BEATS, **MOUNT)
    with world.ready(one, READY, life="served", **VOLUME) as pod:
        pids, old, state = (
            [pid_of(pod, name) for name in pod.containers],
            shim_of(pod),
            pod._supervised.names.state_directory,
        )
        kill(old)
        world.engine.drive(lambda: shim_of(pod) != old, PATIENCE)
        assert [pid_of(pod, name) for name in pod.containers] == pids and all(map(alive, pids))
        assert pod.exec("c0", ["true"]).exit_code == 0
        Path(f"{state}/v0/end").touch()
        world.engine.drive(lambda: not pod._supervised.state.containers[0].alive, PATIENCE)
        assert terminated(pod).exit_code in (5, 137)  # asked of a process that is not its child: Linux 6.15
        assert unbroken(pod)


@pytest.mark.parametrize("shared", [False, True])
def test_both_of_a_served_pod_die(world: World, shared: bool) -> None:
    pod = Elsewhere(world, manifest(container(BEATS, **MOUNT), READY, shareProcessNamespace=shared, **VOLUME), "served")
    kill(pod.shim)
    pod.end_engine()
    time.sleep(0.1)
    assert all(map(alive, [*pod.containers, pod.pause]))
    with adopt(pod) as adopted:
        adopted.wait_ready(PATIENCE)
        assert [pid_of(adopted, name) for name in adopted.containers] == pod.containers
        assert parent(shim_of(adopted)) != os.getpid()
        until(lambda: len(lines(adopted, "c0")) > 10)
        assert unbroken(adopted) and starts(pod) == 1
        assert adopted.exec("c1", ["true"]).exit_code == 0
    until(lambda: pod.gone() and pod.undone(), "the undo", 2)


def test_all_of_a_served_pod_dies(world: World) -> None:
    pod = served(world)
    kill(pod.shim)
    pod.end_engine()
    for pid in (*pod.containers, pod.pause):
        kill(pid)
    until(lambda: not any(map(alive, [*pod.containers, pod.pause])))
    with adopt(pod) as adopted:
        status = adopted.wait(PATIENCE)
        assert status.phase == "Failed"
        assert {one.state.terminated.reason for one in status.container_statuses} == {"ContainerStatusUnknown"}  # type: ignore[union-attr]
    until(pod.undone, "the undo", 2)


def test_a_served_pod_is_not_swept_while_it_lives(world: World) -> None:
    pod = served(world)
    pod.end_engine()
    assert node.sweep(*world.roots) == 0 and all(map(alive, pod.all))
    adopt(pod).stop()


def test_only_one_engine(world: World) -> None:
    pod = served(world)
    with pytest.raises(Conflict, match="has an engine already"):
        adopt(pod)
    assert all(map(alive, pod.all))
    pod.end_engine()
    adopt(pod).stop()


def test_what_cannot_be_adopted(world: World) -> None:
    with pytest.raises(NotFound):
        podfast.adopt("nope")
    with world.ready(READY) as pod, pytest.raises(PodfastError):
        podfast.adopt(pod.id)


def test_a_served_pod_outlives_its_program(world: World) -> None:
    process = world.process(
        "pod = podfast.run(eval(sys.argv[1]), life='served')\nprint('id', pod.id, flush=True)", repr(manifest(READY))
    )
    pod_id = said(process, "id")
    process.wait(PATIENCE)
    with podfast.adopt(pod_id) as adopted:
        assert adopted.wait_ready(PATIENCE).phase == "Running"
        assert adopted.exec("c0", ["true"]).exit_code == 0


def test_handed_on_many_times(world: World) -> None:
    pod = served(world)
    pod.end_engine()
    for _ in range(3):
        adopted = adopt(pod)
        adopted.wait_ready(PATIENCE)
        adopted._engine.close()  # a served pod is let go, not stopped
    with adopt(pod) as adopted:
        assert [pid_of(adopted, name) for name in adopted.containers] == pod.containers and starts(pod) == 1
        until(lambda: unbroken(adopted) and len(lines(adopted, "c0")) > 10)
