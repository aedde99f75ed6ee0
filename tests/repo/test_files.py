# SPDX-License-Identifier: Apache-2.0
"""What holds for every source file: its licence line, its length, its name."""

from __future__ import annotations

import re

from tests.repo.tree import ROOT, files, relative

SOURCES = sorted(files(".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".cffi", ".S", ".inc", ".rs"))
OTHERS = sorted([*files("Cargo.toml", "pyproject.toml"), ROOT / ".ci" / "run"])
LICENCE = "SPDX-License-Identifier: Apache-2.0"
LONGEST = 500
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}


def test_that_the_walk_finds_the_sources() -> None:
    found = {relative(path) for path in SOURCES}
    assert {"setup.py", "native/core/child.c", "python/podfast/errors.py", "native/unpack/src/main.rs"} <= found
    assert not any("/target/" in name or name.startswith("build/") for name in found)


def test_one_licence_line_heads_each_file() -> None:
    for path in [*SOURCES, *OTHERS]:
        text = path.read_text(encoding="utf-8")
        first = next(line for line in text.splitlines() if not line.startswith("#!"))
        assert LICENCE in first, relative(path)
        assert len(re.findall(rf"^\W+{LICENCE}", text, re.MULTILINE)) == 1, relative(path)


def test_that_each_file_can_be_read_in_a_sitting() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_that_each_name_says_something() -> None:
    assert [relative(path) for path in SOURCES if path.stem.lower() in VAGUE] == []


def test_that_lines_end_cleanly() -> None:
    for path in SOURCES:
        text = path.read_bytes()
        assert b"\r" not in text, relative(path)
        assert text.endswith(b"\n") and not text.endswith(b"\n\n"), relative(path)


def test_that_the_licence_is_there_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
