# SPDX-License-Identifier: Apache-2.0
"""Removes what dead pods have left, and empties the trash.

A pod is dead when nobody holds the lock on the `pod` file of its run directory: its shim took that lock before it made
anything, and the kernel gives it back when the shim ends, however it ends. The undo records in the file say what to
remove; replaying them twice does no harm, so a sweep may itself be killed anywhere.

The order of locks: <runroot>/lock first, a pod's lock second. Who makes a pod directory holds the first one shared until
the shim has the second; who sweeps holds the first one exclusively, so it never sees a pod that is half made.
"""

import fcntl
import os
import time
from contextlib import suppress

from podfast.node.places import Places

# A maker holds the lock for about a millisecond. One that was stopped in between must not hang every other command.
PATIENCE_SECONDS = 2.0


def sweep(root: str, runroot: str) -> int:
    """Undoes dead pods and empties the trash; returns how many pods were undone. Cheap when there is nothing to do.

    Called at the start of every command and of every engine. What belongs to other users is passed over.
    """
    places = Places(root, runroot)
    undone = 0
    boot = boot_id()
    if _suspects(places.pods) or _from_another_boot(places, boot):
        lock = _lock(places)
        if lock >= 0:
            try:
                undone = _sweep_locked(places, boot)
            finally:
                os.close(lock)
    if _names(places.trash):
        from podfast.node import undo

        undo.empty(places.trash)
    return undone


def boot_id() -> str:
    """Changes at each boot of the kernel."""
    with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
        return file.read(64).decode("ascii", "replace").strip()


def is_dead(directory: str) -> bool:
    """Whether no shim holds this run directory. Without the lock on the run root the answer is only a suspicion."""
    try:
        descriptor = os.open(f"{directory}/pod", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return True  # a directory was made, and then nothing more
    except OSError:
        return False
    try:
        # Shared and for an instant: a maker that waits for its exclusive lock is not turned away.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _suspects(directory: str) -> list[str]:
    return [name for name in _names(directory) if is_dead(f"{directory}/{name}")]


def _lock(places: Places) -> int:
    """The run root's lock, exclusively; -1 when it cannot be had now or at all: then another command sweeps."""
    try:
        descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return -1
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return -1
            time.sleep(0.001)


def _sweep_locked(places: Places, boot: str) -> int:
    from podfast.node import records, undo  # nearly never needed, and an import costs more than a whole sweep

    undone = 0
    for name in _suspects(places.pods):
        record = records.read(places.runroot, name)
        # A served pod outlives its shim: the next engine adopts it, as long as the kernel that runs it is the same.
        if record is not None and record.life == "served" and record.boot_id == boot:
            continue
        undo.replay(places, name, same_boot=record is not None and record.boot_id == boot)
        undone += 1
    if _from_another_boot(places, boot):
        _discard_state(places)
        _write_boot(places, boot)
    return undone


def _from_another_boot(places: Places, boot: str) -> bool:
    """Whether the root was last used before this boot. Run directories do not tell: they are usually lost with the boot."""
    try:
        with open(f"{places.root}/boot", "rb", buffering=0) as file:
            return file.read(64).decode("ascii", "replace") != boot
    except FileNotFoundError:
        return os.path.isdir(places.state)
    except OSError:
        return False


def _write_boot(places: Places, boot: str) -> None:
    temporary = f"{places.root}/boot.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.write(boot)
        os.rename(temporary, f"{places.root}/boot")
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)


def _discard_state(places: Places) -> None:
    """Throws away writable layers, volumes and logs of pods that an earlier boot has ended.

    Where the root does not say which boot used it last, only what is older than this boot and has no run directory goes.
    """
    from podfast.node import records, undo

    certain = os.path.exists(f"{places.root}/boot")
    born = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    alive = {record.uid for record in records.pods(places.runroot)}
    for parent in (places.state, places.logs):
        for name in _names(parent):
            if os.path.isdir(places.run_directory(name)) or name.rpartition("_")[2] in alive:
                continue
            if certain or _changed(f"{parent}/{name}") < born:
                undo.trash(places, f"{parent}/{name}")


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _changed(path: str) -> float:
    try:
        return os.lstat(path).st_ctime
    except OSError:
        return float("inf")
