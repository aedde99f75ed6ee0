# SPDX-License-Identifier: Apache-2.0
"""Served pods change hands: a new engine for a living shim, a new shim for living containers.

What a pod is stands in its run directory as `kept`: the message that the shim got, and the Pod and plan it was made
from.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import time
from contextlib import suppress

from podfast import _native
from podfast.errors import Conflict, NotFound, PodfastError
from podfast.plan import model as m
from podfast.plan.model import Names, PodPlan
from podfast.sandbox import protocol
from podfast.sandbox.create import EXIT_SLOT, Sandbox, descriptors, listen
from podfast.sandbox.ground import Ground
from podfast.sandbox.protocol import Message, send

FLAGS_AT = 12  # offset of pf_plan.flags
PID_AT = 8  # offset of pf_exit.pid
PATIENCE = 2.0  # seconds for a shim that is just ending, or just starting, to let go of its lock


def take_over(ground: Ground, names: Names, plan: PodPlan) -> Sandbox:
    """Become the engine of a served pod: of its shim when that lives, else with a new shim.

    Raises NotFound when the pod is gone, Conflict when it has an engine.
    """
    try:
        run_fd = os.open(names.id, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=ground.pods)
    except FileNotFoundError as error:
        raise NotFound(f"pod {names.id[:12]} is gone") from error
    try:
        pod_fd = os.open("pod", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=run_fd)
        try:
            return _connect(ground, names, plan, run_fd, pod_fd)
        finally:
            os.close(pod_fd)
    except BaseException:
        os.close(run_fd)
        raise


def _connect(ground: Ground, names: Names, plan: PodPlan, run_fd: int, pod_fd: int) -> Sandbox:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(pod_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(ConnectionError, FileNotFoundError, ProcessLookupError, TimeoutError):
                return _adopt_shim(ground, names, run_fd)
        else:
            return new_shim(ground, plan, run_fd, pod_fd)
        if time.monotonic() > deadline:
            raise PodfastError(f"podfast-shim of pod {names.id[:12]} does not answer")
        time.sleep(0.005)  # between the death of a shim and the end of its lock there is no event to wait for


def _adopt_shim(ground: Ground, names: Names, run_fd: int) -> Sandbox:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pidfd = -1
    try:
        connection.settimeout(PATIENCE)  # of one that was stopped, nothing comes
        connection.connect(f"/proc/self/fd/{run_fd}/sock")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pidfd = os.pidfd_open(struct.unpack("iii", peer)[0])
        send(connection, Message(protocol.ADOPT), [ground.engine])
        first = connection.recv(protocol.HEADER.size, socket.MSG_PEEK)
        if not first:
            raise ConnectionResetError("podfast-shim turned us away, or has just ended")
        if protocol.HEADER.unpack(first)[1] == protocol.ANSWER:
            raise Conflict(f"pod {names.id[:12]} has an engine already", owner=names.id)
    except BaseException:
        connection.close()
        if pidfd >= 0:
            os.close(pidfd)
        raise
    return Sandbox(ground, names, connection, pidfd, run_fd)


def new_shim(ground: Ground, plan: PodPlan, run_fd: int, pod_fd: int) -> Sandbox:
    """A shim for containers whose own shim died. `pod_fd` holds the lock, which the new shim inherits."""
    data = bytearray(_native.encode(plan))
    struct.pack_into("<I", data, FLAGS_AT, plan.flags | m.ADOPT)
    with suppress(FileNotFoundError):
        os.unlink("sock", dir_fd=run_fd)
    plan_fd = _native.sealed("podfast-plan", bytes(data))
    try:
        pause = _pause(run_fd, len(plan.containers))
    except BaseException:
        os.close(plan_fd)
        raise
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs, listen(run_fd) as listener:
            fds = [theirs.fileno(), listener.fileno(), plan_fd, *descriptors(ground, plan, run_fd, pod_fd, -1)]
            where = pause if pause >= 0 else ground.launcher.mount_ns
            pidfd = _native.spawn_shim(ground.launcher, where, fds, new_pid=False)
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(plan_fd)
        if pause >= 0:
            os.close(pause)
    return Sandbox(ground, plan.names, ours, pidfd, run_fd)


def _pause(run_fd: int, n_containers: int) -> int:
    """A pidfd of the pod's pause, whose mount namespace the new shim works in; -1 when it is dead. The shim checks
    that it is the one.
    """
    fd = os.open("exit", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=run_fd)
    try:
        slot = os.pread(fd, EXIT_SLOT, EXIT_SLOT * n_containers)
    finally:
        os.close(fd)
    if len(slot) < EXIT_SLOT:
        return -1
    pid = struct.unpack_from("<i", slot, PID_AT)[0]
    with suppress(ProcessLookupError, OverflowError, OSError):
        if pid > 0:
            pidfd = os.pidfd_open(pid)
            life = select.poll()
            life.register(pidfd, select.POLLIN)
            if not life.poll(0):
                return pidfd
            os.close(pidfd)  # it has ended, and its parent has not looked yet: it has no namespaces any more
    return -1
