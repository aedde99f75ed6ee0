# SPDX-License-Identifier: Apache-2.0
"""Strip plots of raw rounds, as inline SVG."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 288, 51, 6
ROWS = (11, 28)
# More dots than this cannot be told apart; every nth is shown then.
MOST_DOTS = 200


def strips(subject: Sequence[float], counterpart: Sequence[float], label: Callable[[float], str]) -> str:
    """Both sets of rounds on one axis that starts at nothing, each with its median as a line.

    The axis ends a little after the slower 95 %: what lies beyond is drawn at its edge, as a ring.
    """
    everything = sorted([*subject, *counterpart])
    if not everything:
        return ""
    end = max(everything[int(0.95 * (len(everything) - 1))] * 1.15, everything[0] * 1.05, 1e-12)

    def x(value: float) -> float:
        return round(MARGIN + min(value / end, 1.0) * (WIDTH - 2 * MARGIN), 1)

    medians = [label(statistics.median(rounds or everything)) for rounds in (subject, counterpart)]
    story = f"medians {medians[0]} and {medians[1]}"
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(story)}">']
    parts.append(f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="38.5" y2="38.5"/>')
    for kind, rounds, y in zip(("subject", "other"), (subject, counterpart), ROWS, strict=True):
        parts += _strip(kind, rounds, y, end, x)
    parts.append(f'<text x="{MARGIN}" y="49">0</text>')
    parts.append(f'<text x="{WIDTH - MARGIN}" y="49" text-anchor="end">{label(end)}</text></svg>')
    return "".join(parts)


def _strip(kind: str, rounds: Sequence[float], y: int, end: float, x: Callable[[float], float]) -> list[str]:
    if not rounds:
        return []
    step = -(-len(rounds) // MOST_DOTS)
    dots = []
    for index, value in enumerate(rounds[::step]):
        # A fixed scatter in height keeps equal rounds apart.
        height = y + (index * 7 % 11 - 5) * 0.9
        beyond = f' fill="none" stroke="var(--{kind})" style="fill: none"' if value > end else ' opacity="0.55"'
        dots.append(f'<circle class="{kind}" cx="{x(value)}" cy="{height:.1f}" r="2"{beyond}/>')
    at = x(statistics.median(rounds))
    return [*dots, f'<line class="median {kind}" x1="{at}" x2="{at}" y1="{y - 8}" y2="{y + 8}"/>']
