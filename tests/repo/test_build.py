# SPDX-License-Identifier: Apache-2.0
"""The build says in one line what it lacks, and makes only what is stale."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from podfast import _native
from tests.repo.tree import ROOT

TOOLS = ("gcc", "as", "objcopy", "musl-gcc", "cargo")


@pytest.fixture(scope="module")
def toolchain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toolchain", ROOT / "native" / "toolchain.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves on PATH a directory with the tools of the build, less some."""

    def leave(*absent: str) -> None:
        for tool in TOOLS:
            if tool not in absent:
                (tmp_path / tool).symlink_to(shutil.which(tool) or "/nonexistent")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("CARGO_HOME", str(tmp_path / "none"))
        monkeypatch.delenv("CC", raising=False)

    return leave


@pytest.mark.parametrize(
    ("absent", "packages"),
    [
        ("gcc", "gcc libc6-dev"),
        ("as", "binutils"),
        ("musl-gcc", "musl-tools"),
        ("cargo", "cargo-web rustc-web"),
    ],
)
def test_that_a_missing_tool_is_named(
    toolchain: ModuleType, path_without: Callable[..., None], absent: str, packages: str
) -> None:
    path_without(absent)
    with pytest.raises(toolchain.ToolError) as caught:
        toolchain.check()
    assert str(caught.value).endswith(f"apt-get install {packages}")
    assert "\n" not in str(caught.value)


def test_that_all_that_is_missing_is_told_at_once(toolchain: ModuleType, path_without: Callable[..., None]) -> None:
    path_without(*TOOLS)
    with pytest.raises(toolchain.ToolError) as caught:
        toolchain.check()
    assert str(caught.value).endswith("apt-get install gcc libc6-dev binutils musl-tools cargo-web rustc-web")


def test_that_an_old_rust_is_told(toolchain: ModuleType, path_without: Callable[..., None], tmp_path: Path) -> None:
    path_without("cargo")
    (tmp_path / "cargo").write_text("#!/bin/sh\necho 'cargo 1.63.0 (fd9c4297c 2022-07-01)'\n")
    (tmp_path / "cargo").chmod(0o755)
    with pytest.raises(toolchain.ToolError) as caught:
        toolchain.check()
    assert "1.85 or newer (there is cargo 1.63.0" in str(caught.value)


def test_that_pip_shows_the_line(path_without: Callable[..., None], tmp_path: Path) -> None:
    """A front end runs setup.py so; the last line is podfast's own, not a traceback's."""
    path_without("musl-gcc")
    command = [sys.executable, "setup.py", "-q", "build_tables", "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run(command[:4], cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("error: podfast cannot be built here without")
    assert last.endswith("apt-get install musl-tools")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["podfast-shim", "podfast-init", "podfast-pause", "podfast-unpack"])
def test_that_programs_are_installed(name: str) -> None:
    path = Path(_native.binary(name))
    assert path.stat().st_mode & stat.S_IXUSR
    assert path.read_bytes()[:4] == b"\x7fELF"
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("name", ["podfast-shim", "podfast-init", "podfast-pause"])
def test_that_programs_of_the_pod_need_no_library(name: str) -> None:
    done = subprocess.run(["readelf", "-lW", _native.binary(name)], capture_output=True, text=True, check=True)
    assert "INTERP" not in done.stdout
    assert "DYNAMIC" not in done.stdout
