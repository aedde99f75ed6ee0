# SPDX-License-Identifier: Apache-2.0
"""Tells when directories change, also those that do not exist yet: inotify(7), one descriptor for all."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from podfast import _native
from podfast.errors import SystemFailure

IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_MOVED_FROM = 0x2, 0x80, 0x100, 0x200, 0x40
MASK = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM
# Where inotify has no watches left for this user, one looks again this often.
LOOK_SECONDS = 0.04


class Watch:
    """Watches directories, and the parents of missing ones until they are made. Parents come first in the list.

    The order of use is: `arm`, look at what has changed, wait on the descriptor, `clear`. Then no change falls between.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        self._missing = list(directories)
        self._parents: set[str] = set()
        self._blind = False
        self._descriptor = _native.make_inotify()

    def fileno(self) -> int:
        """Readable when something has changed since the last `clear`."""
        return self._descriptor

    @property
    def patience(self) -> float | None:
        """Seconds after which one has to look again although nothing was told; None: never."""
        return LOOK_SECONDS if self._blind else None

    def arm(self) -> None:
        """Begins to watch what has come into being."""
        self._missing = [directory for directory in self._missing if not self._add(directory)]

    def _add(self, directory: str) -> bool:
        try:
            if _native.add_inotify(self._descriptor, directory, MASK):
                return True
            parent = os.path.dirname(directory)
            if parent in self._parents or parent in self._missing:
                return False
            self._parents.add(parent)
            if not _native.add_inotify(self._descriptor, parent, IN_CREATE | IN_MOVED_TO):
                self._blind = True
            # It may have been made just before its parent was watched.
            return _native.add_inotify(self._descriptor, directory, MASK)
        except SystemFailure:  # the user's watches are used up
            self._blind = True
            return False

    def clear(self) -> None:
        try:
            while os.read(self._descriptor, 1 << 16):
                pass
        except BlockingIOError:
            pass

    def wait(self, timeout: float | None = None) -> None:
        """Until something has changed, or for `timeout` seconds."""
        waits = [seconds for seconds in (timeout, self.patience) if seconds is not None]
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if poll.poll(min(waits) * 1000 if waits else None):
            self.clear()

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
