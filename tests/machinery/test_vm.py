# SPDX-License-Identifier: Apache-2.0
"""The archive a virtual machine boots from, and what it is told when it does not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.machinery import vm
from tests.machinery.initramfs import Tree, libraries
from tests.machinery.kernels import Kernel, Unavailable


def test_busybox_unpacks_the_archive(tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    tree = Tree()
    tree.write("/a/b/file", "text", 0o640, changed=1_600_000_000)
    tree.write("/a/odd", b"\0" * 4097)
    tree.link("/a/link", "b/file")
    tree.directory("/empty/deep")
    subprocess.run(
        (busybox, "cpio", "-i", "-d", "-m"), cwd=tmp_path, input=tree.archive(), check=True, capture_output=True
    )
    file = tmp_path / "a" / "b" / "file"
    assert file.read_text() == "text" and file.stat().st_mode & 0o777 == 0o640 and file.stat().st_mtime == 1_600_000_000
    assert (tmp_path / "a" / "odd").stat().st_size == 4097
    assert (tmp_path / "a" / "link").readlink() == Path("b/file")
    assert (tmp_path / "empty" / "deep").is_dir()


def test_a_program_brings_its_libraries() -> None:
    found = libraries("/bin/sh")
    assert any("libc.so" in path for path in found) and all(Path(path).exists() for path in found)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(Unavailable, match="qemu-system-x86"):
        vm.run(Kernel("0", "/dev/null", "/"), ("true",))


def test_a_module_comes_after_what_it_depends_on(tmp_path: Path) -> None:
    (tmp_path / "fs").mkdir()
    (tmp_path / "fs" / "top.ko").write_bytes(b"\x7fELF\0depends=under_it\0")
    (tmp_path / "fs" / "under_it.ko").write_bytes(b"\x7fELF\0depends=\0")
    kernel = Kernel("0", "", str(tmp_path))
    assert [b"under_it" in data for data in kernel.module("top")] == [False, True]
    assert kernel.module("unknown") == []
