# SPDX-License-Identifier: Apache-2.0
"""One look at the machine on behalf of one test: which processes are ours, shared by all kinds of one pass."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tests.machinery import isolation

Found = dict[str, str]
"""What stands there now: key → description. A key means the same object as long as it lives."""


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    state: str
    started: str
    name: str
    ours: bool

    @property
    def key(self) -> str:
        return f"{self.pid}:{self.started}"

    def __str__(self) -> str:
        return f"{self.pid} {self.name} (state {self.state}, parent {self.parent})"

    @property
    def dead(self) -> bool:
        return self.state in "ZX"


@dataclass(frozen=True)
class View:
    roots: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    before: Mapping[str, Found] = field(default_factory=dict)

    @cached_property
    def processes(self) -> dict[int, Process]:
        """All but kernel threads."""
        marked = b"%d" % isolation.mark()
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (process := _process(int(name), marked)) is not None:
                found[process.pid] = process
        return found

    @cached_property
    def ours(self) -> dict[int, Process]:
        """This process, what carries its mark, what descends from either, podfast-* that have our directories open."""
        processes = self.processes
        found = {pid: process for pid, process in processes.items() if process.ours or self._is_ours_by_files(process)}
        candidates = [process for pid, process in processes.items() if pid not in found]
        while True:
            more = [process for process in candidates if process.parent in found]
            if not more:
                return found
            found.update((process.pid, process) for process in more)
            candidates = [process for process in candidates if process.pid not in found]

    @cached_property
    def descriptors(self) -> dict[int, dict[str, str]]:
        """Of our processes: pid → descriptor → what it refers to."""
        return {pid: descriptors(pid) for pid, process in self.ours.items() if not process.dead}

    def _is_ours_by_files(self, process: Process) -> bool:
        if not self.roots or not process.name.startswith("podfast-"):
            return False
        return any(target.startswith(self.roots) for target in descriptors(process.pid).values())


def _process(pid: int, marked: bytes) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            head, _, tail = file.read(1024).rpartition(b")")
        fields = tail.decode("ascii").split()
        if fields[1] == "2" or pid == 2:
            return None
        name = head.partition(b"(")[2].decode("utf-8", "replace")
        return Process(pid, int(fields[1]), fields[0], fields[19], name, pid == os.getpid() or _has_mark(pid, marked))
    except OSError:
        return None


def _has_mark(pid: int, marked: bytes) -> bool:
    with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
        _, found, rest = file.read(4096).partition(b"Max msgqueue size")
    return bool(found) and rest.split(None, 1)[0] == marked


def descriptors(pid: int) -> dict[str, str]:
    found = {}
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return {}
    for number in numbers:
        try:
            found[number] = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue  # the one that listed the directory, for example
    return found


def command_line(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            return file.read(200).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
