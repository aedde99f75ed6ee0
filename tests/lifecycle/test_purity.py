# SPDX-License-Identifier: Apache-2.0
"""The machine has no clock and does no I/O, and is cheap to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import podfast.lifecycle
from podfast import spec
from podfast.lifecycle import Rules

FILES = sorted(Path(podfast.lifecycle.__file__).parent.glob("*.py"))
ALLOWED = {"__future__", "collections.abc", "typing", "msgspec", "msgspec.structs"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_imports_nothing_that_acts(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert module in ALLOWED or module.startswith(("podfast.lifecycle", "podfast.spec.model")), module
        assert not isinstance(node, ast.Import)


def test_import_brings_in_nothing_but_msgspec() -> None:
    names = "set(sys.modules)"
    program = f"import sys, msgspec.structs, podfast; old = {names}; import podfast.lifecycle; print(*{names} - old)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert all(name.startswith("podfast.lifecycle") for name in done.stdout.split()), done.stdout


def test_rules_of_a_pod() -> None:
    pod = spec.load(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "p",
                "annotations": {"podfast.dev/back-off-initial": "50ms", "podfast.dev/back-off-max": "1s"},
            },
            "spec": {
                "restartPolicy": "OnFailure",
                "terminationGracePeriodSeconds": 3,
                "containers": [{"name": "one"}, {"name": "two"}],
            },
        }
    )
    rules = Rules.of(pod)
    assert [(one.name, one.restart_policy) for one in rules.containers] == [("one", "OnFailure"), ("two", "OnFailure")]
    assert (rules.grace, rules.back_off_initial, rules.back_off_max) == (3.0, 0.05, 1.0)
