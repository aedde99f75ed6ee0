# SPDX-License-Identifier: Apache-2.0
"""What is ours on a machine that others use too.

A test session gets a mount namespace of its own and, for tests under the leak check, a network of its own: whatever
appears there, the test has made. The mount table is shared, as on a host under systemd, so that a mount that escapes
from a container is seen. Processes carry a mark that survives fork, exec, new namespaces, reparenting and an emptied
environment: an unusual limit for message queues, which nothing else reads.
"""

import contextlib
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Iterator

from tests.machinery import kernel

_MARK_BASE = 600_000
_MARK_RANGE = 100_000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_state: dict[str, int] = {}


def isolate() -> None:
    """Once per test process, before threads are started. Without the privilege only the mark is set."""
    _set_mark()
    if os.geteuid() != 0 or "networks" in _state:
        return
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_SHARED)
        _state["mounts"] = 1
        _make_network()
    except OSError:
        return


def mark() -> int:
    return _state["mark"]


def own_mounts() -> bool:
    """Whether nobody else can mount where we look."""
    return "mounts" in _state


def own_network() -> bool:
    """Whether the caller is in the session's network."""
    return "entered" in _state


@contextlib.contextmanager
def network() -> Iterator[None]:
    """The calling thread, and what it starts, is in the session's own network: a loopback device that is up."""
    if "networks" not in _state or "entered" in _state:
        yield
        return
    kernel.setns(_state["networks"], kernel.CLONE_NEWNET)
    _state["entered"] = 1
    try:
        yield
    finally:
        del _state["entered"]
        kernel.setns(_state["original"], kernel.CLONE_NEWNET)


def _set_mark() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    _state["mark"] = _MARK_BASE + os.getpid() % _MARK_RANGE
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (_state["mark"], hard))


def _make_network() -> None:
    original = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    kernel.unshare(kernel.CLONE_NEWNET)
    try:
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            request = struct.pack("16sh14x", b"lo", 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(link, _SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(link, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
        _state["networks"], _state["original"] = own, original
    finally:
        kernel.setns(original, kernel.CLONE_NEWNET)
