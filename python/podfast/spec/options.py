# SPDX-License-Identifier: Apache-2.0
"""The `podfast.dev/*` annotations: a closed set, each parsed into a typed option. An unknown one is a mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from podfast.spec.model import Options
from podfast.spec.problems import Path, Report, shown, suggestion
from podfast.spec.quantity import parse_memory

__all__ = ["KNOWN", "PREFIX", "parse"]

PREFIX = "podfast.dev/"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DAY = 86400.0
_SHORTEST = 0.01
_SMALLEST_LOG = 64 * 1024


def parse(annotations: Mapping[str, str], report: Report, path: Path) -> Options:
    """The options of a pod; what is wrong goes to the report."""
    found: dict[str, Any] = {}
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX)
        option = KNOWN.get(name)
        if option is None:
            known = suggestion(name, KNOWN)
            report.add((*path, key), f'unknown annotation "{shown(key)}"{known}; podfast.dev/ is podfast\'s own')
            continue
        field, read = option
        try:
            found[field] = read(text)
        except ValueError as error:
            report.add((*path, key), f'annotation {key} {error}, not "{shown(text)}"')
    options = Options(**found)
    if options.back_off_initial > options.back_off_max:
        key = f"{PREFIX}back-off-{'initial' if 'back_off_initial' in found else 'max'}"
        report.add((*path, key), f"annotation {key}: the first back-off must not be longer than the longest")
    return options


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError('must be "true" or "false"')
    return text == "true"


def _choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return read


def _duration(text: str) -> float:
    """Seconds, from a number and a unit or several (`500ms`, `10s`, `1m30s`), between 10 ms and a day."""
    seconds = 0.0
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = rest[digits:][: len(rest[digits:]) - len(rest[digits:].lstrip("hms"))]
        try:
            seconds += float(rest[:digits]) * _UNITS[unit]
        except (ValueError, KeyError):
            raise ValueError("must be a duration, such as 500ms, 10s or 5m") from None
        rest = rest[digits + len(unit) :]
    if not _SHORTEST <= seconds <= _DAY:
        raise ValueError("must be a duration between 10ms and 24h")
    return seconds


def _log_size(text: str) -> int:
    try:
        size = int(parse_memory(text))
    except ValueError:
        size = 0
    if not _SMALLEST_LOG <= size <= 1 << 40:
        raise ValueError("must be a size between 64Ki and 1Ti")
    return size


def _log_files(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 2 <= int(text) <= 100):
        raise ValueError("must be a number from 2 to 100")
    return int(text)


KNOWN: dict[str, tuple[str, Callable[[str], Any]]] = {
    "init": ("init", _flag),
    "writable-layer": ("writable_layer", _choice("auto", "disk", "memory")),
    "back-off-initial": ("back_off_initial", _duration),
    "back-off-max": ("back_off_max", _duration),
    "seccomp": ("seccomp", _choice("default", "unconfined")),
    "log-max-size": ("log_max_size", _log_size),
    "log-max-files": ("log_max_files", _log_files),
}
