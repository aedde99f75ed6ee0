# SPDX-License-Identifier: Apache-2.0
"""Crashes an operation at many system calls, one run each; after each the recovery, and then nothing may be left.

python -m tests.machinery.crashpoints --operation start-stop --roles engine,shim,child --every 7 --faults KILL,ENOSPC
python -m tests.machinery.crashpoints --operation start-stop --only shim:41:EIO
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.machinery import injector, isolation, roots as places
from tests.machinery.faults import FAULTS, Fault
from tests.machinery.injector import Outcome
from tests.machinery.leaks import KINDS, LeakCheck
from tests.machinery.operations import SUBJECTS, Subject
from tests.machinery.roots import Roots
from tests.machinery.view import View

# Not the programs that run in the containers: their calls are their own.
ROLES = ("engine", "launch", "shim", "child", "pause", "init", "unpack", "helper")
_FAILED = 3


@dataclass(frozen=True)
class Point:
    """The k-th call (from 1) of a role, among those at which the fault can happen."""

    role: str
    k: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.role}:{self.k}:{self.fault.name}"


@dataclass(frozen=True)
class Result:
    point: Point
    outcome: Outcome
    complaints: tuple[str, ...]

    def __str__(self) -> str:
        lines = (f"{self.point} at {self.outcome.call or 'no call'}, exit {self.outcome.status}", *self.complaints)
        return "\n    ".join((*lines, *self.outcome.stderr.strip().splitlines()[-3:]))


@dataclass
class Row:
    """One line of the summary."""

    points: int = 0
    fired: int = 0
    failed: int = 0
    seconds: float = 0.0


@contextlib.contextmanager
def site(subject: Subject) -> Iterator[Roots]:
    """Directories in which the operation has run once, so that images and caches are there as in daily use."""
    with places.directories() as made:
        operation = subject.operation(made)
        done = subprocess.run(
            operation.argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=operation.environ
        )
        if done.returncode:
            raise RuntimeError(f"unharmed, it ends with {done.returncode}: {done.stderr}")
        subject.recover(made)
        yield made


def points(
    subject: Subject, roles: Iterable[str] = ROLES, faults: Iterable[str] = FAULTS, every: int = 1
) -> list[Point]:
    """All points of an operation, or every N-th of each role and fault. Runs it once for each fault."""
    chosen = tuple(roles)
    found: list[Point] = []
    with site(subject) as made:
        for fault in (FAULTS[name] for name in faults):
            counts = injector.count(subject.operation(made), fault)
            subject.recover(made)
            for role in chosen:
                found += [Point(role, k, fault) for k in range(1, counts.get(role, 0) + 1, every)]
    return found


def spread(all_points: Sequence[Point], number: int) -> list[Point]:
    """That many of them, evenly over the whole list."""
    if len(all_points) <= number:
        return list(all_points)
    return [all_points[index * len(all_points) // number] for index in range(number)]


def attempt(subject: Subject, point: Point, made: Roots) -> Result:
    """One crash, the recovery, and what is wrong afterwards."""
    known = frozenset(KINDS["processes"](View(tuple(made))))
    operation = subject.operation(made)
    check = LeakCheck(made)
    outcome = injector.run(operation, point.role, point.k, point.fault)
    complaints = list(judge(outcome, point))
    try:
        subject.recover(made)
    except Exception as error:
        complaints.append(f"recovery failed: {error!r}")
    leaks = check.wait()
    complaints += map(str, leaks)
    if complaints:
        places.rescue(made, known, leaks)
    return Result(point, outcome, tuple(complaints))


def judge(outcome: Outcome, point: Point) -> Iterator[str]:
    """Whether the operation ended as it may: it did its work, or said why not, or was killed by us."""
    if outcome.timed_out:
        yield "hangs"
    elif outcome.status == -signal.SIGKILL and outcome.fired and point.fault.is_kill and point.role == "engine":
        return
    elif outcome.status < 0:
        yield f"died of {signal.Signals(-outcome.status).name}"
    elif outcome.status not in (0, _FAILED):
        yield f"ended with {outcome.status}"
    elif outcome.status == _FAILED and not outcome.stderr.strip():
        yield "failed without a word"


def tour(subject: Subject, chosen: Iterable[Point], seconds: float = float("inf")) -> Iterator[Result]:
    """Attempts them in turn until the time is over. After a complaint the next one gets directories of its own."""
    end = time.monotonic() + seconds
    left = list(reversed(list(chosen)))
    while left and time.monotonic() < end:
        with site(subject) as made:
            clean = True
            while left and clean and time.monotonic() < end:
                result = attempt(subject, left.pop(), made)
                clean = not result.complaints
                yield result


def summary(rows: dict[tuple[str, str], Row]) -> str:
    lines = [f"{'role':10} {'fault':8} {'points':>7} {'fired':>7} {'failed':>7} {'ms/point':>9}"]
    total = Row()
    for (role, fault), row in sorted(rows.items()):
        lines.append(_line(role, fault, row))
        for name in ("points", "fired", "failed", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    return "\n".join((*lines, _line("all", "", total)))


def _line(role: str, fault: str, row: Row) -> str:
    each = row.seconds * 1000 / row.points if row.points else 0
    return f"{role:10} {fault:8} {row.points:7} {row.fired:7} {row.failed:7} {each:9.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    isolation.isolate()
    subject = SUBJECTS[options.operation]
    with isolation.network():
        if options.only:
            role, k, fault = options.only.split(":")
            chosen = [Point(role, int(k), FAULTS[fault])]
        else:
            chosen = points(subject, options.roles.split(","), options.faults.split(","), options.every)
        if options.limit:
            chosen = spread(chosen, options.limit)
        print(f"{len(chosen)} points", file=sys.stderr)
        rows: dict[tuple[str, str], Row] = {}
        before = time.monotonic()
        for result in tour(subject, chosen, options.seconds):
            row = rows.setdefault((result.point.role, result.point.fault.name), Row())
            now = time.monotonic()
            row.points, row.fired, row.seconds = (
                row.points + 1,
                row.fired + result.outcome.fired,
                row.seconds + now - before,
            )
            before = now
            if result.complaints or options.only:
                row.failed += bool(result.complaints)
                print(result, flush=True)
    print(summary(rows))
    return 1 if any(row.failed for row in rows.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.machinery.crashpoints", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--operation", choices=sorted(SUBJECTS), default="start-stop")
    parser.add_argument("--roles", default=",".join(ROLES))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every N-th call of each role and fault")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N points, evenly spread")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no point after that")
    parser.add_argument("--only", metavar="ROLE:K:FAULT", help="one point, told in full")
    return parser


if __name__ == "__main__":
    sys.exit(main())
