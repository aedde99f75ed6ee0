# SPDX-License-Identifier: Apache-2.0
"""The logs of one pod, read from its log directory while containers restart, files are rotated and the pod goes away.

    <logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log

The shim makes a file at its first line and the directory with it, so everything here may still be missing.
"""

import os
import re
from collections.abc import Iterable
from typing import Self

from podfast.node.crilog import LogLine, Tape, offset_of_tail

_ATTEMPT = re.compile(r"(0|[1-9]\d{0,9})\.log")


def attempts(directory: str, container: str) -> list[int]:
    """The attempts of a container that have written something, oldest first."""
    try:
        names = os.listdir(f"{directory}/{container}")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for name in names if (match := _ATTEMPT.fullmatch(name)))


class _Track:
    """One container: the file being read, and what comes after it."""

    def __init__(self, directory: str, container: str, first: int | None, only: bool) -> None:
        self._directory = f"{directory}/{container}"
        self._parent = directory
        self.container = container
        self._next = first  # the attempt to open next; None: the oldest there is
        self._only = only
        self._tape: Tape | None = None
        self._inode = 0

    def read(self) -> list[LogLine]:
        """New records. Looks for a successor before the last look at the current file, so that no record falls between."""
        while True:
            if self._tape is None and not self._open():
                return []
            assert self._tape is not None
            successor = self._successor()
            lines = self._tape.read()
            if lines or not successor:
                return lines
            lines = self._tape.rest()
            self.close()
            if lines:
                return lines

    def skip_to_tail(self, lines: int) -> None:
        """Forgets all but the last `lines` records of the newest attempt that this track may read."""
        known = attempts(self._parent, self.container)
        if self._next is None and known:
            self._next = known[-1]
        if self._tape is None and self._open():
            assert self._tape is not None
            self._tape.seek(offset_of_tail(self._tape.descriptor, lines))

    def rest(self) -> list[LogLine]:
        return self._tape.rest() if self._tape else []

    def close(self) -> None:
        if self._tape:
            self._tape.close()
            self._tape = None

    def _open(self) -> bool:
        attempt = self._next
        if attempt is None or not os.path.lexists(f"{self._directory}/{attempt}.log"):
            later = [n for n in attempts(self._parent, self.container) if attempt is None or n >= attempt]
            if not later or (self._only and later[0] != attempt):
                return False
            attempt = later[0]
        try:
            descriptor = os.open(
                f"{self._directory}/{attempt}.log", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except FileNotFoundError:
            return False
        self._inode = os.fstat(descriptor).st_ino
        self._tape = Tape(descriptor, self.container, attempt)
        self._next = attempt
        return True

    def _successor(self) -> bool:
        """Whether the current file will get no more records because another one has taken its place."""
        assert self._tape is not None
        attempt = self._tape.attempt
        try:
            if os.stat(f"{self._directory}/{attempt}.log").st_ino != self._inode:
                return True
        except FileNotFoundError:
            pass  # rotated a moment ago, or the pod is gone
        if self._only:
            return False
        if any(n > attempt for n in attempts(self._parent, self.container)):
            self._next = attempt + 1
            return True
        return False


class Follower:
    """Reads the logs of some containers of a pod as they grow.

    `first` is the attempt to begin with (None: the oldest there is); with `only` no other attempt is read. `read` never
    waits: the caller does, on whatever tells it that something was written.
    """

    def __init__(
        self, directory: str, containers: Iterable[str], *, first: int | None = None, only: bool = False
    ) -> None:
        self.directory = directory
        self._tracks = [_Track(directory, container, first, only) for container in containers]

    def read(self) -> list[LogLine]:
        """What has been written since the last call, in the order of its time. Bounded: call again until it is empty."""
        lines = [line for track in self._tracks for line in track.read()]
        # Sorting is stable, so records of one container with the same time stay in their order.
        lines.sort(key=_time)
        return lines

    def skip_to_tail(self, lines: int) -> None:
        """Begins with the last `lines` records of each container's newest file."""
        for track in self._tracks:
            track.skip_to_tail(lines)

    def rest(self) -> list[LogLine]:
        """Last records that were cut off by the death of their writer."""
        return [line for track in self._tracks for line in track.rest()]

    def directories(self) -> list[str]:
        """What to watch for changes, from the pod's directory down; some of it may not exist yet."""
        return [self.directory, *(f"{self.directory}/{track.container}" for track in self._tracks)]

    def close(self) -> None:
        for track in self._tracks:
            track.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _time(line: LogLine) -> str:
    return line.time
