# SPDX-License-Identifier: Apache-2.0
"""Compiles the C programs of the benchmarks, each once for each state of its sources, into `build/benchmarks`."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
WARNINGS = (
    "-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror".split()  # noqa: SIM905
)


class MissingCompiler(Exception):
    """A compiler is not installed; the message names its package."""


@dataclass(frozen=True, slots=True)
class Program:
    """How one program is made: all are static, most with musl; `bare` has no libc at all."""

    sources: tuple[str, ...]
    bare: bool = False


FLOOR = ("floor/rounds.c", "floor/profile.c", "floor/filter.c")
PROGRAMS = {
    "plain": Program(("floor/plain.c", *FLOOR)),
    "cheap": Program(("floor/cheap.c", *FLOOR)),
    "exec": Program(("floor/exec.c",)),
    "stay": Program(("floor/stay.c",), bare=platform.machine() == "x86_64"),
    "tcp": Program(("ipc/tcp.c", "ipc/stream.c", "ipc/load.c")),
    "unix": Program(("ipc/unix.c", "ipc/stream.c", "ipc/load.c")),
    "shm": Program(("ipc/shm.c", "ipc/load.c")),
    "flood": Program(("logs/flood.c",)),
    "ready": Program(("floor/ready.c",)),
}


@cache
def program(name: str) -> Path:
    """The path of the compiled program `name`."""
    one = PROGRAMS[name]
    command = _command(one)
    digest = hashlib.sha256(repr(command).encode())
    for folder in sorted({(HERE / source).parent for source in one.sources}):
        for header in sorted(folder.glob("*.h")):
            digest.update(header.read_bytes())
    for source in one.sources:
        digest.update((HERE / source).read_bytes())
    folder = _folder()
    target = folder / f"{name}-{digest.hexdigest()[:12]}"
    if not target.exists():
        unfinished = folder / f"{target.name}.{os.getpid()}"
        subprocess.run([*command, "-o", unfinished, *(HERE / source for source in one.sources)], check=True)
        unfinished.rename(target)
    return target


def _folder() -> Path:
    folder = HERE.parent / "build" / "benchmarks"
    if not os.access(HERE.parent, os.W_OK):
        folder = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "podfast-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _command(one: Program) -> list[str]:
    if one.bare:
        _require("gcc", "gcc")
        return ["gcc", "-O2", "-static", "-nostdlib", "-s", *WARNINGS]
    _require("musl-gcc", "musl-tools")
    multiarch = f"/usr/include/{platform.machine()}-linux-gnu"
    # musl-gcc leaves out the kernel's own headers, which are the same for every libc.
    return ["musl-gcc", "-O2", "-static", "-s", *WARNINGS, "-idirafter", "/usr/include", "-idirafter", multiarch]


def _require(compiler: str, package: str) -> None:
    if shutil.which(compiler) is None:
        raise MissingCompiler(f"{compiler} is not installed (Debian: apt-get install {package})")
