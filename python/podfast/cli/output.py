# SPDX-License-Identifier: Apache-2.0
"""Container lines on their way to the terminal: prefixed with the container's name, in colour where that is welcome."""

import os
from collections.abc import Iterable, Sequence

from podfast.cli.terminal import coloured, paint
from podfast.node import LogLine

STDOUT, STDERR = 1, 2


class LinePrinter:
    """Writes lines unbuffered and whole, so that lines of several streams to one terminal never mix.

    With `split`, what a container wrote to its standard error goes to ours. Raises BrokenPipeError without a reader.
    """

    def __init__(
        self, containers: Sequence[str], *, prefix: bool = True, timestamps: bool = False, split: bool = False
    ) -> None:
        self._timestamps = timestamps
        self._split = split
        self._prefixes: dict[int, dict[str, bytes]] = {}
        longest = max(map(len, containers), default=0)
        for descriptor in (STDOUT, STDERR):
            bright = coloured(descriptor)
            self._prefixes[descriptor] = {
                name: _prefix(name, index, longest, bright) if prefix else b"" for index, name in enumerate(containers)
            }

    def write(self, lines: Iterable[LogLine]) -> None:
        """Writes all lines, in order, with as few calls as that allows."""
        target, batch = STDOUT, bytearray()
        for line in lines:
            descriptor = STDERR if self._split and line.stream == "stderr" else STDOUT
            if descriptor != target or len(batch) > 1 << 16:
                write_all(target, batch)
                target, batch = descriptor, bytearray()
            batch += self._prefixes[descriptor].get(line.container, b"")
            if self._timestamps:
                batch += line.time.encode() + b" "
            batch += line.text
            batch += b"\n"
        write_all(target, batch)


def _prefix(name: str, index: int, longest: int, bright: bool) -> bytes:
    text = f"{name.ljust(longest)} | ".encode()
    return paint(text, index) if bright else text


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Writes everything, also to a descriptor that somebody has made non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
