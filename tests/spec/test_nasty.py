# SPDX-License-Identifier: Apache-2.0
"""Every field of the model × nasty values, made from the model: refused with the field's path and line, or taken."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from podfast.spec import load
from podfast.spec.model import Document
from tests.spec.samples import FULL, problems

Path = tuple[str | int, ...]

# What another field refers to.
REFERRED: list[Path] = [
    ("spec", "volumes"),
    ("spec", "volumes", 0),
    ("spec", "volumes", 0, "name"),
    ("spec", "containers", 0, "securityContext", "privileged"),
]

NASTY: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    10**300,
    0.5,
    1e300,
    float("inf"),
    float("nan"),
    "",
    " ",
    "0",
    "-1",
    "true",
    "..",
    "../../etc/passwd",
    "/../x",
    "/proc/self/root",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "\u202e",
    "ä" * 300,
    "x" * 70_000,
    "$(A)" * 100,
    [],
    {},
    [None],
    [[]],
    ["x"] * 300,
    [{}],
    {"x": None},
    {"": ""},
    {"name": {"name": []}},
    {"../x": "y"},
]


def _fields(kind: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every path of the sample that the model has a type for, and the type."""
    yield path, kind
    if isinstance(kind, inspect.UnionType):
        kind = kind.types[0]
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            if _has(FULL, (*path, field.encode_name)):
                yield from _fields(field.type, (*path, field.encode_name))
    elif isinstance(kind, inspect.VarTupleType):
        yield from _fields(kind.item_type, (*path, 0))


def _has(value: Any, path: Path) -> bool:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError):
            return False
    return True


def _of_type(kind: Any, value: Any) -> bool:
    """Whether a value has the right type at least; what the value itself must be like is another matter."""
    if isinstance(kind, inspect.UnionType):
        return value is None or _of_type(kind.types[0], value)
    if isinstance(kind, inspect.CustomType):
        return isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.IntType):
        whole = isinstance(value, float) and value.is_integer()
        return whole or (isinstance(value, int) and not isinstance(value, bool))
    if isinstance(kind, (inspect.StructType, inspect.DictType)):
        return isinstance(value, dict)
    return isinstance(value, list if isinstance(kind, inspect.VarTupleType) else str)


FIELDS = [(path, kind) for path, kind in _fields(inspect.type_info(Document), ()) if path]


def _with(path: Path, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(FULL)
    parent: Any = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return document


def _dotted(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def test_the_sample_has_every_field() -> None:
    """All but the alternatives: two sources for one volume are a mistake, so the sample has each once."""
    seen = {path[-1] for path, _ in FIELDS} | {"hostPath", "path", "type"}
    assert {field.encode_name for kind in _structs() for field in msgspec.structs.fields(kind)} <= seen


def _structs() -> Iterator[type[msgspec.Struct]]:
    from podfast.spec.model import STRUCTS

    yield from STRUCTS


@pytest.mark.parametrize(("path", "kind"), FIELDS, ids=[_dotted(path) for path, _ in FIELDS])
def test_nasty_values(path: Path, kind: Any) -> None:
    for value in NASTY:
        document = _with(path, value)
        found = problems(document)
        if value is None and not isinstance(path[-1], int):
            continue
        if not _of_type(kind, value):
            # A limit is for memory only, so a medium that cannot be read takes it along.
            limit = "spec.volumes[0].emptyDir.sizeLimit" if path[-1] == "medium" else ""
            assert [problem.path for problem in found if problem.path != limit] == [_dotted(path)], value
        for problem in found:
            # What is wrong is told at the value or below it, or where it is referred to.
            below = problem.path.startswith(
                (_dotted(path), "spec.volumes[0].emptyDir" if path[-1] == "medium" else "\0")
            )
            assert below or path in REFERRED or "too many" in problem.message, value
            assert str(problem).isprintable()
            assert len(str(problem)) < 1000


@pytest.mark.parametrize(("path", "kind"), FIELDS, ids=[_dotted(path) for path, _ in FIELDS])
def test_nasty_values_in_text_have_a_line(path: Path, kind: Any) -> None:
    for value in NASTY:
        if value != value or value in (float("inf"), float("-inf")):
            continue
        text = json.dumps(_with(path, value), indent=1)
        lines = text.splitlines()
        expected = [problem.message for problem in problems(_with(path, value))]
        found = problems(text)
        # Text and data are judged alike; only numbers that JSON cannot hold are texts to Kubernetes.
        if not isinstance(value, (int, float)) or abs(value) < 1e21:
            assert sorted(problem.message for problem in found) == sorted(expected)
            assert expected or load(text) == load(_with(path, value))
        for problem in found:
            assert 1 <= problem.line <= len(lines)
            assert 1 <= problem.column <= len(lines[problem.line - 1])
            assert kind is not None
