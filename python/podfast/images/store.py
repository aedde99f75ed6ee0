# SPDX-License-Identifier: Apache-2.0
"""Imported images on disk. One rename makes an image appear: until then nothing of it has a name.

    <root>/images/            0700: a set-id program of an image is out of reach of the host's users
      lock                    flock, exclusive and short: taking and clearing work space, publishing
      layers/<diff id>/       unpacked, never written again
      refs/<fingerprint>      JSON of Record: the name, the image's config, its layers
      retired/<id>            what a name meant before: a pod may still run from it
      tmp/<random>/root       an import at work; it and its unpacker hold a lock on the directory
      host/                   see host.py

Names never appear in paths; a file that is read under a fingerprint says itself whose it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from podfast.errors import SystemFailure
from podfast.fingerprint import fingerprint

from .model import Image, ImageConfig


class Record(msgspec.Struct, frozen=True):
    """An image of the store. `created` is Unix time in nanoseconds, `size` the bytes of its uncompressed layers."""

    reference: str
    id: str
    layers: tuple[str, ...]
    config: ImageConfig
    created: int
    size: int


_decoder = msgspec.json.Decoder(Record)


class Workspace:
    """A directory that becomes a layer, or nothing. `fd` is the open directory to fill, and holds its lock."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd


class Store:
    """The store below one root directory. Any number of processes may use it at once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._top = os.path.join(root, "images")

    def find(self, reference: str) -> Record | None:
        """The image of that full name."""
        record = self._read("refs", fingerprint(reference.encode()))
        return record if record is not None and record.reference == reference else None

    def records(self) -> tuple[Record, ...]:
        """All images that have a name, by name."""
        try:
            names = os.listdir(self._path("refs"))
        except FileNotFoundError:
            return ()
        found = (self._read("refs", name) for name in names if not name.endswith(".tmp"))
        return tuple(sorted((record for record in found if record is not None), key=lambda record: record.reference))

    def image(self, record: Record) -> Image:
        """The image that a record tells of, its layers topmost first."""
        layers = tuple(self._path("layers", diff_id) for diff_id in reversed(record.layers))
        return Image(reference=record.reference, id=record.id, layers=layers, config=record.config)

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Room for one import. What is left in it at the end goes away, here or, after a kill, at the next sweep."""
        with reported("write", self._top):
            make_private(self._root, "images", *(f"images/{name}" for name in ("layers", "refs", "retired", "tmp")))
            path = self._path("tmp", os.urandom(8).hex())
            with self._locked():
                os.mkdir(path, 0o700)
                fd = _open_root(path)
        try:
            yield Workspace(path, fd)
        finally:
            os.close(fd)
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, work: Workspace, diff_id: str, record: Record) -> None:
        """Gives a filled work space its place and its name."""
        with reported("publish", self._top), self._locked():
            try:
                os.rename(os.path.join(work.path, "root"), self._path("layers", diff_id))
            except OSError as error:
                # The same content is there already.
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            ref = self._path("refs", fingerprint(record.reference.encode()))
            old = self.find(record.reference)
            if old is not None and old.id != record.id:
                with suppress(FileExistsError):
                    os.link(ref, self._path("retired", old.id))
            with open(f"{ref}.tmp", "wb") as file:
                file.write(msgspec.json.encode(record))
            os.rename(f"{ref}.tmp", ref)

    def sweep(self) -> None:
        """Removes what killed imports left: work space that nobody holds, layers that no image has."""
        if not os.path.isdir(self._path("tmp")):
            return
        with reported("sweep", self._top):
            make_private(self._root, "trash")
            with self._locked():
                doomed = [self._bury(path) for path in (*self._abandoned(), *self._orphans())]
        # Outside the lock: a layer may have a hundred thousand files.
        for path in doomed:
            shutil.rmtree(path, ignore_errors=True)

    def _abandoned(self) -> Iterator[str]:
        for name in os.listdir(self._path("tmp")):
            path = self._path("tmp", name)
            # Somebody is at work there, or has just cleared it away.
            with suppress(BlockingIOError, FileNotFoundError, NotADirectoryError):
                os.close(_open_root(path))
                yield path

    def _orphans(self) -> Iterator[str]:
        kept: set[str] = set()
        for place in ("refs", "retired"):
            for name in os.listdir(self._path(place)):
                if name.endswith(".tmp"):
                    os.unlink(self._path(place, name))
                elif (record := self._read(place, name)) is not None:
                    kept.update(record.layers)
        for name in os.listdir(self._path("layers")):
            if name not in kept:
                yield self._path("layers", name)

    def _bury(self, path: str) -> str:
        grave = os.path.join(self._root, "trash", os.urandom(8).hex())
        # Work space is cleared by its owner without the lock.
        with suppress(FileNotFoundError):
            os.rename(path, grave)
        return grave

    def _read(self, *names: str) -> Record | None:
        try:
            with open(self._path(*names), "rb") as file:
                return _decoder.decode(file.read())
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _path(self, *names: str) -> str:
        return os.path.join(self._top, *names)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _open_root(path: str) -> int:
    """The directory `root` in a work space, made if need be, open and locked. BlockingIOError: somebody holds it."""
    root = os.path.join(path, "root")
    with suppress(FileExistsError):
        os.mkdir(root, 0o700)
        os.chmod(root, 0o755)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def make_private(root: str, *names: str) -> None:
    """Makes directories below the node's root, which others may pass through; what is in it they may not."""
    os.makedirs(root, 0o711, exist_ok=True)
    for name in names:
        with suppress(FileExistsError):
            os.mkdir(os.path.join(root, name), 0o700)


@contextmanager
def reported(operation: str, path: str) -> Iterator[None]:
    """Turns a failed system call into a SystemFailure."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else path
        message = f"images: cannot {operation} {place}: {error.strerror}"
        raise SystemFailure(message, operation=operation, object=place, errno=error.errno or 0) from error
