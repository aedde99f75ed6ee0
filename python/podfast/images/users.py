# SPDX-License-Identifier: Apache-2.0
"""User names → numbers, from the image's own etc/passwd and etc/group, by a bounded parser: no NSS, no libc."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from podfast.errors import ImageError

from .model import Identity, Image

_FILE_BYTES = 4 << 20
_GROUPS = 1024
# The last 32-bit value means "none" to the kernel.
_MAX_ID = (1 << 32) - 2

_known: dict[tuple[tuple[str, ...], str], Identity] = {}


def lookup_user(image: Image, user: str) -> Identity:
    """Who `user` is inside `image`: `name|uid[:name|gid]`, or empty for root.

    As other runtimes do: a number needs no entry; the groups that list the user are added unless a group is named.
    Raises ImageError (ImageInspectError) for a name that the image does not know.
    """
    key = (image.layers, user)
    known = _known.get(key)
    if known is None:
        known = _lookup(image, user)
        if len(_known) > 256:
            _known.clear()
        _known[key] = known
    return known


def _lookup(image: Image, user: str) -> Identity:
    name, _, group = user.partition(":")
    uid, gid, home, login = _user(image, name or "0")
    if group:
        return Identity(uid=uid, gid=_group(image, group), home=home)
    groups = tuple(_groups_of(image, login)) if login else ()
    return Identity(uid=uid, gid=gid, groups=groups, home=home)


def _user(image: Image, name: str) -> tuple[int, int, str, str]:
    """uid, gid, home and login name; the last is empty for a number without an entry."""
    number = _number(name)
    for fields in _records(image, "passwd", 7):
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is None or gid is None:
            continue
        if fields[0] == name or (number is not None and uid == number):
            return uid, gid, fields[5] if fields[5].startswith("/") else "/", fields[0]
    if number is None:
        raise _unknown(image, f"no user {name!r} in the image's etc/passwd")
    return number, 0, "/", ""


def _group(image: Image, name: str) -> int:
    number = _number(name)
    if number is not None:
        return number
    for fields in _records(image, "group", 4):
        gid = _number(fields[2])
        if fields[0] == name and gid is not None:
            return gid
    raise _unknown(image, f"no group {name!r} in the image's etc/group")


def _groups_of(image: Image, login: str) -> Iterator[int]:
    found = 0
    for fields in _records(image, "group", 4):
        gid = _number(fields[2])
        if gid is not None and login in fields[3].split(","):
            yield gid
            found += 1
            if found == _GROUPS:
                return


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10) or int(text) > _MAX_ID:
        return None
    return int(text)


def _records(image: Image, name: str, fields: int) -> Iterator[list[str]]:
    for line in _read(image, name).decode("utf-8", "surrogateescape").split("\n"):
        record = line.split(":")
        if len(record) == fields:
            yield record


def _read(image: Image, name: str) -> bytes:
    """etc/`name` of the topmost layer that has it, or nothing. A link is not followed: it may lead out of the image."""
    for layer in image.layers:
        try:
            return _read_in(layer, name)
        except FileNotFoundError:
            continue
        except OSError as error:
            what = "is a link or no file" if error.errno in (errno.ELOOP, errno.ENOTDIR) else str(error.strerror)
            raise _unknown(image, f"the image's etc/{name} {what}") from error
    return b""


def _read_in(layer: str, name: str) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(os.path.join(layer, "etc"), flags | os.O_DIRECTORY)
    try:
        file = os.open(name, flags | os.O_NONBLOCK, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ENOTDIR, "is no file")
        if found.st_size > _FILE_BYTES:
            raise OSError(errno.EFBIG, f"has more than {_FILE_BYTES} bytes")
        with open(file, "rb", closefd=False) as stream:
            return stream.read(_FILE_BYTES)
    finally:
        os.close(file)


def _unknown(image: Image, message: str) -> ImageError:
    return ImageError(f"{image.reference}: {message}", reference=image.reference, reason="ImageInspectError")
