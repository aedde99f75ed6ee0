# SPDX-License-Identifier: Apache-2.0
"""Build podfast-init: one file, static against musl; with `--sanitize` against the system's C library, for tests.

Command line: build.py OUT [--sanitize]
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("init.c")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror"]
RELEASE = ["-static", "-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-s"]
SANITIZE = ["-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class BuildError(Exception):
    """A tool is missing or failed; the message says what to install."""


def build(out_path: str | os.PathLike[str], *, sanitize: bool = False) -> None:
    """Write the executable for this machine."""
    compiler = shlex.split(os.environ.get("CC") or "gcc") if sanitize else ["musl-gcc"]
    command = [*compiler, *WARNINGS, *(SANITIZE if sanitize else RELEASE), "-o", os.fspath(out_path), os.fspath(SOURCE)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise BuildError(f"no {compiler[0]}: install {'gcc' if sanitize else 'musl-tools'}") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{compiler[0]} failed:\n{error.stderr}") from error


def main() -> None:
    parser = argparse.ArgumentParser(description="Build podfast-init.")
    parser.add_argument("out", help="executable to write")
    parser.add_argument("--sanitize", action="store_true", help="with address and undefined behaviour sanitizers")
    options = parser.parse_args()
    build(options.out, sanitize=options.sanitize)


if __name__ == "__main__":
    main()
