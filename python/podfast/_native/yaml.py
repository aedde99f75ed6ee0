# SPDX-License-Identifier: Apache-2.0
"""YAML or JSON text → plain data with places. PyYAML's C parser makes the events, `_yaml` builds from them."""

from __future__ import annotations

from typing import Any, NamedTuple

from podfast._native._yaml import Reader, Stop, control_character, join_surrogates, place, resolve
from podfast.errors import Unsupported

__all__ = ["Mistake", "Reading", "control_character", "join_surrogates", "place", "read", "resolve"]


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
    # Here, because it costs 10 ms that a Pod given as data need not pay.
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
