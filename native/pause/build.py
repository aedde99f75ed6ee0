# SPDX-License-Identifier: Apache-2.0
"""Build podfast-pause: assemble, and take the bytes. The source lays out the whole file, so there is nothing to link.

Command line: build.py OUT [--arch x86_64|aarch64]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ARCHITECTURES = ("x86_64", "aarch64")


class BuildError(Exception):
    """A tool is missing or failed; the message says what to install."""


def _run(arch: str, tool: str, *arguments: str) -> None:
    native = arch == platform.machine()
    package = "binutils" if native else f"binutils-{arch.replace('_', '-')}-linux-gnu"
    command = [tool if native else f"{arch}-linux-gnu-{tool}", *arguments]
    try:
        subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise BuildError(f"no {command[0]}: install {package}") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{command[0]} failed:\n{error.stderr}") from error


def build(out_path: str | os.PathLike[str], arch: str = "native") -> None:
    """Write the executable for an architecture. The same source gives the same bytes, wherever it is built."""
    arch = platform.machine() if arch == "native" else arch
    if arch not in ARCHITECTURES:
        raise BuildError(f"podfast-pause has no code for {arch}: one of {', '.join(ARCHITECTURES)} is needed")
    out = Path(out_path).absolute()
    with tempfile.TemporaryDirectory() as scratch:
        _run(arch, "as", "--fatal-warnings", "-o", f"{scratch}/pause.o", f"{arch}.S")
        _run(arch, "objcopy", "-O", "binary", "-j", ".text", f"{scratch}/pause.o", f"{scratch}/pause")
        out.write_bytes(Path(scratch, "pause").read_bytes())
    out.chmod(0o755)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build podfast-pause.")
    parser.add_argument("out", help="executable to write")
    parser.add_argument("--arch", choices=ARCHITECTURES, default="native", help="default: this machine's")
    options = parser.parse_args()
    build(options.out, options.arch)


if __name__ == "__main__":
    main()
