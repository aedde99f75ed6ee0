# SPDX-License-Identifier: Apache-2.0
"""Localhost between two containers of a pod, beside two processes of the host.

By TCP, a Unix socket on a shared volume, and shared memory.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.conftest import Figures, Interleaved
from tests.machinery.roots import Roots

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: bench-ipc}}
spec:
  containers:
  - name: server
    image: host
    command: [/beside/{program}, serve, {address}]
    volumeMounts: &volumes
    - {{name: beside, mountPath: /beside}}
    - {{name: shared, mountPath: /shared}}
  - name: client
    image: host
    command: [/usr/bin/sleep, infinity]
    volumeMounts: *volumes
  volumes:
  - name: beside
    hostPath: {{path: {folder}, type: Directory}}
  - name: shared
    emptyDir: {{}}
"""
# Where the server is: in the pod, and on the host ({folder} is the test's own).
ADDRESSES = {
    "tcp": ('"17171"', "17171"),
    "unix": ("/shared/socket", "{folder}/socket"),
    "shm": ("/dev/shm/ring", "/dev/shm/podfast-benchmark-ring"),
}
ROUNDTRIPS, MEBIBYTES = 20_000, 2048
Driven = Callable[[str, int], float]


@pytest.fixture
def on_host(transport: str, compiled: Callable[[str], Path], tmp_path: Path) -> Iterator[Driven]:
    address = ADDRESSES[transport][1].format(folder=tmp_path)
    program = compiled(transport)
    server = subprocess.Popen([program, "serve", address])

    def drive(kind: str, amount: int) -> float:
        command: list[str | Path] = [program, "drive", address, kind, str(amount)]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) / 1e9

    yield drive
    server.kill()
    server.wait()
    if address.startswith("/"):
        Path(address).unlink(missing_ok=True)


@pytest.fixture
def in_pod(transport: str, compiled: Callable[[str], Path], tmp_path: Path, bench_roots: Roots) -> Iterator[Driven]:
    import podfast

    address = ADDRESSES[transport][0]
    shutil.copy(compiled(transport), tmp_path / transport)
    text = MANIFEST.format(program=transport, address=address, folder=tmp_path)
    with ExitStack() as stack:
        pod = podfast.run(text, root=bench_roots.root, runroot=bench_roots.runroot)
        stack.callback(pod.stop, 0)

        def drive(kind: str, amount: int) -> float:
            command = [f"/beside/{transport}", "drive", address.strip('"'), kind, str(amount)]
            result = pod.exec("client", command)
            assert result.exit_code == 0, result.stderr
            return int(result.stdout) / 1e9

        yield drive


@pytest.mark.benchmark(group="localhost: round trip of 64 bytes")
@pytest.mark.parametrize("transport", ADDRESSES)
def test_roundtrip(
    interleaved: Interleaved, figures: Figures, in_pod: Driven, on_host: Driven, transport: str, measuring: bool
) -> None:
    count = ROUNDTRIPS if measuring else 100
    rounds = interleaved(
        lambda: in_pod("roundtrip", count),
        lambda: on_host("roundtrip", count),
        beside="the same on the host",
        rounds=10,
    )
    figures(f"{transport}: round trip in a pod", rounds.medians[0] / count * 1e6, "µs")
    figures(f"{transport}: round trip on the host", rounds.medians[1] / count * 1e6, "µs")


@pytest.mark.benchmark(group="localhost: throughput")
@pytest.mark.parametrize("transport", ADDRESSES)
def test_throughput(
    interleaved: Interleaved, figures: Figures, in_pod: Driven, on_host: Driven, transport: str, measuring: bool
) -> None:
    size = MEBIBYTES if measuring else 4
    rounds = interleaved(
        lambda: in_pod("throughput", size),
        lambda: on_host("throughput", size),
        beside="the same on the host",
        rounds=10,
    )
    figures(f"{transport}: throughput in a pod", size / 1024 / rounds.medians[0], "GiB/s", more_is_better=True)
    figures(f"{transport}: throughput on the host", size / 1024 / rounds.medians[1], "GiB/s", more_is_better=True)
