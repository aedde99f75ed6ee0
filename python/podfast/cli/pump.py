# SPDX-License-Identifier: Apache-2.0
"""Copies bytes between descriptors while something else is waited for."""

import os
import select
from collections.abc import Callable

CHUNK = 64 << 10


class Stream:
    """One direction: what `source` has is written to `sink`, and no more is read than the sink has taken."""

    def __init__(self, source: int, sink: int, at_end: Callable[[], None]) -> None:
        self.source = source
        self.sink = sink
        self.pending = b""
        self.done = False
        self._at_end = at_end

    def wish(self) -> tuple[int, int]:
        """The descriptor that has to move next, and how."""
        return (self.sink, select.POLLOUT) if self.pending else (self.source, select.POLLIN)

    def move(self) -> None:
        """One step. The end of the source, and a sink that nobody reads, end the stream."""
        try:
            if not self.pending:
                self.pending = os.read(self.source, CHUNK)
                if not self.pending:
                    self.finish()
                    return
            self.pending = self.pending[os.write(self.sink, self.pending) :]
        except BlockingIOError:
            pass
        except OSError:  # EPIPE; EIO is how a terminal's other side says that it is gone
            self.finish()

    def finish(self) -> None:
        if not self.done:
            self.done = True
            self._at_end()


class Pump:
    """Streams, and descriptors that only wake the caller."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    def add(self, source: int, sink: int, at_end: Callable[[], None]) -> None:
        self.streams.append(Stream(source, sink, at_end))

    def run(self, watched: list[int], timeout: float | None = None) -> set[int]:
        """Copies until some of `watched` are readable, or nothing moved for `timeout` seconds; returns those."""
        while True:
            poll = select.poll()
            waiting: dict[int, list[Stream]] = {}
            for descriptor in watched:
                poll.register(descriptor, select.POLLIN)
            for stream in self.streams:
                if not stream.done:
                    descriptor, event = stream.wish()
                    waiting.setdefault(descriptor, []).append(stream)
                    poll.register(descriptor, event)
            ready = [descriptor for descriptor, _ in poll.poll(None if timeout is None else timeout * 1000)]
            for descriptor in ready:
                for stream in waiting.get(descriptor, ()):
                    stream.move()
            woken = set(ready) & set(watched)
            if woken or not ready:
                return woken

    def drain(self) -> None:
        """Copies what is there now. Whoever still holds the other side open is not waited for."""
        self.run([], timeout=0)
