# SPDX-License-Identifier: Apache-2.0
"""A program on the other end of two pipes, which answers each command with the nanoseconds that it took."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

CGROUPS = Path("/sys/fs/cgroup")


class CoprocessFailed(Exception):
    """The program ended, or answered with something else than a number."""


class Coprocess:
    """Ends with the `with` block: its standard input is closed, and it undoes what it made."""

    def __init__(self, command: Sequence[str | os.PathLike[str]], *, cwd: Path | None = None) -> None:
        self.name = Path(command[0]).name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str) -> float:
        """Sends one command; returns the seconds that it took."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer.isdecimal():
            raise CoprocessFailed(f"{self.name}: {command}: {answer or self._last_words()}")
        return int(answer) / 1e9

    def close(self) -> None:
        words = self._last_words()
        self._remove_cgroups()
        if self._process.returncode:
            raise CoprocessFailed(f"{self.name} ended with {self._process.returncode}: {words}")

    def _last_words(self) -> str:
        """Ends the program; returns what it wrote to standard error. Its descriptors are closed for good."""
        if self._process.stdin is not None and self._process.stdin.closed:
            return ""
        try:
            return self._process.communicate(timeout=30)[1].strip()
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.communicate()[1].strip() + " (killed after 30 s)"

    def _remove_cgroups(self) -> None:
        # Only when a floor program was killed is anything there: its processes are gone with its pid namespace.
        for top in [*CGROUPS.glob(f"podfast-*-floor.{self.pid}"), *CGROUPS.glob(f"*/podfast-*-floor.{self.pid}")]:
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(FileNotFoundError):
                    os.rmdir(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except CoprocessFailed:
            if error is None:
                raise
