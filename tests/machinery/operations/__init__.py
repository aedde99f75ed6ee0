# SPDX-License-Identifier: Apache-2.0
"""Operations for the crash-point harness: name → the command, and what recovers from its crash."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.machinery.injector import Operation, compiled
from tests.machinery.roots import Roots, sweep

_HERE = Path(__file__).parent
_TOY = _HERE.parent / "toy.c"


@dataclass(frozen=True)
class Subject:
    """What is crashed. It ends with 0, or with 3 when it failed, said why and undid everything."""

    operation: Callable[[Roots], Operation]
    recover: Callable[[Roots], None]


def _podfast(script: str) -> Subject:
    argv = (sys.executable, str(_HERE / script))
    return Subject(lambda _: Operation(argv, marked=True), sweep)


def toy(mode: str) -> Subject:
    """The harness is tried on these."""

    def operation(roots: Roots) -> Operation:
        program = compiled(_TOY, "toy", "-static", "-Wall", "-Wextra", "-Werror")
        programs = Path(roots.root, "images")  # the leak check does not mind what is there
        programs.mkdir(exist_ok=True)
        for name in ("podfast-shim", "podfast-pause"):
            shutil.copy2(program, programs / name)
        return Operation((program, roots.runroot, mode, str(programs)), marked=True, linger=0.3, limit=2)

    def recover(roots: Roots) -> None:
        record = Path(roots.runroot, "record")
        names = record.read_text().splitlines() if record.exists() else []
        for name in reversed(names):
            shutil.rmtree(f"{roots.runroot}/{name}", ignore_errors=True)
        record.unlink(missing_ok=True)

    return Subject(operation, recover)


SUBJECTS = {
    "start-stop": _podfast("start_stop.py"),
    **{f"toy-{mode}": toy(mode) for mode in ("clean", "late", "orphan", "sloppy")},
}
