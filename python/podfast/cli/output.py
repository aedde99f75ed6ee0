# SPDX-License-Identifier: Apache-2.0
"""Container lines on their way to the terminal: prefixed with the container's name, in colour where that is welcome."""

from __future__ import annotations

import os
import select
import stat
from collections import deque
from collections.abc import Iterable, Sequence

from podfast.cli.terminal import coloured, paint, say
from podfast.node import LogLine

STDOUT, STDERR = 1, 2
CHUNK = 64 << 10


def tell_lost(containers: Sequence[str]) -> None:
    """Nothing is left out in silence."""
    for name in containers:
        say(f"lines of {name} are missing: it wrote faster than they could be printed (podfast.dev/log-max-size)")


class LinePrinter:
    """Takes lines and writes them whole and in order, without waiting for a slow reader unless told to.

    With `split`, what a container wrote to its standard error goes to ours. Writing raises BrokenPipeError when the
    reader is gone.
    """

    def __init__(
        self, containers: Sequence[str], *, prefix: bool = True, timestamps: bool = False, split: bool = False
    ) -> None:
        self._timestamps = timestamps
        self._split = split
        self._queue: deque[tuple[int, memoryview]] = deque()
        longest = max(map(len, containers), default=0)
        self._prefixes = {
            descriptor: {
                name: _prefix(name, index, longest, coloured(descriptor)) if prefix else b""
                for index, name in enumerate(containers)
            }
            for descriptor in (STDOUT, STDERR)
        }
        self._ways = {descriptor: _without_waiting(descriptor) for descriptor in (STDOUT, STDERR)}

    @property
    def blocked(self) -> int | None:
        """The descriptor that has to become writable before more can be written; None when all is written."""
        return self._ways[self._queue[0][0]] if self._queue else None

    def add(self, lines: Iterable[LogLine]) -> None:
        """Queues lines, with as few writes to come as their order allows."""
        target, batch = STDOUT, bytearray()
        for line in lines:
            descriptor = STDERR if self._split and line.stream == "stderr" else STDOUT
            if descriptor != target or len(batch) > CHUNK:
                self._enqueue(target, batch)
                target, batch = descriptor, bytearray()
            batch += self._prefixes[descriptor].get(line.container, b"")
            if self._timestamps:
                batch += line.time.encode() + b" "
            batch += line.text
            batch += b"\n"
        self._enqueue(target, batch)

    def push(self) -> None:
        """Writes what can be written now."""
        while self._queue:
            target, data = self._queue.popleft()
            try:
                data = data[os.write(self._ways[target], data) :]
            except BlockingIOError:
                self._queue.appendleft((target, data))
                return
            if data:
                self._queue.appendleft((target, data))

    def write(self, lines: Iterable[LogLine]) -> None:
        """Writes lines, however long the reader takes."""
        self.add(lines)
        self.push()
        while (descriptor := self.blocked) is not None:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
            self.push()

    def discard(self) -> None:
        """Forgets what has not been written: nobody reads it."""
        self._queue.clear()

    def watch_reader(self, poll: select.poll) -> int:
        """Makes `poll` tell when nobody reads standard output any more; returns the descriptor it will name."""
        target = self._ways[STDOUT]
        if stat.S_ISFIFO(os.fstat(target).st_mode):
            poll.register(target, 0)  # an error needs not be asked for
        return target

    def _enqueue(self, target: int, batch: bytearray) -> None:
        if batch:
            self._queue.append((target, memoryview(batch)))


def _prefix(name: str, index: int, longest: int, bright: bool) -> bytes:
    text = f"{name.ljust(longest)} | ".encode()
    return paint(text, index) if bright else text


def _without_waiting(descriptor: int) -> int:
    """The same pipe or terminal, opened again so that writing never waits.

    Setting O_NONBLOCK on the descriptor itself would change it for everybody who shares it, the user's shell included.
    A regular file never waits; where opening fails (a socket, somebody else's terminal), waiting is what is left.
    """
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        pass
    return descriptor
