# SPDX-License-Identifier: Apache-2.0
"""Which files of the host's /etc are part of its /usr: those to which symbolic links below /usr point."""

from __future__ import annotations

import os

# Nothing there is read by a program that runs.
_PASSED = frozenset(("/usr/share/doc", "/usr/share/man", "/usr/include", "/usr/src", "/usr/local/etc"))

# A walk over /usr takes a third of a second, so its result is kept. It can change only with these.
_INPUTS = (
    "/usr/lib",
    "/usr/lib/jvm",
    "/usr/local/lib",
    "/usr/share",
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/pacman/local",
    "/lib/apk/db/installed",
)


def targets(cache: str) -> tuple[str, ...]:
    """Absolute paths below /etc, sorted. `cache` is a file of the store; the caller holds a lock on it."""
    key = repr(tuple(map(_look, _INPUTS)))
    try:
        with open(cache, encoding="utf-8", errors="surrogateescape") as file:
            first, *paths = file.read().split("\0")
        if first == key:
            return tuple(paths)
    except OSError:
        pass
    found = _walk("/usr")
    temporary = f"{cache}.tmp"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\0".join((key, *found)))
    os.replace(temporary, cache)
    return found


def _look(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _walk(top: str) -> tuple[str, ...]:
    found = set()
    waiting = [top]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.is_symlink():
                    target = resolve(entry.path)
                    if target is not None and target.startswith("/etc/"):
                        found.add(target)
                elif entry.is_dir(follow_symlinks=False) and entry.path not in _PASSED:
                    waiting.append(entry.path)
    return tuple(sorted(found))


def resolve(link: str) -> str | None:
    """Where a symbolic link points, by its text alone: no further link is followed."""
    try:
        target = os.readlink(link)
    except OSError:
        return None
    return os.path.normpath(os.path.join(os.path.dirname(link), target))
