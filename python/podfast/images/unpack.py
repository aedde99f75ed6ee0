# SPDX-License-Identifier: Apache-2.0
"""Runs podfast-unpack, the confined program that turns an archive into files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import msgspec

from podfast.errors import ImageError, Unsupported

_ANSWER_BYTES = 64 << 10


class Unpacked(msgspec.Struct, frozen=True):
    """`sha256` and `bytes` are of the uncompressed archive; `passed` counts attributes and device nodes left out."""

    entries: int
    bytes: int
    sha256: str
    passed: int
    landlock: int


class _Failed(msgspec.Struct, frozen=True):
    error: str
    entry: str | None


Feed = Callable[[IO[bytes]], None]


def unpack(archive: int | Feed, target: int, *, what: str) -> Unpacked:
    """Unpacks into the open directory `target` from a descriptor, or from what a function writes.

    Raises ImageError with the entry and the reason; `what` names the archive in it.
    """
    process = subprocess.Popen(
        [_program(), str(target)],
        stdin=archive if isinstance(archive, int) else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(target,),
        env={},
        cwd="/",
    )
    try:
        if not isinstance(archive, int) and process.stdin is not None:
            # An unpacker that refused something has closed its end, and says why.
            with suppress(BrokenPipeError), process.stdin:
                archive(process.stdin)
        answer = process.stdout.read(_ANSWER_BYTES) if process.stdout is not None else b""
        return _judge(answer, process.wait(), what)
    finally:
        _end(process)


def _judge(answer: bytes, status: int, what: str) -> Unpacked:
    try:
        if status == 0:
            return msgspec.json.decode(answer, type=Unpacked)
        failed = msgspec.json.decode(answer, type=_Failed)
    except msgspec.DecodeError:
        raise ImageError(f"{what}: the unpacker was ended by {_cause(status)}") from None
    entry = "" if failed.entry is None else f" (entry {failed.entry!r})"
    raise ImageError(f"{what}: {failed.error}{entry}")


def _cause(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _program() -> str:
    # Here, so that reading the store needs nothing compiled.
    from podfast._native import binary

    path = binary("podfast-unpack")
    if not os.access(path, os.X_OK):
        raise Unsupported("podfast-unpack is missing from this installation", remedy="install podfast with pip again")
    return path
