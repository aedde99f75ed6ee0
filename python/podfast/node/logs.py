# SPDX-License-Identifier: Apache-2.0
"""The logs of one pod, read from its log directory while containers restart, files are rotated and the pod goes away.

    <logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log               being written
    <logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log.<time>        rotated

The shim makes a file at its first line and the directory with it, so everything here may still be missing.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

from podfast.node.crilog import Joiner, LogLine, Tape, tail as tail_of
from podfast.node.watch import LOOK_SECONDS, Watch

# Files of 10 MiB by default, each of which costs a descriptor.
MOST_AHEAD = 64
LONGEST_ATTEMPT = 9
# How often a file may be rotated while it is looked for; the next look goes on.
RENAMES = 4
_STAMP = frozenset("0123456789-.Z")


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
    return sorted(file for name in names if (file := _file(name)))


def _file(name: str) -> _File | None:
    """`7.log` or `7.log.<time>`; None for a name that is neither."""
    attempt, log, stamp = name.partition(".log")
    if not log or not attempt.isascii() or not attempt.isdecimal() or len(attempt) > LONGEST_ATTEMPT:
        return None
    if stamp and (stamp[0] != "." or len(stamp) == 1 or not _STAMP.issuperset(stamp)):
        return None
    return _File(int(attempt), not stamp, name)


class _Track:
    """One container: the file being read, and the open ones after it, so that rotation cannot take them away."""

    def __init__(self, directory: str, container: str, first: int, only: bool) -> None:
        self._directory = f"{directory}/{container}"
        self._first = first
        self._only = only
        self.container = container
        self._tapes: deque[Tape] = deque()
        self._newest = (-1, 0)  # attempt and inode of the newest file that has been opened
        self._held = False
        self.lost = False

    def read(self) -> list[LogLine]:
        """New records. Looks for successors before the last look at the current file: no record falls between."""
        while True:
            if not self._held:
                self._look()
            if not self._tapes:
                return []
            if lines := self._tapes[0].read():
                return lines
            if len(self._tapes) == 1 and not self._held:
                return []  # it may still grow
            lines = self._tapes[0].rest()
            self._tapes.popleft().close()
            if lines:
                return lines

    def hold(self) -> None:
        self._look()
        self._held = True

    def skip_to_tail(self, lines: int) -> None:
        """Forgets all but the last `lines` records of the newest attempt that this track may read."""
        known = self._known()
        newest = [file for file in known if file.attempt == known[-1].attempt]
        for at in reversed(range(len(newest))):
            if not self._open(newest[at]):
                return
            tape = self._tapes[0]
            tape.offset, lines = tail_of(tape.descriptor, lines)
            if not lines or not at:
                return
            self.close()

    def rest(self) -> list[LogLine]:
        return self._tapes[0].rest() if self._tapes else []

    def close(self) -> None:
        while self._tapes:
            self._tapes.pop().close()

    def _look(self) -> None:
        """Opens what has come after the newest file that is open."""
        for file in self._unknown():
            if len(self._tapes) >= MOST_AHEAD or not self._open(file):
                return  # the next look finds it, under its new name if it was rotated just now

    def _unknown(self) -> list[_File]:
        attempt, inode = self._newest
        for _ in range(RENAMES):
            known = self._known()
            for at in reversed(range(len(known))):  # the newest file is nearly always the last
                if known[at].attempt < attempt:
                    break
                if self._inode_of(known[at]) == inode:
                    return known[at + 1 :]
            if not self._tapes or not os.fstat(self._tapes[-1].descriptor).st_nlink:
                break
            # It is there: it got another name between the list and the look at it.
        else:
            return []
        # It has been removed to make room. What is left of its attempt is newer, but some may have gone with it.
        later = [file for file in known if file.attempt >= attempt]
        self.lost = self.lost or any(file.attempt == attempt for file in later)
        return later

    def _known(self) -> list[_File]:
        files = _files(self._directory)
        return [one for one in files if one.attempt == self._first or (one.attempt > self._first and not self._only)]

    def _open(self, file: _File) -> bool:
        """False when it is gone or has another name by now, or no descriptor is left for it."""
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(f"{self._directory}/{file.name}", flags)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EMFILE, errno.ENFILE):
                return False
            raise
        self._newest = (file.attempt, os.fstat(descriptor).st_ino)
        self._tapes.append(Tape(descriptor, self.container, file.attempt))
        return True

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

    def lost(self) -> list[str]:
        """Containers that wrote faster than they were read: files of theirs may have been rotated away unread."""
        return [track.container for track in self._tracks if track.lost]

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


def _now() -> str:
    """As the shim writes it."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}Z"


def read_logs(
    directory: str,
    containers: Iterable[str],
    *,
    follow: bool = False,
    tail: int | None = None,
    alive: Callable[[], bool] = lambda: False,
) -> Iterator[LogLine]:
    """Whole lines of some containers of a pod; with `follow` as they come, for as long as `alive()`.

    Whether the pod lives is asked before each look, so what it wrote last is not missed. Without `follow` it ends with
    what was written before the call, however fast the pod goes on writing.
    """
    joiner = Joiner()
    last = "" if follow else _now()
    with Follower(directory, containers) as follower, Watch(follower.directories()) as watch:
        if tail is not None:
            follower.skip_to_tail(tail)
        while True:
            watch.arm()
            more = follow and alive()
            while lines := follower.read():
                yield from joiner.feed(lines)
                if last and lines[0].time > last:
                    yield from joiner.flush()
                    return
            if not more:
                yield from joiner.feed(follower.rest())
                yield from joiner.flush()
                return
            watch.wait(LOOK_SECONDS)
