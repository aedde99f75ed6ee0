# SPDX-License-Identifier: Apache-2.0
"""From what a user gives (text, bytes, a path, plain data) to documents of plain data, within the limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from podfast.errors import Problem, SpecError
from podfast.spec.problems import dotted

if TYPE_CHECKING:
    from podfast._native.yaml import Mistake

__all__ = ["MOST_BYTES", "MOST_DEPTH", "MOST_NODES", "Content", "read"]

MOST_BYTES = 3 * 1024 * 1024
MOST_DEPTH = 100
# Keys and values in all, aliases expanded. The largest real Pods have some thousands.
MOST_NODES = 20_000

_BOMS = {
    b"\xef\xbb\xbf": "",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


# Line breaks to YAML, and to JSON characters like any other.
_BREAKS = {b"\xc2\x85": b"\\u0085", b"\xe2\x80\xa8": b"\\u2028", b"\xe2\x80\xa9": b"\\u2029"}


class Content(NamedTuple):
    """What a source holds: `documents` are (value, line, column); `marks` tell where their keys stand."""

    name: str
    documents: list[tuple[Any, int, int]]
    marks: dict[int, Any]
    mistakes: list[Mistake]


def read(source: str | bytes | os.PathLike[str] | Mapping[str, Any], name: str | None) -> Content:
    """The documents of a source. Raises SpecError when it cannot be read at all."""
    called = _printable(name or "")
    if isinstance(source, Mapping):
        return Content(called, [(_plain(source, (), called, [MOST_NODES]), 0, 0)], {}, [])
    if isinstance(source, str) and ("\n" in source or source.startswith("{")):
        return _parse(_encode(source, called), called)
    if isinstance(source, bytes):
        return _parse(source, called)
    if not isinstance(source, (str, os.PathLike)):
        _fail(f"a manifest must be text, a path or a mapping, not {type(source).__name__}", called)
    path = os.fsdecode(source)
    called = called or _printable(path)
    return _parse(_contents(path, called), called)


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)[1:-1]


def _contents(path: str, name: str) -> bytes:
    try:
        # Bounded, whatever is behind the name: a device may have no end.
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError([Problem(f"cannot read the manifest: {reason}", source=name)]) from error


def _encode(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        before = text[: error.start]
        column = len(before) - before.rfind("\n")
        _fail("half of a surrogate pair is not a character", name, before.count("\n") + 1, column)


def _parse(text: bytes, name: str) -> Content:
    if len(text) > MOST_BYTES:
        _fail(f"the manifest is larger than {MOST_BYTES >> 20} MiB", name)
    for mark, encoding in _BOMS.items():
        if text.startswith(mark):
            if encoding:
                _fail(f"the manifest is in {encoding}; save it as UTF-8", name, 1, 1)
            text = text[len(mark) :]
    try:
        text.decode()
    except UnicodeDecodeError as error:
        _fail("the manifest is not UTF-8 here", name, *_position(text, error.start))
    from podfast._native import yaml

    if text.startswith(b"{"):
        if b"\\ud" in text or b"\\uD" in text:
            text = yaml.join_surrogates(text)
        for raw, escaped in _BREAKS.items():
            if raw in text:
                text = text.replace(raw, escaped)
    at = yaml.control_character(text)
    if at >= 0:
        _fail("a control character is not allowed here", name, *_position(text, at))
    reading = yaml.read(text, nodes=MOST_NODES, depth=MOST_DEPTH)
    return Content(name, reading.documents, reading.marks, reading.mistakes)


def _position(text: bytes, at: int) -> tuple[int, int]:
    start = text.rfind(b"\n", 0, at) + 1
    return text.count(b"\n", 0, at) + 1, len(text[start:at].decode(errors="replace")) + 1


def _plain(value: Any, path: tuple[str | int, ...], name: str, budget: list[int]) -> Any:
    """A copy in plain dicts, lists and scalars, so that nobody can change what has been checked."""
    budget[0] -= 1
    if budget[0] < 0:
        _fail(f"more than {MOST_NODES} keys and values", name)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        _encode(value, name)
        return str(value)
    if len(path) >= MOST_DEPTH:
        _fail(f"nested more than {MOST_DEPTH} deep", name, path=path)
    if isinstance(value, Mapping):
        result = {}
        for key, item in value.items():
            if not isinstance(key, str):
                _fail(f"a key of {dotted(path) or 'the manifest'} is not a string", name, path=path)
            result[key] = _plain(item, (*path, key), name, budget)
        return result
    if isinstance(value, (list, tuple)):
        return [_plain(item, (*path, index), name, budget) for index, item in enumerate(value)]
    return _fail(f"{dotted(path)} must be plain data, not {type(value).__name__}", name, path=path)


def _fail(message: str, name: str, line: int = 0, column: int = 0, path: tuple[str | int, ...] = ()) -> NoReturn:
    raise SpecError([Problem(message, dotted(path), line, column, name)])
