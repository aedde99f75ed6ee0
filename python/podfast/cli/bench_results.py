# SPDX-License-Identifier: Apache-2.0
"""What a JSON file of pytest-benchmark says, with what the benchmarks' `interleaved` and `figures` have added."""

from __future__ import annotations

from pathlib import Path

import msgspec

from podfast.errors import PodfastError

MAX_FILE = 256 * 1024 * 1024


class Interleaved(msgspec.Struct, frozen=True):
    """Alternating rounds of a subject and its counterpart, in seconds."""

    beside: str
    subject: tuple[float, ...]
    counterpart: tuple[float, ...]
    medians: tuple[float, float]
    ratio: float
    budget: float | None = None
    aim: float | None = None
    load: float | None = None


class Figure(msgspec.Struct, frozen=True):
    """A number with its unit, and the budget that it keeps or breaks."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    more_is_better: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        if self.budget is None:
            return None
        return self.value >= self.budget if self.more_is_better else self.value <= self.budget


class Extra(msgspec.Struct, frozen=True):
    interleaved: Interleaved | None = None
    figures: tuple[Figure, ...] = ()


class Stats(msgspec.Struct, frozen=True):
    """Seconds."""

    min: float
    median: float
    max: float
    rounds: int


class Benchmark(msgspec.Struct, frozen=True):
    name: str
    group: str | None
    stats: Stats
    extra_info: Extra = Extra()


class Processor(msgspec.Struct, frozen=True):
    brand_raw: str = ""
    count: int | None = None


class Machine(msgspec.Struct, frozen=True):
    release: str = ""
    machine: str = ""
    python_version: str = ""
    cpu: Processor = Processor()


class Commit(msgspec.Struct, frozen=True):
    id: str | None = None
    dirty: bool | None = None


class Document(msgspec.Struct, frozen=True):
    datetime: str
    benchmarks: tuple[Benchmark, ...]
    machine_info: Machine = Machine()
    commit_info: Commit = Commit()


class Run(msgspec.Struct, frozen=True):
    """One file."""

    source: str
    document: Document

    def groups(self) -> dict[str, list[Benchmark]]:
        """Benchmarks by group, in the order of the file."""
        found: dict[str, list[Benchmark]] = {}
        for one in self.document.benchmarks:
            found.setdefault(one.group or "other", []).append(one)
        return found


def read(path: Path) -> Run:
    """Raises PodfastError with the file and the place in it when it is no such file, OSError when it cannot be read."""
    if path.stat().st_size > MAX_FILE:
        raise PodfastError(f"{path}: larger than {MAX_FILE >> 20} MiB")
    try:
        return Run(path.name, msgspec.json.decode(path.read_bytes(), type=Document))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PodfastError(f"{path}: not a JSON file of pytest-benchmark: {error}") from error
