# SPDX-License-Identifier: Apache-2.0
"""Directories for one test: a root on disk, a run root on tmpfs, their paths short."""

import contextlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.machinery import kernel
from tests.machinery.leaks import Leak
from tests.machinery.view import View


class Roots(NamedTuple):
    root: str
    runroot: str


@contextlib.contextmanager
def directories() -> Iterator[Roots]:
    """Both exist, and PODFAST_ROOT and PODFAST_RUNROOT name them; afterwards all is as it was."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root, runroot = tempfile.mkdtemp(prefix="pf-"), tempfile.mkdtemp(prefix="pf-", dir=memory)
    os.chmod(root, 0o711)
    os.chmod(runroot, 0o711)
    names = {"PODFAST_ROOT": root, "PODFAST_RUNROOT": runroot}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield Roots(root, runroot)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        for path in (root, runroot):
            shutil.rmtree(path, ignore_errors=True)


def sweep(roots: Roots) -> None:
    """What the next podfast command would do first. Nothing as long as podfast is not installed."""
    try:
        node = importlib.import_module("podfast.node")
    except ModuleNotFoundError as error:
        if error.name not in ("podfast", "podfast.node"):
            raise
        return
    node.sweep(roots.root, roots.runroot)


def rescue(roots: Roots, known: frozenset[str], leaks: Iterable[Leak] = ()) -> None:
    """After a failure, for the next test: kills our unknown processes and unmounts what is below the roots."""
    for process in View(tuple(roots)).ours.values():
        if process.key not in known and process.pid != os.getpid():
            kernel.kill(process.pid, process.started)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, 0)
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ")[4] for line in file]
    for point in reversed(points):
        if point.startswith(tuple(roots)):
            with contextlib.suppress(OSError):
                kernel.unmount(point)
    with contextlib.suppress(OSError):
        sweep(roots)
    groups = [leak.what.partition(" (")[0] for leak in leaks if leak.kind == "cgroups"]
    for group in sorted(groups, key=len, reverse=True):  # inner ones first; one that is still in use stays
        with contextlib.suppress(OSError):
            os.rmdir(group)
