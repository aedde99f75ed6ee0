# SPDX-License-Identifier: Apache-2.0
"""`image: host`: the machine's own /usr under a skeleton of everything else that names nothing private.

The skeleton is a directory in the store, named by what the host looked like when it was made: when the host's users,
libraries, certificates or packages change, the next call makes another. Old ones may be some running pod's root, so
they stay until the machine has been restarted: the boot is part of the name's input.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from podfast.fingerprint import fingerprint

from .model import Bind, Image, ImageConfig

# Raised when skeletons of an older podfast must not be used any more.
_VERSION = 1

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What the skeleton is made from. A file that is edited in place shows in its own times, one that is replaced in its
# directory's; installing a package touches the database of packages.
_INPUTS = (
    "/etc/passwd",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/alternatives",
    "/usr",
    "/usr/lib",
    "/usr/local",
    "/var/lib/dpkg/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/pacman/local",
    "/lib/apk/db/installed",
)

_Facts = tuple[tuple[int, int, int] | None, ...]

_made: dict[str, tuple[_Facts, Image]] = {}
_boot: list[str] = []


def image(root: str) -> Image:
    """The image `host`, its skeleton made or refreshed where that is needed.

    Raises Unsupported where the host has no /usr, and SystemFailure where the store cannot be written.
    """
    facts = tuple(map(_look, _INPUTS))
    known = _made.get(root)
    if known is not None and known[0] == facts and os.path.isdir(known[1].layers[0]):
        return known[1]
    made = _image(root, facts)
    _made[root] = (facts, made)
    return made


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _image(root: str, facts: _Facts) -> Image:
    directory = os.path.join(root, "images", "host")
    key = fingerprint(repr((_VERSION, os.geteuid(), _boot_id(), facts)).encode())
    layer = os.path.join(directory, key)
    if not os.path.isdir(layer):
        _make(root, directory, key)
    return Image(
        reference="host",
        id=key,
        layers=(layer,),
        binds=_binds(directory),
        config=ImageConfig(env=(_PATH,)),
    )


def _boot_id() -> str:
    if not _boot:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            _boot.append(file.read().strip())
    return _boot[0]


def _binds(directory: str) -> tuple[Bind, ...]:
    """/usr, what has not been merged into it, and an empty directory over what is configuration of the host."""
    binds = [Bind("/usr", "usr")]
    binds += [Bind(f"/{name}", name) for name in TOP_LEVEL if is_directory(f"/{name}")]
    if is_directory("/usr/local/etc"):
        binds.append(Bind(os.path.join(directory, "empty"), "usr/local/etc"))
    return tuple(binds)


# Links into /usr on a host of today, directories on one that keeps the old order.
TOP_LEVEL = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def is_directory(path: str) -> bool:
    """Whether there is a directory at `path` itself; a link to one does not count."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _make(root: str, directory: str, key: str) -> None:
    # A warm process never gets here, so it never imports what builds.
    from . import skeleton, store

    with store.reported("make", directory):
        store.make_private(root, "images", "images/host")
        with _alone(directory):
            if not os.path.isdir(os.path.join(directory, key)):
                skeleton.sweep(directory, keep=_boot_id())
                skeleton.build(directory, key, boot=_boot_id())


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """One builder at a time, over all processes. The lock ends with its holder, whatever ends that."""
    lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
