# SPDX-License-Identifier: Apache-2.0
"""What starting podfast imports: each of these modules would cost more than a whole pod."""

from __future__ import annotations

import subprocess
import sys

import pytest

from podfast.cli.main import VERBS
from tests.repo.tree import ROOT

NEVER = {
    "asyncio",
    "pyroute2",
    "importlib.metadata",
    "rich",
    "sqlite3",
    "urllib.request",
    "http.client",
    "typer",
    "pydantic",
}
ONLY_WITH_A_POD = {"msgspec", "yaml", "argparse"}
REPORT = """
import sys
code = 0
try:
    from podfast.cli import main
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print("modules", *sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def modules(*arguments: str) -> set[str]:
    """The modules a command has imported by the time that it ends."""
    command = [sys.executable, "-c", REPORT, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("modules ")[2].split())


def test_that_version_imports_next_to_nothing() -> None:
    loaded = modules("version")
    assert not loaded & (NEVER | {"msgspec", "yaml"})
    assert "podfast.spec" not in loaded


def test_that_help_imports_next_to_nothing() -> None:
    assert not modules("--help") & (NEVER | {"msgspec", "yaml"})


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_that_the_help_of_a_verb_does_not_load_the_engine(verb: str) -> None:
    assert not modules(verb, "--help") & NEVER


def test_that_a_run_imports_no_loop_and_no_netlink(root: str, runroot: str) -> None:
    """A whole pod, from text to its end."""
    del root, runroot
    loaded = modules("run", "examples/helloworld.yaml")
    assert "podfast.sandbox" in loaded
    assert not loaded & NEVER


def test_that_the_library_imports_no_loop_and_no_netlink() -> None:
    script = "import sys, podfast; podfast.run; podfast.errors; podfast.native; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not set(done.stdout.split()) & NEVER
