# SPDX-License-Identifier: Apache-2.0
"""The mount table and the table of file locks."""

import os

from tests.machinery import isolation
from tests.machinery.view import Found, View


def mounts(view: View) -> Found:
    found = {}
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.rstrip("\n").partition(" - ")
            fields, kind = left.split(" "), right.split(" ")
            if isolation.own_mounts() or "podfast" in line or any(root in line for root in view.roots):
                found[f"{fields[0]} {fields[4]}"] = f"{kind[0]} {kind[1]} (root {fields[3]}) on {fields[4]}"
    return found


def locks(view: View) -> Found:
    """Leases are file locks: of our processes, or on files below our directories, whoever holds them."""
    files = _files(view.roots + view.watched)
    found = {}
    with open("/proc/locks", encoding="ascii", errors="replace") as file:
        for line in file:
            fields = line.split()
            if len(fields) != 8 or fields[1] == "->":
                continue  # somebody who waits
            path = files.get(fields[5])
            holder = int(fields[4])
            if path is not None or holder in view.ours:
                found[" ".join(fields[1:6])] = f"{fields[1]} {fields[3]} by {holder} on {path or f'inode {fields[5]}'}"
    return found


def _files(directories: tuple[str, ...]) -> dict[str, str]:
    """File as /proc/locks names it → path."""
    found = {}
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for path in (parent, *(f"{parent}/{name}" for name in names)):
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                found[f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"] = path
    return found
