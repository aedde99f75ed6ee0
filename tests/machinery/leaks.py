# SPDX-License-Identifier: Apache-2.0
"""Snapshot and difference of everything a test can leave behind.

check = LeakCheck(roots=(root, runroot))
...                    # make a pod, stop it
check.check()          # LeakError with one line per object, unless all is gone within two seconds
"""

import gc
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.machinery import bpf, cgroups, files, isolation, netlink, processes, tables
from tests.machinery.view import Found, View

PATIENCE_SECONDS = 2.0

KINDS: dict[str, Callable[[View], Found]] = {
    "processes": processes.processes,
    "zombies": processes.zombies,
    "mounts": tables.mounts,
    "namespaces": processes.namespaces,
    "cgroups": cgroups.cgroups,
    "links": netlink.links,
    "addresses": netlink.addresses,
    "routes": netlink.routes,
    "nft": netlink.rules,
    "locks": tables.locks,
    "descriptors": processes.descriptors,
    "threads": processes.threads,
    "bpf": bpf.bpf,
    "files": files.files,
    "trash": files.trash,
}
# Trees and tables that the whole machine shares: what comes and goes there while we look is somebody else's.
SHARED = ("cgroups", "bpf")


@dataclass(frozen=True)
class Leak:
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class LeakError(AssertionError):
    """Something outlived the test."""

    def __init__(self, leaks: Iterable[Leak]) -> None:
        self.leaks = tuple(leaks)
        lines = [f"  {leak}" for leak in self.leaks]
        super().__init__("\n".join((f"left behind after {PATIENCE_SECONDS:g} s:", *lines)))


class LeakCheck:
    """What stands when it is made is the standard that later looks are compared with."""

    def __init__(self, roots: Iterable[str] = (), watched: Iterable[str] = ()) -> None:
        """`roots` are podfast's directories, `watched` any others that must be as they were."""
        self._roots, self._watched = tuple(roots), tuple(watched)
        self._expected: list[tuple[str, re.Pattern[str]]] = []
        isolation.isolate()
        self._before = _look(View(self._roots, self._watched), ())

    def watch(self, directory: str) -> None:
        """From now on, everything in this directory belongs there."""
        self._watched += (directory,)
        for kind in ("files", "locks"):
            self._before[kind] |= KINDS[kind](View(watched=(directory,)))

    def expect(self, kind: str, pattern: str) -> None:
        """Lets a leak of this kind pass whose description contains the pattern: for what a test keeps on purpose."""
        self._expected.append((kind, re.compile(pattern)))

    def leaks(self, ignore: Iterable[str] = ()) -> list[Leak]:
        """What is there now and was not, and may not be. Kinds in `ignore` are not looked at.

        Of the kinds in SHARED, what others are just making may be among it; `wait` tells them apart.
        """
        return list(self._new(ignore).values())

    def wait(self, timeout: float = PATIENCE_SECONDS, ignore: Iterable[str] = ()) -> list[Leak]:
        """The same, once nothing is left or the time (seconds) is over."""
        ignored = tuple(ignore)
        deadline = time.monotonic() + timeout
        pause = 0.002
        steady: set[str] | None = None
        while True:
            found = self._new(ignored)
            seen = set(found) if steady is None else steady & set(found)
            steady = seen
            found = {key: leak for key, leak in found.items() if leak.kind not in SHARED or key in seen}
            if not found or time.monotonic() > deadline:
                return list(found.values())
            gc.collect()
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def check(self, timeout: float = PATIENCE_SECONDS, ignore: Iterable[str] = ()) -> None:
        """Raises LeakError if anything is left after the timeout (seconds)."""
        leaks = self.wait(timeout, ignore)
        if leaks:
            raise LeakError(leaks)

    def _new(self, ignore: Iterable[str]) -> dict[str, Leak]:
        now = _look(View(self._roots, self._watched, self._before), tuple(ignore))
        return {
            f"{kind} {key}": Leak(kind, what)
            for kind, found in now.items()
            for key, what in found.items()
            if key not in self._before[kind] and not self._is_expected(kind, what)
        }

    def _is_expected(self, kind: str, what: str) -> bool:
        return any(kind == expected and pattern.search(what) for expected, pattern in self._expected)


def _look(view: View, ignored: tuple[str, ...]) -> dict[str, Found]:
    return {kind: collect(view) for kind, collect in KINDS.items() if kind not in ignored}
