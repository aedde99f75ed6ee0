# SPDX-License-Identifier: Apache-2.0
"""The plain floor makes the calls that its README lists, and no others."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

README = Path(__file__).parent / "floor" / "README.md"
PROFILE = Path(__file__).parent / "floor" / "profile.c"
CONTAINERS = 2
# What prints the figures between the rounds.
NOT_COUNTED = frozenset({"writev"})


def listed() -> dict[str, str]:
    """Call → how often, as written in the last table of the README."""
    text = README.read_text().partition("## The calls of `plain`")[2]
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \| [^|]*\|$", text, re.MULTILINE)
    return {call: expression for call, expression in rows if call != "call"}


def evaluated(expression: str, values: dict[str, int]) -> int:
    """Sums and products as in mathematics: `2 + c(3 + h)`."""
    rest = re.findall(r"\d+|[a-z]|\S", expression)

    def total() -> int:
        value = product()
        while rest and rest[0] == "+":
            del rest[0]
            value += product()
        return value

    def product() -> int:
        value = 1
        while rest and rest[0] not in "+)":
            one = rest.pop(0)
            value *= total() if one == "(" else values[one] if one in values else int(one)
            if one == "(":
                del rest[0]
        return value

    return total()


def facts() -> dict[str, int]:
    """The variables of the README on this machine."""
    cgroups = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    cgroups = [one for one in cgroups if one[1].startswith("/sys/fs/cgroup") and one[2] in ("cgroup", "cgroup2")]
    unified = any(one[1] == "/sys/fs/cgroup" and one[2] == "cgroup2" for one in cgroups)
    with_controller = [one for one in cgroups if one[2] == "cgroup" and "name=" not in one[3]]
    source = PROFILE.read_text()
    read_only, masked = (
        [path for path in re.findall(r'"(/(?:proc|sys)/[^"]+)"', part) if os.path.exists(path)]
        for part in re.findall(r"char \*const (?:read_only|masked)\[\] = \{(.*?)\};", source, re.DOTALL)
    )
    known = int(re.findall(r"#define CAP_LAST_CAP\s+(\w+)", _headers())[0])
    return {
        "c": CONTAINERS,
        "h": 1 if unified else len(with_controller),
        "s": 0 if unified else len(cgroups),
        "g": 1 if unified else len(cgroups) + 2,
        "r": len(read_only),
        "m": len(masked),
        "x": known + 1 - 9,
        "n": 2 + 5 * CONTAINERS,
    }


def _headers() -> str:
    """The value of CAP_LAST_CAP, which the header gives as the name of another constant."""
    text = Path("/usr/include/linux/capability.h").read_text()
    values = dict(re.findall(r"#define (CAP_\w+)\s+(\d+)$", text, re.MULTILINE))
    return re.sub(r"(#define CAP_LAST_CAP\s+)(\w+)", lambda match: f"{match[1]}{values.get(match[2], match[2])}", text)


def counted(floor: Path, stay: Path, state: Path, rounds: int) -> dict[str, int]:
    state.mkdir()
    summary = state.with_suffix(".strace")
    strace: list[str | Path] = ["strace", "-f", "-qq", "-c", "-U", "calls,name", "-o", summary]
    command: list[str | Path] = [*strace, floor, "--rounds", str(rounds), "--state", state, "--program", stay]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = re.findall(r"^\s*(\d+) (\w+)\s*$", summary.read_text(), re.MULTILINE)
    return {call: int(count) for count, call in rows if call != "total"}


def test_expressions_are_read_as_in_mathematics() -> None:
    values = {"c": 2, "h": 8, "n": 12}
    assert evaluated("7 + c(8 + h) + n", values) == 51
    assert evaluated("ch", values) == 16
    assert evaluated("2n", values) == 24


def test_plain_floor_makes_the_listed_calls(compiled: Callable[[str], Path], root_only: None, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the list has x86-64's calls: others have no mkdir, only mkdirat")
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    floor, stay = compiled("plain"), compiled("stay")
    values = facts()
    expected = {call: evaluated(expression, values) for call, expression in listed().items()}
    # strace counts a call when it returns: an execve whose process is killed meanwhile it misses, and a wait that a
    # signal interrupts it counts twice. Both are rare; a call too many or too few in the program is always there.
    for attempt in range(5):
        per_round = one_round(floor, stay, tmp_path / str(attempt))
        if per_round == expected:
            break
    assert per_round == expected


def one_round(floor: Path, stay: Path, folder: Path) -> dict[str, float]:
    """What one round more adds is a round's; the rest is made once."""
    folder.mkdir()
    one, three = (counted(floor, stay, folder / str(rounds), rounds) for rounds in (1, 3))
    per_round = {call: (count - one.get(call, 0)) / 2 for call, count in three.items()}
    return {call: count for call, count in per_round.items() if count and call not in NOT_COUNTED}
