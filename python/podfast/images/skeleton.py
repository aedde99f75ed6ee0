# SPDX-License-Identifier: Apache-2.0
"""The root file system of `image: host` but for /usr: made up, or copied where any user of the host may read it."""

from __future__ import annotations

import os
import shutil
import stat

from . import host, links

_FILE_BYTES = 16 << 20
_HOPS = 8

_DIRECTORIES = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
    "var/cache": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}

_LINKS = {"var/run": "/run", "etc/mtab": "/proc/self/mounts"}

_FILES = {
    # Mount points for what each pod gets of its own.
    "etc/hosts": "",
    "etc/hostname": "",
    "etc/resolv.conf": "",
    # The host's own may ask for services that are not in the container.
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\nethers: files\nrpc: files\n",
}

_CERTIFICATES = ("ssl/certs", "pki/tls/certs", "pki/ca-trust/extracted", "ca-certificates/extracted")

# World-readable by custom, and yet where people put tokens and the passwords of proxies.
_PRIVATE = frozenset(("/etc/environment",))

# Users of this number and above are people. `nobody` is nobody.
_FIRST_PERSON = 1000
_NOBODY = {65534: ("nobody", "nogroup")}


def sweep(directory: str, *, keep: str) -> None:
    """Removes unfinished skeletons and those of earlier boots. The caller holds the lock: nobody is at work."""
    for entry in os.listdir(directory):
        path = os.path.join(directory, entry)
        if entry.startswith("tmp-") or (len(entry) == 64 and _boot_of(path) != keep):
            shutil.rmtree(path, ignore_errors=True)
            _unlink(f"{path}.boot")


def _boot_of(path: str) -> str:
    try:
        with open(f"{path}.boot", encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def build(directory: str, key: str, *, boot: str) -> None:
    """Makes the skeleton `directory`/`key`. It appears when it is complete; a failure leaves nothing of that name."""
    empty = os.path.join(directory, "empty")
    if not host.is_directory(empty):
        _directory(empty, 0o755)
    temporary = os.path.join(directory, f"tmp-{key}")
    _directory(temporary, 0o755)
    try:
        _fill(temporary, links.targets(os.path.join(directory, "links")))
        with open(os.path.join(directory, f"{key}.boot"), "w", encoding="ascii") as file:
            file.write(boot)
        os.rename(temporary, os.path.join(directory, key))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fill(top: str, wanted: tuple[str, ...]) -> None:
    for path, mode in _DIRECTORIES.items():
        _directory(os.path.join(top, path), mode)
    for path, target in _LINKS.items():
        os.symlink(target, os.path.join(top, path))
    for path, text in _FILES.items():
        _write(os.path.join(top, path), text.encode(), 0o644)
    _write(os.path.join(top, "etc/passwd"), users("/etc/passwd"), 0o644)
    _write(os.path.join(top, "etc/group"), groups("/etc/group"), 0o644)
    _top_level(top)
    if os.path.exists("/usr/lib/os-release"):
        os.symlink("../usr/lib/os-release", os.path.join(top, "etc/os-release"))
    for path in ("/etc/ld.so.cache", *(f"/etc/{name}" for name in os.listdir("/etc") if name.startswith("ld-musl-"))):
        _copy(top, path)
    for name in _CERTIFICATES:
        _certificates(top, f"/etc/{name}")
    _alternatives(top)
    for path in wanted:
        _bring(top, path)


def _top_level(top: str) -> None:
    for name in host.TOP_LEVEL:
        target = links.resolve(f"/{name}")
        if target is not None and target.startswith("/usr/"):
            os.symlink(target[1:], os.path.join(top, name))
        elif host.is_directory(f"/{name}"):
            _directory(os.path.join(top, name), 0o755)


def users(path: str) -> bytes:
    """System users, without passwords and without what is said of them."""
    kept = []
    for line in _lines(path):
        fields = line.split(":")
        if len(fields) == 7 and _is_system(fields[2], fields[0]) and fields[3].isdecimal():
            name, _, uid, gid, _, home, shell = fields
            kept.append(":".join((name, "*", uid, gid, "", home if uid != "0" else "/root", shell)))
    return "".join(f"{line}\n" for line in kept).encode("utf-8", "surrogateescape")


def groups(path: str) -> bytes:
    """System groups; of their members only system users, so that no person is named."""
    known = {line.split(":")[0] for line in users("/etc/passwd").decode("utf-8", "surrogateescape").splitlines()}
    kept = []
    for line in _lines(path):
        fields = line.split(":")
        if len(fields) == 4 and _is_system(fields[2], fields[0]):
            members = ",".join(name for name in fields[3].split(",") if name in known)
            kept.append(f"{fields[0]}:*:{fields[2]}:{members}")
    return "".join(f"{line}\n" for line in kept).encode("utf-8", "surrogateescape")


def _is_system(number: str, name: str) -> bool:
    if not number.isdecimal() or not name or name[0] in "+-":
        return False
    return int(number) < _FIRST_PERSON or name in _NOBODY.get(int(number), ())


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_FILE_BYTES).splitlines()
    except FileNotFoundError:
        return []


def _certificates(top: str, source: str) -> None:
    """A directory of certificates. Links that leave such directories for anything but /usr are left out."""
    if not host.is_directory(source) or not _is_public(source):
        return
    _parents(top, f"{source}/.")
    for entry in os.scandir(source):
        if entry.is_symlink():
            target = links.resolve(entry.path)
            if target is not None and target.startswith(("/usr/", *(f"/etc/{name}/" for name in _CERTIFICATES))):
                _link(top, entry.path)
        elif entry.is_dir(follow_symlinks=False):
            _certificates(top, entry.path)
        else:
            _copy(top, entry.path)


def _alternatives(top: str) -> None:
    if not host.is_directory("/etc/alternatives"):
        return
    for entry in os.scandir("/etc/alternatives"):
        if entry.is_symlink():
            _link(top, entry.path)


def _bring(top: str, path: str) -> None:
    """Copies the regular file that `path` leads to, and the links on the way, if all of it is in /etc."""
    way = [path]
    while os.path.islink(way[-1]):
        target = links.resolve(way[-1])
        if target is None or not target.startswith("/etc/") or len(way) > _HOPS:
            return
        way.append(target)
    if not _PRIVATE.isdisjoint(way) or not all(map(_is_public, way)) or not os.path.isfile(way[-1]):
        return
    _copy(top, way[-1])
    for link in way[:-1]:
        _link(top, link)


def _is_public(path: str) -> bool:
    """Whether any user may get to `path`, through directories alone."""
    while (path := os.path.dirname(path)) != "/":
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode) or not mode & stat.S_IXOTH:
            return False
    return True


def _copy(top: str, path: str) -> None:
    """Copies a regular file that any user may read; others, and private keys, are passed over."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IROTH or found.st_size > _FILE_BYTES:
            return
        with open(source, "rb", closefd=False) as file:
            data = file.read(_FILE_BYTES)
    finally:
        os.close(source)
    if b"PRIVATE KEY-----" in data:
        return
    _parents(top, path)
    copy = top + path
    if not os.path.lexists(copy):
        _write(copy, data, 0o755 if found.st_mode & stat.S_IXOTH else 0o644)
        os.utime(copy, ns=(found.st_mtime_ns, found.st_mtime_ns))


def _link(top: str, path: str) -> None:
    _parents(top, path)
    if not os.path.lexists(top + path):
        os.symlink(os.readlink(path), top + path)


def _parents(top: str, path: str) -> None:
    parent = os.path.dirname(path)
    if not os.path.isdir(top + parent):
        _parents(top, parent)
        _directory(top + parent, 0o755)


def _directory(path: str, mode: int) -> None:
    os.mkdir(path)
    # mkdir's own mode is subject to the umask, which belongs to the whole process.
    os.chmod(path, mode)


def _write(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        os.fchmod(fd, mode)
