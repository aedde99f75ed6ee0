# SPDX-License-Identifier: Apache-2.0
"""podfast.native: clone, join and wait for those who build their own tools."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podfast import native
from podfast.errors import SystemFailure

pytestmark = pytest.mark.makes
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces")
SPACES = {"net": native.NEWNET, "ipc": native.NEWIPC, "uts": native.NEWUTS, "mnt": native.NEWNS}


def ended(pidfd: int, patience: float = 10) -> int:
    """The wait status, once there is one; the pidfd is closed."""
    try:
        assert select.select([pidfd], [], [], patience)[0], "it does not end"
        status = native.wait(pidfd)
        assert status is not None
        return status
    finally:
        os.close(pidfd)


@pytest.fixture
def sleeper() -> Iterator[tuple[int, int]]:
    """A process in namespaces of its own: (pid, pidfd)."""
    pid, pidfd = native.clone(["/bin/sleep", "100"], [], namespaces=sum(SPACES.values()) | native.NEWPID)
    try:
        yield pid, pidfd
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ended(pidfd)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_clone_and_wait(leakcheck: object) -> None:
    del leakcheck
    pid, pidfd = native.clone(["/bin/sh", "-c", "exit $CODE"], ["CODE=7"])
    assert pid > 1
    assert os.waitstatus_to_exitcode(ended(pidfd)) == 7
    _, pidfd = native.clone(["/bin/sh", "-c", "kill -9 $$"], [])
    assert os.waitstatus_to_exitcode(ended(pidfd)) == -9


def test_wait_does_not_block() -> None:
    _, pidfd = native.clone(["/bin/sleep", "100"], [])
    begin = time.monotonic()
    assert native.wait(pidfd) is None
    assert time.monotonic() - begin < 1
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(ended(pidfd)) == -15


def test_nothing_but_what_is_given_crosses() -> None:
    """Three descriptors, the variables given, default signals."""
    reader, writer = os.pipe()
    kept = os.dup(reader)
    os.set_inheritable(kept, True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    try:
        script = "for f in /proc/$$/fd/*; do [ ! -e $f ] || echo ${f##*/}; done; grep Sig /proc/$$/status; /usr/bin/env"
        _, pidfd = native.clone(["/bin/sh", "-c", script], ["ONLY=this"], stdio=(null, writer, writer))
        assert ended(pidfd) == 0
        os.close(writer)
        with os.fdopen(os.dup(reader)) as file:
            written = file.read().split("\n")
    finally:
        signal.signal(signal.SIGINT, before)
        for descriptor in (reader, kept, null):
            os.close(descriptor)
    assert [line for line in written if line.isdigit()] == ["0", "1", "2"]
    names = {line.partition("=")[0] for line in written if "=" in line}
    assert "ONLY" in names and names <= {"ONLY", "PWD", "SHLVL", "_", "OLDPWD"}
    assert next(line for line in written if line.startswith("SigIgn")).split()[1].strip("0") == ""
    assert next(line for line in written if line.startswith("SigBlk")).split()[1].strip("0") == ""


@pytest.mark.parametrize(
    ("argv", "error"), [(["/does/not/exist"], 2), (["/etc/passwd"], 13), (["/etc"], 13), ([f"/{'x' * 5000}"], 36)]
)
def test_what_cannot_be_executed_is_an_error_of_the_caller(argv: list[str], error: int) -> None:
    before = descriptors()
    with pytest.raises(SystemFailure) as caught:
        native.clone(argv, [])
    assert caught.value.errno == error and isinstance(caught.value.__cause__, OSError)
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # nothing half-made is left


@needs_root
def test_new_namespaces_are_new(sleeper: tuple[int, int]) -> None:
    pid, _ = sleeper
    for name in (*SPACES, "pid"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")


@needs_root
def test_a_clone_joins_and_is_ours(sleeper: tuple[int, int]) -> None:
    pid, pidfd = sleeper
    joined, own = native.clone(["/bin/sleep", "100"], [], join_pidfd=pidfd, join=sum(SPACES.values()) | native.NEWPID)
    try:
        for name in (*SPACES, "pid"):
            assert os.readlink(f"/proc/{joined}/ns/{name}") == os.readlink(f"/proc/{pid}/ns/{name}")
    finally:
        signal.pidfd_send_signal(own, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(ended(own)) == -9


@needs_root
def test_join_is_verified(sleeper: tuple[int, int]) -> None:
    """In a process of its own, since there is no way back."""
    pid, pidfd = sleeper
    script = f"""
import os
from podfast import native
native.join({pidfd}, native.NEWNET | native.NEWUTS)
print(os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/uts"), os.readlink("/proc/self/ns/ipc"))
"""
    done = subprocess.run([sys.executable, "-c", script], pass_fds=[pidfd], capture_output=True, text=True, check=True)
    wanted = [os.readlink(f"/proc/{who}/ns/{name}") for who, name in ((pid, "net"), (pid, "uts"), ("self", "ipc"))]
    assert done.stdout.split() == wanted


@pytest.mark.parametrize("kind", ["file", "pipe", "closed", "ended"])
def test_a_wrong_pidfd(kind: str) -> None:
    before = descriptors()
    opened: list[int] = []
    if kind == "file":
        opened = [os.open("/proc/self/ns/net", os.O_RDONLY)]  # setns alone would take it
    elif kind == "pipe":
        opened = list(os.pipe())
    elif kind == "ended":
        _, pidfd = native.clone(["/bin/true"], [])
        select.select([pidfd], [], [], 10)
        native.wait(pidfd)
        opened = [pidfd]
    wrong = opened[0] if opened else 999
    calls: list[Callable[[], object]] = [
        lambda: native.join(wrong, native.NEWNET),
        lambda: native.clone(["/bin/true"], [], join_pidfd=wrong, join=native.NEWNET),
    ]
    if kind != "ended":
        calls.append(lambda: native.wait(wrong))
    for call in calls:
        with pytest.raises(SystemFailure):
            call()
    for descriptor in opened:
        os.close(descriptor)
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_other_children_are_left_alone() -> None:
    """A clone that works, and one that does not, take no wait status of somebody else's, and no SIGCHLD is lost."""
    seen: list[int] = []
    before = signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
    try:
        with subprocess.Popen(["/bin/sh", "-c", "exit 5"]) as other:
            os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
            _, pidfd = native.clone(["/bin/true"], [])
            with pytest.raises(SystemFailure):
                native.clone(["/nope"], [])
            assert ended(pidfd) == 0
            assert other.wait() == 5 and seen
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_in_threads() -> None:
    """Many at once, while other threads allocate: each gets its own child's status."""
    statuses: dict[int, int] = {}
    stop = threading.Event()

    def work(number: int) -> None:
        for _ in range(8):
            _, pidfd = native.clone(["/bin/sh", "-c", f"exit {number}"], [])
            statuses[number] = os.waitstatus_to_exitcode(ended(pidfd))

    def allocate() -> None:
        while not stop.wait(0.001):
            bytearray(1 << 20)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    noise = threading.Thread(target=allocate)
    before = descriptors()
    for thread in (*threads, noise):
        thread.start()
    for thread in threads:
        thread.join(60)
    stop.set()
    noise.join(10)
    assert statuses == {number: number for number in range(1, 7)}
    assert descriptors() == before


def test_a_big_process_pays_nothing() -> None:
    """No page table is copied: with 256 MB in use a clone costs what it costs without, a fork many times that."""
    script = """
import os, time
from podfast import native
def cost():
    times = []
    for _ in range(25):
        begin = time.perf_counter()
        _, pidfd = native.clone(["/bin/true"], [])
        times.append(time.perf_counter() - begin)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    return min(times)
small = cost()
ballast = bytearray(os.urandom(1 << 20)) * 256
print(cost() / small)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2.5


def test_the_example_in_the_documentation() -> None:
    assert "native.clone" in (native.__doc__ or "") and Path(native.__file__).exists()
    assert set(native.__all__) >= {"clone", "join", "wait", "exit_status"}
