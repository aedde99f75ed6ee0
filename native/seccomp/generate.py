# SPDX-License-Identifier: Apache-2.0
"""Compile profile.txt into the classic BPF program that every container starts with, as a C header.

The kernel emulates a new filter once for every call number, to learn which calls it need not be asked about again, and
compiles it. A list walked from its head therefore costs the square of its length. Here the verdicts become runs of
neighbouring numbers, and the runs the search tree that is cheapest to install.

Two filters come out: one for a container without extra capabilities, and one with a return of its own for every set of
capabilities that opens calls, which is set to ALLOW when the container has one of them.

    profile.txt ─parse→ Rules ─decide→ {number: verdict} ─runs→ [(first, verdict)]
        ─search→ tree ─assemble→ program ─render→ header

Command line: generate.py OUT.h [--arch x86_64|aarch64]
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROFILE = Path(__file__).with_name("profile.txt")
HEADER = Path(__file__).with_name("pf_seccomp_default.h.in")
MAX_CALLS = 320

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# What the headers of aarch64 define before they include the generic list; lets any machine read aarch64's numbers.
GENERIC_WANTS = ("RENAMEAT", "NEW_STAT", "SET_GET_RLIMIT", "TIME32_SYSCALLS", "SYS_CLONE3", "MEMFD_SECRET")
CAPABILITIES = {
    "DAC_READ_SEARCH": 2, "NET_RAW": 13, "SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_CHROOT": 18, "SYS_PTRACE": 19,
    "SYS_PACCT": 20, "SYS_ADMIN": 21, "SYS_BOOT": 22, "SYS_NICE": 23, "SYS_TIME": 25, "SYS_TTY_CONFIG": 26,
    "SYSLOG": 34, "PERFMON": 38, "BPF": 39,
}  # fmt: skip

LD, RET = 0x20, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_RET|BPF_K
JEQ, JGE, JSET = 0x15, 0x35, 0x45  # BPF_JMP|…|BPF_K
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16  # struct seccomp_data; both architectures are little-endian

NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; NEWTIME is a signal number to clone
CALLS_IN_KERNEL = 512  # the kernel tries a filter for about so many numbers
INSTRUCTION = 60  # measured: checking and compiling one costs as much as that many emulated steps

Verdict = str  # "allow" "eperm" "enosys" "eafnosupport" "kill", "check:…", or a gate: "eperm|CAP|CAP", "enosys|CAP"
NEXT = "next"


@dataclass(frozen=True, slots=True)
class Check:
    """Look at one argument: tests in order, each `(code, k, where to go if true)`, then `otherwise`.

    Every argument looked at is 32 bits wide in the kernel, which drops the upper half of the register. A filter that
    compared 64 bits could be passed by setting a bit there.
    """

    argument: int
    tests: tuple[tuple[int, int, Verdict], ...]
    otherwise: Verdict


CHECKS: Mapping[str, Check] = {
    "check:clone": Check(0, ((JSET, NEW_NAMESPACES, "eperm|SYS_ADMIN"),), "allow"),
    # AF_UNIX INET INET6 NETLINK, and PACKET for those who hold NET_RAW. The rest gets what a kernel without that
    # family says: programs that probe (for ALG, VSOCK, BLUETOOTH, …) are written for it.
    "check:socket": Check(
        0,
        (*((JEQ, family, "allow") for family in (1, 2, 10, 16)), (JEQ, 17, "eperm|NET_RAW")),
        "eafnosupport",
    ),
    "check:ioctl": Check(1, ((JEQ, 0x5412, "eperm"), (JEQ, 0x541C, "eperm")), "allow"),  # TIOCSTI, TIOCLINUX
    # A query, or PER_LINUX with any of PER_LINUX32 and UNAME26.
    "check:personality": Check(0, ((JEQ, 0xFFFFFFFF, "allow"), (JSET, 0xFFFDFFF7, "eperm")), "allow"),
}
RETURNS: Mapping[str, int] = {
    "allow": ALLOW,
    "eperm": ERRNO | EPERM,
    "enosys": ERRNO | ENOSYS,
    "eafnosupport": ERRNO | EAFNOSUPPORT,
    "kill": KILL_PROCESS,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One call name of the profile."""

    name: str
    verdict: Verdict
    number: int | None  # where the headers do not know the name
    arch: str | None  # the only one that has that number
    reason: str


@dataclass(frozen=True, slots=True)
class Instruction:
    code: int
    k: int
    jt: int = 0
    jf: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    instructions: tuple[Instruction, ...]
    gates: tuple[tuple[int, int], ...]  # (mask of capabilities, index of the return that any of them opens)
    calls: int  # that it allows while no gate is open


class ProfileError(Exception):
    """The profile, or what the build needs to compile it, is not as it should be."""


def _verdict(word: str) -> Verdict:
    if word in ("allow", *CHECKS):
        return word
    if word in ("deny", "gone"):
        return {"deny": "eperm", "gone": "enosys"}[word]
    answer, _, capabilities = word.rpartition(":")
    if answer not in ("", "enosys") or not set(capabilities.split("|")) <= CAPABILITIES.keys():
        raise ProfileError(f"profile.txt: unknown verdict {word!r}")
    return f"{answer or 'eperm'}|{capabilities}"


def parse(text: str) -> list[Rule]:
    """The rules of a profile, in its order; a name may stand there once."""
    rules: dict[str, Rule] = {}
    lines = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
    for line in re.sub(r"\n\s+", " ", lines).splitlines():
        head, dashes, reason = line.partition(" -- ")
        word, *names = head.split()
        if not dashes or not reason.strip() or not names:
            raise ProfileError(f"profile.txt: needs a verdict, names and a reason: {line!r}")
        for entry in names:
            match = re.fullmatch(r"(\w+)(?:=(\d+)(?:@(\w+))?)?", entry)
            if not match or match[1] in rules:
                raise ProfileError(f"profile.txt: malformed or repeated name {entry!r}")
            rules[match[1]] = Rule(match[1], _verdict(word), int(match[2]) if match[2] else None, match[3], reason)
    return list(rules.values())


def header_numbers(arch: str) -> dict[str, int]:
    """Call numbers by name, as the kernel headers of this machine have them."""
    if arch == platform.machine():
        source = "#include <asm/unistd.h>\n"
    elif arch == "aarch64":
        source = (
            "".join(f"#define __ARCH_WANT_{want}\n" for want in GENERIC_WANTS) + "#include <asm-generic/unistd.h>\n"
        )
    else:
        raise ProfileError(f"the kernel headers of {arch} are not on a {platform.machine()} machine")
    command = [*shlex.split(os.environ.get("CC") or "gcc"), "-E", "-dM", "-x", "c", "-"]
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise ProfileError(f"no C compiler {command[0]!r}: install gcc") from error
    except subprocess.CalledProcessError as error:
        raise ProfileError(f"kernel headers: install linux-libc-dev\n{error.stderr}") from error
    macros = dict(re.findall(r"^#define (__NR\w+) (\w+)$", done.stdout, re.MULTILINE))
    numbers = {}
    for name, value in macros.items():
        while value in macros:
            value = macros[value]
        if name.startswith("__NR_") and value.isdigit():
            numbers[name[5:]] = int(value)
    return numbers


def decide(rules: Sequence[Rule], arch: str, numbers: Mapping[str, int]) -> dict[int, Verdict]:
    """The verdict for each number that the profile knows on this architecture."""
    table: dict[int, Verdict] = {}
    for rule in rules:
        own = rule.number if rule.arch in (None, arch) else None
        known = numbers.get(rule.name, own)
        if known is None:
            continue  # the other architecture's
        if own not in (None, known) or known in table:
            raise ProfileError(f"{rule.name}: the headers say {known}, the profile says {own} or has that number twice")
        table[known] = rule.verdict
    return table


def runs(table: Mapping[int, Verdict]) -> list[tuple[int, Verdict]]:
    """Neighbouring numbers of one verdict as (first number, verdict), from 0 on; gaps and the rest are ENOSYS.

    On x86-64 the numbers of the x32 ABI have bit 30 set: they are in the last run.
    """
    found: list[tuple[int, Verdict]] = []
    for number in range(max(table) + 2):
        verdict = table.get(number, "enosys")
        if not found or found[-1][1] != verdict:
            found.append((number, verdict))
    return found


@dataclass(frozen=True, slots=True)
class Node:
    """A test of the number: `code` is JGE (true: the right half) or JEQ (true: this one number)."""

    code: int
    number: int
    true: Node | Verdict
    false: Node | Verdict


def _chain(
    found: Sequence[tuple[int, Verdict]], lengths: Sequence[int], low: int, high: int
) -> Iterator[tuple[int, Node]]:
    """Runs low to high by asking for single numbers one after the other, where all the rest has one verdict."""
    span = range(low, high + 1)
    for rest in sorted({found[at][1] for at in span}):
        odd = [at for at in span if found[at][1] != rest]
        if not odd or any(lengths[at] > 1 for at in odd):
            continue
        steps = len(odd) * (sum(lengths[low : high + 1]) - len(odd)) + len(odd) * (len(odd) + 1) // 2
        tree: Node | Verdict = rest
        for at in odd:
            tree = Node(JEQ, found[at][0], found[at][1], tree)
        if isinstance(tree, Node):
            yield steps + INSTRUCTION * (len(odd) + 1), tree


def search(found: Sequence[tuple[int, Verdict]]) -> Node | Verdict:
    """The tree over the runs that is cheapest to install: steps for all call numbers, and instructions."""
    ends = [first for first, _ in found[1:]] + [max(CALLS_IN_KERNEL, found[-1][0] + 1)]
    lengths = [end - first for (first, _), end in zip(found, ends, strict=True)]

    @functools.cache
    def best(low: int, high: int) -> tuple[int, Node | Verdict]:
        if low == high:
            return 0, found[low][1]
        ways: list[tuple[int, Node]] = list(_chain(found, lengths, low, high))
        weight = sum(lengths[low : high + 1])
        for split in range(low, high):
            (left_cost, left), (right_cost, right) = best(low, split), best(split + 1, high)
            # The compiler in the kernel makes two instructions of a test that jumps far both ways.
            own = weight + INSTRUCTION * (1 if isinstance(left, Node) or isinstance(right, Node) else 2)
            ways.append((own + left_cost + right_cost, Node(JGE, found[split + 1][0], right, left)))
        return min(ways, key=lambda way: way[0])

    return best(0, len(found) - 1)[1]


class _Assembler:
    """Instructions with targets by name; all jumps go forward, so every place is named after it is asked for."""

    def __init__(self, label: Callable[[str], str]) -> None:
        self.label = label
        self.lines: list[tuple[int, int, str, str]] = []
        self.places: dict[str, int] = {}

    def place(self, name: str) -> None:
        self.places[name] = len(self.lines)

    def emit(self, code: int, k: int, true: str = NEXT, false: str = NEXT) -> None:
        self.lines.append((code, k, self.label(true), self.label(false)))

    def targets(self) -> list[str]:
        """The names jumped to so far, in that order."""
        return list(dict.fromkeys(name for line in self.lines for name in line[2:] if name != NEXT))

    def link(self) -> tuple[Instruction, ...]:
        def distance(at: int, name: str) -> int:
            far = 0 if name == NEXT else self.places[name] - at - 1
            if not 0 <= far <= 255:  # eight bits in struct sock_filter
                raise ProfileError(f"the filter has grown: {name} is {far} instructions away")
            return far

        return tuple(
            Instruction(code, k, distance(at, true), distance(at, false))
            for at, (code, k, true, false) in enumerate(self.lines)
        )


def _emit_tree(out: _Assembler, node: Node) -> None:
    """Before its subtrees; the one that is reached when the test fails comes right after."""
    true = f"{node.true.code}:{node.true.number}" if isinstance(node.true, Node) else node.true
    out.emit(node.code, node.number, true, NEXT if isinstance(node.false, Node) else node.false)
    if isinstance(node.false, Node):
        _emit_tree(out, node.false)
    if isinstance(node.true, Node):
        out.place(true)
        _emit_tree(out, node.true)


def _emit_check(out: _Assembler, check: Check) -> None:
    out.emit(LD, OFFSET_ARGS + 8 * check.argument)
    for code, k, true in check.tests[:-1]:
        out.emit(code, k, true)
    out.emit(*check.tests[-1], check.otherwise)


def _capability_mask(gate: str) -> int:
    return sum(1 << CAPABILITIES[name] for name in gate.split("|")[1:])


def assemble(table: Mapping[int, Verdict], arch: str, *, gated: bool) -> Program:
    """The whole filter: the architecture, the tree, the checks of arguments, one return for each answer."""

    def label(verdict: Verdict) -> str:
        return verdict if gated else verdict.partition("|")[0]

    tree = search(runs({number: label(verdict) for number, verdict in table.items()}))
    if not isinstance(tree, Node):
        raise ProfileError("the profile says the same about every call")
    out = _Assembler(label)
    out.emit(LD, OFFSET_ARCH)
    out.emit(JEQ, AUDIT_ARCH[arch], NEXT, "kill")
    out.emit(LD, OFFSET_NR)
    _emit_tree(out, tree)
    for name in [name for name in out.targets() if name in CHECKS]:
        out.place(name)
        _emit_check(out, CHECKS[name])
    gates = []
    for name in [name for name in out.targets() if name not in out.places]:
        out.place(name)
        if "|" in name:
            gates.append((_capability_mask(name), out.places[name]))
        out.emit(RET, RETURNS[name.partition("|")[0]])
    calls = sum(verdict == "allow" or verdict in CHECKS for verdict in table.values())
    if calls > MAX_CALLS:
        raise ProfileError(f"{calls} calls are allowed; at most {MAX_CALLS} may be")
    return Program(out.link(), tuple(gates), calls)


def compile_profile(arch: str | None = None, *, gated: bool = False) -> Program:
    """profile.txt for an architecture (this machine's, if none is named), with or without gates to open."""
    arch = arch or platform.machine()
    if arch not in AUDIT_ARCH:
        raise ProfileError(f"no profile for {arch}: one of {', '.join(AUDIT_ARCH)} is needed")
    table = decide(parse(PROFILE.read_text(encoding="utf-8")), arch, header_numbers(arch))
    return assemble(table, arch, gated=gated)


def render(plain: Program, gated: Program, arch: str) -> str:
    """The text of the header."""

    def lines(program: Program) -> str:
        return "\n".join(f"    {{0x{i.code:02x}, {i.jt}, {i.jf}, 0x{i.k:08x}}}," for i in program.instructions)

    values = {
        "arch": arch,
        "calls": str(plain.calls),
        "plain_length": str(len(plain.instructions)),
        "plain": lines(plain),
        "gated_length": str(len(gated.instructions)),
        "gated": lines(gated),
        "gates": "\n".join(f"    {{0x{mask:x}ull, {index}}}," for mask, index in gated.gates),
    }
    return re.sub(r"@(\w+)@", lambda match: values[match[1]], HEADER.read_text(encoding="utf-8"))


def generate(out_header: str | os.PathLike[str], arch: str | None = None) -> None:
    """Write pf_seccomp_default.h. Raises ProfileError with a remedy when the build lacks something."""
    arch = arch or platform.machine()
    text = render(compile_profile(arch), compile_profile(arch, gated=True), arch)
    Path(out_header).write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile the default seccomp profile into a C header.")
    parser.add_argument("out", help="header to write")
    parser.add_argument("--arch", choices=sorted(AUDIT_ARCH), help="default: this machine's")
    options = parser.parse_args()
    generate(options.out, options.arch)


if __name__ == "__main__":
    main()
