# SPDX-License-Identifier: Apache-2.0
"""The logs of one pod, read from its log directory while containers restart, files are rotated and the pod goes away.

    <logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log               being written
    <logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log.<time>        rotated

The shim makes a file at its first line and the directory with it, so everything here may still be missing.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

from podfast.node.crilog import Joiner, LogLine, Tape, tail as tail_of
from podfast.node.watch import LOOK_SECONDS, Watch

_FILE = re.compile(r"(0|[1-9]\d{0,9})\.log(?:\.(\d[\d.Z-]*))?")


class _File(NamedTuple):
    """Sorts by the time of its content."""

    attempt: int
    current: bool
    name: str


def attempts(directory: str, container: str) -> list[int]:
    """The attempts of a container that have written something, oldest first."""
    return sorted({file.attempt for file in _files(f"{directory}/{container}")})


def _files(directory: str) -> list[_File]:
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        _File(int(match[1]), match[2] is None, match[0]) for name in names if (match := _FILE.fullmatch(name))
    )


class _Track:
    """One container: the file being read, and what comes after it."""

    def __init__(self, directory: str, container: str, first: int, only: bool) -> None:
        self._directory = f"{directory}/{container}"
        self._first = first
        self._only = only
        self._container = container
        self._tape: Tape | None = None
        self._inode = 0
        self._kept: deque[Tape] | None = None  # once held: what is left to read, without looking at the directory

    def read(self) -> list[LogLine]:
        """New records. Looks for a successor before the last look at the current file: no record falls between."""
        if self._kept is not None:
            return self._read_kept(self._kept)
        while True:
            successor = self._successor()
            if self._tape is None:
                if successor is None or not self._open(successor):
                    return []
                continue
            lines = self._tape.read()
            if lines or successor is None:
                return lines
            lines = self._tape.rest()
            if not self._open(successor):
                return lines  # it was rotated a moment ago: the next call finds it under its new name
            if lines:
                return lines

    def hold(self) -> None:
        """Opens everything that is left to read."""
        kept: deque[Tape] = deque()
        try:
            while successor := self._successor():
                before, self._tape = self._tape, None
                opened = self._open(successor)
                if before:
                    kept.append(before)
                if not opened:
                    break
        except OSError:
            pass  # no descriptors left, for one: what is open is still read
        if self._tape:
            kept.append(self._tape)
            self._tape = None
        self._kept = kept

    def _read_kept(self, kept: deque[Tape]) -> list[LogLine]:
        while kept:
            if lines := kept[0].read() or kept[0].rest():
                return lines
            kept.popleft().close()
        return []

    def skip_to_tail(self, lines: int) -> None:
        """Forgets all but the last `lines` records of the newest attempt that this track may read."""
        known = self._known()
        newest = [file for file in known if file.attempt == known[-1].attempt]
        for file in reversed(newest):
            if not self._open(file):
                return
            assert self._tape is not None
            self._tape.offset, lines = tail_of(self._tape.descriptor, lines)
            if not lines:
                return

    def rest(self) -> list[LogLine]:
        return self._tape.rest() if self._tape else []

    def close(self) -> None:
        for tape in (self._tape, *(self._kept or ())):
            if tape:
                tape.close()
        self._tape, self._kept = None, None

    def _known(self) -> list[_File]:
        files = _files(self._directory)
        return [one for one in files if one.attempt == self._first or (one.attempt > self._first and not self._only)]

    def _open(self, file: _File) -> bool:
        """Goes on with this file. False when it is gone or has another name by now."""
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(f"{self._directory}/{file.name}", flags)
        except FileNotFoundError:
            return False
        if self._tape:
            self._tape.close()
        self._inode = os.fstat(descriptor).st_ino
        self._tape = Tape(descriptor, self._container, file.attempt)
        return True

    def _successor(self) -> _File | None:
        """The file after the current one. While there is none, the current one may still grow."""
        known = self._known()
        if self._tape is None:
            return known[0] if known else None
        for at in reversed(range(len(known))):  # the current file is nearly always the last
            if self._inode_of(known[at]) == self._inode:
                return known[at + 1] if at + 1 < len(known) else None
        # It has been removed to make room; then what is left of its attempt is newer.
        return next((file for file in known if file.attempt >= self._tape.attempt), None)

    def _inode_of(self, file: _File) -> int:
        try:
            return os.stat(f"{self._directory}/{file.name}").st_ino
        except FileNotFoundError:
            return 0


class Follower:
    """Reads the logs of some containers of a pod as they grow.

    `first` is the attempt to begin with; with `only` no other attempt is read. `read` never waits: the caller does, on
    whatever tells it that something was written.
    """

    def __init__(self, directory: str, containers: Iterable[str], *, first: int = 0, only: bool = False) -> None:
        self.directory = directory
        self._containers = tuple(containers)
        self._tracks = [_Track(directory, container, first, only) for container in self._containers]

    def read(self) -> list[LogLine]:
        """What has been written since the last call, in the order of its time; in parts: call until it is empty."""
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

    def hold(self) -> None:
        """Opens all that is there: it can be read when the files have been removed, but nothing new is noticed."""
        for track in self._tracks:
            track.hold()

    def directories(self) -> list[str]:
        """What to watch for changes, from the pod's directory down; some of it may not exist yet."""
        return [self.directory, *(f"{self.directory}/{name}" for name in self._containers)]

    def close(self) -> None:
        for track in self._tracks:
            track.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _time(line: LogLine) -> str:
    return line.time


def read_logs(
    directory: str,
    containers: Iterable[str],
    *,
    follow: bool = False,
    tail: int | None = None,
    alive: Callable[[], bool] = lambda: False,
) -> Iterator[LogLine]:
    """Whole lines of some containers of a pod; with `follow` as they come, for as long as `alive()`.

    Whether the pod lives is asked before each look, so what it wrote last is not missed.
    """
    joiner = Joiner()
    with Follower(directory, containers) as follower, Watch(follower.directories()) as watch:
        if tail is not None:
            follower.skip_to_tail(tail)
        while True:
            watch.arm()
            more = follow and alive()
            while lines := follower.read():
                yield from joiner.feed(lines)
            if not more:
                yield from joiner.feed(follower.rest())
                yield from joiner.flush()
                return
            watch.wait(LOOK_SECONDS)
