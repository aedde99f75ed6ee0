# SPDX-License-Identifier: Apache-2.0
"""PodPlan → a running shim. The undo record is on file before the first object that outlives a process exists."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import uuid
from contextlib import suppress

import msgspec

from podfast import _native
from podfast.errors import Conflict, PodfastError, SystemFailure
from podfast.fingerprint import fingerprint
from podfast.places import Places
from podfast.plan import model as m
from podfast.plan.model import Names, PodPlan
from podfast.sandbox.ground import Ground
from podfast.sandbox.protocol import Message, receive, send

EXIT_SLOT = 64
LARGEST_RECORD = 65536  # what undo.c reads
BACKLOG = 16


class Sandbox:
    """One pod's shim, seen from its engine: a connection, a pidfd, the run directory. Made by `create` and `adopt`
    only.
    """

    def __init__(self, ground: Ground, names: Names, connection: socket.socket, shim_pidfd: int, run_fd: int) -> None:
        self.ground = ground
        self.names = names
        self.connection = connection
        self.shim_pidfd = shim_pidfd
        self.run_fd = run_fd
        self.pause_pidfd = -1
        connection.setblocking(False)

    def send(self, message: Message) -> bool:
        """False when the shim is gone: its end is an event of its own."""
        try:
            send(self.connection, message)
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        return receive(self.connection)

    def undo(self) -> None:
        """Replay the records: for when the shim can no longer do it."""
        with self.ground.spare():
            _native.undo_replay(self.ground.root, self.run_fd)

    def close(self) -> None:
        self.connection.close()
        for fd in (self.shim_pidfd, self.run_fd, self.pause_pidfd):
            if fd >= 0:
                os.close(fd)
        self.shim_pidfd = self.run_fd = self.pause_pidfd = -1


def name(places: Places, namespace: str, pod_name: str) -> Names:
    """Fresh ids, and the paths that follow from them."""
    pod_id = os.urandom(32).hex()
    uid = str(uuid.UUID(bytes=os.urandom(16), version=4))
    return Names(
        id=pod_id,
        uid=uid,
        run_directory=places.run_directory(pod_id),
        state_directory=f"{places.state}/{pod_id}",
        log_directory=places.log_directory(namespace, pod_name, uid),
        trash=places.trash,
        name_claim=f"{places.names}/{claim(namespace, pod_name)}",
    )


def claim(namespace: str, pod_name: str) -> str:
    """The file name that claims a pod name: ids and hashes, never names, appear in paths."""
    return fingerprint(f"{namespace}/{pod_name}".encode())[:32]


def create(ground: Ground, plan: PodPlan, header: dict[str, object], kept: bytes = b"") -> Sandbox:
    """Start the pod. On failure everything is undone and the cause raised.

    `header` is the first line of the `pod` file, `kept` what a later engine needs of a served pod.

    Raises Conflict when a living pod has the name, SystemFailure otherwise.
    """
    names = plan.names
    opened: list[int] = []
    with ground.holding(fcntl.LOCK_SH):
        try:
            run_fd, pod_fd = _run_directory(ground, plan, header)
        except OSError as error:
            raise _failure("make the run directory", names.run_directory, error) from error
        opened += [run_fd, pod_fd]
    try:
        _claim_name(ground, names, str(header.get("name", "")))
        if plan.has_state:
            os.mkdir(names.id, 0o700, dir_fd=ground.state)
        if kept:
            _keep(run_fd, kept)
        return _start(ground, plan, run_fd, pod_fd, opened)
    except BaseException as error:
        try:
            with ground.spare():
                _native.undo_replay(ground.root, run_fd)
        finally:
            os.close(run_fd)
            opened.remove(run_fd)
        if isinstance(error, OSError) and not isinstance(error, PodfastError):
            raise _failure("make the pod", names.id[:12], error) from error
        raise
    finally:
        for fd in opened:
            if fd != run_fd:
                with suppress(OSError):  # close(2) gives the descriptor back, whatever it says; the pod runs by now
                    os.close(fd)


def _failure(operation: str, thing: str, error: OSError) -> SystemFailure:
    remedy = (
        "the disk is full"
        if error.errno == errno.ENOSPC
        else "raise the limit of open files"
        if error.errno == errno.EMFILE
        else ""
    )
    return SystemFailure(
        f"cannot {operation}: {error.filename or thing}: {error.strerror}",
        operation=operation,
        object=thing,
        errno=error.errno or 0,
        remedy=remedy,
    )


def _run_directory(ground: Ground, plan: PodPlan, header: dict[str, object]) -> tuple[int, int]:
    names = plan.names
    os.mkdir(names.id, 0o700, dir_fd=ground.pods)
    run_fd = pod_fd = -1
    try:
        run_fd = os.open(names.id, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=ground.pods)
        pod_fd = os.open("pod", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=run_fd)
        fcntl.flock(pod_fd, fcntl.LOCK_EX)
        lines = [msgspec.json.encode({**header, "boot_id": ground.boot_id}).decode(), *plan.undo]
        if any("\n" in line for line in lines):
            raise ValueError("a line break in a path")
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        if len(data) > LARGEST_RECORD:
            raise OSError(errno.ENAMETOOLONG, "its paths are too long to be recorded", names.run_directory)
        if os.write(pod_fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), names.run_directory)
    except BaseException:
        with ground.spare():
            _native.remove_tree(ground.pods, names.id)
        for fd in (run_fd, pod_fd):
            if fd >= 0:
                os.close(fd)
        raise
    return run_fd, pod_fd


def _claim_name(ground: Ground, names: Names, pod_name: str) -> None:
    link = names.name_claim.rsplit("/", 1)[1]
    for _ in range(100):
        try:
            os.symlink(names.id, link, dir_fd=ground.names)
            return
        except FileExistsError:
            pass
        try:
            owner = os.readlink(link, dir_fd=ground.names)
        except FileNotFoundError:
            continue
        with ground.turn:
            dead = not _waits_for_an_engine(ground, owner) and sweep_dead(ground.root, ground.pods, owner, ground.lock)
        if not dead:
            raise Conflict(f'a pod "{pod_name}" is running already: {owner[:12]}', owner=owner)
        # Of several who find the same dead owner one removes its claim, and none the claim that is made then.
        with ground.holding(fcntl.LOCK_EX), suppress(FileNotFoundError):
            if os.readlink(link, dir_fd=ground.names) == owner:
                os.unlink(link, dir_fd=ground.names)
    raise Conflict(f'the name "{pod_name}" changes hands too fast', owner="")


def _waits_for_an_engine(ground: Ground, pod_id: str) -> bool:
    """Whether it is a served pod of this boot: its containers may run although its shim and its engine are dead."""
    try:
        fd = os.open(f"{pod_id}/pod", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=ground.pods)
    except OSError:
        return False
    try:
        header = msgspec.json.decode(os.read(fd, LARGEST_RECORD).partition(b"\n")[0])
    except (OSError, msgspec.DecodeError):
        return False
    finally:
        os.close(fd)
    return isinstance(header, dict) and header.get("life") == "served" and header.get("boot_id") == ground.boot_id


def sweep_dead(root_fd: int, pods_fd: int, pod_id: str, lock_fd: int) -> bool:
    """Undo a pod whose shim is dead. False when its shim lives: then nothing is touched."""
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    try:
        run_fd = os.open(pod_id, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=pods_fd)
    except FileNotFoundError:
        return True
    finally:
        fcntl.flock(lock_fd, fcntl.LOCK_UN)
    try:
        return _undo_if_dead(root_fd, run_fd, pods_fd, pod_id)
    finally:
        os.close(run_fd)


def _undo_if_dead(root_fd: int, run_fd: int, pods_fd: int, pod_id: str) -> bool:
    try:
        pod_fd = os.open("pod", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=run_fd)
    except FileNotFoundError:
        _native.remove_tree(pods_fd, pod_id)
        return True
    try:
        fcntl.flock(pod_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _native.undo_replay(root_fd, run_fd)
        _native.remove_tree(pods_fd, pod_id)
    except BlockingIOError:
        return False
    finally:
        os.close(pod_fd)
    return True


def listen(run_fd: int) -> socket.socket:
    """The socket in a run directory that other processes connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        # Through the descriptor: a socket's path holds 107 bytes, and run roots may be long.
        listener.bind(f"/proc/self/fd/{run_fd}/sock")
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _start(ground: Ground, plan: PodPlan, run_fd: int, pod_fd: int, opened: list[int]) -> Sandbox:
    """The first shim of a pod, which makes everything."""
    _reserve_exits(run_fd, len(plan.containers) + 1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pidfd = -1
    try:
        with theirs, listen(run_fd) as listener:
            plan_fd = _native.sealed("podfast-plan", _native.encode(plan))
            opened.append(plan_fd)
            state = -1
            trees = []
            if plan.passes_trees:
                if plan.has_state:
                    state = _native.open_tree(plan.names.state_directory, m.TREE_RECURSIVE)
                    opened.append(state)
                for tree in plan.trees:  # one by one: each is given back when a later one fails
                    trees.append(_native.open_tree(tree.source, tree.flags))
                    opened.append(trees[-1])
            born_with = descriptors(ground, plan, run_fd, pod_fd, state)
            fds = [theirs.fileno(), listener.fileno(), plan_fd, *born_with, *trees]
            launcher = ground.launcher
            pidfd = _native.spawn_shim(launcher, launcher.mount_ns, fds, new_pid=not plan.flags & m.SERVED)
    except BaseException:
        if pidfd >= 0:
            _end_shim(pidfd)
        ours.close()
        raise
    return Sandbox(ground, plan.names, ours, pidfd, run_fd)


def _end_shim(pidfd: int) -> None:
    """A shim that goes on while its records are replayed would make things that nobody undoes."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll(2000)
    os.close(pidfd)


def _reserve_exits(run_fd: int, slots: int) -> None:
    """Written, not only sized: the space is there when it is needed."""
    fd = os.open("exit", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=run_fd)
    try:
        if os.write(fd, bytes(EXIT_SLOT * slots)) != EXIT_SLOT * slots:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "exit")
    finally:
        os.close(fd)


def descriptors(ground: Ground, plan: PodPlan, run_fd: int, pod_fd: int, state: int) -> list[int]:
    """What every shim of this engine is born with, in the order of podfast.h, from PF_FD_ENGINE on."""
    return [
        ground.engine, ground.proc, ground.root, run_fd, pod_fd, ground.logs, ground.trash, state,
        ground.launcher.pause, ground.launcher.init, *ground.hierarchies[: _hierarchies(plan)],
    ]  # fmt: skip


def _hierarchies(plan: PodPlan) -> int:
    """How many hierarchy descriptors the shim counts on: up to the last one that the plan uses."""
    return max((group.hierarchy + 1 for group in plan.cgroups), default=0)


def _keep(run_fd: int, data: bytes) -> None:
    fd = os.open("kept", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=run_fd)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "kept")
    finally:
        os.close(fd)
