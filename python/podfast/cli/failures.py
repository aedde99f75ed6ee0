# SPDX-License-Identifier: Apache-2.0
"""What went wrong, as lines for a person, and as an exit code for a program."""

import os

from podfast.errors import PodfastError, SpecError, StartError, WaitTimeout

TIMED_OUT = 124


def explain(error: BaseException, failed: int) -> tuple[list[str], int]:
    """Lines and exit code; `failed` is the code of a failure of podfast itself."""
    if isinstance(error, SpecError):
        return [one_line(str(problem)) for problem in error.problems], failed
    if isinstance(error, StartError):
        return [one_line(str(error))], error.exit_code if failed != 1 else 1
    if isinstance(error, WaitTimeout):
        return [one_line(str(error))], TIMED_OUT
    if isinstance(error, PodfastError):
        return [one_line(str(error))], failed
    if isinstance(error, OSError) and error.errno:
        named = f"{error.filename}: " if error.filename is not None else ""
        return [one_line(f"{named}{os.strerror(error.errno)}")], failed
    if isinstance(error, MemoryError):
        return ["out of memory"], failed
    return [one_line(f"{type(error).__name__}: {error} (this is a bug in podfast; --debug shows where)")], failed


def one_line(text: str) -> str:
    """Keeps what others wrote from looking like lines, or terminal commands, of podfast."""
    return "".join(char if char.isprintable() else _visible(char) for char in text)


def _visible(char: str) -> str:
    return " " if char == "\n" else char.encode("unicode_escape", "backslashreplace").decode("ascii")
