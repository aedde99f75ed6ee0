# SPDX-License-Identifier: Apache-2.0
"""The race harness catches a resolver that looks twice; one that asks the kernel once is not led astray."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machinery import race


@dataclass(frozen=True)
class Field:
    """root/volume is a directory or, half of the time, a link to a directory outside."""

    root: str
    swap: tuple[str, str]

    def escaped(self, descriptor: int) -> bool:
        try:
            return os.read(descriptor, 16) == b"outside"
        finally:
            os.close(descriptor)


@pytest.fixture
def field(tmp_path: Path) -> Field:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (root / "volume").mkdir(parents=True)
    outside.mkdir()
    (root / "volume" / "file").write_text("inside")
    (outside / "file").write_text("outside")
    (root / "link").symlink_to(outside)
    return Field(str(root), (str(root / "volume"), str(root / "link")))


def naive(root: str, path: str) -> int:
    """Resolves, finds it good, and resolves again."""
    if not os.path.realpath(f"{root}/{path}").startswith(f"{root}/"):
        raise PermissionError(f"{path} leads out of {root}")
    return os.open(f"{root}/{path}", os.O_RDONLY)


def step_by_step(root: str, path: str) -> int:
    """Each name is looked up once, from the directory before it, and is no link."""
    here = os.open(root, os.O_PATH | os.O_DIRECTORY)
    *directories, last = path.split("/")
    try:
        for name in directories:
            there = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = there
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


def core(root: str, path: str) -> int:
    """The core's own door: openat2."""
    native = pytest.importorskip("podfast._native", reason="podfast is not built")
    errors = pytest.importorskip("podfast.errors")
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        found = native.open_in_root(directory, path)
        try:
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY)
        finally:
            os.close(found)
    except errors.SystemFailure as failure:
        raise OSError(failure.errno, str(failure)) from failure
    finally:
        os.close(directory)


@pytest.mark.makes
def test_a_naive_resolver_is_caught(field: Field) -> None:
    outcome = race.run(lambda: naive(field.root, "volume/file"), field.escaped, field.swap, seconds=20)
    assert outcome.escapes == 1, outcome


@pytest.mark.makes
@pytest.mark.parametrize("resolver", [step_by_step, core])
def test_a_careful_resolver_is_not_led_astray(field: Field, resolver: Callable[[str, str], int]) -> None:
    outcome = race.run(lambda: resolver(field.root, "volume/file"), field.escaped, field.swap, seconds=1.5)
    assert outcome.contested, outcome
    assert outcome.escapes == 0, outcome
