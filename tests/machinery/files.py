# SPDX-License-Identifier: Apache-2.0
"""What is left in run and state directories.

A root and a run root keep their skeleton, their lock, the boot they were last used in and the images; everything else
in them belongs to a pod and goes with it. Directories that a test watches itself must be as they were.
"""

import os

from tests.machinery.view import Found, View

_SKELETON = frozenset(("boot", "images", "lock", "logs", "names", "pods", "trash"))
# What the sweep empties later: at a graceful stop trees are only renamed into it.
TRASH = "trash"


def files(view: View) -> Found:
    found: Found = {}
    for root in view.roots:
        for name in _names(root):
            if name not in _SKELETON:
                _walk(f"{root}/{name}", found)
            elif name not in ("images", TRASH):
                for inner in _names(f"{root}/{name}"):
                    _walk(f"{root}/{name}/{inner}", found)
    for directory in view.watched:
        for name in _names(directory):
            _walk(f"{directory}/{name}", found)
    return found


def trash(view: View) -> Found:
    found: Found = {}
    for root in view.roots:
        for name in _names(f"{root}/{TRASH}"):
            _walk(f"{root}/{TRASH}/{name}", found)
    return found


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _walk(path: str, found: Found) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    directory = os.path.isdir(path) and not os.path.islink(path)
    found[f"{path} {status.st_ino}"] = f"{path}{'/' if directory else f' ({status.st_size} bytes)'}"
    if directory:
        for name in _names(path):
            _walk(f"{path}/{name}", found)
