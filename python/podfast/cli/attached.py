# SPDX-License-Identifier: Apache-2.0
"""A pod of this process, its lines, and the user's signals, in one loop that waits for all three."""

from __future__ import annotations

import select
import signal
from collections.abc import Callable, Iterable

from podfast.cli.arguments import Options
from podfast.cli.output import LinePrinter, tell_lost
from podfast.cli.signals import Signals
from podfast.cli.terminal import say
from podfast.node import Follower, Joiner, LogLine, Watch
from podfast.pod import Pod

PIPE_CLOSED = 141


class Attached:
    """Shows the pod until it is gone, and ends it when it has ended by itself or the user wants it to."""

    def __init__(self, pod: Pod, signals: Signals, options: Options) -> None:
        self._pod = pod
        self._signals = signals
        self._grace: float | None = options.grace
        self._quiet: bool = options.quiet
        names = list(pod.containers)
        self._printer = LinePrinter(names, timestamps=options.timestamps, split=True)
        self._follower = Follower(pod.log_directory, names)
        self._watch = Watch(self._follower.directories())
        self._joiner = Joiner()
        self._code: int | None = None  # decided by something else than the containers
        self._readable = True
        pod.before_removal(self._follower.hold)

    def run(self) -> int:
        """Until the pod has ended and is removed; returns the exit code."""
        with self._follower, self._watch:
            while not self._pod.gone:
                self._watch.arm()
                self._print(self._follower.read)
                self._pod.step()
                self._decide()
                self._wait()
            self._print_rest()
            if self._readable:
                tell_lost(self._follower.lost())
        if self._pod.failure is not None:
            raise self._pod.failure
        return self._code if self._code is not None else exit_code(self._pod)

    def _decide(self) -> None:
        """Ends the pod when it has nothing more to do. All that it wrote is in its logs by then."""
        if self._pod.gone:
            return
        if self._pod.failure is not None:
            self._pod.begin_kill()
        elif self._pod.ended and self._code is None:
            self._print_rest()
            self._pod.begin_kill()

    def _wait(self) -> None:
        if self._pod.gone:
            return
        poll = select.poll()
        blocked = self._printer.blocked
        for waitable in (self._pod, self._signals):
            poll.register(waitable, select.POLLIN)
        reader = -1
        if blocked is None:
            poll.register(self._watch, select.POLLIN)
            if self._readable:
                reader = self._printer.watch_reader(poll)
        else:
            poll.register(blocked, select.POLLOUT)
        patience = self._watch.patience
        ready = {descriptor for descriptor, _ in poll.poll(None if patience is None else patience * 1000)}
        if self._watch.fileno() in ready:
            self._watch.clear()
        if reader in ready:
            self._reader_gone()
        if self._signals.fileno() in ready:
            for number in self._signals.read():
                self._signalled(number)

    def _signalled(self, number: int) -> None:
        name = self._pod.name
        if self._code is None:
            self._code = 128 + number
            if not self._quiet:
                say(f"stopping {name}" + (" (Ctrl-C again kills it)" if number == signal.SIGINT else ""))
            self._pod.begin_stop(self._grace)
        else:
            if not self._quiet:
                say(f"killing {name}")
            self._pod.begin_kill()

    # ---- lines ----

    def _print(self, read: Callable[[], list[LogLine]]) -> None:
        """Prints what `read` gives until it gives nothing, or the reader of our output is too slow for more."""
        try:
            self._printer.push()
            while self._printer.blocked is None and (lines := read()):
                self._add(lines)
                self._printer.push()
        except BrokenPipeError:
            self._reader_gone()

    def _add(self, lines: Iterable[LogLine]) -> None:
        if self._readable:
            self._printer.add(self._joiner.feed(lines))

    def _reader_gone(self) -> None:
        """`podfast run … | head -1`: nobody wants more of it, so the pod ends."""
        self._readable = False
        self._printer.discard()
        if self._code is None:
            self._code = PIPE_CLOSED
            self._pod.begin_stop(self._grace)

    def _print_rest(self) -> None:
        """Everything that has been written, however slow the reader is; a signal ends the patience."""
        try:
            while lines := self._follower.read():
                self._add(lines)
            self._add(self._follower.rest())
            if self._readable:
                self._printer.add(self._joiner.flush())
            self._printer.push()
            while (blocked := self._printer.blocked) is not None:
                poll = select.poll()
                poll.register(blocked, select.POLLOUT)
                poll.register(self._signals, select.POLLIN)
                if any(descriptor == self._signals.fileno() for descriptor, _ in poll.poll()):
                    self._code = self._code or 128 + max(self._signals.read(), default=signal.SIGINT)
                    self._printer.discard()
                self._printer.push()
        except BrokenPipeError:
            self._reader_gone()


def exit_code(pod: Pod) -> int:
    """The code of the first container, in the manifest's order, that did not end with 0; 0 when all did."""
    statuses = pod.status.container_statuses
    codes = [status.state.terminated.exit_code for status in statuses if status.state.terminated is not None]
    return next((code for code in codes if code), 0)
