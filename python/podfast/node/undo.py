# SPDX-License-Identifier: Apache-2.0
"""Replays the undo records of a dead pod, and deletes trees."""

import os
import shutil
import signal
import time
from contextlib import suppress

from podfast.node.places import Places
from podfast.node.records import POD_LIMIT

# After SIGKILL, or cgroup.kill, the kernel needs a moment to take the processes out of a cgroup.
EMPTYING_SECONDS = 2.0


def replay(places: Places, pod_id: str, *, same_boot: bool) -> None:
    """Undoes everything that the pod's records tell, last to first, and removes its run directory. May be repeated.

    Records of another boot name files that may still be there, but nothing to signal.
    """
    directory = places.run_directory(pod_id)
    for kind, argument in reversed(_records(f"{directory}/pod")):
        if kind == "cgroup" and same_boot:
            _remove_cgroup(argument)
        elif kind == "trash":
            trash(places, argument)
        elif kind == "rmtree":
            shutil.rmtree(argument, ignore_errors=True)
        elif kind == "unlink":
            unlink(argument)
        elif kind == "name":
            link, _, owner = argument.rpartition(" ")
            with suppress(OSError):
                if os.readlink(link) == owner:
                    os.unlink(link)
    shutil.rmtree(directory, ignore_errors=True)


def empty(directory: str) -> None:
    """Deletes everything in a directory. Several processes may do so at once; what is not ours is left."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        path = f"{directory}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            unlink(path)


def trash(places: Places, path: str) -> None:
    """Moves a tree to the trash: one rename, however big the tree is."""
    with suppress(OSError):
        os.makedirs(places.trash, mode=0o700, exist_ok=True)
        os.rename(path, f"{places.trash}/{os.path.basename(path)[:64]}.{os.urandom(8).hex()}")


def unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _records(path: str) -> list[tuple[str, str]]:
    try:
        with open(path, "rb") as file:
            lines = file.read(POD_LIMIT).split(b"\n")[1:-1]  # a record without its newline was never acted upon
    except OSError:
        return []
    pairs = (line.decode("utf-8", "surrogateescape").partition(" ") for line in lines)
    return [(kind, argument) for kind, _, argument in pairs if argument.startswith("/")]


def _remove_cgroup(path: str) -> None:
    if not path.startswith("/sys/fs/cgroup/") or not os.path.isdir(path):
        return
    deadline = time.monotonic() + EMPTYING_SECONDS
    while time.monotonic() < deadline:
        for inner, _, _ in os.walk(path, topdown=False):
            _kill_all(inner)
            with suppress(OSError):
                os.rmdir(inner)
        if not os.path.isdir(path):
            return
        time.sleep(0.002)


def _kill_all(cgroup: str) -> None:
    with suppress(OSError), open(f"{cgroup}/cgroup.kill", "w") as file:
        file.write("1")
        return
    with suppress(OSError), open(f"{cgroup}/cgroup.procs") as file:
        for line in file:
            with suppress(OSError, ValueError):
                descriptor = os.pidfd_open(int(line))
                try:
                    if _in_cgroup(int(line), cgroup):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)


def _in_cgroup(pid: int, cgroup: str) -> bool:
    """Asked after the pidfd is open: the number may have been given to another process in between."""
    name = cgroup.rstrip("/").rpartition("/")[2]
    with open(f"/proc/{pid}/cgroup") as file:
        return any(line.rstrip("\n").endswith("/" + name) for line in file)
