# SPDX-License-Identifier: Apache-2.0
"""Collecting the mistakes of a manifest, and saying where each one stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from podfast.errors import Problem, SpecError

__all__ = ["Path", "Report", "dotted", "shown", "suggestion"]

Path = tuple[str | int, ...]

# One message for each of so many; a manifest with more is broken in one way, not in many.
_MOST = 100
_LONGEST_WORD = 60
_LONGEST_PATH = 300


class Report:
    """The mistakes of one source. `marks` tells the places of keys, as `podfast._native.yaml` notes them."""

    def __init__(self, *, source: str = "", marks: Mapping[int, Any] | None = None) -> None:
        self.source = source
        self._root: object = None
        self._marks = marks or {}
        self._start = (0, 0)
        self._problems: list[Problem] = []
        self._broken: set[Path] = set()
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._problems)

    def enter(self, root: object, line: int, column: int) -> None:
        """From here on, paths lead through the document `root`, which begins at a line and column."""
        self._root = root
        self._start = (line, column)

    @property
    def full(self) -> bool:
        """Whether so much is wrong that the search for more may end."""
        return self._more > 0

    def about(self, path: Path, words: str) -> None:
        """Say of the value at `path` what it must or must not be: the message is the path and the words."""
        if not self.full:
            self.add(path, f"{dotted(path)} {words}")

    def add(self, path: Path, message: str) -> None:
        """Add a message for the place of `path`. What is below a path that is known to be wrong is not looked at."""
        if self._is_broken(path):
            return
        line, column = self._place(path)
        self.add_at(path, message, line, column)

    def add_at(self, path: Iterable[str | int | None], message: str, line: int, column: int) -> None:
        if len(self._problems) >= _MOST:
            self._more += 1
            return
        self._problems.append(Problem(message, dotted(path), line, column, self.source))

    def breaks(self, path: Path) -> None:
        """Nothing more is said about `path` and what is below: the value there is no longer the user's."""
        self._broken.add(path)

    def is_broken_below(self, path: Path) -> bool:
        """Whether something at or below `path` is no longer the user's, so that references to it mean nothing."""
        return any(broken[: len(path)] == path for broken in self._broken)

    def error(self) -> SpecError:
        """All mistakes, from top to bottom."""
        problems = sorted(self._problems, key=lambda problem: (problem.line, problem.column))
        if self._more:
            last = problems[-1]
            message = "too many mistakes: there are more than these"
            problems.append(Problem(message, "", last.line, last.column, self.source))
        return SpecError(problems)

    def _is_broken(self, path: Path) -> bool:
        return bool(self._broken) and any(path[:end] in self._broken for end in range(len(path) + 1))

    def _place(self, path: Path) -> tuple[int, int]:
        """Where the last key of `path` stands that the text has: a missing field is told where its parent begins."""
        line, column = self._start
        value: Any = self._root
        for step in path:
            places = self._marks.get(id(value))
            try:
                mark = places[step] if places is not None else None
                value = value[step]
            except (KeyError, IndexError, TypeError):
                break
            if mark is None:
                break
            from podfast._native.yaml import place

            line, column = place(mark)
        return line, column


def dotted(path: Iterable[str | int | None]) -> str:
    """`spec.containers[0].name`; a key that is no plain word stands in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step is not None:
            plain = step.replace("-", "").replace("_", "").isalnum() and step.isascii() and len(step) <= _LONGEST_WORD
            word = step if plain else f'["{shown(step)}"]'
            text += f".{word}" if plain and text else word
    return text if len(text) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}…"


def shown(text: str) -> str:
    """A foreign word in a message: short, and without anything that a terminal would obey."""
    short = text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD]}…"
    return short if short.isprintable() else ascii(short)[1:-1]


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean "…"?)`, or nothing when no known word is near."""
    if len(word) > _LONGEST_WORD:
        return ""
    # Here, because it is only wanted when something is wrong, and costs as much as reading a manifest.
    from difflib import get_close_matches

    folded = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), folded, n=1, cutoff=0.7)
    return f' (did you mean "{folded[near[0]]}"?)' if near else ""
