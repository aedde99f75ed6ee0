# SPDX-License-Identifier: Apache-2.0
"""A living shim's socket, and those who send what nobody should: the pod survives, and serves the next one."""

from __future__ import annotations

import array
import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

import podfast
from podfast.pod import Life, Pod
from podfast.sandbox import protocol
from tests.pod.conftest import READY, World, alive, lines, pid_of, shim_of, until

SEED = 20261125
TYPES = (1, 2, 3, 4, 16, 17, 20, 22, 32, 33, 34, 48, 51, 0, 65535)
LIVES: tuple[Life, ...] = ("embedded", "served")


@contextlib.contextmanager
def connected(pod: Pod) -> Iterator[socket.socket]:
    directory = os.open(pod._supervised.names.run_directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.settimeout(5)
            connection.connect(f"/proc/self/fd/{directory}/sock")
        finally:
            os.close(directory)
        yield connection


def still_well(pod: Pod, pid: int, shim: int, descriptors: int) -> None:
    assert pod.exec("c0", ["echo", "well"]).stdout == b"well\n"
    assert alive(pid) and shim_of(pod) == shim
    until(lambda: len(os.listdir(f"/proc/{shim}/fd")) <= descriptors, "the shim's descriptors")


def packet(dice: random.Random) -> bytes:
    kind = dice.choice(TYPES)
    if dice.random() < 0.1:
        return dice.randbytes(dice.randrange(1, 300))
    numbers = [dice.choice((-1, 0, 1, 2, 127, 2**31 - 1, -(2**31), dice.randrange(-9, 99))) for _ in range(5)]
    magic = protocol.MAGIC if dice.random() < 0.95 else dice.getrandbits(32)
    head = protocol.HEADER.pack(magic, kind, dice.getrandbits(16), dice.getrandbits(32), *numbers, dice.getrandbits(64))
    words = dice.choice((0, 1, 2, 5, 65536, 2**32 - 1))
    body = struct.pack("<IIIHH", dice.randrange(4), words, dice.choice((0, 1, 2**31)), 24, 80)
    body += dice.choice((b"", b"true\0", b"true\0\0", b"\0" * 9, b"x" * 70000, dice.randbytes(64)))
    return (head + body)[: dice.choice((None, 20, 40, 48, 60))]


@pytest.mark.parametrize("life", LIVES)
def test_random_packets(world: World, life: Life) -> None:
    dice = random.Random(SEED)
    with world.ready(READY, life=life) as pod:
        pid, shim = pid_of(pod), shim_of(pod)
        descriptors = len(os.listdir(f"/proc/{shim}/fd"))
        with open("/dev/null") as null:
            for _ in range(400):
                with contextlib.suppress(OSError), connected(pod) as connection:
                    for _ in range(dice.randrange(1, 4)):
                        data = packet(dice)
                        if data[4:6] == struct.pack("<H", protocol.ASK):
                            continue  # an honest wish of the pod's own user: stop, kill, remove
                        fds = array.array("i", [null.fileno()] * dice.choice((0, 0, 1, 3, 4, 5, 200)))
                        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
                        connection.sendmsg([data], control, socket.MSG_NOSIGNAL)
        still_well(pod, pid, shim, descriptors)
        pod.stop()


def test_a_served_pod_is_not_adopted_by_what_is_no_engine(world: World) -> None:
    """A new engine brings a pidfd of itself; another descriptor is refused, and the shim lives."""
    script = """
pod = podfast.run(manifest(READY), life="served")
print("id", pod.id, pid_of(pod), shim_of(pod), flush=True)
os._exit(0)
"""
    process = world.process(script)
    assert process.stdout is not None
    _, identity, pid, shim = process.stdout.readline().split()
    process.wait()
    directory = os.open(f"{world.roots.runroot}/pods/{identity}", os.O_PATH)
    with open("/dev/null") as null, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(f"/proc/self/fd/{directory}/sock")
        connection.settimeout(5)
        protocol.send(connection, protocol.Message(protocol.ADOPT), [null.fileno()])
        answer = protocol.receive(connection)
    os.close(directory)
    assert answer is not None and answer.type == protocol.ANSWER and answer.value != 0
    assert alive(int(shim)) and alive(int(pid))
    podfast.adopt(identity).kill()


def test_a_thousand_connections(world: World) -> None:
    """More than the shim serves are turned away; those that say nothing keep nobody out for good."""
    with world.ready(READY) as pod:
        pid, shim = pid_of(pod), shim_of(pod)
        descriptors = len(os.listdir(f"/proc/{shim}/fd"))
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                with contextlib.suppress(OSError):
                    stack.enter_context(connected(pod))
            assert alive(pid) and len(os.listdir(f"/proc/{shim}/fd")) <= descriptors + 32
        still_well(pod, pid, shim, descriptors)


def test_a_client_that_does_not_read(world: World) -> None:
    with world.ready(READY) as pod:
        pid, shim = pid_of(pod), shim_of(pod)
        descriptors = len(os.listdir(f"/proc/{shim}/fd"))
        with connected(pod) as deaf:
            deaf.settimeout(0.2)
            with contextlib.suppress(OSError):
                for tag in range(20000):
                    deaf.send(protocol.pack(protocol.Message(77, tag=tag)), socket.MSG_NOSIGNAL)
            assert pod.exec("c0", ["true"]).exit_code == 0
        still_well(pod, pid, shim, descriptors)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_strangers(world: World) -> None:
    """Even one who was handed the connection's address, past the directory's mode, is not served."""
    script = """
import os, socket, sys
os.setgroups([]); os.setgid(12345); os.setuid(12345)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
    one.settimeout(5)
    try:
        one.connect(sys.argv[1])
        one.send(bytes(48))
        print(len(one.recv(100)))
    except OSError as error:
        print(type(error).__name__)
"""
    with world.ready(READY) as pod:
        directory = pod._supervised.names.run_directory
        os.chmod(directory, 0o777)
        os.chmod(f"{directory}/sock", 0o777)
        for above in (world.roots.runroot, f"{world.roots.runroot}/pods"):
            os.chmod(above, 0o755)
        words = [sys.executable, "-c", script, f"{directory}/sock"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.stdout.strip() in ("0", "ConnectionResetError", "BrokenPipeError", "PermissionError"), done
        assert lines(pod) == ["ready"] and pod.exec("c0", ["true"]).exit_code == 0
