# SPDX-License-Identifier: Apache-2.0
"""The compiled filter answers every call as profile.txt says and as libseccomp would; an interpreter of BPF asks it."""

from __future__ import annotations

import ctypes
import errno
import functools
import importlib.util
import os
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

SECCOMP = Path(__file__).parents[2] / "native" / "seccomp"
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = (ERRNO | number for number in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ARCHES = ["x86_64", "aarch64"] if platform.machine() == "x86_64" else ["aarch64"]
HIGH = 1 << 32
SYS_ADMIN, NET_RAW = 1 << 21, 1 << 13
NEW_NAMESPACES = [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)]  # NS CGROUP UTS IPC USER PID NET


class Bpf(NamedTuple):
    code: int
    jt: int
    jf: int
    k: int


def run(filter_: list[Bpf], nr: int, args: tuple[int, ...] = (), *, audit: int) -> tuple[int, int]:
    """What the filter answers, and after how many instructions."""
    data = struct.pack("<IIQ6Q", nr, audit, 0, *(args + (0,) * 6)[:6])
    a, at, steps = 0, 0, 0
    while True:
        code, jt, jf, k = filter_[at]
        at, steps = at + 1, steps + 1
        match code:
            case 0x20:  # load a word
                a = struct.unpack_from("<I", data, k)[0]
            case 0x06:  # return
                return k, steps
            case 0x05:  # jump
                at += k
            case 0x54:  # and
                a &= k
            case 0x15:
                at += jt if a == k else jf
            case 0x25:
                at += jt if a > k else jf
            case 0x35:
                at += jt if a >= k else jf
            case 0x45:
                at += jt if a & k else jf
            case _:
                raise AssertionError(f"instruction {code:#x}")


def unpack(raw: bytes) -> list[Bpf]:
    return [Bpf(*fields) for fields in struct.iter_unpack("=HBBI", raw)]


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("podfast_seccomp_generate", SECCOMP / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    vars(module)["compile_profile"] = functools.cache(module.compile_profile)  # half a second each
    yield module
    del sys.modules[spec.name]


def profile() -> dict[str, tuple[str, int | None]]:
    """Name → verdict and number, read from the text without the generator."""
    text = "\n".join(line for line in (SECCOMP / "profile.txt").read_text().splitlines() if line[:1] not in ("", "#"))
    found: dict[str, tuple[str, int | None]] = {}
    for line in text.replace("\n ", " ").splitlines():
        verdict, *names = line.partition(" -- ")[0].split()
        for name, _, number in (entry.partition("=") for entry in names):
            found[name] = verdict, int(number.partition("@")[0]) if number else None
    return found


def intended(generator: ModuleType, arch: str) -> dict[int, tuple[str, str]]:
    """Number → name and verdict. Numbers below 424 come from the headers; libseccomp confirms them in its own test."""
    headers = generator.header_numbers(arch)
    table = {}
    for name, (verdict, number) in profile().items():
        known = headers.get(name, number)
        if known is not None and (known >= 424 or name in headers or (arch == "x86_64" and known in (335, 336))):
            table[known] = name, verdict
    return table


def cases(name: str) -> Sequence[tuple[tuple[int, ...], int, int]]:
    """For calls with a check: arguments, the answer without capabilities, and the answer with all of them."""
    if name == "clone":
        fine = [0, 17, 0x003D0F00, 0x80, 0x80000000 | HIGH * 0xFFFFFFFF, 0x01200011]
        return [((flags,), ALLOW, ALLOW) for flags in fine] + [
            ((other | flag,), EPERM, ALLOW)
            for flag in NEW_NAMESPACES
            for other in (0, 17, 0x003D0F00, HIGH, HIGH * 0xFFFFFFFF)
        ]
    if name in ("socket", "socketpair"):
        wanted = {1: ALLOW, 2: ALLOW, 10: ALLOW, 16: ALLOW, 17: EPERM}
        families = {family: wanted.get(family, EAFNOSUPPORT) for family in (*range(64), 0x7FFFFFFF, 0xFFFFFFFF)}
        return [
            ((family | high, 1, 0), answer, ALLOW if answer == EPERM else answer)
            for family, answer in families.items()
            for high in (0, HIGH, HIGH * 0xFFFFFFFF)
        ]
    if name == "ioctl":
        wanted = {
            0x5412: EPERM,
            0x541C: EPERM,
            0x5411: ALLOW,
            0x5413: ALLOW,
            0x541B: ALLOW,
            0x541D: ALLOW,
            0: ALLOW,
            0xC0045877: ALLOW,
        }
        return [
            ((0, cmd | high), answer, answer) for cmd, answer in wanted.items() for high in (0, HIGH, HIGH * 0x5412)
        ]
    assert name == "personality"
    persona = {
        0: ALLOW,
        8: ALLOW,
        0x20000: ALLOW,
        0x20008: ALLOW,
        0xFFFFFFFF: ALLOW,
        0x40000: EPERM,
        0x400000: EPERM,
        1: EPERM,
    }
    return [
        ((value | high,), answer, answer) for value, answer in persona.items() for high in (0, HIGH, HIGH * 0xFFFFFFFF)
    ]


def expected(name: str, verdict: str, *, capable: bool) -> int:
    if verdict == "allow" or (capable and (verdict == "enosys:SYS_ADMIN" or verdict.isupper())):
        return ALLOW
    return ENOSYS if verdict in ("gone", "enosys:SYS_ADMIN") else EPERM


def program(generator: ModuleType, arch: str, capabilities: int | None) -> list[Bpf]:
    """The filter as the generator has it; capabilities None: the one without gates."""
    compiled = generator.compile_profile(arch, gated=capabilities is not None)
    filter_ = [Bpf(one.code, one.jt, one.jf, one.k) for one in compiled.instructions]
    for mask, index in compiled.gates:
        if capabilities is not None and mask & capabilities:
            filter_[index] = filter_[index]._replace(k=ALLOW)
    return filter_


@pytest.mark.parametrize("capabilities", [None, 0, (1 << 41) - 1], ids=["plain", "gates closed", "gates open"])
@pytest.mark.parametrize("arch", ARCHES)
def test_verdict_for_every_number(generator: ModuleType, arch: str, capabilities: int | None) -> None:
    filter_, table = program(generator, arch, capabilities), intended(generator, arch)
    for nr in (*range(1024), 0x40000000, 0x40000027, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        name, verdict = table.get(nr, ("", "gone"))
        if verdict.startswith("check:"):
            for args, closed, opened in cases(name):
                answer = opened if capabilities else closed
                assert run(filter_, nr, args, audit=AUDIT[arch])[0] == answer, (name, [hex(one) for one in args])
        else:
            answer = expected(name, verdict, capable=bool(capabilities))
            assert run(filter_, nr, (HIGH - 1,) * 6, audit=AUDIT[arch])[0] == answer, (nr, name)


@pytest.mark.parametrize("arch", ARCHES)
def test_each_gate_opens_its_calls_only(generator: ModuleType, arch: str) -> None:
    table = intended(generator, arch)
    for capability, bit in generator.CAPABILITIES.items():
        filter_ = program(generator, arch, 1 << bit)
        for nr, (name, verdict) in table.items():
            if not verdict.startswith("check:"):
                capable = capability in verdict.rpartition(":")[2].split("|")
                assert run(filter_, nr, audit=AUDIT[arch])[0] == expected(name, verdict, capable=capable), (
                    capability,
                    name,
                )
    by_name = {name: nr for nr, (name, _) in table.items()}
    packet, userns = (17, 3, 0), (1 << 28 | 17,)
    for bits, packet_answer, userns_answer in ((NET_RAW, ALLOW, EPERM), (SYS_ADMIN, EPERM, ALLOW)):
        filter_ = program(generator, arch, bits)
        assert run(filter_, by_name["socket"], packet, audit=AUDIT[arch])[0] == packet_answer
        assert run(filter_, by_name["clone"], userns, audit=AUDIT[arch])[0] == userns_answer


@pytest.mark.parametrize("arch", ARCHES)
def test_another_architecture_is_killed(generator: ModuleType, arch: str) -> None:
    for audit in (0x40000003, 0x40000028, 0, *(value for name, value in AUDIT.items() if name != arch)):
        for nr in range(1024):
            assert run(program(generator, arch, None), nr, audit=audit)[0] == KILL_PROCESS


@pytest.mark.parametrize("arch", ARCHES)
def test_few_calls_and_few_steps(generator: ModuleType, arch: str) -> None:
    filter_ = program(generator, arch, None)
    steps = [run(filter_, nr, audit=AUDIT[arch])[1] for nr in range(470)]
    assert generator.compile_profile(arch).calls <= 320
    assert statistics.mean(steps) <= 10.5 and max(steps) <= 18
    assert len(filter_) <= 100


@pytest.mark.parametrize("arch", ARCHES)
def test_every_call_of_the_headers_is_judged(generator: ModuleType, arch: str) -> None:
    """A name of a newer kernel (470 and above) may be unknown; ENOSYS is right until somebody has judged it."""
    known = {name for name, number in generator.header_numbers(arch).items() if number < 470}
    assert known - profile().keys() <= {"syscalls", "arch_specific_syscall"}


def test_every_name_exists_somewhere(generator: ModuleType) -> None:
    """Against slips of the pen: a name that no header has would vanish without a word."""
    names = {name for name, (_, number) in profile().items() if number is None}
    assert names <= {name for arch in ARCHES for name in generator.header_numbers(arch)}
    numbers = [number for _, number in profile().values() if number is not None]
    assert sorted(numbers) == [335, 336, *range(424, 470)]


def test_what_the_runtime_does_between_filter_and_exec_is_allowed(generator: ModuleType) -> None:
    arch = platform.machine()
    by_name = {name: nr for nr, (name, _) in intended(generator, arch).items()}
    between = (
        "capset prctl setuid setgid setgroups setresuid setresgid close_range close dup3 fcntl chdir fchdir umask "
        "setsid rt_sigprocmask rt_sigaction sched_setaffinity prlimit64 execve execveat write read kill "
        "exit exit_group getpid"
    )
    for name in between.split():
        assert run(program(generator, arch, None), by_name[name], audit=AUDIT[arch])[0] == ALLOW, name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("allow read", "reason"),
        ("allow -- nothing named", "reason"),
        ("perhaps read -- not a verdict", "unknown verdict 'perhaps'"),
        ("SYS_ROOT read -- no such capability", "unknown verdict 'SYS_ROOT'"),
        ("allow read read -- twice", "repeated name 'read'"),
        ("allow read=x -- not a number", "malformed"),
    ],
)
def test_a_wrong_profile_is_refused(generator: ModuleType, text: str, complaint: str) -> None:
    with pytest.raises(generator.ProfileError, match=complaint):
        generator.parse(text)


def test_what_the_build_lacks_is_named(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(generator.ProfileError, match="no profile for riscv64"):
        generator.compile_profile("riscv64")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(generator.ProfileError, match="install gcc"):
        generator.compile_profile()


DUMP = """
#include "pf_seccomp_default.h"
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    struct sock_filter filter[PF_SECCOMP_MAX_LEN];
    unsigned short length = pf_seccomp_fill(filter, argc > 1 ? strtoull(argv[1], NULL, 0) : 0);
    return fwrite(filter, sizeof filter[0], length, stdout) != length;
}
"""


def test_header_fills_the_same_filters(generator: ModuleType, tmp_path: Path) -> None:
    generator.generate(tmp_path / "pf_seccomp_default.h")
    again = tmp_path / "again.h"
    subprocess.run([sys.executable, SECCOMP / "generate.py", again], check=True)
    assert again.read_bytes() == (tmp_path / "pf_seccomp_default.h").read_bytes()
    (tmp_path / "dump.c").write_text(DUMP)
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", tmp_path / "dump", tmp_path / "dump.c"], check=True)
    arch = platform.machine()
    for capabilities in (0, 1 << 10, NET_RAW, SYS_ADMIN, SYS_ADMIN | NET_RAW | 1 << 34, (1 << 41) - 1):
        raw = subprocess.run([tmp_path / "dump", hex(capabilities)], check=True, capture_output=True).stdout
        gated = capabilities & ~(1 << 10)
        assert unpack(raw) == program(generator, arch, capabilities if gated else None), hex(capabilities)


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def libseccomp() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    )
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    return library


MASKED_EQ = 7
COMPARISONS: dict[str, list[tuple[int, int, int]]] = {  # argument, mask, value: any of these lets the call through
    "check:clone": [(0, sum(NEW_NAMESPACES), 0)],
    "check:socket": [(0, HIGH - 1, family) for family in (1, 2, 10, 16)],
    "check:personality": [(0, HIGH - 1, value) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)],
}


def by_libseccomp(table: Iterable[tuple[int, tuple[str, str]]]) -> list[Bpf]:
    """The intended table for this machine, compiled by libseccomp."""
    library = libseccomp()
    context = library.seccomp_init(ENOSYS)

    def add(action: int, nr: int, *comparison: int) -> None:
        compare = _Comparison(comparison[0], MASKED_EQ, *comparison[1:]) if comparison else None
        reference = ctypes.addressof(compare) if compare else None
        assert library.seccomp_rule_add_array(context, action, nr, int(compare is not None), reference) == 0, (
            nr,
            comparison,
        )

    assert library.seccomp_attr_set(context, 2, KILL_PROCESS) == 0  # SCMP_FLTATR_ACT_BADARCH
    for nr, (name, verdict) in table:
        if verdict == "check:ioctl":  # everything but these two
            add(EPERM, nr, 1, HIGH - 1, 0x5412)
            add(EPERM, nr, 1, HIGH - 1, 0x541C)
        elif verdict in COMPARISONS:
            for comparison in COMPARISONS[verdict]:
                add(ALLOW, nr, *comparison)
        elif expected(name, verdict, capable=False) != ENOSYS:
            add(expected(name, verdict, capable=False), nr)
    with tempfile.TemporaryFile() as out:
        assert library.seccomp_export_bpf(context, out.fileno()) == 0
        library.seccomp_release(context)
        out.seek(0)
        return unpack(out.read())


def test_same_verdicts_as_libseccomp(generator: ModuleType) -> None:
    arch = platform.machine()
    table, ours = intended(generator, arch), program(generator, arch, None)
    theirs = by_libseccomp(table.items())
    for nr in range(1024):
        name, verdict = table.get(nr, ("", "gone"))
        for args in [args for args, _, _ in cases(name)] if verdict.startswith("check:") else [()]:
            one, other = (run(filter_, nr, args, audit=AUDIT[arch])[0] for filter_ in (ours, theirs))
            if not verdict.startswith("check:"):
                assert one == other, (nr, name)
            elif (
                verdict != "check:ioctl"
            ):  # libseccomp cannot say "all the rest" of one call, so only the fact is compared
                assert (one == ALLOW) == (other == ALLOW), (name, args)
            else:
                assert (one == EPERM) == (other == EPERM), (name, args)


def test_same_numbers_as_libseccomp(generator: ModuleType) -> None:
    """It has lists of its own, also for the architecture whose headers are not on this machine."""
    library, compared = libseccomp(), 0
    for arch in ARCHES:
        for nr, (name, _) in intended(generator, arch).items():
            number = library.seccomp_syscall_resolve_name_arch(AUDIT[arch], name.encode())
            if number >= 0:  # negative: unknown to this version
                assert number == nr, (arch, name)
                compared += 1
    assert compared > 250 * len(ARCHES)


def test_documented_capability_numbers(generator: ModuleType) -> None:
    source = "#include <linux/capability.h>\n"
    macros = subprocess.run(["gcc", "-E", "-dM", "-"], input=source, capture_output=True, text=True, check=True).stdout
    header = {name: int(bit) for name, bit in re.findall(r"#define CAP_(\w+)\s+(\d+)$", macros, re.MULTILINE)}
    assert {name: header[name] for name in generator.CAPABILITIES} == generator.CAPABILITIES
    assert os.uname().machine in AUDIT
