# SPDX-License-Identifier: Apache-2.0
"""What honest archives become: the same tree that GNU tar makes of them."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from .archives import DIRECTORY, END, FIFO, LINK, SYMLINK, gnu_long, header, member, pax, record, records
from .unpacker import tree, unpack

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="sets owners and capabilities")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with one of everything that an ordinary user can make."""
    top = tmp_path / "source"
    (top / "usr/bin").mkdir(parents=True)
    (top / "usr/bin/tool").write_bytes(b"#!/bin/sh\n" * 100)
    (top / "usr/bin/tool").chmod(0o755)
    (top / "usr/bin/alias").hardlink_to(top / "usr/bin/tool")
    (top / "bin").symlink_to("usr/bin")
    (top / "away").symlink_to("../../../etc/passwd")
    (top / "empty").touch()
    (top / "zeros").write_bytes(bytes(1_000_000))
    (top / "caf\u00e9 \U0001f600").write_text("name")
    (top / os.fsdecode(b"bytes\xff\n")).write_text("no text")
    (top / "tmp").mkdir()
    (top / "tmp").chmod(0o1777)
    (top / "setuid").write_bytes(b"x")
    (top / "setuid").chmod(0o6755)
    os.mkfifo(top / "fifo", 0o640)
    deep = top / "/".join(["d" * 60] * 5)
    deep.mkdir(parents=True)
    (deep / ("f" * 200)).write_text("long")
    os.setxattr(top / "empty", "user.note", b"\x00\xffbinary\n")
    for number in range(200):
        (top / f"many{number}").mkdir()
        (top / f"many{number}" / "file").write_text(str(number))
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, ns=(0, 1_500_000_000_123_456_789), follow_symlinks=False)
    if ROOT:
        os.chown(top / "zeros", 12345, 54321)
        os.lchown(top / "bin", 7, 8)
    return top


def gnu_tar(source: Path, *options: str) -> bytes:
    return subprocess.run(["tar", "-C", source, *options, "-c", "."], check=True, capture_output=True).stdout


def extracted(archive: bytes, target: Path) -> Path:
    target.mkdir()
    subprocess.run(["tar", "-C", target, "--xattrs", "-xp"], input=archive, check=True)
    return target


@pytest.mark.parametrize("dialect", ["gnu", "posix"])
def test_the_tree_is_the_one_that_tar_makes(tmp_path: Path, source: Path, dialect: str) -> None:
    archive = gnu_tar(source, f"--format={dialect}", *(["--xattrs"] if dialect == "posix" else []))
    verdict = unpack(archive, tmp_path / "ours")
    assert verdict["sha256"] == hashlib.sha256(archive).hexdigest()
    assert verdict["bytes"] == len(archive)
    assert verdict["passed"] == 0
    ours, theirs = tree(tmp_path / "ours"), tree(extracted(archive, tmp_path / "theirs"))
    assert len(ours) > 400
    assert ours == theirs


@pytest.mark.parametrize("dialect", ["v7", "ustar"])
def test_old_formats(tmp_path: Path, source: Path, dialect: str) -> None:
    for path in (source / "usr/bin").parent.parent.glob("d*"):
        subprocess.run(["rm", "-rf", path], check=True)
    archive = gnu_tar(source, f"--format={dialect}", *(["--exclude=fifo"] if dialect == "v7" else []))
    unpack(archive, tmp_path / "ours")
    assert tree(tmp_path / "ours") == tree(extracted(archive, tmp_path / "theirs"))


def test_gzip_of_several_members(tmp_path: Path, source: Path) -> None:
    archive = gnu_tar(source)
    third = len(archive) // 3
    squeezed = b"".join(
        gzip.compress(archive[start : start + third + 1]) for start in range(0, len(archive), third + 1)
    )
    verdict = unpack(squeezed, tmp_path / "ours")
    assert verdict["sha256"] == hashlib.sha256(archive).hexdigest()
    assert tree(tmp_path / "ours") == tree(extracted(archive, tmp_path / "theirs"))


def test_a_file_as_input(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(gnu_tar(source)))
    assert unpack(path, tmp_path / "ours")["entries"] > 400


@needs_root
def test_capabilities_survive(tmp_path: Path) -> None:
    value = bytes.fromhex("0100000200040000000000000000000000000000")
    archive = pax(record(b"SCHILY.xattr.security.capability", value)) + member(b"ping", b"x", uid=5, mode=0o755) + END
    unpack(archive, tmp_path / "ours")
    assert os.getxattr(tmp_path / "ours/ping", "security.capability") == value
    assert (tmp_path / "ours/ping").stat().st_uid == 5


def test_attributes_of_the_packing_host_are_counted_and_left_out(tmp_path: Path) -> None:
    content = record(b"SCHILY.xattr.security.selinux", b"x") + record(b"SCHILY.xattr.system.posix_acl_access", b"x")
    assert unpack(pax(content) + member(b"a") + END, tmp_path / "ours")["passed"] == 2
    assert os.listxattr(tmp_path / "ours/a") == []


def test_absolute_names_are_below_the_target(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    unpack(pax(records(path=os.fsencode(outside))) + member(b"x", b"in") + END, tmp_path / "ours")
    assert not outside.exists()
    assert (tmp_path / "ours" / str(outside).lstrip("/")).read_bytes() == b"in"


def test_implied_directories_are_the_same_each_time(tmp_path: Path) -> None:
    unpack(member(b"a/b/c", b"x") + END, tmp_path / "ours")
    found = (tmp_path / "ours/a/b").stat()
    assert (found.st_mode & 0o7777, found.st_mtime_ns, found.st_uid) == (0o755, 0, os.geteuid())
    assert (tmp_path / "ours").stat().st_mtime_ns == 0


def test_later_entries_replace_earlier_ones_without_writing_through_links(tmp_path: Path) -> None:
    archive = member(b"a", b"first") + member(b"b", kind=LINK, link=b"a") + member(b"a", b"second") + END
    unpack(archive, tmp_path / "ours")
    assert (tmp_path / "ours/a").read_bytes() == b"second"
    assert (tmp_path / "ours/b").read_bytes() == b"first"


def test_directories_may_come_after_what_is_in_them(tmp_path: Path) -> None:
    archive = (
        member(b"a/b", b"x")
        + header(b"a", DIRECTORY, mode=0o500, mtime=5)
        + member(b"a/c", b"y")
        + header(b"./", DIRECTORY, mode=0o711, mtime=6)
        + END
    )
    unpack(archive, tmp_path / "ours")
    found = (tmp_path / "ours/a").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o500 if ROOT else 0o700, 5)
    assert (tmp_path / "ours").stat().st_mtime == 6


def test_times_of_directories_outlive_the_cache_of_open_ones(tmp_path: Path) -> None:
    names = [b"d%d" % number for number in range(300)]
    archive = b"".join(header(name, DIRECTORY, mode=0o755, mtime=1000 + index) for index, name in enumerate(names))
    archive += b"".join(member(name + b"/file%d" % turn) for turn in range(3) for name in names) + END
    unpack(archive, tmp_path / "ours")
    for index, name in enumerate(names):
        assert (tmp_path / "ours" / os.fsdecode(name)).stat().st_mtime == 1000 + index


def test_set_group_id_directories_do_not_pass_their_group_on(tmp_path: Path) -> None:
    if not ROOT:
        pytest.skip("sets owners")
    archive = (
        header(b"d", DIRECTORY, mode=0o2775, gid=50) + member(b"d/f") + header(b"d/e", DIRECTORY, mode=0o755) + END
    )
    unpack(archive, tmp_path / "ours")
    assert (tmp_path / "ours/d/f").stat().st_gid == 0
    assert (tmp_path / "ours/d/e").stat().st_mode & 0o7777 == 0o755


def test_devices_below_dev_are_passed_over(tmp_path: Path) -> None:
    verdict = unpack(header(b"dev", DIRECTORY, mode=0o755) + header(b"dev/null", b"3") + END, tmp_path / "ours")
    assert verdict["passed"] == 1
    assert list((tmp_path / "ours/dev").iterdir()) == []


def test_gnu_long_names(tmp_path: Path) -> None:
    name, target = b"n" * 200, b"t" * 300
    archive = gnu_long(name) + gnu_long(target, b"K") + header(b"short", SYMLINK, link=b"x", magic=b"ustar  ") + END
    unpack(archive, tmp_path / "ours")
    assert os.readlink(os.fsencode(tmp_path / "ours") + b"/" + name) == target


def test_a_user_s_files_stay_the_user_s(tmp_path: Path) -> None:
    """An ordinary user cannot set owners; that alone is passed over."""
    user = 65534 if ROOT else None
    target = tmp_path / "ours"
    target.mkdir()
    if ROOT:
        tmp_path.chmod(0o755)
        os.chown(target, 65534, 65534)
    archive = (
        header(b"d", DIRECTORY, mode=0o555, uid=3, gid=4)
        + member(b"d/f", b"x", mode=0o4511, uid=3, gid=4, mtime=9)
        + header(b"p", FIFO, uid=3)
        + header(b"s", SYMLINK, link=b"d", uid=3)
        + END
    )
    assert unpack(archive, target, user=user)["entries"] == 4
    found = (target / "d/f").stat()
    assert (found.st_uid, found.st_mode & 0o7777, found.st_mtime) == (65534 if ROOT else os.getuid(), 0o4511, 9)
    assert (target / "d").stat().st_mode & 0o7777 == 0o755
