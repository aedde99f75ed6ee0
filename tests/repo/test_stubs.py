# SPDX-License-Identifier: Apache-2.0
"""The typed face of compiled code says what is there, and the C declarations are those of the header."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from podfast import _native
from podfast._native import _types
from tests.repo.tree import PACKAGE, ROOT, relative

STUBS = sorted((PACKAGE / "_native").glob("*.pyi"))


@pytest.mark.parametrize("path", STUBS, ids=relative)
def test_that_a_stub_names_what_is_there(path: Path) -> None:
    module = importlib.import_module(f"podfast._native.{path.stem}")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert hasattr(module, node.name), node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert hasattr(module, node.target.id), node.target.id


def test_that_every_compiled_module_has_a_stub() -> None:
    compiled = {path.stem for path in (ROOT / "native" / "cython").glob("*.pyx")} | {"_core"}
    assert {path.stem for path in STUBS} == compiled


def test_that_the_protocol_is_the_library() -> None:
    """One method of `Library` for each function that cffi was told of, with as many arguments."""
    declared = (ROOT / "native" / "ffi" / "podfast.h.cffi").read_text(encoding="utf-8")
    functions = {
        name: 0 if arguments.strip() == "void" else arguments.count(",") + 1
        for name, arguments in re.findall(r"\b(pf_\w+)\(([^)]*)\);", declared)
    }
    methods = {
        name: method.__code__.co_argcount - 1
        for name, method in vars(_types.Library).items()
        if name.startswith("pf_") and callable(method)
    }
    assert methods == functions
    assert {name for name in dir(_native.lib) if name.startswith("pf_")} == set(functions)


def test_that_cffi_was_told_what_the_header_says() -> None:
    def lines(name: str) -> set[str]:
        text = re.sub(r"/\*.*?\*/", "", (ROOT / "native" / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        return {
            " ".join(part.split()) for part in re.findall(r"\b[\w *]+\bpf_\w+\([^)]*\);", text.replace("PF_API ", ""))
        }

    told = lines("ffi/podfast.h.cffi")
    assert told
    assert told <= lines("include/podfast.h")


def test_that_this_build_is_a_release() -> None:
    assert _native.PROFILE == "release"
