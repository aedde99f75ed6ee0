# SPDX-License-Identifier: Apache-2.0
"""podfast as a user has it: a program that is started in a shell, on pipes or on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.machinery.roots import Roots

COMMAND = [sys.executable, "-m", "podfast.cli"]
PATIENCE = 20.0

Result = subprocess.CompletedProcess[str]


class Podfast:
    """Runs podfast on the roots of this test. Whatever still runs at the end of the test is killed."""

    def __init__(self, roots: Roots, directory: Path) -> None:
        self.roots = roots
        self.directory = directory
        self.identity: dict[str, object] = {}  # as whom, and where, it runs
        self._started: list[subprocess.Popen[str]] = []

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NO_COLOR", "COLUMNS"))}
        places = {"PODFAST_ROOT": self.roots.root, "PODFAST_RUNROOT": self.roots.runroot}
        return kept | places | {"TERM": "xterm"} | dict(more or {})

    def __call__(self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> Result:
        """To the end, within the test's patience."""
        result: Result = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            env=self.environment(env),
            timeout=PATIENCE,
            **self.identity,  # type: ignore[call-overload]
        )
        return result

    def shell(self, *arguments: str) -> str:
        """The same as a line for a shell."""
        return shlex.join([*COMMAND, *arguments])

    def bash(self, script: str) -> Result:
        """A script that uses podfast in its own way."""
        command = ["bash", "-o", "pipefail", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment(), timeout=PATIENCE)

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[str]:
        """In the background, with pipes for output."""
        streams = (
            {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            | options
            | self.identity
        )
        process: subprocess.Popen[str] = subprocess.Popen(
            [*COMMAND, *arguments],
            text=True,
            env=self.environment(),
            **streams,  # type: ignore[call-overload]
        )
        self._started.append(process)
        return process

    def file(self, text: str, name: str = "pod.yaml") -> str:
        """A manifest on disk."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def pod(self, *commands: str, name: str = "test", more: str = "", policy: str = "Never", grace: int = 2) -> str:
        """A manifest of containers c0, c1, … that each run a line of shell."""
        containers = "".join(
            f"  - name: c{index}\n    command: [sh, -c]\n    args:\n    - |\n      "
            + command.replace("\n", "\n      ")
            + "\n"
            for index, command in enumerate(commands)
        )
        text = f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  restartPolicy: {policy}\n"
        text += f"  terminationGracePeriodSeconds: {grace}\n{more}  containers:\n{containers}"
        return self.file(text, f"{name}.yaml")

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def podfast(roots: Roots, tmp_path: Path) -> Iterator[Podfast]:
    runner = Podfast(roots, tmp_path)
    try:
        yield runner
    finally:
        runner.close()


# A container that ends on TERM at once, because it waits for a child instead of sleeping itself.
STAYS = "trap 'echo ended; exit 0' TERM; echo ready; while :; do sleep 60 & wait $!; done"


@pytest.fixture
def running(podfast: Podfast) -> Iterator[subprocess.Popen[str]]:
    """A pod "test" of two containers, attached in the background, that stays until it is stopped."""
    process = podfast.start("run", podfast.pod(STAYS, STAYS, policy="Always"))
    wait_for_lines(process, "c0 | ready", "c1 | ready")
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def wait_for_lines(process: subprocess.Popen[str], *lines: str) -> list[str]:
    """Reads standard output until all these lines have come, in any order; returns what was read."""
    assert process.stdout is not None
    missing = set(lines)
    seen: list[str] = []
    while missing:
        line = process.stdout.readline()
        if not line:
            assert process.stderr is not None
            pytest.fail(f"ended without {missing}: {seen} {process.stderr.read()}")
        seen.append(line.rstrip("\n"))
        missing.discard(seen[-1])
    return seen


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


class Terminal:
    """podfast on a terminal of its own, as its session's controlling one, so that Ctrl-C is a signal."""

    def __init__(self, podfast: Podfast, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        self.resize(30, 120)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave, stdout=slave, stderr=slave,
            env=podfast.environment(env),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the child has one thread
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("=HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, pattern: str) -> None:
        """Reads until the pattern is in the text; what comes before it is taken off the text."""
        deadline = time.monotonic() + PATIENCE
        while not (match := re.search(pattern, self.text)):
            if not self._read(deadline - time.monotonic()):
                pytest.fail(f"no {pattern!r} in {self.text!r}")
        self.text = self.text[match.end() :]

    def finish(self) -> int:
        """Reads to the end; returns the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self._master)[3] & termios.ECHO

    def _read(self, timeout: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, timeout))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other side any more
            return False
        self.text += data.decode(errors="replace")
        return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(podfast: Podfast) -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, env: Mapping[str, str] | None = None) -> Terminal:
            made = Terminal(podfast, arguments, env)
            stack.callback(made.close)
            return made

        yield start
