# SPDX-License-Identifier: Apache-2.0
"""What all tests share: directories of their own, and the check that they leave nothing behind."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.machinery import isolation, roots as places
from tests.machinery.leaks import KINDS, LeakCheck, LeakError
from tests.machinery.roots import Roots
from tests.machinery.view import View

# A test that asks for one of these makes something, and so does one that is marked `makes`.
_MAKERS = frozenset(("roots", "root", "runroot", "engine", "pod"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "makes: makes processes, mounts, links …; the leak check runs after it")
    isolation.isolate()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is None or "leakcheck" in names:
            continue
        if _MAKERS.intersection(names) or item.get_closest_marker("makes"):
            names.insert(0, "leakcheck")


@pytest.fixture
def _directories() -> Iterator[Roots]:
    with places.directories() as made:
        yield made


@pytest.fixture
def leakcheck(_directories: Roots) -> Iterator[LeakCheck]:
    """Compares before and after: first as the test left things, then after the sweep that every command begins with."""
    with isolation.network():
        known = frozenset(KINDS["processes"](View(tuple(_directories))))
        check = LeakCheck(_directories)
        yield check
        try:
            check.check(ignore=("trash",))
            places.sweep(_directories)
            check.check()
        except LeakError as error:
            places.rescue(_directories, known, error.leaks)
            raise


@pytest.fixture
def roots(_directories: Roots, leakcheck: LeakCheck) -> Roots:
    """Root and run root of this test alone, empty; PODFAST_ROOT and PODFAST_RUNROOT name them."""
    del leakcheck
    return _directories


@pytest.fixture
def root(roots: Roots) -> str:
    return roots.root


@pytest.fixture
def runroot(roots: Roots) -> str:
    return roots.runroot
