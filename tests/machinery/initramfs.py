# SPDX-License-Identifier: Apache-2.0
"""What a virtual machine boots from: a tree of files, written as a cpio archive in the kernel's "newc" form."""

import importlib.util
import os
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_NOT_NEEDED = re.compile(
    r"/(test|tests|site-packages|dist-packages|config-[^/]*|idlelib|tkinter|lib2to3|ensurepip|turtledemo|pydoc_data)(/|$)"
)


class Tree:
    """Absolute paths → contents. Directories above a file come by themselves."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes, int]] = {}

    def directory(self, path: str) -> None:
        if path not in ("", "/") and path not in self._entries:
            self.directory(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | 0o755, b"", 0)

    def write(self, path: str, content: bytes | str, mode: int = 0o644, changed: int = 0) -> None:
        data = content.encode() if isinstance(content, str) else content
        self.directory(os.path.dirname(path))
        self._entries[path] = (stat.S_IFREG | mode, data, changed)

    def link(self, path: str, target: str) -> None:
        self.directory(os.path.dirname(path))
        self._entries[path] = (stat.S_IFLNK | 0o777, target.encode(), 0)

    def copy(self, source: str | os.PathLike[str], path: str | None = None) -> None:
        """A file of this machine, there under the same path unless told otherwise; links are followed."""
        status = os.stat(source)
        content = Path(source).read_bytes()
        self.write(path or os.path.abspath(source), content, stat.S_IMODE(status.st_mode), int(status.st_mtime))

    def copy_all(self, directory: str | os.PathLike[str], path: str | None = None) -> None:
        """A directory with all that is in it, but for what a running program does not need."""
        top = os.path.abspath(directory)
        for parent, directories, names in os.walk(top):
            inner = (path or top) + parent[len(top) :]
            directories[:] = [name for name in directories if not _NOT_NEEDED.search(f"{parent[len(top) :]}/{name}")]
            for name in names:
                if not name.endswith((".opt-1.pyc", ".opt-2.pyc", ".a")):
                    self.copy(f"{parent}/{name}", f"{inner}/{name}")

    def program(self, source: str | os.PathLike[str], path: str | None = None) -> None:
        """A program or a shared object, and the libraries it is linked with."""
        self.copy(source, path)
        for library in libraries(source):
            self.copy(library)

    def archive(self) -> bytes:
        entries = enumerate(sorted(self._entries.items()), 1)
        parts = [_entry(path.lstrip("/"), number, *entry) for number, (path, entry) in entries]
        parts.append(_entry("TRAILER!!!", 0, 0, b"", 0))
        return b"".join(parts)


def libraries(program: str | os.PathLike[str]) -> list[str]:
    """As the dynamic loader finds them; none for a static program."""
    done = subprocess.run(("ldd", program), capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", done.stdout) if done.returncode == 0 else []


def add_python(tree: Tree, packages: Iterable[str] = ()) -> None:
    """This interpreter with its standard library, and installed packages by name, in /python."""
    executable = os.path.realpath(sys.executable)
    tree.program(executable)
    standard = sysconfig.get_path("stdlib")
    tree.copy_all(standard)
    for extension in Path(standard, "lib-dynload").glob("*.so"):
        for library in libraries(extension):
            tree.copy(library)
    for name in packages:
        source = _package(name)
        (tree.copy_all if source.is_dir() else tree.program)(source, f"/python/{source.name}")
    tree.link("/bin/python3", executable)


def _package(name: str) -> Path:
    """Where a package's directory or a module's file is, in whatever way it is installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is not installed")
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def _entry(name: str, number: int, mode: int, data: bytes, changed: int) -> bytes:
    links = 2 if stat.S_ISDIR(mode) else 1
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, links, changed, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
