# SPDX-License-Identifier: Apache-2.0
"""Imports go down the layers listed in pyproject.toml, stay at the fronts of packages and never reach for the top."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.repo.tree import PACKAGE, ROOT, relative

MODULES = sorted(PACKAGE.rglob("*.py"))
PARTS = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
# What may be imported of a package beside its front and its `model`, by those who must not pay for the front.
DOORS = {
    "podfast._native.yaml",
    "podfast.sandbox.client",  # other shells talk to a pod that they did not make
    "podfast.sandbox.exec",
    "podfast.sandbox.failure",
    "podfast.sandbox.protocol",  # the messages, which engine and sandbox share
    "podfast.spec.expand",  # pure, and needed without the loader
    "podfast.spec.quantity",
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a module imports, relative ones resolved."""
    package = ["podfast", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "podfast" else (module,)


def test_that_layers_hold() -> None:
    program = shutil.which("lint-imports") or str(Path(sys.executable).with_name("lint-imports"))
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_that_no_module_imports_the_top() -> None:
    for path in MODULES:
        for name in imports(path) if path != PACKAGE / "__init__.py" else ():
            head, _, rest = name.partition(".")
            assert head != "podfast" or rest.split(".")[0] in PARTS, f"{relative(path)}: {name}"


def test_that_imports_stop_at_fronts() -> None:
    deep = set()
    for path in MODULES:
        own = path.relative_to(PACKAGE).parts[0]
        for words in (name.split(".") for name in imports(path)):
            if words[0] == "podfast" and len(words) > 2 and words[1] != own and words[2] != "model":
                deep.add((relative(path), ".".join(words[:3])))
    assert sorted((path, name) for path, name in deep if name not in DOORS) == []


def test_that_compiled_modules_stay_inside_native() -> None:
    for path in MODULES:
        for name in imports(path) if "_native" not in path.parts else ():
            assert not name.startswith("podfast._native._"), f"{relative(path)}: {name}"
