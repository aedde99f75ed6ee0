# SPDX-License-Identifier: Apache-2.0
"""Memory of podfast's own processes per pod, and what a long life of an engine leaves in it."""

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.machinery.roots import Roots

from benchmarks.conftest import Figures
from benchmarks.subject import Pods, two_containers

OWN = re.compile(r"podfast-(shim|pause)|pause")


def own_processes() -> frozenset[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if OWN.fullmatch((folder / "comm").read_text().strip()):
                found.add(int(folder.name))
        except OSError:
            continue  # it has just ended
    return frozenset(found)


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
    import podfast

    made = count if measuring else min(count, 2)
    before = own_processes()
    with ExitStack() as stack:

        def start_all() -> None:
            for number in range(made):
                pod = podfast.run(two_containers(f"bench-{number}"), root=bench_roots.root, runroot=bench_roots.runroot)
                stack.callback(pod.stop, 0)

        benchmark.pedantic(start_all, rounds=1)
        own = own_processes() - before
        assert len(own) == 2 * made, "one shim and one pause for each pod"
        pods = "1 pod" if made == 1 else f"{made} pods"
        pss = sum(map(proportional_size, own)) / made / 1024
        figures(f"shim and pause, PSS per pod, with {pods}", pss, "KiB", budget=400)
        figures(f"shim and pause, private memory per pod, with {pods}", sum(map(unique_size, own)) / made / 1024, "KiB")
        figures(f"this process, private memory, with {pods}", unique_size(os.getpid()) / 2**20, "MiB")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="memory")
def test_a_thousand_cycles(benchmark: Any, figures: Figures, bench_roots: Roots, measuring: bool) -> None:
    """Neither descriptors nor memory grow with the number of pods that an engine has had."""
    pods = Pods(*bench_roots)

    def cycles(count: int) -> None:
        for _ in range(count):
            pods.start()
            pods.stop()

    cycles(100 if measuring else 2)
    own, descriptors, memory = own_processes(), len(os.listdir("/proc/self/fd")), unique_size(os.getpid())
    benchmark.pedantic(cycles, args=(1000 if measuring else 10,), rounds=1)
    assert own_processes() == own
    figures("descriptors more after 1 000 cycles", len(os.listdir("/proc/self/fd")) - descriptors, "", budget=0)
    # The allocator's own variation is within this; a leak of one object per pod is not.
    figures("memory more after 1 000 cycles", (unique_size(os.getpid()) - memory) / 1024, "KiB", budget=1024)
