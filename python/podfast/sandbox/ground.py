# SPDX-License-Identifier: Apache-2.0
"""What an engine opens once and every pod of it uses: directories, the launcher, a trusted procfs."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from podfast import _native
from podfast.errors import SystemFailure, Unsupported
from podfast.places import Places
from podfast.plan.model import Hierarchy, HostFacts
from podfast.sandbox import host

# A replay of undo records holds a few directories open at a time, one for each level of a tree that it removes.
SPARE = 12


class Ground:
    """Descriptors of one engine. All are close-on-exec; `close` gives them back."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.facts: HostFacts = host.gather()
        _check_kernel()
        self._fds: list[int] = []
        self.turn = threading.Lock()
        self._spare: list[int] = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        places = self.places
        self.runroot = self._directory(places.runroot, 0o711)
        self.pods = self._directory(places.pods, 0o711)
        self.names = self._directory(places.names, 0o700)
        self._directory(places.root, 0o711)
        self.state = self._directory(places.state, 0o711)
        self.logs = self._directory(places.logs, 0o755)
        self.trash = self._directory(places.trash, 0o700)
        self.lock = self._keep(os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self.proc = self._keep(_native.open_proc())
        self.root = self._keep(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        self.engine = self._keep(os.pidfd_open(os.getpid()))
        if not self.facts.rootless:
            host.enable_controllers(self.facts)
        self.hierarchies = [
            self._keep(os.open(hierarchy.base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            for hierarchy in self._used_hierarchies()
        ]
        self.launcher = self._launcher()
        for fd in self.launcher:
            if fd >= 0:
                self._keep(fd)
        with open(f"/proc/self/fd/{self.proc}/sys/kernel/random/boot_id", encoding="ascii") as file:
            self.boot_id = file.read().strip()
        self._fill_spare()

    @contextmanager
    def holding(self, kind: int) -> Iterator[None]:
        """The machine's lock, for one thread at a time: all have the same descriptor, and the first to let go would
        let go for the others.
        """
        with self.turn:
            fcntl.flock(self.lock, kind)
            try:
                yield
            finally:
                fcntl.flock(self.lock, fcntl.LOCK_UN)

    def _used_hierarchies(self) -> tuple[Hierarchy, ...]:
        return () if self.facts.rootless else self.facts.hierarchies

    def _launcher(self) -> _native.Launcher:
        shown = [(hierarchy.base, hierarchy.name) for hierarchy in self._used_hierarchies()]
        if self.facts.rootless:
            return _native.make_launcher(shown, uid_map=f"0 {os.geteuid()} 1\n", gid_map=f"0 {os.getegid()} 1\n")
        return _native.make_launcher(shown)

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _directory(self, path: str, mode: int) -> int:
        try:
            os.makedirs(path, exist_ok=True)
            fd = self._keep(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW))
            status = os.fstat(fd)
            if status.st_uid != os.geteuid():
                raise PermissionError(1, "it belongs to another user", path)
            if status.st_mode & 0o7777 != mode:
                os.fchmod(fd, mode)
        except OSError as error:
            raise SystemFailure(
                f"cannot use {path}: {error.strerror}",
                operation="open",
                object=path,
                errno=error.errno or 0,
                remedy="see --root and --runroot",
            ) from error
        return fd

    @contextmanager
    def spare(self) -> Iterator[None]:
        """Room for some descriptors, also when the process has used up its own: for undoing."""
        for fd in self._spare:
            os.close(fd)
        self._spare.clear()
        try:
            yield
        finally:
            self._fill_spare()

    def _fill_spare(self) -> None:
        with suppress(OSError):
            while len(self._spare) < SPARE:
                self._spare.append(os.dup(self.root))

    def close(self) -> None:
        for fd in (*self._fds, *self._spare):
            os.close(fd)
        self._fds.clear()
        self._spare.clear()


def _check_kernel() -> None:
    release = os.uname().release
    numbers = release.split("-")[0].split(".")
    if tuple(int(part) for part in numbers[:2] if part.isdigit()) < (6, 1):
        raise Unsupported(f"Linux {release} is too old: podfast needs 6.1", remedy="install a newer kernel")
