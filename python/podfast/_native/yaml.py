# SPDX-License-Identifier: Apache-2.0
"""YAML or JSON text → plain data with places.

Two roads: `_scan` reads what people usually write; what it does not know, or finds wrong, is read from the events of
PyYAML's C parser by `_yaml`. So a usual manifest does not even import PyYAML.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from podfast._native._scalars import control_character, join_surrogates, resolve
from podfast._native._scan import TooMuch, scan
from podfast._native._yaml import Reader, Stop, place
from podfast.errors import Unsupported

__all__ = [
    "Mistake",
    "Reading",
    "TooMuch",
    "control_character",
    "join_surrogates",
    "place",
    "read",
    "read_events",
    "resolve",
    "scan",
]


class Mistake(NamedTuple):
    """One thing that is wrong with a text as YAML. `{path}` in the message stands for the path, written out."""

    path: tuple[str | int | None, ...]
    message: str
    line: int
    column: int


class Reading(NamedTuple):
    """`documents` are (value, line, column), `marks` as in `_yaml.Reader`. With mistakes, some data may be missing."""

    documents: list[tuple[Any, int, int]]
    marks: dict[int, Any]
    mistakes: list[Mistake]


def read(text: bytes, *, nodes: int, depth: int) -> Reading:
    """Read UTF-8 text without a byte order mark or control characters, and never more than the limits allow."""
    try:
        scanned = scan(text, nodes=nodes, depth=depth)
    except TooMuch as limit:
        return Reading([], {}, [Mistake((), *limit.args)])
    if scanned is None:
        return read_events(text, nodes=nodes, depth=depth)
    value, line, column, marks = scanned
    return Reading([(value, line, column)], marks, [])


def read_events(text: bytes, *, nodes: int, depth: int) -> Reading:
    """The same from PyYAML's events: all of YAML, and what is wrong."""
    # Here, because it costs 10 ms.
    try:
        import yaml
        from yaml._yaml import CParser
    except ImportError as error:
        raise Unsupported(
            "PyYAML is missing or without its C parser", remedy="pip install --force-reinstall pyyaml"
        ) from error

    reader = Reader(nodes=nodes, weight=10 * max(len(text), 1000), depth=depth)
    mistakes = []
    try:
        reader.read(CParser(text).get_event, yaml)
    except Stop:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(str(part) for part in (error.problem, error.context) if part)
        mistakes.append(Mistake((), f"not YAML: {words}", mark.line + 1 if mark else 0, mark.column + 1 if mark else 0))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count(b"\n") + 1
        mistakes.append(Mistake((), f"not YAML: {error.reason}", line, len(before) - before.rfind(b"\n")))
    found = [Mistake(*problem) for problem in reader.problems]
    return Reading(reader.documents, reader.marks, found + mistakes)
