# SPDX-License-Identifier: Apache-2.0
"""The CRI log format, as the kubelet and kubectl read it: one `<RFC 3339 time> <stdout|stderr> <F|P> <text>` a line."""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# The shim cuts lines at 16 KiB. A longer one was not written by it, and shall not fill the memory.
RECORD_LIMIT = 64 * 1024
BLOCK = 64 * 1024


class LogLine(NamedTuple):
    """One record. `partial` says that the line it belongs to goes on in the next record of the same stream."""

    container: str
    attempt: int
    stream: str
    time: str
    text: bytes
    partial: bool


def parse(record: bytes, container: str, attempt: int) -> LogLine:
    """Reads one record without its newline; what is not a record is passed on as text rather than lost."""
    parts = record.split(b" ", 3)
    if len(parts) == 4 and parts[1] in (b"stdout", b"stderr"):
        tag = parts[2].split(b":", 1)[0]
        if tag in (b"F", b"P"):
            time = parts[0].decode("ascii", "replace")
            return LogLine(container, attempt, parts[1].decode(), time, parts[3], tag == b"P")
    return LogLine(container, attempt, "stdout", "", record, False)


class Tape:
    """Reads the records of one open log file from where the last call ended. Owns the descriptor."""

    def __init__(self, descriptor: int, container: str, attempt: int) -> None:
        self.descriptor = descriptor
        self.container = container
        self.attempt = attempt
        self.offset = 0  # always the beginning of a record

    def read(self) -> list[LogLine]:
        """The next whole records, about a block of them; empty at the end of the file.

        An unfinished record is left where it is and read again: a shim that takes over from a killed one cuts it off.
        """
        block = os.pread(self.descriptor, BLOCK, self.offset)
        end = block.rfind(b"\n") + 1
        if not end:
            if len(block) < RECORD_LIMIT:
                return []
            self.offset += len(block)
            return [parse(block, self.container, self.attempt)]
        self.offset += end
        return [parse(record, self.container, self.attempt) for record in block[: end - 1].split(b"\n")]

    def rest(self) -> list[LogLine]:
        """A last record without a newline, when nobody will write its end."""
        record = os.pread(self.descriptor, BLOCK, self.offset)
        self.offset += len(record)
        return [parse(record, self.container, self.attempt)] if record else []

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def tail(descriptor: int, lines: int) -> tuple[int, int]:
    """Where the last `lines` records of a file begin, found from its end; and how many of them it does not have."""
    end = os.fstat(descriptor).st_size
    if lines <= 0 or not end:
        return end, max(lines, 0)
    # The newline that ends the file ends its last record; it is not the border of another one.
    position = end - 1 if os.pread(descriptor, 1, end - 1) == b"\n" else end
    while position > 0:
        start = max(0, position - BLOCK)
        block = os.pread(descriptor, position - start, start)
        count = block.count(b"\n")
        if count < lines:
            lines -= count
            position = start
            continue
        at = len(block)
        for _ in range(lines):
            at = block.rindex(b"\n", 0, at)
        return start + at + 1, 0
    return 0, lines - 1


class Joiner:
    """Joins the pieces of long lines, each stream by itself; a line longer than `limit` is passed on in parts."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._pending: dict[tuple[str, int, str], list[LogLine]] = {}

    def feed(self, records: Iterable[LogLine]) -> Iterator[LogLine]:
        for record in records:
            key = (record.container, record.attempt, record.stream)
            pieces = self._pending.get(key)
            if pieces is None and not record.partial:
                yield record
                continue
            pieces = self._pending.setdefault(key, [])
            pieces.append(record)
            if not record.partial or sum(len(piece.text) for piece in pieces) >= self._limit:
                yield _joined(self._pending.pop(key))

    def flush(self) -> Iterator[LogLine]:
        """What never got its end, because its writer is gone."""
        pending, self._pending = self._pending, {}
        for pieces in pending.values():
            yield _joined(pieces)


def _joined(pieces: list[LogLine]) -> LogLine:
    return pieces[0]._replace(text=b"".join(piece.text for piece in pieces), partial=False)
