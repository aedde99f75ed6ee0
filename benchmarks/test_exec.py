# SPDX-License-Identifier: Apache-2.0
"""Running `true` in a running container, beside fork, setns and exec in C, in the same container."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.conftest import Interleaved
from benchmarks.coprocess import Coprocess
from benchmarks.subject import two_containers
from tests.machinery.roots import Roots


@pytest.mark.benchmark(group="exec")
def test_exec_of_true(interleaved: Interleaved, bench_roots: Roots, compiled: Callable[[str], Path]) -> None:
    import podfast

    with podfast.run(two_containers("bench-exec"), root=bench_roots.root, runroot=bench_roots.runroot) as pod:
        pid = pod.containers["first"].pid
        assert pid is not None

        def subject() -> None:
            assert pod.exec("first", ["/usr/bin/true"]).exit_code == 0

        with Coprocess([compiled("exec"), str(pid), "/usr/bin/true"]) as beside:
            interleaved(
                subject, lambda: beside.ask("exec"),
                beside="fork, setns and exec in C", rounds=100, warmup=10, budget=2.0,
            )  # fmt: skip
        pod.stop(grace=0)
