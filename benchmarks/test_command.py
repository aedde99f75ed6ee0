# SPDX-License-Identifier: Apache-2.0
"""The whole command, from exec of `podfast` on."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.conftest import Figures, Interleaved
from tests.machinery.roots import Roots

PODFAST = [sys.executable, "-m", "podfast.cli"]
IMAGE = "localhost/podfast-benchmark:1"


def manifest(name: str, image: str, folder: Path) -> str:
    containers = "".join(
        f"""\
  - name: {container}
    image: {image}
    imagePullPolicy: Never
    command: [/beside/ready, /beside/fifo]
    volumeMounts:
    - {{name: beside, mountPath: /beside}}
"""
        for container in ("first", "second")
    )
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  containers:
{containers}\
  volumes:
  - name: beside
    hostPath: {{path: {folder}, type: Directory}}
"""


class Signals:
    """A FIFO in a folder that both containers mount; each writes one byte as soon as it runs."""

    def __init__(self, folder: Path, ready: Path) -> None:
        self.folder = folder
        folder.mkdir()
        shutil.copy(ready, folder / "ready")
        os.mkfifo(folder / "fifo")
        self._fifo = os.open(folder / "fifo", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until both containers have written."""
        missing, deadline = 2, time.monotonic() + 60
        while missing:
            if select.select([self._fifo], [], [], 0.5)[0]:
                missing -= len(os.read(self._fifo, missing))
            elif process.poll() not in (None, 0) or time.monotonic() > deadline:
                raise AssertionError(f"{process.args!r} did not start the pod: exit code {process.returncode}")

    def close(self) -> None:
        os.close(self._fifo)


class Run:
    """`podfast run`, attached; ended by Ctrl-C."""

    def __init__(self, roots: Roots, signals: Signals) -> None:
        self._file = signals.folder / "podfast.yaml"
        self._file.write_text(manifest("bench-run", "host", signals.folder).replace("    imagePullPolicy: Never\n", ""))
        self._signals = signals
        self._command = [*PODFAST, "--root", roots.root, "--runroot", roots.runroot, "run", str(self._file)]

    def __call__(self) -> float:
        begin = time.perf_counter()
        with subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            try:
                self._signals.wait(process)
                return time.perf_counter() - begin
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(30)


class Play:
    """`podman kube play`. Debian's podman and crun want to see no v2 tree on a hybrid host."""

    ALONE = 'if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec podman "$@"'

    def __init__(self, tmp_path: Path, roots: Roots, signals: Signals) -> None:
        self._signals = signals
        self._cgroups_before = set(Path("/sys/fs/cgroup").glob("**/libpod_parent"))
        self._environment = {**os.environ, "CONTAINERS_CONF": str(self._configuration(tmp_path / "containers.conf"))}
        # podman takes no run root of more than 50 characters.
        self._podman = [
            "unshare", "-m", "sh", "-c", self.ALONE, "podman", "--cgroup-manager", "cgroupfs",
            "--root", f"{roots.root}/podman", "--runroot", f"{roots.runroot}/podman",
        ]  # fmt: skip
        self._file = signals.folder / "podman.yaml"
        self._file.write_text(manifest("bench-play", IMAGE, signals.folder))
        archive = tmp_path / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(signals.folder / "ready", "ready")
        self._run("import", str(archive), IMAGE)
        # Its infra image would be built by the first pod.
        self()

    def close(self) -> None:
        """podman leaves the parent of its cgroups behind."""
        for folder in set(Path("/sys/fs/cgroup").glob("**/libpod_parent")) - self._cgroups_before:
            for path, _, _ in os.walk(folder, topdown=False):
                os.rmdir(path)

    def _configuration(self, file: Path) -> Path:
        """podman asks for more descriptors and processes than one may have without CAP_SYS_RESOURCE."""
        file.write_text('[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n')
        return file

    def _run(self, *words: str) -> None:
        subprocess.run(
            [*self._podman, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=self._environment,
        )  # fmt: skip

    def __call__(self) -> float:
        begin = time.perf_counter()
        command = [*self._podman, "kube", "play", "--network", "none", str(self._file)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=self._environment
        ) as process:
            self._signals.wait(process)
            seconds = time.perf_counter() - begin
            process.wait(60)
        self._run("pod", "rm", "-f", "-t", "0", "bench-play")
        return seconds


@pytest.fixture
def signals(tmp_path: Path, compiled: Callable[[str], Path]) -> Iterator[Signals]:
    with closing(Signals(tmp_path / "beside", compiled("ready"))) as made:
        yield made


@pytest.fixture
def podman(measuring: bool) -> None:
    if not measuring:
        pytest.skip("podman takes seconds, and only a measurement needs it")
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed (Debian: apt-get install podman crun catatonit)")


@pytest.mark.benchmark(group="whole command")
def test_run_beside_podman(
    podman: None, interleaved: Interleaved, bench_roots: Roots, signals: Signals, tmp_path: Path
) -> None:
    with closing(Play(tmp_path, bench_roots, signals)) as play:
        run = Run(bench_roots, signals)
        interleaved(run, play, beside="podman kube play", rounds=10, warmup=1, budget=0.2)


@pytest.mark.benchmark(group="whole command")
def test_run_beside_python(interleaved: Interleaved, bench_roots: Roots, signals: Signals) -> None:
    """What of it the interpreter alone takes is known when podman is not there to compare with."""
    interleaved(Run(bench_roots, signals), empty_python, beside="python -c pass", rounds=20)


def empty_python() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


@pytest.mark.benchmark(group="whole command")
@pytest.mark.parametrize("word", ["version", "--help"])
def test_answer_of_a_command(interleaved: Interleaved, figures: Figures, word: str) -> None:
    def subject() -> None:
        subprocess.run([*PODFAST, word], check=True, stdout=subprocess.DEVNULL)

    rounds = interleaved(subject, empty_python, beside="python -c pass", rounds=30)
    figures(f"podfast {word}", rounds.medians[0] * 1e3, "ms", budget=60)
