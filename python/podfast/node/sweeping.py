# SPDX-License-Identifier: Apache-2.0
"""Removes what dead pods have left, and empties the trash.

A pod is dead when nobody holds the lock on the `pod` file of its run directory: its shim has that lock from before it
made anything, and the kernel gives it back when the shim ends, however it ends. The undo records in the file say what
to remove; replaying them twice does no harm, so a sweep may itself be killed anywhere.

Who makes a pod directory holds <runroot>/lock shared until the pod's own lock is taken; who sweeps takes it exclusively
once, so a pod that is half made is never mistaken for a dead one.
"""

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress

from podfast.errors import PodfastError
from podfast.places import Places

# A maker holds the lock for about a millisecond. One that was stopped in between must not hang every other command.
PATIENCE_SECONDS = 2.0


def sweep(root: str, runroot: str) -> int:
    """Undoes dead pods and empties the trash; returns how many pods were undone. Cheap when there is nothing to do.

    Called at the start of every command and of every engine. What belongs to other users, or cannot be undone now, is
    left for another time: sweeping is never the reason why a command fails.
    """
    places = Places(root, runroot)
    boot = boot_id()
    suspects = [name for name in _names(places.pods) if is_dead(f"{places.pods}/{name}")]
    undone = _with_lock(places, lambda lock: _undo(places, suspects, boot, lock)) if suspects else 0
    if _from_another_boot(places, boot):
        _with_lock(places, lambda _: _discard_state(places, boot))
    if _names(places.trash):
        _empty(places.trash)
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


def _with_lock(places: Places, work: Callable[[int], int]) -> int:
    """Does `work` while nobody makes a pod directory; when the lock cannot be had, that is left to another command."""
    try:
        os.makedirs(places.runroot, mode=0o711, exist_ok=True)  # the first command after a boot finds none
        lock = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return 0
    try:
        return work(lock) if _acquire(lock) else 0
    finally:
        os.close(lock)


def _acquire(lock: int) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)


def _undo(places: Places, suspects: list[str], boot: str, lock: int) -> int:
    from podfast.node import records  # nearly never needed, and an import costs more than a whole sweep
    from podfast.sandbox import sweep_dead

    undone = 0
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    pods = os.open(places.pods, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in suspects:
            record = records.read(places.runroot, name)
            # A served pod outlives its shim: the next engine adopts it, as long as the kernel that runs it is the same.
            if record is not None and record.life == "served" and record.boot_id == boot:
                continue
            with suppress(PodfastError, OSError):
                undone += sweep_dead(root, pods, name, lock)
    finally:
        os.close(root)
        os.close(pods)
    return undone


def _from_another_boot(places: Places, boot: str) -> bool:
    """Whether the root was last used before this boot. Run directories do not tell: a boot usually loses them."""
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


def _discard_state(places: Places, boot: str) -> int:
    """Throws away writable layers, volumes and logs of pods that an earlier boot has ended.

    Where the root does not say which boot used it last, only what is older than this boot goes.
    """
    from podfast.node import records

    certain = os.path.exists(f"{places.root}/boot")
    born = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    alive = {record.uid for record in records.pods(places.runroot)}
    with suppress(OSError):
        os.makedirs(places.trash, mode=0o700, exist_ok=True)
    for parent in (places.state, places.logs):
        for name in _names(parent):
            if os.path.isdir(places.run_directory(name)) or name.rpartition("_")[2] in alive:
                continue
            if certain or _changed(f"{parent}/{name}") < born:
                with suppress(OSError):
                    os.rename(f"{parent}/{name}", f"{places.trash}/{os.urandom(16).hex()}")
    _write_boot(places, boot)
    return 0


def _empty(directory: str) -> None:
    """Deletes the trees that stopped pods were renamed to. Several processes may do so at once."""
    from podfast import _native

    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for name in _names(directory):
                with suppress(PodfastError):
                    _native.remove_tree(descriptor, name)
        finally:
            os.close(descriptor)


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
