# SPDX-License-Identifier: Apache-2.0
"""Directories in every cgroup hierarchy.

The tree is one for the whole machine. A new directory is ours if a process of ours is in it or below. One in which
nobody is, for the whole time of the check, is ours if it is called podfast-…, unless its name ends in the number of a
living process that is not ours. All others are somebody else's.
"""

import os
import re

from tests.machinery.view import Found, View


def hierarchies() -> list[str]:
    """Where they are mounted, each once."""
    found: dict[str, str] = {}
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fields = left.split(" ")
            if right.startswith(("cgroup ", "cgroup2 ")) and fields[3] == "/":
                found.setdefault(fields[2], fields[4])
    return list(found.values())


def cgroups(view: View) -> Found:
    known = view.before.get("cgroups", {})
    found: Found = {}
    for hierarchy in hierarchies():
        _walk(hierarchy, view, known, found)
    return found


def _walk(directory: str, view: View, known: Found, found: Found) -> None:
    for path in _inner(directory):
        try:
            key = f"{path} {os.stat(path).st_ino}"
        except OSError:
            continue
        members = None if key in known else _members(path)
        if members is not None and not _is_ours(path, members, view):
            continue
        inside = "" if members is None else f" ({f'processes {sorted(members)}' if members else 'empty'})"
        found[key] = f"{path}{inside}"
        _walk(path, view, known, found)


def _is_ours(path: str, members: set[int], view: View) -> bool:
    if members:
        return bool(members & view.ours.keys())
    number = re.search(r"\d+$", path)
    pid = int(number[0]) if number else 0
    return "/podfast-" in path and (pid not in view.processes or pid in view.ours)


def _inner(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _members(directory: str) -> set[int]:
    members: set[int] = set()
    for name in ("cgroup.procs", "cgroup.threads"):  # a threaded cgroup does not list processes
        try:
            with open(f"{directory}/{name}", "rb", buffering=0) as file:
                members.update(int(word) for word in file.read(1 << 20).split())
            break
        except OSError:
            continue
    for inner in _inner(directory):
        members |= _members(inner)
    return members
