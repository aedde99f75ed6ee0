# SPDX-License-Identifier: Apache-2.0
"""inject.c from Python: how many system calls an operation makes, role by role, and what one that is hit leads to."""

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.machinery.faults import KILL, Fault

SOURCE = Path(__file__).with_name("inject.c")
_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror")
# An operation that hangs is killed then; what it left has the second time to end by itself.
LIMIT_SECONDS = 20.0
LINGER_SECONDS = 1.0


@dataclass(frozen=True)
class Operation:
    """A command. `marked`: it sends itself SIGURG where the part that counts begins and SIGWINCH where it ends."""

    argv: tuple[str, ...]
    marked: bool = False
    environ: Mapping[str, str] | None = None
    linger: float = LINGER_SECONDS
    limit: float = LIMIT_SECONDS


@dataclass(frozen=True)
class Outcome:
    """What became of the operation's first process, and of the fault."""

    status: int
    """Exit status, or minus the signal."""
    stdout: str
    stderr: str
    fired: bool
    call: str
    """Name of the system call that was hit."""
    pid: int
    """Of the process that was hit."""
    timed_out: bool
    left: tuple[str, ...]
    """Roles of what still ran when the linger time was over."""
    calls: Mapping[str, tuple[str, ...]]
    """Only from `record`: role → names of its calls, in order."""


def available() -> bool:
    return os.uname().machine == "x86_64"


@functools.cache
def program() -> str:
    """Compiles inject.c, once per version of it; returns the path."""
    return compiled(SOURCE, "inject", *_WARNINGS)


def compiled(source: Path, name: str, *options: str) -> str:
    """A C program, built once per text and options in a directory that only this user can write to."""
    key = hashlib.sha256(b"\0".join((source.read_bytes(), *(option.encode() for option in options)))).hexdigest()[:16]
    directory = Path(tempfile.gettempdir(), f"podfast-tests-{os.getuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{directory} belongs to somebody else")
    target = directory / f"{name}-{key}"
    if not target.exists():
        temporary = directory / f"{name}-{key}.{os.getpid()}"
        subprocess.run(("cc", "-O2", *options, "-o", temporary, source), check=True)
        temporary.rename(target)
    return str(target)


@functools.cache
def call_names() -> dict[int, str]:
    text = subprocess.run(
        ("cc", "-dM", "-E", "-include", "asm/unistd.h", "-x", "c", "/dev/null"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


def record(operation: Operation, fault: Fault = KILL) -> Outcome:
    """Runs the operation unharmed and notes the calls that the fault could hit."""
    return _run(operation, "-", 0, fault)


def count(operation: Operation, fault: Fault = KILL) -> dict[str, int]:
    """Role → number of points of this fault."""
    return dict(Counter({role: len(calls) for role, calls in record(operation, fault).calls.items()}))


def run(operation: Operation, role: str, k: int, fault: Fault = KILL) -> Outcome:
    """Runs the operation and hits the k-th call (from 1) of that role."""
    return _run(operation, role, k, fault)


def _run(operation: Operation, role: str, k: int, fault: Fault) -> Outcome:
    names = call_names()
    numbers = ",".join(str(number) for number, name in names.items() if name in fault.calls) or "all"
    with tempfile.TemporaryFile() as report, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        times = (str(int(operation.linger * 1000)), str(int(operation.limit * 1000)))
        start = "marked" if operation.marked else "start"
        argv = (program(), str(report.fileno()), *times, start, role, str(k), str(fault.number), numbers, "--")
        subprocess.run(
            (*argv, *operation.argv), check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env=operation.environ, pass_fds=(report.fileno(),), timeout=operation.limit + operation.linger + 30,
        )  # fmt: skip
        texts = []
        for file in (report, out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return _outcome(texts[0], texts[1], texts[2], names)


def _outcome(report: str, stdout: str, stderr: str, names: Mapping[int, str]) -> Outcome:
    calls: dict[str, list[str]] = {}
    status, hit_call, pid, left, timed_out = 0, "", 0, [], False
    for line in report.splitlines():
        kind, *words = line.split()
        if kind == "call":
            calls.setdefault(words[0], []).append(names.get(int(words[1]), words[1]))
        elif kind == "fired":
            pid, hit_call = int(words[1]), names.get(int(words[2]), words[2])
        elif kind == "exit":
            status = os.waitstatus_to_exitcode(int(words[0]))
        elif kind == "left":
            left.append(words[0])
        elif kind == "timeout":
            timed_out = True
    frozen = {role: tuple(made) for role, made in calls.items()}
    return Outcome(status, stdout, stderr, pid != 0, hit_call, pid, timed_out, tuple(left), frozen)
