# SPDX-License-Identifier: Apache-2.0
"""Compilers for what is native: where they are, which flags they get, and which package brings the one that is missing.

setup.py builds with this, and so do tests that compile something.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

NATIVE = Path(__file__).parent
RUST = (1, 85)  # edition 2024; Debian 12's cargo-web has at least this, its plain cargo is 1.63
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes"]
LANGUAGE = ["-std=gnu11", "-D_GNU_SOURCE"]
INCLUDES = [NATIVE / "include", NATIVE / "core"]
RELEASE = ["-O2", "-fno-plt", "-ffunction-sections", "-fdata-sections", "-fvisibility=hidden"]
SANITIZE = ["-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
STATIC = ["-static", "-fno-pie", "-no-pie", "-Wl,--gc-sections", "-Wl,-z,noexecstack", "-s"]


class ToolError(Exception):
    """A tool is missing, too old, or failed; the message says what to install."""


def flag(name: str) -> bool:
    """Whether a switch of the build, such as PODFAST_WERROR, is on."""
    return os.environ.get(name, "") not in ("", "0")


def _c_compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or "") or ["gcc"]


def cargo() -> str | None:
    """The path of cargo: on PATH (Debian's cargo-web), or where rustup puts it."""
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return shutil.which("cargo") or shutil.which("cargo", path=home / "bin")


def _old_rust(path: str) -> str | None:
    """The version of cargo at `path`, if it is too old or does not answer."""
    try:
        words = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "that does not run"
    found = re.search(r"(\d+)\.(\d+)", words)
    return None if found and (int(found[1]), int(found[2])) >= RUST else words.strip()


def _has_headers(names: Iterable[str]) -> bool:
    source = "".join(f"#include <{name}>\n" for name in names)
    done = subprocess.run(
        [*_c_compiler(), "-E", "-o", "/dev/null", "-x", "c", "-"], input=source.encode(), stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def _missing() -> list[tuple[str, str]]:
    """(what is missing, Debian packages that bring it)."""
    lacks = []
    compiler = _c_compiler()[0]
    if not shutil.which(compiler):
        lacks.append((f"the C compiler {compiler}", "gcc libc6-dev"))
    elif not _has_headers(["stdlib.h", "linux/seccomp.h", "asm/unistd.h"]):
        lacks.append(("the headers of the C library and the kernel", "libc6-dev linux-libc-dev"))
    if not shutil.which("as") or not shutil.which("objcopy"):
        lacks.append(("the assembler", "binutils"))
    if not shutil.which("musl-gcc"):
        lacks.append(("the compiler for static programs, musl-gcc", "musl-tools"))
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        lacks.append(("Python.h of this Python", "python3-dev"))
    path = cargo()
    if path is None:
        lacks.append(("the Rust compiler", "cargo-web rustc-web"))
    elif old := _old_rust(path):
        lacks.append((f"Rust {RUST[0]}.{RUST[1]} or newer (there is {old})", "cargo-web rustc-web"))
    return lacks


def check() -> None:
    """Raise ToolError, in one line, if something that the build calls is not there."""
    if lacks := _missing():
        what = ", ".join(name for name, _ in lacks)
        packages = " ".join(dict.fromkeys(word for _, names in lacks for word in names.split()))
        raise ToolError(f"podfast cannot be built here without {what}; on Debian 12: apt-get install {packages}")


def run(command: Sequence[str | os.PathLike[str]], *, env: dict[str, str] | None = None) -> None:
    """Run a tool; what it prints is shown. Raises ToolError if it fails."""
    words = [os.fspath(word) for word in command]
    try:
        subprocess.run(words, check=True, env=env)
    except FileNotFoundError as error:
        raise ToolError(f"there is no {words[0]}") from error
    except subprocess.CalledProcessError as error:
        raise ToolError(f"{Path(words[0]).name} failed with status {error.returncode}: {shlex.join(words)}") from error


def _kernel_headers() -> list[str]:
    """musl-gcc leaves out the system's headers; the kernel's are there, to be looked at after musl's own."""
    done = subprocess.run([*_c_compiler(), "-print-multiarch"], capture_output=True, text=True, check=True)
    places = ["/usr/include", f"/usr/include/{done.stdout.strip()}"]
    return [word for place in places for word in ("-idirafter", place)]


def warnings() -> list[str]:
    return [*WARNINGS, "-Werror"] if flag("PODFAST_WERROR") else WARNINGS


def compile_program(out: Path, sources: Sequence[Path], includes: Sequence[Path]) -> None:
    """Compile and link C files: static against musl, or with PODFAST_SANITIZE against the system's C library."""
    where = [f"-I{place}" for place in (*includes, *INCLUDES)]
    common = [*LANGUAGE, *warnings(), *where, *map(str, sources), "-o", str(out)]
    if flag("PODFAST_SANITIZE"):
        run([*_c_compiler(), *SANITIZE, *common])
    else:
        run(["musl-gcc", *RELEASE, *STATIC, *common, *_kernel_headers()])
