# SPDX-License-Identifier: Apache-2.0
"""`podfast exec -t`: this terminal and the command's are one, keys, colours and size included."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import tty
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from podfast.cli.pump import Pump
from podfast.cli.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podfast.sandbox.client import Exec

END_OF_FILE = b"\x04"
DEFAULT_SIZE = (24, 80)

Start = Callable[[tuple[int, int, int] | None, tuple[int, int], Sequence[str]], "Exec"]


def attach(start: Start, variables: Sequence[str], *, with_input: bool) -> int:
    """Runs the command on a terminal of its own that mirrors ours; returns its exit code."""
    if term := os.environ.get("TERM"):
        variables = [f"TERM={term}", *variables]
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP))
        process = stack.enter_context(start(None, _size(), variables))
        pump = Pump()
        pump.add(process.terminal, 1, _nothing)
        if with_input:
            _connect_input(process.terminal, pump, stack)
        code = _wait(process, pump, signals)
        pump.drain()
        return code


def _connect_input(terminal: int, pump: Pump, stack: ExitStack) -> None:
    if os.isatty(0):
        before = termios.tcgetattr(0)
        stack.callback(termios.tcsetattr, 0, termios.TCSADRAIN, before)
        tty.setraw(0, termios.TCSADRAIN)
    pump.add(0, terminal, lambda: _end_of_input(terminal))


def _end_of_input(terminal: int) -> None:
    """A terminal has no end that one could close: the character says it."""
    try:
        os.write(terminal, END_OF_FILE)
    except OSError:
        pass  # the command has gone


def _wait(process: Exec, pump: Pump, signals: Signals) -> int:
    while True:
        woken = pump.run([process.fileno(), signals.fileno()])
        if signals.fileno() in woken:
            for number in signals.read():
                if number == signal.SIGWINCH:
                    _set_size(process.terminal, _size())
                else:
                    return 128 + number  # closing the connection kills the command
        if process.fileno() in woken:
            return process.wait()


def _size() -> tuple[int, int]:
    """Rows and columns of our terminal."""
    for descriptor in (1, 0, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if size.lines and size.columns:
            return size.lines, size.columns
    return DEFAULT_SIZE


def _set_size(terminal: int, size: tuple[int, int]) -> None:
    """ioctl_tty(2): the kernel tells the command with SIGWINCH."""
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("=HHHH", *size, 0, 0))
    except OSError:
        pass  # the command has gone


def _nothing() -> None:
    """The terminal's end is no event of its own: the command's is."""
