# SPDX-License-Identifier: Apache-2.0
"""Pods for tests: short manifests, one engine for each test, which is closed before the leak check."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import podfast
from podfast import _native, images as podfast_images
from podfast.node.watch import IN_CREATE
from podfast.places import resolve
from podfast.pod import Life, Pod
from podfast.supervise import Engine, engine_for
from tests.machinery.leaks import LeakCheck
from tests.machinery.roots import Roots

PATIENCE = 10.0
TOP = Path(__file__).resolve().parent.parent.parent
# Ends on TERM at once: sh is PID 1, where a signal without a handler does nothing.
STAYS = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
# Says so when it has come so far that TERM is heard.
READY = "trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait $!; done"

Manifest = dict[str, Any]


def container(script: str | None = None, name: str = "c0", **fields: Any) -> Manifest:
    """A container that runs a line of shell, or a `command` of its own."""
    made: Manifest = {"name": name, "image": "host", **fields}
    if script is not None:
        made["command"] = ["sh", "-c", script]
    return made


def manifest(
    *containers: str | Manifest, name: str = "test", policy: str = "Never", grace: int = 2, **more: Any
) -> Manifest:
    """A pod of containers c0, c1, …; `more` goes into the spec, `annotations` into the metadata."""
    annotations = {f"podfast.dev/{key.replace('_', '-')}": value for key, value in more.pop("options", {}).items()}
    made = [container(one, f"c{index}") if isinstance(one, str) else {**one} for index, one in enumerate(containers)]
    for index, one in enumerate(made):
        if index and one["name"] == "c0":
            one["name"] = f"c{index}"
    spec = {"restartPolicy": policy, "terminationGracePeriodSeconds": grace, "containers": made, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations}, "spec": spec}


class World:
    """Podfast in one test's directories."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self._processes: list[subprocess.Popen[str]] = []
        self._watch = _native.make_inotify()
        os.mkdir(f"{roots.runroot}/pods", 0o711)
        _native.add_inotify(self._watch, f"{roots.runroot}/pods", IN_CREATE)

    @property
    def engine(self) -> Engine:
        return engine_for(resolve(*self.roots))

    def run(self, *containers: str | Manifest, life: Life = "embedded", **more: Any) -> Pod:
        """A pod whose containers have started."""
        return podfast.run(manifest(*containers, **more), life=life, timeout=PATIENCE)

    def ready(self, *containers: str | Manifest, **more: Any) -> Pod:
        """The same, when every container has written a line."""
        pod = self.run(*containers, **more)
        for name in pod.containers:
            until(lambda name=name: bool(lines(pod, name)), f"a line of {name}")  # type: ignore[misc]
        return pod

    def output(self, one: str | Manifest, **more: Any) -> list[str]:
        """What a pod of one container wrote until it succeeded."""
        with self.run(one, **more) as pod:
            status = pod.wait(PATIENCE)
            written = lines(pod)
            assert status.phase == "Succeeded", (status, written)
            return written

    def process(self, script: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Another Python process on the same directories; `script` finds podfast, manifest and STAYS there."""
        head = "import podfast, os, sys, time, signal\nfrom tests.pod.conftest import *\n"
        process = subprocess.Popen(
            [sys.executable, "-c", head + script, *arguments],
            stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=TOP, **options,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def ids(self) -> list[str]:
        """Of all pods that were made on these directories, by whomever; to be asked once, at the end."""
        try:
            return [name.decode() for name in re.findall(rb"[0-9a-f]{64}", os.read(self._watch, 1 << 20))]
        except BlockingIOError:
            return ["none"]
        finally:
            os.close(self._watch)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        with contextlib.suppress(podfast.PodfastError):
            for pod in list(self.engine.pods.values()):
                self.engine.act(pod, pod.kill)
        self.engine.drive(lambda: not self.engine.pods, PATIENCE)
        self.engine.close()


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """The image `host`, made once: hundreds of links. Each test has it in its own root for as long as it runs."""
    with tempfile.TemporaryDirectory(prefix="pf-images-") as directory:
        podfast_images.ensure(["host"], root=directory)
        yield f"{directory}/images"


@pytest.fixture
def world(roots: Roots, leakcheck: LeakCheck, store: str) -> Iterator[World]:
    images = f"{roots.root}/images"
    os.rename(store, images)
    made = World(roots)
    try:
        yield made
    finally:
        try:
            made.close()
        finally:
            os.rename(images, store)
            # The cgroup tree is the machine's: groups of pods that are not of this test are not counted.
            leakcheck.expect("cgroups", f"/podfast-(?!{'|'.join(made.ids())})")


def lines(pod: Pod, container: str | None = None) -> list[str]:
    """What has been written so far."""
    pod.step()
    return [line.text.decode() for line in pod.logs(container)]


def until(true: Callable[[], bool], what: str = "", timeout: float = PATIENCE) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.004)


def said(process: subprocess.Popen[str], word: str) -> str:
    """Reads lines until one begins with the word; returns the rest of it."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line[len(word) :].strip()
    pytest.fail(f"the process ended without {word!r}")


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies not counted."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children(pid: int) -> dict[str, int]:
    """Name → pid of a process's children; of several with one name, one."""
    found = {}
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for word in file.read().split():
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),
                open(f"/proc/{word}/comm", encoding="utf-8") as comm,
            ):
                found[comm.read().strip()] = int(word)
    return found


def shim_of(pod: Pod) -> int:
    """The host's pid of a pod's shim."""
    with open(f"/proc/self/fdinfo/{pod._supervised.sandbox.shim_pidfd}", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pid:"))


def pause_of(pod: Pod) -> int:
    return pause_below(shim_of(pod))


def pause_below(shim: int) -> int:
    """A container may run a moment before pause has become the program of that name."""
    until(lambda: "podfast-pause" in children(shim), "pause")
    return children(shim)["podfast-pause"]


def pid_of(pod: Pod, name: str = "c0") -> int:
    pid = pod.containers[name].pid
    assert pid is not None, f"container {name} does not run"
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def terminated(pod: Pod, index: int = 0) -> Any:
    """How a container ended, as its status tells it."""
    state = pod.status.container_statuses[index].state.terminated
    assert state is not None, pod.status.container_statuses[index]
    return state
