# SPDX-License-Identifier: Apache-2.0
"""A pod of this process, its lines, and the user's signals, in one loop that waits for all three."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable

from podfast.cli.arguments import Options
from podfast.cli.output import LinePrinter, tell_lost
from podfast.cli.signals import Signals
from podfast.cli.terminal import say
from podfast.node import Follower, Joiner, LogLine, Watch
from podfast.pod import Pod

PIPE_CLOSED = 141
# Blocks of lines that are printed before the pod and the user are looked after again.
ROUNDS = 16
# How long lines are still printed after a signal has ended the pod.
REST_SECONDS = 2.0


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
        self._killing = False
        self._readable = True
        self._unread = False
        pod.before_removal(self._follower.hold)

    def run(self) -> int:
        """Until the pod has ended and is removed; returns the exit code."""
        with self._follower, self._watch:
            while not self._pod.gone:
                self._watch.arm()
                more = self._print()
                self._pod.step()
                self._decide()
                self._wait(0 if more else self._watch.patience)
            self._print_rest()
            if self._unread and not self._quiet:
                say("the rest of what was written is not shown")
            elif self._readable:
                tell_lost(self._follower.lost())
        if self._pod.failure is not None:
            raise self._pod.failure
        return self._code if self._code is not None else exit_code(self._pod)

    def _decide(self) -> None:
        """Ends the pod when it has nothing more to do. All that it wrote is in its logs by then."""
        if self._pod.gone or self._killing:
            return
        if self._pod.failure is not None:
            self._kill()
        elif self._pod.ended and self._code is None:
            self._print_rest()
            self._kill()

    def _kill(self) -> None:
        self._killing = True
        self._pod.begin_kill()

    def _wait(self, patience: float | None) -> None:
        """Until something has happened, or for `patience` seconds."""
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
        elif not self._killing:
            if not self._quiet:
                say(f"killing {name}")
            self._kill()
        else:
            # Something in the pod cannot be killed now, or the machine is very slow. The kernel ends an embedded pod
            # when its engine ends, and the shim undoes it.
            say(f"leaving {name} to the kernel")
            os._exit(self._code)

    # ---- lines ----

    def _print(self) -> bool:
        """Prints some of what there is, as far as the reader of our output takes it; whether there may be more."""
        try:
            self._printer.push()
            for _ in range(ROUNDS):
                if self._printer.blocked is not None:
                    return False
                lines = self._follower.read()
                if not lines:
                    return False
                self._add(lines)
                self._printer.push()
        except BrokenPipeError:
            self._reader_gone()
        return True

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
        """Everything that has been written, however slow the reader is. Who has asked for the end waits less long."""
        deadline = float("inf") if self._code is None else time.monotonic() + REST_SECONDS
        try:
            while self._readable and (lines := self._follower.read()):
                self._add(lines)
                self._flush(deadline)
            self._add(self._follower.rest())
            if self._readable:
                self._printer.add(self._joiner.flush())
            self._flush(deadline)
        except BrokenPipeError:
            self._reader_gone()

    def _flush(self, deadline: float) -> None:
        """Writes what is queued. A signal, or the deadline, ends the patience with the reader."""
        self._printer.push()
        while True:
            if numbers := self._signals.read():
                self._code = self._code or 128 + numbers[0]
            if numbers or time.monotonic() > deadline:
                self._unread = self._unread or self._readable
                self._readable = False
                self._printer.discard()
            blocked = self._printer.blocked
            if blocked is None:
                return
            poll = select.poll()
            poll.register(blocked, select.POLLOUT)
            poll.register(self._signals, select.POLLIN)
            poll.poll(None if deadline == float("inf") else 1000 * max(0.0, deadline - time.monotonic()))
            self._printer.push()


def exit_code(pod: Pod) -> int:
    """The code of the first container, in the manifest's order, that did not end with 0; 0 when all did."""
    statuses = pod.status.container_statuses
    codes = [status.state.terminated.exit_code for status in statuses if status.state.terminated is not None]
    return next((code for code in codes if code), 0)
