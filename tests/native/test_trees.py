# SPDX-License-Identifier: Apache-2.0
"""Trees of files as hostile containers leave them: removed whole, and nothing outside with them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podfast import _native
from podfast.errors import SystemFailure
from tests.machinery import kernel

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, IMMUTABLE = 0x80086601, 0x40086602, 0x10
ROOT = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    """The directory above the tree `t`, beside which `outside` must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("still here")
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)
    assert (tmp_path / "outside" / "kept").read_text() == "still here"


def gone(tmp_path: Path, top: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    _native.remove_tree(top, "t")
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert len(os.listdir("/proc/self/fd")) == before


def deepen(start: Path, levels: int, name: str = "d") -> None:
    here = os.open(start, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        there = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = there
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_missing_is_fine(tmp_path: Path, top: int) -> None:
    gone(tmp_path, top)


def test_ten_thousand_levels(tmp_path: Path, top: int) -> None:
    """Deeper than any path can say."""
    (tmp_path / "t").mkdir()
    deepen(tmp_path / "t", 10_000)
    gone(tmp_path, top)


def test_names_that_podfast_uses_itself(tmp_path: Path, top: int) -> None:
    """Deep directories are moved up as .deep-N: files and directories of that name are in the way."""
    tree = tmp_path / "t"
    tree.mkdir()
    for number in range(0, 40, 2):
        (tree / f".deep-{number}").write_text("in the way")
        (tree / f".deep-{number + 1}").mkdir()
        (tree / f".deep-{number + 1}" / "full").write_text("")
    for name in "abc":
        (tree / name).mkdir()
        deepen(tree / name, 200)
    gone(tmp_path, top)


def test_wide(tmp_path: Path, top: int) -> None:
    for number in range(30):
        (tmp_path / "t" / str(number)).mkdir(parents=True)
        for name in range(100):
            (tmp_path / "t" / str(number) / f"{name}{'x' * 200}").touch()
    gone(tmp_path, top)


def test_links_are_removed_and_not_followed(tmp_path: Path, top: int) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "absolute").symlink_to(tmp_path / "outside")
    (tree / "relative").symlink_to("../outside")
    (tree / "loop").symlink_to("loop")
    os.link(tmp_path / "outside" / "kept", tree / "hard")
    gone(tmp_path, top)


def test_the_tree_itself_is_a_link(tmp_path: Path, top: int) -> None:
    (tmp_path / "t").symlink_to("outside")
    gone(tmp_path, top)


def test_files_of_all_kinds_and_modes(tmp_path: Path, top: int) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    os.mkfifo(tree / "fifo")
    for name in (b"\xff\xfe", b"new\nline", b" ", b"-rf", b"..."):
        os.mkdir(os.fsencode(tree) + b"/" + name)
    if os.geteuid() == 0:
        os.mknod(tree / "device", 0o020666, os.makedev(1, 3))
    (tree / "shut").mkdir()
    (tree / "shut" / "x").touch()
    (tree / "shut").chmod(0)
    gone(tmp_path, top)


@needs_root
@pytest.mark.makes
def test_a_mount_is_not_crossed(tmp_path: Path, top: int) -> None:
    tree = tmp_path / "t"
    (tree / "mounted").mkdir(parents=True)
    (tree / "other").mkdir()
    kernel.mount(str(tmp_path / "outside"), str(tree / "mounted"), "", kernel.MS_BIND)
    try:
        with pytest.raises(SystemFailure) as caught:
            _native.remove_tree(top, "t")
        assert caught.value.errno in (16, 18)  # EBUSY, EXDEV
        assert (tree / "mounted" / "kept").exists() and not (tree / "other").exists()
    finally:
        kernel.unmount(str(tree / "mounted"))
    gone(tmp_path, top)


@needs_root
def test_what_cannot_be_removed_is_told_and_the_rest_goes(tmp_path: Path, top: int) -> None:
    tree = tmp_path / "t"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "fixed").touch()
    (tree / "other").touch()
    with open(tree / "deep" / "fixed", "rb") as file:
        try:
            fcntl.ioctl(file, FS_IOC_SETFLAGS, struct.pack("l", IMMUTABLE))
        except OSError:
            pytest.skip("this file system has no immutable files")
        try:
            with pytest.raises(SystemFailure) as caught:
                _native.remove_tree(top, "t")
            assert caught.value.errno == 1 and not (tree / "other").exists()
        finally:
            fcntl.ioctl(file, FS_IOC_SETFLAGS, struct.pack("l", 0))
    gone(tmp_path, top)


SWAPPER = """
import contextlib, os, sys
from tests.machinery import kernel
tree, outside = sys.argv[1:]
os.set_blocking(0, False)
while True:
    for _ in range(300):
        for make in (lambda: os.makedirs(f"{tree}/a/b"), lambda: os.symlink(outside, f"{tree}/l")):
            with contextlib.suppress(OSError):
                make()
        for _ in range(4):
            with contextlib.suppress(OSError):
                kernel.exchange(f"{tree}/a", f"{tree}/l")
    with contextlib.suppress(BlockingIOError):
        if os.read(0, 1) == b"":
            break
"""


def naive(top: int, name: str) -> None:
    """Looks whether it is a link, and looks again."""
    path = f"/proc/self/fd/{top}/{name}"
    for entry in os.listdir(path):
        if os.path.isdir(f"{path}/{entry}") and not os.path.islink(f"{path}/{entry}"):
            for inner in os.listdir(f"{path}/{entry}"):
                os.unlink(f"{path}/{entry}/{inner}")


def lost(remove: Callable[[int, str], None], tmp_path: Path, top: int, seconds: float) -> bool:
    """Whether a file outside is lost while a directory of the tree and a link to the outside change places."""
    kept = tmp_path / "outside" / "kept"
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPER, tmp_path / "t", tmp_path / "outside"], stdin=subprocess.PIPE, cwd=ROOT
    ) as swapper:
        assert swapper.stdin is not None
        deadline = time.monotonic() + seconds
        while kept.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError, SystemFailure):
                remove(top, "t")
        swapper.stdin.close()
    missing = not kept.exists()
    kept.write_text("still here")
    return missing


@pytest.mark.makes
def test_removal_is_not_led_astray(tmp_path: Path, top: int) -> None:
    assert not lost(_native.remove_tree, tmp_path, top, 2)
    gone(tmp_path, top)


@pytest.mark.makes
def test_a_naive_removal_is(tmp_path: Path, top: int) -> None:
    assert lost(naive, tmp_path, top, 30)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("etc/name", "inside"), ("/etc/name", "inside"), ("../../../etc/name", "inside"), ("absolute/name", "inside"),
        ("up/name", "inside"), ("chain/name", "inside"), ("loop/name", 40), ("none/name", 2), ("etc/name/x", 20),
    ],
)  # fmt: skip
def test_a_path_is_resolved_in_its_root(tmp_path: Path, path: str, found: str | int) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "name").write_text("inside")
    (root / "absolute").symlink_to("/etc")
    (root / "up").symlink_to("../../../../../../etc")
    (root / "chain").symlink_to("up")
    (root / "loop").symlink_to("loop")
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        if isinstance(found, int):
            with pytest.raises(SystemFailure) as caught:
                _native.open_in_root(directory, path)
            assert caught.value.errno == found
        else:
            opened = _native.open_in_root(directory, path)
            assert Path(f"/proc/self/fd/{opened}").read_text() == found
            os.close(opened)
    finally:
        os.close(directory)


def test_no_magic_link_is_followed() -> None:
    """/proc/self/root and its like lead out of any root."""
    directory = os.open("/", os.O_PATH | os.O_DIRECTORY)
    for path in ("proc/self/root/etc", "proc/self/cwd/x", "proc/self/exe", "proc/self/fd/0"):
        with pytest.raises(SystemFailure) as caught:
            _native.open_in_root(directory, path)
        assert caught.value.errno == 40
    os.close(directory)


@needs_root
@pytest.mark.makes
def test_a_false_procfs_is_not_trusted(tmp_path: Path) -> None:
    """Rule 3: neither a tmpfs at /proc nor a directory of the real one."""
    script = """
import os, sys
from podfast import _native
from podfast.errors import SystemFailure
from tests.machinery import kernel
os.close(_native.open_proc())
kernel.unshare(kernel.CLONE_NEWNS)
kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
for source, kind, flags in ((sys.argv[1], "", kernel.MS_BIND), ("/proc/sys", "", kernel.MS_BIND), ("x", "tmpfs", 0)):
    kernel.mount(source, "/proc", kind, flags)
    try:
        _native.open_proc()
    except SystemFailure as failure:
        print(failure.errno)
    kernel.unmount("/proc")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["19"] * 3, "")
