# SPDX-License-Identifier: Apache-2.0
"""podfast-pause: what the file is, and what it does alone, as PID 1, and (for aarch64) under emulation."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAUSE = Path(__file__).parents[2] / "native" / "pause"
MACHINES = {"x86_64": 62, "aarch64": 183}
FILE_SAYS = {"x86_64": "x86-64", "aarch64": "ARM aarch64"}

# Runs a program as PID 1 of a new pid namespace (or, mode "exec", as itself) and says in JSON what became of it.
AS_PID_1 = """
import ctypes, json, os, signal, sys, time
mode, *program = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)

def states(parent):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, ppid = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent:
            found.append(state)
    return found

def settle(parent, wanted):
    deadline = time.monotonic() + 20
    while (left := states(parent)) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    return left

def waits(pid):  # it has begun, taken what there was to reap, and sleeps in rt_sigtimedwait
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/syscall") as file:
            if file.read().split()[0] == {"x86_64": "128", "aarch64": "137"}[os.uname().machine]:
                return
        time.sleep(0.005)
    raise SystemExit("it does not start")

def leave_orphans(parents, children, pause=0.0):
    # Each of the parents ends at once, so its children belong to PID 1.
    for _ in range(parents):
        if os.fork() == 0:
            for _ in range(children):
                if os.fork() == 0:
                    time.sleep(pause)
                    os._exit(0)
            os._exit(0)
    for _ in range(parents):
        os.wait()

def start(before=lambda: None):
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, signal.SIGKILL)  # should this script be killed
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        before()
        os.execv(program[0], program)
    return pid

def zombies_first():
    for _ in range(50):
        if os.fork() == 0:
            os._exit(0)
    for _ in range(50):  # all have ended, none is reaped
        time.sleep(0.002)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)

def term_first():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.kill(os.getpid(), signal.SIGTERM)

report = {}
if mode != "exec" and libc.unshare(0x20000000) != 0:
    raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWPID)")
if mode == "pending":
    init = start(term_first)
else:
    init = start(zombies_first if mode in ("zombies", "exec") else lambda: None)
    waits(init)
if mode == "orphans":
    leave_orphans(20, 50, 0.05)
    report["left"] = settle(init, [])
elif mode == "storm":
    leave_orphans(4, 250)
    report["left"] = settle(init, [])
elif mode in ("zombies", "exec"):
    report["left"] = settle(init, [])
elif mode == "busy":
    leave_orphans(4, 100, 300)  # they sleep; the end of PID 1 ends them
    report["living"] = len(states(init))
elif mode == "inside":
    sender = os.fork()
    if sender == 0:
        for one in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            os.kill(1, one)
        os._exit(0)
    os.waitpid(sender, 0)  # PID 1 does not end before all of its namespace are reaped, by whomever
if mode not in ("inside", "pending"):
    os.kill(init, signal.SIGTERM)
report["exit"] = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("podfast_pause_build", PAUSE / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=MACHINES)
def arch(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "x86_64" and platform.machine() != "x86_64":
        pytest.skip("x86_64 code is built and run on x86_64 only")
    return name


@pytest.fixture(scope="module")
def pause(builder: ModuleType, arch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("pause")
    scratch.chmod(0o755)
    builder.build(scratch / "podfast-pause", arch)
    return scratch / "podfast-pause"


@pytest.fixture(scope="module")
def command(pause: Path, arch: str) -> list[str]:
    """How to run it here: directly, or emulated."""
    if arch == platform.machine():
        return [str(pause)]
    emulator = shutil.which(f"qemu-{arch}")
    assert emulator, "install qemu-user"
    return [emulator, str(pause)]


Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(command: list[str]) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command)
        started.append(process)
        until_it_waits(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def until_it_waits(process: subprocess.Popen[bytes]) -> None:
    """In rt_sigtimedwait. (SigBlk tells nothing: signals that are waited for are taken out of the mask.)"""
    number = {"x86_64": "128", "aarch64": "137"}[platform.machine()]
    deadline = time.monotonic() + 20
    while Path(f"/proc/{process.pid}/syscall").read_text().split()[0] != number:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def as_pid_1(command: list[str], mode: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-S", "-c", AS_PID_1, mode, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_size(pause: Path, arch: str) -> None:
    assert pause.stat().st_size <= (206 if arch == "x86_64" else 256)
    assert pause.stat().st_mode & 0o7777 == 0o755


def test_same_bytes_every_time(
    builder: ModuleType, pause: Path, arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    builder.build("again", arch)
    assert (tmp_path / "again").read_bytes() == pause.read_bytes()
    subprocess.run(
        [sys.executable, PAUSE / "build.py", tmp_path / "third", "--arch", arch],
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert (tmp_path / "third").read_bytes() == pause.read_bytes()


def test_header_fields(pause: Path, arch: str) -> None:
    """Nothing overlaps, and each field is what it says."""
    raw = pause.read_bytes()
    assert raw[:16] == b"\x7fELF\x02\x01\x01" + bytes(9)
    kind, machine, version, entry, phoff, shoff, flags, ehsize, phentsize, phnum, _, shnum, shstrndx = (
        struct.unpack_from("<HHIQQQIHHHHHH", raw, 16)
    )
    assert (kind, machine, version, shoff, flags, shnum, shstrndx) == (2, MACHINES[arch], 1, 0, 0, 0, 0)
    assert (phoff, ehsize, phentsize, phnum) == (64, 64, 56, 1)
    load, rights, offset, vaddr, paddr, filesz, memsz, align = struct.unpack_from("<IIQQQQQQ", raw, phoff)
    assert (load, rights, offset, filesz, memsz) == (1, 5, 0, len(raw), len(raw))
    assert vaddr == paddr and vaddr % align == 0 and entry == vaddr + 64 + 56


def test_tools_accept_the_file(pause: Path, arch: str, tmp_path: Path) -> None:
    prefix = "" if arch == platform.machine() else f"{arch}-linux-gnu-"
    for tool in (["readelf", "-aW"], ["objdump", "-xd"], ["size"], ["nm"]):
        done = subprocess.run([prefix + tool[0], *tool[1:], pause], capture_output=True, text=True, check=True)
        assert "arning" not in done.stdout + done.stderr and "rror" not in done.stdout + done.stderr, tool
        assert not done.stderr or tool == ["nm"], done.stderr  # nm says that there are no symbols
    said = subprocess.run(["file", "-b", pause], capture_output=True, text=True, check=True).stdout.strip()
    assert (
        said == f"ELF 64-bit LSB executable, {FILE_SAYS[arch]}, version 1 (SYSV), statically linked, no section header"
    )
    # There is nothing to strip, and strip says so and writes nothing: a packager's run over all binaries does no harm.
    copy = tmp_path / "copy"
    shutil.copy2(pause, copy)
    assert "no sections" in subprocess.run([prefix + "strip", copy], capture_output=True, text=True, check=False).stderr
    assert copy.read_bytes() == pause.read_bytes()


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_end_it(start: Start, one: signal.Signals) -> None:
    process = start()
    process.send_signal(one)
    assert process.wait(10) == 0


def test_other_signals_do_not(start: Start, arch: str) -> None:
    process = start()
    if arch == platform.machine():
        others = set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT}
    else:  # an emulator has signals of its own
        others = {
            signal.SIGHUP,
            signal.SIGQUIT,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGALRM,
            signal.SIGCHLD,
            signal.SIGPIPE,
        }
    for number in sorted(others) * 3:
        process.send_signal(number)
    time.sleep(0.1)
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == 0


def test_stopped_and_continued_it_goes_on(start: Start) -> None:
    process = start()
    for _ in range(20):
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
    time.sleep(0.05)
    assert process.poll() is None
    process.terminate()
    assert process.wait(10) == 0


@pytest.mark.parametrize("mode", ["orphans", "storm", "zombies"])
def test_pid_1_reaps_everything(command: list[str], mode: str) -> None:
    """1 000 orphans that end together; 1 000 that end while it starts to reap; 50 that ended before it ran."""
    assert as_pid_1(command, mode) == {"left": [], "exit": 0}


def test_reaps_children_it_was_born_with(command: list[str]) -> None:
    """Outside a pid namespace of its own."""
    assert as_pid_1(command, "exec") == {"left": [], "exit": 0}


def test_pid_1_ends_among_living_processes(command: list[str]) -> None:
    assert as_pid_1(command, "busy") == {"living": 400, "exit": 0}


def test_pid_1_is_ended_from_inside(command: list[str]) -> None:
    """A process of the namespace may send TERM: to a blocked signal PID 1 is not immune."""
    assert as_pid_1(command, "inside") == {"exit": 0}


def test_signal_that_came_before_it_ran(command: list[str], arch: str) -> None:
    """Kept when whoever starts it has blocked signals."""
    if arch == platform.machine():  # an emulator does not hand on what was pending
        assert as_pid_1(command, "pending") == {"exit": 0}


def test_neither_traced_nor_given_an_executable_stack(pause: Path, arch: str) -> None:
    if arch != platform.machine():
        return  # these are the emulator's
    with tempfile.TemporaryDirectory(prefix="podfast-test-") as scratch:  # where other users can go
        Path(scratch).chmod(0o755)
        program = shutil.copy2(pause, scratch)
        process = subprocess.Popen([program], user=65534, group=65534, extra_groups=[])
        until_it_waits(process)
        owner = os.stat(f"/proc/{process.pid}/environ").st_uid
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
        assert process.wait(10) == 0
    assert owner == 0  # the sign of a process that is not dumpable
    stack = next(line.split()[1] for line in maps.splitlines() if line.endswith("[stack]"))
    assert stack == "rw-p"
    assert not [line for line in maps.splitlines() if "rwx" in line]


def test_what_the_build_lacks_is_named(builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(builder.BuildError, match="no code for riscv64"):
        builder.build(tmp_path / "pause", "riscv64")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(builder.BuildError, match="install binutils"):
        builder.build(tmp_path / "pause", "aarch64")
