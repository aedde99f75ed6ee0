# SPDX-License-Identifier: Apache-2.0
"""Colours, tables and ages."""

import os
import sys
from collections.abc import Iterable, Sequence

# One per container, in this order, then from the front again. Red is left to errors.
PALETTE = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
RESET = b"\x1b[0m"


def coloured(descriptor: int) -> bool:
    """Whether colours are welcome there: on a terminal, unless NO_COLOR says otherwise (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def paint(text: bytes, index: int) -> bytes:
    return b"\x1b[%dm%s%s" % (PALETTE[index % len(PALETTE)], text, RESET)


def say(message: str) -> None:
    """A word to the person, never to be mistaken for output: on standard error."""
    try:
        print(f"podfast: {message}", file=sys.stderr, flush=True)
    except OSError:
        pass  # the terminal is gone


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, with_headers: bool = True) -> str:
    """Columns as kubectl prints them: three spaces apart, the last one as it is."""
    lines = [list(map(_cell, row)) for row in rows]
    if with_headers:
        lines.insert(0, list(headers))
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join("   ".join(map(str.ljust, line, widths)).rstrip() for line in lines) + "\n"


def _cell(value: str) -> str:
    """What others wrote (an image's name, a reason) must not draw on the terminal."""
    return "".join(char if char.isprintable() else "?" for char in value) or "<none>"


def age(seconds: float) -> str:
    """A duration as kubectl prints ages: two units while that says something, one beyond."""
    total = max(0, int(seconds))
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    years = days // 365
    if years < 2:
        return f"{days}d"
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first}{first_unit}{second}{second_unit}" if second else f"{first}{first_unit}"


def since(moment: object, now: float) -> str:
    """The age of an RFC 3339 moment; `<unknown>` where there is none."""
    from datetime import UTC, datetime  # 8 ms that a pod's start need not pay

    if not isinstance(moment, str):
        return "<unknown>"
    try:
        # Python reads at most six digits of a second.
        whole, _, fraction = moment.removesuffix("Z").partition(".")
        parsed = datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}").replace(tzinfo=UTC)
    except ValueError:
        return "<unknown>"
    return age(now - parsed.timestamp())
