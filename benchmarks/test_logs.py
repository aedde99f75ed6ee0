# SPDX-License-Identifier: Apache-2.0
"""Log throughput: lines of 100 bytes through the shim into a CRI log, beside the same writer into `cat > file`."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.conftest import Figures, Interleaved
from tests.machinery.roots import Roots

SIZE = 100
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: bench-logs}}
spec:
  restartPolicy: Never
  containers:
  - name: flood
    image: host
    command: [/beside/flood, "{lines}", "{size}", /beside/took]
    volumeMounts:
    - {{name: beside, mountPath: /beside}}
  volumes:
  - name: beside
    hostPath: {{path: {folder}, type: Directory}}
"""


def none_lost(numbers: Iterable[int], lines: int) -> None:
    """What rotation has kept is the end of the stream, without a gap."""
    kept = list(numbers)
    assert kept and kept[-1] == lines - 1
    assert all(after == before + 1 for before, after in pairwise(kept))


def test_a_lost_line_is_seen() -> None:
    none_lost([7, 8, 9], 10)
    for numbers in ([], [0, 1, 2], [7, 9], [7, 8, 8, 9]):
        with pytest.raises(AssertionError):
            none_lost(numbers, 10)


@pytest.mark.benchmark(group="logs")
def test_log_throughput(
    interleaved: Interleaved, figures: Figures, bench_roots: Roots, tmp_path: Path, measuring: bool,
    compiled: Callable[[str], Path],
) -> None:  # fmt: skip
    import podfast

    lines = 1_000_000 if measuring else 20_000
    flood, took = tmp_path / "flood", tmp_path / "took"
    shutil.copy(compiled("flood"), flood)
    text = MANIFEST.format(lines=lines, size=SIZE, folder=tmp_path)

    def subject() -> float:
        with podfast.run(text, root=bench_roots.root, runroot=bench_roots.runroot) as pod:
            assert pod.wait(timeout=60).phase == "Succeeded"
            none_lost((int(line.text[:10]) for line in pod.logs("flood")), lines)
        return int(took.read_text()) / 1e9

    def counterpart() -> float:
        file = tmp_path / "file"
        command = f'"{flood}" {lines} {SIZE} "{took}" | cat > "{file}"'
        subprocess.run(["sh", "-c", command], check=True)
        file.unlink()
        return int(took.read_text()) / 1e9

    rounds = interleaved(subject, counterpart, beside="cat > file", rounds=5, warmup=1)
    figures("log lines of 100 bytes", lines / rounds.medians[0], "lines/s", budget=1e6, more_is_better=True)
