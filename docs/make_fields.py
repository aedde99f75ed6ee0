# SPDX-License-Identifier: Apache-2.0
"""Writes docs/fields.md from `podfast.spec.fields`: what becomes of every field of a v1 Pod. A test compares the two.

Command line: python docs/make_fields.py
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from podfast.spec import fields

OUT = Path(__file__).with_name("fields.md")
HEAD = """# The fields of a Pod

What podfast does with every field of the v1 Pod (Kubernetes 1.37). *Honoured*: it does what it does in Kubernetes.
*Without effect*: accepted, since on one machine there is nothing for it to do. *Refused*: the manifest is not run, and
the error names the field. Nothing is dropped in silence; a name that is not here is an unknown field, which is an error
as well.

This page is made by `python docs/make_fields.py`.
"""


def render() -> str:
    """The page."""
    # Fields below a refused field cannot be reached; the page would be longer, not truer, with them.
    rows = [row for row in fields.table() if row.verdict != "below"]
    parts = [HEAD, "\n## Honoured\n"]
    parts += _by_type([row for row in rows if row.verdict == "honoured"])
    for verdict in sorted({row.verdict for row in rows} - {"honoured"}, key=lambda name: name.startswith("refused")):
        parts.append(f"\n## {verdict.capitalize()}\n")
        chosen = sorted((row for row in rows if row.verdict == verdict), key=lambda row: row.reason)
        for reason, group in groupby(chosen, key=lambda row: row.reason):
            parts.append(f"\n### … {reason}\n" if reason else "")
            parts += _by_type(list(group))
    return "\n".join(part for part in parts if part) + "\n"


def _by_type(rows: list[fields.Row]) -> list[str]:
    lines = []
    for kind in sorted({row.type for row in rows}):
        names = ", ".join(f"`{row.field}`" for row in rows if row.type == kind)
        lines.append(f"- **{kind}**: {names}")
    return lines


if __name__ == "__main__":
    OUT.write_text(render(), encoding="utf-8")
