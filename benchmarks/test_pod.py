# SPDX-License-Identifier: Apache-2.0
"""Start and stop of a pod of two containers on loopback, beside a C program that makes the same objects."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.conftest import Interleaved
from benchmarks.coprocess import Coprocess
from benchmarks.subject import Pods
from tests.machinery.roots import Roots

Floor = Callable[[str], Coprocess]

# DESIGN.md's budgets are against the plain floor; the cheap one shows how far the limit is.
START = {"plain": (1.5, 1.0), "cheap": (None, None)}
STOP = {"plain": (1.5, 0.5), "cheap": (None, None)}
FOREIGN_MOUNTS = 5000


def started(pods: Pods) -> float:
    seconds = pods.start()
    pods.stop()
    return seconds


def stopped(pods: Pods) -> float:
    pods.start()
    return pods.stop()


def floor_started(floor: Coprocess) -> float:
    seconds = floor.ask("start")
    floor.ask("stop")
    return seconds


def floor_stopped(floor: Coprocess) -> float:
    floor.ask("start")
    return floor.ask("stop")


@pytest.mark.parametrize("kind", ["plain", "cheap"])
@pytest.mark.benchmark(group="pod start")
def test_pod_start(interleaved: Interleaved, floor: Floor, bench_roots: Roots, kind: str) -> None:
    pods, beside = Pods(*bench_roots), floor(kind)
    budget, aim = START[kind]
    interleaved(
        lambda: started(pods), lambda: floor_started(beside),
        beside=f"{kind} floor", rounds=60, warmup=5, budget=budget, aim=aim,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "cheap"])
@pytest.mark.benchmark(group="pod stop")
def test_pod_stop(interleaved: Interleaved, floor: Floor, bench_roots: Roots, kind: str) -> None:
    pods, beside = Pods(*bench_roots), floor(kind)
    budget, aim = STOP[kind]
    interleaved(
        lambda: stopped(pods), lambda: floor_stopped(beside),
        beside=f"{kind} floor", rounds=60, warmup=5, budget=budget, aim=aim,
    )  # fmt: skip


@pytest.mark.benchmark(group="floors")
def test_cheap_floor_start(interleaved: Interleaved, floor: Floor) -> None:
    """How far below the plain floor the limit is, whatever podfast does."""
    cheap, plain = floor("cheap"), floor("plain")
    interleaved(lambda: floor_started(cheap), lambda: floor_started(plain), beside="plain floor", rounds=60, warmup=5)


@pytest.mark.benchmark(group="floors")
def test_cheap_floor_stop(interleaved: Interleaved, floor: Floor) -> None:
    cheap, plain = floor("cheap"), floor("plain")
    interleaved(lambda: floor_stopped(cheap), lambda: floor_stopped(plain), beside="plain floor", rounds=60, warmup=5)


@pytest.mark.benchmark(group="pod start")
def test_pod_start_among_foreign_mounts(
    interleaved: Interleaved, bench_roots: Roots, tmp_path: Path, measuring: bool, root_only: None
) -> None:
    """Both pods are started by a process of their own, one of which sees 5 000 mounts more."""
    with ExitStack() as stack:

        def worker(name: str, mounts: int) -> Coprocess:
            root, runroot = tmp_path / name / "root", tmp_path / name / "run"
            root.mkdir(parents=True)
            runroot.mkdir()
            command: list[str | Path] = [sys.executable, "-m", "benchmarks.subject", root, runroot, str(mounts)]
            return stack.enter_context(Coprocess(command, cwd=Path(__file__).parent.parent))

        many, few = worker("many", FOREIGN_MOUNTS if measuring else 50), worker("few", 0)
        interleaved(
            lambda: floor_started(many), lambda: floor_started(few),
            beside="start without foreign mounts", rounds=40, warmup=5, budget=1.2,
        )  # fmt: skip
