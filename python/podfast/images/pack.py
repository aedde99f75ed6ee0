# SPDX-License-Identifier: Apache-2.0
"""A directory → a tar stream, always the same one for the same tree: names sorted, numbers for owners, times exact."""

from __future__ import annotations

import os
import stat
import tarfile
from typing import IO

from podfast.errors import ImageError

_KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def pack(source: str, out: IO[bytes], *, without: tuple[int, int] | None = None) -> None:
    """Writes the tree at `source`. Other file systems mounted in it, and sockets, are left out.

    `without` is device and inode of a directory to pass over: the store itself, when "/" is imported.
    """
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _Packer(archive, source, without).run()


class _Packer:
    def __init__(self, archive: tarfile.TarFile, source: str, without: tuple[int, int] | None) -> None:
        self._archive = archive
        self._source = source
        self._without = without
        self._links: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        # fwalk opens each directory without following links, and nothing is reached by a longer path.
        device = os.stat(self._source).st_dev
        for path, directories, files, fd in os.fwalk(self._source, follow_symlinks=False):
            name = os.path.relpath(path, self._source)
            found = os.fstat(fd)
            if found.st_dev != device or (found.st_dev, found.st_ino) == self._without:
                directories.clear()
                files.clear()
            self._add(name, found, fd)
            directories.sort()
            links = [entry for entry in directories if stat.S_ISLNK(_lstat(entry, fd).st_mode)]
            for entry in sorted(files + links):
                self._add_in(os.path.normpath(os.path.join(name, entry)), entry, fd)

    def _add_in(self, name: str, entry: str, directory: int) -> None:
        found = _lstat(entry, directory)
        if stat.S_ISREG(found.st_mode):
            fd = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            with open(fd, "rb") as file:
                self._add(name, os.fstat(fd), fd, file=file)
        elif stat.S_ISLNK(found.st_mode):
            self._add(name, found, None, target=os.readlink(entry, dir_fd=directory))
        elif not stat.S_ISSOCK(found.st_mode):
            self._add(name, found, None)

    def _add(
        self, name: str, found: os.stat_result, fd: int | None, *, target: str = "", file: IO[bytes] | None = None
    ) -> None:
        info = tarfile.TarInfo(name)
        info.type = _KINDS[stat.S_IFMT(found.st_mode)]
        info.mode = stat.S_IMODE(found.st_mode)
        info.uid, info.gid = found.st_uid, found.st_gid
        info.mtime = found.st_mtime_ns // 1_000_000_000
        headers = {"mtime": _seconds(found.st_mtime_ns)} if found.st_mtime_ns % 1_000_000_000 else {}
        info.linkname = target
        if file is not None and found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), name)
            if first != name:
                info.type, info.linkname = tarfile.LNKTYPE, first
                return self._archive.addfile(info)
        if fd is not None:
            headers |= _xattrs(fd)
        info.pax_headers = headers
        if file is not None:
            info.size = found.st_size
        try:
            self._archive.addfile(info, file)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise ImageError(f"{self._source}: {name!r} changed while it was read") from error


def _lstat(entry: str, directory: int) -> os.stat_result:
    return os.stat(entry, dir_fd=directory, follow_symlinks=False)


def _seconds(nanoseconds: int) -> str:
    sign = "-" if nanoseconds < 0 else ""
    whole, rest = divmod(abs(nanoseconds), 1_000_000_000)
    return f"{sign}{whole}.{rest:09d}"


def _xattrs(fd: int) -> dict[str, str]:
    found = {}
    for name in sorted(os.listxattr(fd)):
        if name.startswith("user.") or name == "security.capability":
            found[f"SCHILY.xattr.{name}"] = os.getxattr(fd, name).decode("utf-8", "surrogateescape")
    return found
