# SPDX-License-Identifier: Apache-2.0
"""Signals as something to read: no code runs in the middle of other code, and every wait can include them."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Signals:
    """Catches some signals while it is entered. Readable when one has come."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._reading = self._writing = -1
        self._before: dict[int, object] = {}
        self._wakeup = -1

    def fileno(self) -> int:
        return self._reading

    def read(self) -> list[int]:
        """The signals that have come, in their order. Never waits."""
        try:
            return [number for number in os.read(self._reading, 4096) if number in self._numbers]
        except BlockingIOError:
            return []

    def __enter__(self) -> Signals:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self._numbers:
            # A signal that was ignored when podfast was started (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reading)
        os.close(self._writing)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """A handler, so that the interpreter writes the signal's number to the pipe."""
