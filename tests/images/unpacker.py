# SPDX-License-Identifier: Apache-2.0
"""Runs podfast-unpack as podfast does, and looks at trees."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podfast._native import binary

Verdict = dict[str, Any]
PROGRAM = binary("podfast-unpack")


def unpack(archive: bytes | Path, target: Path, *, user: int | None = None) -> Verdict:
    """The program's answer. Anything but an answer, such as a crash, fails the test."""
    target.mkdir(exist_ok=True)
    with program_for(user) as program:
        return _unpack(archive, target, program, user)


@contextmanager
def program_for(user: int | None) -> Iterator[str]:
    """Where another user can run it, though this installation may be for nobody else to read."""
    if user is None:
        yield PROGRAM
        return
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        copy = shutil.copy(PROGRAM, directory)
        os.chmod(copy, 0o755)
        yield copy


def _unpack(archive: bytes | Path, target: Path, program: str, user: int | None) -> Verdict:
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    source = subprocess.PIPE if isinstance(archive, bytes) else os.open(archive, os.O_RDONLY)
    try:
        process = subprocess.Popen(
            [program, str(fd)],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(fd,),
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    finally:
        os.close(fd)
        if source != subprocess.PIPE:
            os.close(source)
    answer, complaints = process.communicate(archive if isinstance(archive, bytes) else None, timeout=120)
    assert complaints == b""
    verdict: Verdict = json.loads(answer)
    assert process.returncode == ("error" in verdict), (process.returncode, verdict)
    return verdict


def tree(top: Path, *, without: Path | None = None) -> dict[str, tuple[object, ...]]:
    """All that can be seen of a tree, by relative path."""
    seen: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for directory, directories, files in os.walk(top):
        if without is not None and Path(directory) == without:
            directories.clear()
            continue
        for name in (".", *directories, *files):
            path = os.path.normpath(os.path.join(directory, name))
            relative = os.path.relpath(path, top)
            if relative not in seen and (without is None or Path(path) != without):
                seen[relative] = _look(path, relative, first)
    return seen


def _look(path: str, relative: str, first: dict[int, str]) -> tuple[object, ...]:
    found = os.lstat(path)
    content: object = None
    if stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    xattrs = tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    )
    same = first.setdefault(found.st_ino, relative)
    return oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, content, xattrs, same
