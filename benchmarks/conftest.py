# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share.

pytest-benchmark runs one benchmark after the other; on a machine whose speed drifts, only rounds that alternate can be
compared. `interleaved` does that, on top of pytest-benchmark, and keeps every round.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.build import MissingCompiler, program
from benchmarks.coprocess import Coprocess
from tests.machinery.roots import Roots, directories

Round = Callable[[], float | None]

BUDGETS_FROM_ENVIRONMENT = "PODFAST_CHECK_BUDGETS"
# Medians of some ten alternating rounds still differ by a few percent from run to run, even where nothing else runs.
TOLERANCE = 1.1


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("podfast benchmarks")
    group.addoption(
        "--check-budgets", nargs="?", type=float, const=TOLERANCE, default=None, metavar="TOLERANCE",
        help=f"fail where a budget times TOLERANCE ({TOLERANCE}) is exceeded; on a machine that does nothing else"
        f" (also: {BUDGETS_FROM_ENVIRONMENT}=1)",
    )  # fmt: skip
    group.addoption("--long", action="store_true", help="also run what takes minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; run with --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --long was not given"))


def is_measuring(config: pytest.Config) -> bool:
    disabled: bool = config.getoption("--benchmark-disable") and not config.getoption("--benchmark-enable")
    return not disabled


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rounds of one benchmark, in seconds, in the order in which they were run."""

    subject: tuple[float, ...]
    counterpart: tuple[float, ...]

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.subject), statistics.median(self.counterpart)

    @property
    def ratio(self) -> float:
        return self.medians[0] / self.medians[1]


class Clock:
    """The timer that pytest-benchmark reads: it stands still but for what a round says it took."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Budgets:
    """Whether a budget is to be kept in this run, and by how much a measurement may miss it."""

    def __init__(self, config: pytest.Config) -> None:
        tolerance: float | None = config.getoption("--check-budgets")
        if tolerance is None and os.environ.get(BUDGETS_FROM_ENVIRONMENT, "0") not in ("", "0"):
            tolerance = TOLERANCE
        # A single round says nothing.
        self.tolerance = tolerance if is_measuring(config) else None

    def check(self, value: float, budget: float | None, story: str) -> None:
        if self.tolerance is None or budget is None or value <= budget * self.tolerance:
            return
        pytest.fail(f"{story}: the budget is {budget:.6g}, and {self.tolerance:g} times that was tolerated")


class Interleaved:
    """`interleaved(subject, counterpart)` runs both in turns and returns the rounds."""

    def __init__(self, benchmark: Any, clock: Clock, budgets: Budgets) -> None:
        self._benchmark, self._clock, self._budgets = benchmark, clock, budgets

    def __call__(
        self,
        subject: Round,
        counterpart: Round,
        *,
        beside: str,
        rounds: int = 20,
        warmup: int = 2,
        budget: float | None = None,
        aim: float | None = None,
    ) -> Comparison:
        """A round returns the seconds that it took, or None to be timed as a whole.

        `beside` names the counterpart. `budget` is the greatest ratio of the medians, `aim` the one to reach some day.
        Every second pair of rounds has the counterpart first, so that neither always follows the other's aftermath.
        """
        taken: tuple[list[float], list[float]] = ([], [])

        def counterpart_round() -> None:
            taken[1].append(_timed(counterpart))

        def before() -> None:
            if len(taken[0]) % 2 == 0:
                counterpart_round()

        def subject_round() -> None:
            seconds = _timed(subject)
            taken[0].append(seconds)
            self._clock.now += seconds

        def after() -> None:
            if len(taken[1]) < len(taken[0]):
                counterpart_round()

        for _ in range(warmup if self._benchmark.enabled else 0):
            subject(), counterpart()
        self._benchmark.pedantic(subject_round, setup=before, teardown=after, rounds=rounds, warmup_rounds=0)
        comparison = Comparison(tuple(taken[0]), tuple(taken[1]))
        self._keep(comparison, beside, budget, aim)
        return comparison

    def _keep(self, comparison: Comparison, beside: str, budget: float | None, aim: float | None) -> None:
        medians = comparison.medians
        self._benchmark.extra_info["interleaved"] = {
            "beside": beside,
            "subject": comparison.subject,
            "counterpart": comparison.counterpart,
            "medians": medians,
            "ratio": comparison.ratio,
            "budget": budget,
            "aim": aim,
            "load": os.getloadavg()[0],
        }
        story = f"{comparison.ratio:.2f} × the {beside} ({medians[0] * 1e3:.3g} ms to {medians[1] * 1e3:.3g} ms)"
        self._budgets.check(comparison.ratio, budget, story)


def _timed(round_: Round) -> float:
    begin = time.perf_counter()
    seconds = round_()
    return time.perf_counter() - begin if seconds is None else seconds


class Figures:
    """Keeps what is not a time, or no ratio: `figures("memory of 1 pod", 390, "KiB", budget=400)`."""

    def __init__(self, benchmark: Any, budgets: Budgets) -> None:
        self._benchmark, self._budgets = benchmark, budgets

    def __call__(
        self, name: str, value: float, unit: str, *, budget: float | None = None, more_is_better: bool = False
    ) -> None:
        kept = self._benchmark.extra_info.setdefault("figures", [])
        kept.append({"name": name, "value": value, "unit": unit, "budget": budget, "more_is_better": more_is_better})
        if more_is_better and budget is not None:
            self._budgets.check(budget / value, 1.0, f"{name}: {value:.4g} {unit}, not the {budget:g} of the budget")
        else:
            self._budgets.check(value, budget, f"{name}: {value:.4g} {unit}")


@pytest.fixture
def interleaved(request: pytest.FixtureRequest) -> Interleaved:
    clock = Clock()
    given = request.node.get_closest_marker("benchmark")
    options = {**(given.kwargs if given else {}), "timer": clock}
    request.node.add_marker(pytest.mark.benchmark(**options), append=False)
    return Interleaved(request.getfixturevalue("benchmark"), clock, Budgets(request.config))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return Figures(request.getfixturevalue("benchmark"), Budgets(request.config))


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> bool:
    """Whether this run measures; if not, everything is to be small: the benchmark only shows that it still works."""
    return is_measuring(request.config)


@pytest.fixture
def compiled() -> Callable[[str], Path]:
    """Compiles a program of `build.PROGRAMS`."""

    def compile_or_skip(name: str) -> Path:
        try:
            return program(name)
        except MissingCompiler as missing:
            pytest.skip(str(missing))

    return compile_or_skip


@pytest.fixture
def root_only() -> None:
    if os.geteuid() != 0:
        pytest.skip("makes namespaces, mounts and cgroups as root")


@pytest.fixture
def bench_roots(root_only: None) -> Iterator[Roots]:
    """A root on disk and a run root in memory, as an installed podfast has them; removed afterwards."""
    with directories() as made:
        yield made


@pytest.fixture
def floor(compiled: Callable[[str], Path], tmp_path: Path, root_only: None) -> Iterator[Callable[[str], Coprocess]]:
    """Starts a floor program, `plain` or `cheap`; it is ended with the test."""
    running: list[Coprocess] = []

    def start(name: str) -> Coprocess:
        state = tmp_path / f"floor-{name}"
        state.mkdir()
        command: list[str | Path] = [compiled(name), "--serve", "--state", state, "--program", compiled("stay")]
        running.append(Coprocess(command))
        return running[-1]

    yield start
    for one in running:
        one.close()
