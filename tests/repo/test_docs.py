# SPDX-License-Identifier: Apache-2.0
"""What the documents say is true: commands, paths, links, verbs, versions."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import podfast
from podfast import _version
from podfast.cli.main import VERBS
from tests.repo.tree import ROOT, files, relative

DOCUMENTS = sorted(files(".md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def steps(block: str) -> list[list[str]]:
    """A shell block as commands; the ones in this repository use no more than words and &&."""
    commands: list[list[str]] = [[]]
    for line in block.replace("\\\n", " ").splitlines():
        for word in shlex.split(line, comments=True):
            if word == "&&":
                commands.append([])
            else:
                commands[-1].append(word)
        if not line.rstrip().endswith("&&"):
            commands.append([])
    return [command for command in commands if command]


def test_that_the_readme_has_two_commands() -> None:
    first, second = blocks(README, "sh")
    assert steps(first)[-1] == [".venv/bin/podfast", "run", "examples/helloworld.yaml"]
    assert steps(second)[-1] == [".venv/bin/python", "-m", "pytest"]
    for block in (first, second):
        joined = [line for line in block.strip().splitlines()[:-1] if not line.rstrip().endswith(("&&", "\\"))]
        assert not joined, "not one command"


def test_that_the_first_command_installs_what_the_build_names() -> None:
    """toolchain.py tells whoever lacks something which package to install; the README installs those."""
    source = (ROOT / "native" / "toolchain.py").read_text(encoding="utf-8")
    named = {
        word for words in re.findall(r'lacks\.append\(\(.*, "([a-z0-9 -]+)"\)\)', source) for word in words.split()
    }
    installed = set(steps(blocks(README, "sh")[0])[1])
    brought = {"binutils": "gcc", "libc6-dev": "python3-dev", "linux-libc-dev": "python3-dev"}
    assert {"gcc", "musl-tools", "cargo-web", "rustc-web", "python3-dev"} <= named
    assert {brought.get(name, name) for name in named} <= installed


def test_that_extras_exist() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    used = {name for path in DOCUMENTS for name in re.findall(r"'\.\[(\w+)\]'", path.read_text(encoding="utf-8"))}
    assert {"test"} <= used <= extras


def commands() -> Iterator[tuple[Path, list[str]]]:
    """Each `podfast …` that a document shows."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        shown = [step for block in blocks(text, "sh") for step in steps(block)]
        shown += [
            line[2:].split() for block in blocks(text, "") for line in block.splitlines() if line.startswith("$ ")
        ]
        shown += [code.split() for code in re.findall(r"`(podfast [^`]*)`", text)]
        yield from ((path, words) for words in shown if words and words[0].rpartition("/")[2] == "podfast")


def test_that_the_commands_shown_are_commands() -> None:
    shown = list(commands())
    assert shown
    for path, words in shown:
        verb = next((word for word in words[1:] if not word.startswith("-")), None)
        assert verb is None or verb in VERBS or verb.isupper(), f"{relative(path)}: {' '.join(words)}"
        for word in words:
            assert not word.startswith("examples/") or (ROOT / word).exists(), f"{relative(path)}: {word}"


def test_that_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (path.parent / target).exists(), f"{relative(path)}: {target}"


def test_that_python_in_documents_compiles() -> None:
    for path in DOCUMENTS:
        for block in blocks(path.read_text(encoding="utf-8"), "python"):
            compile(block, str(path), "exec")


def test_that_the_python_of_the_readme_runs(root: str, runroot: str) -> None:
    del root, runroot
    for block in blocks(README, "python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"Running \d+\n.+\n+", done.stdout), done.stdout


def test_that_what_the_readme_says_of_versions_is_so() -> None:
    toolchain = (ROOT / "native" / "toolchain.py").read_text(encoding="utf-8")
    crate = tomllib.loads((ROOT / "native" / "unpack" / "Cargo.toml").read_text(encoding="utf-8"))
    rust = crate["package"]["rust-version"]
    assert f"Rust {rust} " in README
    assert f"RUST = ({rust.replace('.', ', ')})" in toolchain
    python = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert f"Python {python} " in README


def test_that_there_is_one_version() -> None:
    assert podfast.__version__ == _version.__version__
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## (Unreleased|{re.escape(podfast.__version__)}\b)", text, re.MULTILINE)


def test_that_tests_named_in_documents_exist() -> None:
    for path in DOCUMENTS:
        for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", path.read_text(encoding="utf-8")):
            assert (ROOT / file).exists(), f"{relative(path)}: {file}"
            assert not name or re.search(rf"^def {name}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (
                name
            )


def test_that_files_named_in_the_safety_table_exist() -> None:
    text = (ROOT / "native" / "SAFETY.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| \d+ \|[^|]*\|([^|]*)\|", text, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", row):
            assert (ROOT / "native" / name).exists() or (ROOT / name).exists(), name
