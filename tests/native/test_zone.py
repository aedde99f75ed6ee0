# SPDX-License-Identifier: Apache-2.0
"""What the compiled code may call: the zone between clone and execve nothing of libc, and nobody signals a number."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
sys.path.insert(0, str(NATIVE))

import toolchain  # noqa: E402

# What runs between clone and execve: child*.c, and what they call.
ZONE = (*sorted(path.stem for path in (NATIVE / "core").glob("child*.c")), "mount", "join")
# A compiler may make these of plain assignments and loops; they touch neither errno nor a lock.
PLAIN = {"memcpy", "memset", "memmove", "strlen"}
# pf_join is for the engine's side; it makes words of what went wrong.
OUTSIDE = {"join": {"pf_fail", "pf_proc_open"}}

pytestmark = pytest.mark.skipif(shutil.which("nm") is None, reason="needs binutils")


def symbols(tool: list[str], path: Path) -> set[str]:
    done = subprocess.run([*tool, path], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines() if line.strip()}


@pytest.fixture(scope="module", params=["gcc", "musl-gcc"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As the extension and as the shim are compiled."""
    compiler = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    folder = tmp_path_factory.mktemp(compiler)
    table = folder / "pf_seccomp_default.h"
    subprocess.run([sys.executable, NATIVE / "seccomp" / "generate.py", table], check=True)
    where = [f"-I{place}" for place in (folder, *toolchain.INCLUDES)]
    extra = toolchain._kernel_headers() if compiler != "gcc" else ["-fPIC"]
    for name in ZONE:
        source, out = NATIVE / "core" / f"{name}.c", folder / f"{name}.o"
        words = [compiler, *toolchain.LANGUAGE, *toolchain.RELEASE, *toolchain.WARNINGS, "-Werror", *where, *extra]
        subprocess.run([*words, "-c", source, "-o", out], check=True)
    return {name: folder / f"{name}.o" for name in ZONE}


def test_the_zone_needs_nothing_of_libc(objects: dict[str, Path]) -> None:
    defined = set().union(*(symbols(["nm", "--defined-only", "-g"], path) for path in objects.values()))
    assert {"pf_become", "pf_target", "pf_ns_same"} <= defined
    for name, path in objects.items():
        foreign = symbols(["nm", "-u"], path) - defined - PLAIN - OUTSIDE.get(name, set())
        assert foreign <= {"_GLOBAL_OFFSET_TABLE_"}, f"{name}.c calls {foreign}"


def test_a_libc_call_in_the_zone_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("#include <stdlib.h>\nvoid *pf_bad(void);\nvoid *pf_bad(void) { return malloc(4); }\n")
    subprocess.run(["gcc", "-c", source, "-o", tmp_path / "bad.o"], check=True)
    assert "malloc" in symbols(["nm", "-u"], tmp_path / "bad.o")


def sources() -> dict[str, str]:
    """Native code without its comments. Init is not among them: as PID 1 it forwards signals to its own children."""
    found = {}
    for folder in ("core", "shim", "include", "pause"):
        for path in sorted((NATIVE / folder).glob("*.[chS]")):
            text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            found[f"{folder}/{path.name}"] = re.sub(r"//.*", "", text)
    assert len(found) > 20
    return found


def test_a_number_is_never_signalled() -> None:
    """Rule 14: pidfd_send_signal is the only call that sends one."""
    for name, text in sources().items():
        assert not re.search(r"\b(kill|tkill|tgkill|killpg|raise|sigqueue|pthread_kill)\s*\(", text), name
        assert not re.search(r"__NR_(kill|tkill|tgkill|rt_sigqueueinfo|rt_tgsigqueueinfo)\b", text), name
    assert "__NR_pidfd_send_signal" in sources()["core/syscalls.h"]


def test_the_engine_signals_by_pidfd() -> None:
    for path in sorted((ROOT / "python" / "podfast").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"\bos\.(kill|killpg)\((.*)\)", text):
            # To itself, to end as a signal would have ended it, is no guess.
            assert "getpid" in found[2], f"{path}: {found[0]}"


def test_one_door_to_the_kernel() -> None:
    """Core and shim make their system calls through syscalls.h: no wrapper of libc that touches errno in between."""
    names = "open openat read write close mkdir mount umount setns unshare clone fork vfork execve waitpid chroot"
    wrappers = rf"\b({names.replace(' ', '|')})\("
    for name, text in sources().items():
        if name.endswith(".c"):
            assert not re.search(r"(?<![\w.>])" + wrappers, text), (name, re.search(wrappers, text))
            assert "system(" not in text and "popen(" not in text, name


def test_no_copy_without_a_length() -> None:
    for name, text in sources().items():
        assert not re.search(r"\b(sprintf|vsprintf|gets|strtok|alloca)\s*\(", text), name
