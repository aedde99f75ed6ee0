# SPDX-License-Identifier: Apache-2.0
"""Debian's cloud kernels, unpacked into a cache and never installed."""

import functools
import lzma
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "PODFAST_VM_CACHE"
# Debian 12 has 6.1, and 6.12 beside it; Debian 13 has 6.12.
_METAPACKAGES = ("linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64")


class Unavailable(RuntimeError):
    """This machine cannot provide the kernel; the message says why."""


@dataclass(frozen=True)
class Kernel:
    release: str
    image: str
    modules: str
    """Directory of the module files."""

    def module(self, name: str) -> list[bytes]:
        """A module after those it depends on, each as the kernel loads it; empty when it is built in or unknown."""
        found: dict[str, bytes] = {}
        self._collect(name, found)
        return list(found.values())

    def _collect(self, name: str, found: dict[str, bytes]) -> None:
        for path in Path(self.modules).rglob(f"{name.replace('-', '_')}.ko*"):
            data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
            depends = re.search(rb"\0depends=([^\0]*)\0", data)
            for other in depends[1].decode().split(",") if depends and depends[1] else ():
                if other not in found:
                    self._collect(other, found)
            found[name] = data


@functools.cache
def kernel(series: str) -> Kernel:
    """The newest one of a series, "6.1" for example. Downloads it once; raises Unavailable."""
    directory = _cache() / series
    if not (directory / "complete").exists():
        _download(series, directory)
    images = sorted((directory / "boot").glob("vmlinuz-*"))
    release = images[-1].name.removeprefix("vmlinuz-")
    modules = next(path for path in (directory / "usr/lib/modules", directory / "lib/modules") if path.is_dir())
    return Kernel(release, str(images[-1]), str(modules / release))


def _cache() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(tempfile.gettempdir(), f"podfast-tests-{os.getuid()}", "kernels")


def _download(series: str, directory: Path) -> None:
    package = _package(series)
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
        _call(("apt-get", "download", package), temporary)
        archive = next(Path(temporary).glob("*.deb"))
        _call(("dpkg-deb", "--extract", archive.name, "tree"), temporary)
        tree = Path(temporary, "tree")
        (tree / "complete").touch()
        try:
            tree.rename(directory)
        except OSError:
            if not (directory / "complete").exists():  # else another test process was faster
                raise


def _package(series: str) -> str:
    """What a metapackage of that series depends on: linux-image-6.1.0-50-cloud-amd64."""
    for name in _METAPACKAGES:
        try:
            text = _call(("apt-cache", "depends", name))
        except Unavailable:
            continue
        found = re.search(rf"Depends: (linux-image-{re.escape(series)}\.\S+-cloud-amd64)", text)
        if found:
            return found[1]
    raise Unavailable(f"apt knows no cloud kernel {series} (apt-get update?)")


def _call(argv: tuple[str, ...], directory: str | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=directory, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable(f"{argv[0]} is not installed") from None
    if done.returncode:
        raise Unavailable(f"{' '.join(argv)}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
