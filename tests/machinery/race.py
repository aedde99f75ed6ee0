# SPDX-License-Identifier: Apache-2.0
"""Races for a path: this process loops an operation, another one swaps two paths under it as fast as it can.

outcome = race.run(lambda: open_below(root, "a/b"), escaped, swap=(f"{root}/a", f"{root}/link-out"))
assert outcome.contested and not outcome.escapes
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.machinery import kernel

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    tries: int
    refused: int
    """The operation raised OSError."""
    escapes: int
    swaps: int
    seconds: float

    @property
    def contested(self) -> bool:
        """Whether the operation has met both worlds: if not, nothing was tried."""
        return self.swaps > 100 and self.tries > 100 and 0 < self.refused < self.tries


def run(
    operation: Callable[[], T],
    escaped: Callable[[T], bool],
    swap: tuple[str, str],
    seconds: float = 1.0,
    enough: int = 1,
) -> Outcome:
    """Loops the operation for that long, or until it has been led astray `enough` times.

    `escaped` judges what the operation returned, and releases it. What the operation refuses it tells by OSError.
    """
    tries = refused = escapes = 0
    started = time.monotonic()
    with _swapper(swap) as swaps:
        while escapes < enough and time.monotonic() - started < seconds:
            tries += 1
            try:
                result = operation()
            except OSError:
                refused += 1
                continue
            escapes += escaped(result)
    return Outcome(tries, refused, escapes, sum(swaps), time.monotonic() - started)


@contextlib.contextmanager
def _swapper(swap: tuple[str, str]) -> Iterator[list[int]]:
    """A process that exchanges the paths until it is told to end; the number of swaps is in the list then."""
    swaps: list[int] = []
    argv = (sys.executable, "-m", "tests.machinery.race", *swap)
    repository = Path(__file__).parents[2]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=repository) as child:
        assert child.stdin is not None and child.stdout is not None
        if not child.stdout.readline():
            raise RuntimeError("nothing was swapped")
        yield swaps
        child.stdin.close()
        swaps.append(int(child.stdout.read()))


def _swap_until_told(one: str, other: str) -> int:
    swaps = 0
    os.set_blocking(0, False)
    kernel.exchange(one, other)
    print(flush=True)
    while True:
        for _ in range(500):
            kernel.exchange(one, other)
        swaps += 500
        with contextlib.suppress(BlockingIOError):
            if os.read(0, 1) == b"":
                return swaps


if __name__ == "__main__":
    print(_swap_until_told(*sys.argv[1:]))
