# SPDX-License-Identifier: Apache-2.0
"""podfast as a guest in somebody's program: forks, threads, signals, other event loops, other engines."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

import podfast
from podfast import node
from podfast.errors import PodfastError
from podfast.supervise import Engine
from tests.pod.conftest import (
    PATIENCE,
    READY,
    STAYS,
    World,
    alive,
    children,
    lines,
    manifest,
    pid_of,
    said,
    shim_of,
    until,
)


def test_a_forked_child_does_nothing_to_the_pod(world: World) -> None:
    with world.ready(READY) as pod:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                pod.stop(0)
            except PodfastError:
                code = 7
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert pod.exec("c0", ["true"]).exit_code == 0 and pod.status.phase == "Running"


def test_a_forked_child_holds_none_of_its_descriptors(world: World) -> None:
    with world.ready(READY) as pod:
        before = set(os.listdir("/proc/self/fd"))
        ours = {
            str(fd)
            for fd in (
                pod.fileno(),
                pod._supervised.sandbox.shim_pidfd,
                pod._supervised.sandbox.connection.fileno(),
                pod._supervised.sandbox.run_fd,
            )
        }
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, " ".join(os.listdir("/proc/self/fd")).encode())
            os._exit(0)
        os.waitpid(child, 0)
        theirs = set(os.read(read, 65536).decode().split())
        os.close(read)
        os.close(write)
        assert ours <= before and not ours & theirs


def test_the_pod_ends_with_its_engine_though_a_child_lives(world: World) -> None:
    """A forked child that lives on is no engine: the shim watches the process, not the connection."""
    script = (
        "pod = podfast.run(eval(sys.argv[1]))\n"
        "child = os.fork()\n"
        "if not child:\n    time.sleep(30)\n    os._exit(0)\n"
        "print('pids', shim_of(pod), child, flush=True)\ntime.sleep(100)"
    )
    process = world.process(script, repr(manifest(READY)))
    shim, child = map(int, said(process, "pids").split())
    process.kill()
    process.wait(PATIENCE)
    try:
        until(lambda: not alive(shim), "the shim's end", 1)
        assert alive(child)
        until(lambda: not os.listdir(f"{world.roots.runroot}/pods"), "the undo", 1)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_may_have_pods_of_its_own(world: World) -> None:
    with world.ready(READY) as pod:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with podfast.run(manifest(READY, name="child"), timeout=PATIENCE) as own:
                    code = own.exec("c0", ["sh", "-c", "exit 9"]).exit_code
                world.engine.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert pod.exec("c0", ["true"]).exit_code == 0


def _in_worker(description: dict[str, object]) -> int:
    with podfast.run(description, timeout=PATIENCE) as pod:
        code = pod.wait(PATIENCE).container_statuses[0].state.terminated.exit_code  # type: ignore[union-attr]
    pod._engine.close()
    return code


def test_multiprocessing(world: World) -> None:
    with world.ready(READY) as pod:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(_in_worker, [manifest(f"exit {n}", name=f"worker{n}") for n in range(4)]) == [0, 1, 2, 3]
            pool.close()
            pool.join()
        assert pod.exec("c0", ["true"]).exit_code == 0


def test_the_users_children_are_the_users(world: World) -> None:
    """Nothing of podfast is a child of the program, and no SIGCHLD comes from it."""
    seen: list[int] = []
    before = signal.signal(signal.SIGCHLD, lambda number, _: seen.append(number))
    try:
        with world.ready(READY) as pod:
            assert pod.exec("c0", ["true"]).exit_code == 0
            assert "podfast-shim" not in children(os.getpid())
            with pytest.raises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            own = subprocess.Popen(["true"])
            assert os.waitpid(-1, 0)[0] == own.pid
            own.returncode = 0
        # Only the own child's end is told; those of podfast between clone and clone are waited for silently.
        assert len(seen) <= 1
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_sigchld_ignored(world: World) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with world.ready("echo ready; exit 3") as pod:
            assert pod.wait(PATIENCE).container_statuses[0].state.terminated.exit_code == 3  # type: ignore[union-attr]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_threads_share_an_engine(world: World) -> None:
    errors: list[BaseException] = []

    def one(n: int) -> None:
        try:
            with podfast.run(manifest(READY, f"sleep 0.0{n}; exit {n}", name=f"thread{n}"), timeout=PATIENCE) as pod:
                assert pod.exec("c0", ["sh", "-c", f"exit {n}"]).exit_code == n
                until(lambda: pod.containers["c1"].state.__class__.__name__ == "Terminated", "c1")
                assert pod.containers["c1"].state.exit_code == n
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors and not world.engine.pods


def test_several_threads_wait_for_one_pod(world: World) -> None:
    with world.run("sleep 0.2; exit 4") as pod:
        phases: list[str] = []
        threads = [threading.Thread(target=lambda: phases.append(pod.wait(PATIENCE).phase)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert phases == ["Failed"] * 5


def test_a_pod_of_another_thread_can_be_stopped(world: World) -> None:
    pod = world.ready(READY)
    waiter = threading.Thread(target=lambda: pod.wait(PATIENCE))
    waiter.start()
    pod.stop()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_with_select(world: World) -> None:
    """fileno() and step() are all that an event loop needs."""
    pod = podfast.create(manifest("sleep 0.05; exit 3", policy="OnFailure", options={"back-off-initial": "20ms"}))
    deadline = time.monotonic() + PATIENCE
    idle = 0
    while pod.containers["c0"].restart_count < 3:
        assert time.monotonic() < deadline
        if not select.select([pod], [], [], 1)[0]:
            idle += 1
        pod.step()
    assert idle == 0
    pod.begin_stop()
    while not pod.gone:
        select.select([pod], [], [], 1)
        pod.step()
    assert time.monotonic() < deadline


def test_step_never_blocks(world: World) -> None:
    with world.ready(READY) as pod:
        begin = time.monotonic()
        for _ in range(200):
            pod.step()
        assert time.monotonic() - begin < 0.5
        assert not select.select([pod], [], [], 0)[0]


def test_one_engine_for_many_pods(world: World) -> None:
    pods = [world.run(STAYS, name=f"pod{n}") for n in range(10)]
    assert {pod._engine for pod in pods} == {world.engine} and {pod.fileno() for pod in pods} == {world.engine.fileno()}
    assert len({shim_of(pod) for pod in pods}) == 10
    for pod in pods:
        pod.begin_stop(0)
    world.engine.drive(lambda: all(pod.gone for pod in pods), PATIENCE)


def test_two_engines_in_two_processes(world: World) -> None:
    other = world.process(
        "with podfast.run(eval(sys.argv[1])) as pod:\n    print('up', pod.id, flush=True)\n    sys.stdin.readline()\n"
        "print('down', flush=True)",
        repr(manifest(READY, name="other")),
    )
    their_id = said(other, "up")
    with world.ready(READY) as pod:
        assert their_id != pod.id
        with pytest.raises(podfast.errors.Conflict):
            world.run(READY, name="other")
        names = {record.name for record in node.pods(world.roots.runroot)}
        assert names == {"other", "test"}
    assert other.stdin is not None
    other.stdin.write("\n")
    other.stdin.flush()
    said(other, "down")
    assert other.wait(PATIENCE) == 0


def test_a_closed_engine_ends_its_pods(world: World) -> None:
    pod = world.ready(READY)
    pid = pid_of(pod)
    world.engine.close()
    assert pod.gone and not alive(pid)
    world.engine.close()
    assert pod.status.phase == "Failed" or pod.status.phase == "Succeeded"
    pod.stop()


def test_starting_and_stopping_does_not_grow(world: World) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))

    with world.run(STAYS):
        pass
    before = held()
    for _ in range(20):
        world.run(STAYS).stop(0)
    assert held() == before


def test_failed_starts_do_not_grow(world: World) -> None:
    def attempt() -> int:
        with pytest.raises(podfast.errors.StartError):
            world.run({"name": "c0", "image": "host", "command": ["nope"]})
        return len(os.listdir("/proc/self/fd"))

    before = attempt()
    assert {attempt() for _ in range(10)} == {before}


@pytest.mark.parametrize("module", ["asyncio", "pyroute2", "subprocess", "urllib", "yaml", "dataclasses"])
def test_what_a_run_does_not_import(world: World, module: str) -> None:
    plain = (
        f"import podfast, sys\npod = podfast.run({manifest('exit 0')!r})\npod.wait()\npod.stop()\n"
        f"print('has', [name for name in sys.modules if name.split('.')[0] == {module!r}])"
    )
    result = subprocess.run([sys.executable, "-c", plain], capture_output=True, text=True, check=True)
    assert result.stdout == "has []\n"


def test_engines_are_for_one_place(world: World) -> None:
    assert isinstance(world.engine, Engine) and world.engine.places.root == world.roots.root
    with world.run("echo x") as pod:
        pod.wait(PATIENCE)
        assert lines(pod) == ["x"]
