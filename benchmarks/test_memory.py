# SPDX-License-Identifier: Apache-2.0
"""Memory of podfast's own processes per pod, and what a long life of an engine leaves in it."""

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import podfast
from benchmarks.conftest import Figures
from benchmarks.subject import Pods, two_containers
from tests.machinery import isolation
from tests.machinery.leaks import LeakCheck
from tests.machinery.roots import Roots


def children(pid: int) -> frozenset[int]:
    return frozenset(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def own_processes(pod: podfast.Pod) -> frozenset[int]:
    """podfast's processes of a pod: the parent of its containers, and what else that has as children."""
    containers = {one.pid for one in pod.containers.values()}
    (shim,) = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in containers}
    return frozenset({shim}) | (children(shim) - containers)


def proportional_size(pid: int) -> int:
    """PSS in bytes: a page that n processes share counts as 1/n of a page."""
    match = re.search(r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def unique_size(pid: int) -> int:
    """Private memory in bytes, without what is shared."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB$", text, re.MULTILINE)) * 1024


@pytest.mark.benchmark(group="memory")
@pytest.mark.parametrize("count", [1, 100])
def test_memory_per_pod(benchmark: Any, figures: Figures, bench_roots: Roots, measuring: bool, count: int) -> None:
    made = count if measuring else min(count, 2)
    with ExitStack() as stack:
        pods: list[podfast.Pod] = []

        def start_all() -> None:
            for number in range(made):
                pod = podfast.run(two_containers(f"bench-{number}"), root=bench_roots.root, runroot=bench_roots.runroot)
                stack.callback(pod.stop, 0)
                pods.append(pod)

        benchmark.pedantic(start_all, rounds=1)
        own = frozenset[int]().union(*map(own_processes, pods))
        assert len(own) == 2 * made, "one shim and one pause for each pod"
        count_of_pods = "1 pod" if made == 1 else f"{made} pods"
        pss = sum(map(proportional_size, own)) / made / 1024
        figures(f"shim and pause, PSS per pod, with {count_of_pods}", pss, "KiB", budget=400)
        figures(
            f"shim and pause, private memory per pod, with {count_of_pods}",
            sum(map(unique_size, own)) / made / 1024,
            "KiB",
        )
        figures(f"this process, private memory, with {count_of_pods}", unique_size(os.getpid()) / 2**20, "MiB")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="memory")
def test_a_thousand_cycles(benchmark: Any, figures: Figures, bench_roots: Roots, measuring: bool) -> None:
    """Neither descriptors nor memory grow with the pods that an engine has had, and nothing is left of them."""
    isolation.isolate()
    pods = Pods(*bench_roots)

    def cycles(count: int) -> None:
        for _ in range(count):
            pods.start()
            pods.stop()

    cycles(100 if measuring else 2)
    leaks = LeakCheck(bench_roots)
    descriptors, memory = len(os.listdir("/proc/self/fd")), unique_size(os.getpid())
    benchmark.pedantic(cycles, args=(1000 if measuring else 10,), rounds=1)
    leaks.check(ignore=("trash",))
    figures("descriptors more after 1 000 cycles", len(os.listdir("/proc/self/fd")) - descriptors, "", budget=0)
    # The allocator's own variation is within this; a leak of one object per pod is not.
    figures("memory more after 1 000 cycles", (unique_size(os.getpid()) - memory) / 1024, "KiB", budget=1024)
