# SPDX-License-Identifier: Apache-2.0
"""podfast-init, in its release form and with sanitizers: exit codes, signals, orphans, and the terminal."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INIT = Path(__file__).parents[2] / "native" / "init"
CLONE_NEWPID = 0x20000000


@pytest.fixture(scope="module", params=["release", "sanitized"])
def init(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("podfast_init_build", INIT / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = tmp_path_factory.mktemp("init") / "podfast-init"
    module.build(out, sanitize=request.param == "sanitized")
    return out


@pytest.fixture(params=["process", "pid 1"])
def command(request: pytest.FixtureRequest, init: Path) -> list[str]:
    """As an ordinary process (a shared pid namespace), or as PID 1 of its own, which dies if its starter is killed."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*(unshare if request.param == "pid 1" else []), str(init)]


def run(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("code", [0, 1, 7, 126, 255])
def test_exit_code(command: list[str], code: int) -> None:
    done = run(command, "--", "sh", "-c", f"exit {code}")
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("name", ["KILL", "TERM", "ABRT", "SEGV", "USR1"])
def test_killed_by_a_signal(command: list[str], name: str) -> None:
    assert run(command, "sh", "-c", f"ulimit -c 0; kill -{name} $$").returncode == 128 + signal.Signals["SIG" + name]


@pytest.mark.parametrize(
    ("program", "code", "why"),
    [
        ("/no/such/program", 127, "No such file or directory"),
        ("no-such-program", 127, "No such file or directory"),
        ("", 127, "No such file or directory"),
        ("/etc/passwd/program", 127, "Not a directory"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/etc", 126, "Permission denied"),
    ],
)
def test_program_that_cannot_run(command: list[str], program: str, code: int, why: str) -> None:
    done = run(command, "--", program)
    assert (done.returncode, done.stderr) == (code, f"podfast-init: cannot run {program}: {why}\n")


def test_usage(init: Path) -> None:
    for arguments in ([], ["--"]):
        done = run([str(init)], *arguments)
        assert (done.returncode, done.stdout) == (2, "") and "usage: podfast-init [--] PROGRAM" in done.stderr


def test_arguments_environment_and_descriptors(command: list[str]) -> None:
    done = run(command, "--", "--", "x")
    assert done.returncode == 127 and "cannot run --:" in done.stderr  # only the first -- is ours
    script = "import os, sys; print(sys.argv[1:], os.environ['PF_TEST'], sorted(os.listdir('/proc/self/fd')))"
    read, write = os.pipe()
    os.environ["PF_TEST"] = "kept"
    try:
        done = subprocess.run([*command, sys.executable, "-S", "-c", script, "a b", ""], pass_fds=[read, write],
                              capture_output=True, text=True, timeout=30, check=True)  # fmt: skip
    finally:
        del os.environ["PF_TEST"]
        os.close(read)
        os.close(write)
    assert done.stdout == "['a b', ''] kept ['0', '1', '2', '3']\n"  # 3 is the directory being listed


TRAPS = """
import os, signal, sys
wanted = [int(one) for one in sys.argv[1:]]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print(os.getppid(), flush=True)
for _ in wanted:
    print(int(signal.sigwait(wanted)), flush=True)
"""


def test_every_signal_reaches_the_program(init: Path) -> None:
    """All but CHLD, KILL and STOP. One by one: CONT takes back the stopping ones that wait, and they take back CONT."""
    wanted = sorted(set(signal.valid_signals()) - {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP})
    program = [str(init), sys.executable, "-S", "-c", TRAPS, *(str(int(one)) for one in wanted)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and int(process.stdout.readline()) == process.pid
        for one in wanted:
            process.send_signal(one)
            assert process.stdout.readline() == f"{int(one)}\n"
    assert process.returncode == 0


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_default_action_of_a_forwarded_signal(init: Path, one: signal.Signals) -> None:
    with subprocess.Popen([init, "sh", "-c", "ulimit -c 0; echo; exec sleep 100"], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"\n"
        process.send_signal(one)
        assert process.wait(10) == 128 + one


def test_signal_goes_to_the_program_and_not_to_its_children(init: Path) -> None:
    script = "sleep 1 & trap 'wait $!; echo child ended with $?; exit 5' TERM; echo; wait"
    with subprocess.Popen([init, "sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "\n"
        process.terminate()
        assert process.stdout.read() == "child ended with 0\n"
    assert process.returncode == 5


def test_signals_sent_before_the_program_runs_are_kept(init: Path) -> None:
    """For those who start podfast-init with signals blocked; the program has the mask that podfast-init was given."""

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
        os.kill(os.getpid(), signal.SIGTERM)

    script = "import signal; print(sorted(map(int, signal.pthread_sigmask(0, [])))); print(signal.sigwait([15]))"
    done = subprocess.run([init, sys.executable, "-S", "-c", script], preexec_fn=block,
                          capture_output=True, text=True, timeout=30, check=True)  # fmt: skip
    assert done.stdout == "[12, 15]\nSignals.SIGTERM\n" or done.stdout == "[12, 15]\n15\n"


def test_orphans_are_reaped(command: list[str]) -> None:
    """500 of them, while the program lives: none is left as a zombie."""
    script = """
import os, sys, time
for _ in range(10):
    if os.fork() == 0:
        for _ in range(50):
            if os.fork() == 0:
                time.sleep(0.02)
                os._exit(3)
        os._exit(0)
for _ in range(10):
    os.wait()
def left():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1] == str(os.getppid())
        except OSError:
            pass
    return found - 1
deadline = time.monotonic() + 20
while left() and time.monotonic() < deadline:
    time.sleep(0.02)
print(left())
os._exit(4)
"""
    done = run(command, sys.executable, "-S", "-c", script)
    assert (done.returncode, done.stdout) == (4, "0\n")


def test_ends_with_the_program_whoever_lives_on(command: list[str]) -> None:
    began = time.monotonic()
    done = subprocess.run([*command, "sh", "-c", "sleep 3 >/dev/null 2>&1 & exit 6"], timeout=30, check=False)
    assert done.returncode == 6 and time.monotonic() - began < 2.5


def test_stopped_program_goes_on(init: Path) -> None:
    """TSTP stops the program, CONT lets it go on; podfast-init itself waits on."""
    with subprocess.Popen(
        [init, "sh", "-c", "echo $$; sleep 0.3; exit 8"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        stat = Path(f"/proc/{process.stdout.readline().strip()}/stat")
        process.send_signal(signal.SIGTSTP)
        deadline = time.monotonic() + 10
        while stat.read_text().rpartition(")")[2].split()[0] != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stat.read_text().rpartition(")")[2].split()[0] == "T" and process.poll() is None
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == 8


def test_terminal(init: Path) -> None:
    """The program leads the foreground group: it reads, Ctrl-C reaches it once and not podfast-init."""
    script = (
        "import os, signal, sys, time; got = []; signal.signal(2, lambda *_: got.append(1));"
        "print(os.tcgetpgrp(0) == os.getpgrp() == os.getpid(), flush=True);"
        "print('read', sys.stdin.readline().strip(), flush=True);"
        "print('ready', flush=True); deadline = time.monotonic() + 10;\n"
        "while not got and time.monotonic() < deadline: time.sleep(0.01)\n"
        "time.sleep(0.1); print('interrupts', len(got), flush=True); sys.exit(9)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(init, [str(init), sys.executable, "-S", "-c", script])
    text = b""

    def until(wanted: bytes) -> None:
        nonlocal text
        while wanted not in text:
            text += os.read(terminal, 1000)

    until(b"True")
    os.write(terminal, b"line\n")
    until(b"read line")
    until(b"ready")
    os.write(terminal, b"\x03")
    until(b"interrupts 1")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    os.close(terminal)


def test_terminal_of_a_background_job_is_left_alone(init: Path) -> None:
    """Where podfast-init is not in the foreground itself, the terminal is not its to give."""
    pid, terminal = pty.fork()
    if pid == 0:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.execv(init, [str(init), "true"])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(code if os.tcgetpgrp(0) == os.getpgrp() else 99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def test_not_dumpable_but_the_program_is(init: Path) -> None:
    """prctl is asked inside: podfast-init's own state shows in who owns its files in /proc."""
    dumpable = ctypes.CDLL(None).prctl
    assert dumpable(3) in (0, 1)
    script = "import ctypes, os; print(ctypes.CDLL(None).prctl(3), os.stat(f'/proc/{os.getppid()}/environ').st_uid)"
    done = subprocess.run([init, sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1 0\n"


def test_small_and_static(init: Path) -> None:
    if re.search(rb"__asan_init", init.read_bytes()):
        return  # the sanitized one is neither
    assert init.stat().st_size <= 32 * 1024
    headers = subprocess.run(["readelf", "-lW", init], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in headers and re.search(r"GNU_STACK .* RW ", headers)
