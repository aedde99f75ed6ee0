# SPDX-License-Identifier: Apache-2.0
"""The messages between engine, shim and clients (native/include/podfast.h): one packet each, a fixed header, then a
payload.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence

from msgspec import Struct

from podfast._native import ABI

START, SIGNAL, REMOVE, ADOPT = 1, 2, 3, 4
READY, STARTED, FAILED, EXITED, PAUSE_EXITED, GONE, REQUEST = 16, 17, 18, 19, 20, 21, 22
EXEC, EXEC_SIGNAL, ASK = 32, 33, 34
EXEC_STARTED, EXEC_EXITED, EXEC_FAILED, ANSWER = 48, 49, 50, 51
EXIT_OOM, EXIT_UNKNOWN = 1, 2
ASK_STOP, ASK_KILL, ASK_REMOVE = 1, 2, 3
EXEC_TTY, EXEC_SILENT = 1, 2

STAGES = (
    "none", "clone", "cgroup", "namespace", "root", "bind", "dev", "proc", "sys", "mask", "volume", "file", "join",
    "verify", "cgroup-view", "pivot", "stdio", "keyring", "workdir", "ids", "capabilities", "seccomp", "exec",
    "pause", "plan", "state", "log", "network", "tty", "died",
)  # fmt: skip

HEADER = struct.Struct("<IHHIiiiiiQ")
EXEC_HEAD = struct.Struct("<IIIHH")
MAGIC = 0x4D465000 | ABI
MAX = 65536
FD = array.array("i")


class Message(Struct, frozen=True):
    """One packet. `fds` belong to the receiver. `wall_ns` is when it happened, nanoseconds since 1970."""

    type: int
    flags: int = 0
    tag: int = 0
    index: int = -1
    attempt: int = 0
    value: int = 0
    stage: int = 0
    error: int = 0
    wall_ns: int = 0
    payload: bytes = b""
    fds: tuple[int, ...] = ()


def pack(message: Message) -> bytes:
    fields = (message.type, message.flags, message.tag, message.index, message.attempt, message.value, message.stage)
    return HEADER.pack(MAGIC, *fields, message.error, message.wall_ns) + message.payload


def send(connection: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Raises OSError when the other side is gone."""
    if fds:
        connection.sendmsg(
            [pack(message)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))], socket.MSG_NOSIGNAL
        )
    else:
        connection.send(pack(message), socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> Message | None:
    """The next packet, or None when the other side is gone. Raises BlockingIOError on a socket without one.

    When this process has no room for more descriptors, the packet comes without them: what it tells must not be lost.
    """
    data, control, flags, _ = connection.recvmsg(MAX, socket.CMSG_SPACE(16), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, block in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(block[: len(block) - len(block) % fds.itemsize])
    if not data:
        return None
    if len(data) < HEADER.size or flags & socket.MSG_TRUNC:
        _close(fds)
        raise ConnectionError("a damaged packet from podfast-shim")
    magic, kind, about, tag, index, attempt, value, stage, error, wall = HEADER.unpack_from(data)
    if magic != MAGIC:
        _close(fds)
        raise ConnectionError("podfast-shim is of another version of podfast")
    return Message(kind, about, tag, index, attempt, value, stage, error, wall, data[HEADER.size :], tuple(fds))


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def exec_payload(
    argv: Sequence[str], variables: Sequence[str], workdir: str, flags: int, size: tuple[int, int]
) -> bytes:
    """What EXEC carries. Raises ValueError when there is no program, more than a packet holds, or a NUL in a text."""
    if not argv or not argv[0]:
        raise ValueError("it is empty")
    texts = [text.encode("utf-8", "surrogateescape") for text in (*argv, *variables, workdir)]
    if any(b"\0" in text for text in texts):
        raise ValueError("a NUL byte in a command or variable")
    payload = EXEC_HEAD.pack(flags, len(argv), len(variables), *size) + b"".join(text + b"\0" for text in texts)
    if len(payload) + HEADER.size >= MAX:
        raise ValueError("the command and its variables are longer than 64 KiB")
    return payload
