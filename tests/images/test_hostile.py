# SPDX-License-Identifier: Apache-2.0
"""Archives that mean harm: nothing outside the target changes, and the answer says which entry and why."""

from __future__ import annotations

import ctypes
import gzip
import os
import random
import resource
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .archives import DIRECTORY, END, gnu_long, header, member, pax, records
from .hostile import Case, corpus
from .unpacker import PROGRAM, tree, unpack

RENAME_EXCHANGE = 2


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    top = tmp_path / "outside"
    (top / "room").mkdir(parents=True)
    (top / "victim").write_text("untouched")
    (top / "room/inner").write_text("untouched")
    return top


NAMES = [case.name for case in corpus(b"/nowhere")]


def test_the_corpus_is_large() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 150


@pytest.mark.parametrize("name", NAMES)
def test_hostile(tmp_path: Path, outside: Path, name: str) -> None:
    case = find(name, outside)
    target = outside / "target"
    target.mkdir()
    before = tree(outside, without=target)
    verdict = unpack(case.archive, target)
    assert tree(outside, without=target) == before
    if case.says:
        assert case.says in verdict["error"], verdict
    elif "error" in verdict:
        assert name == "gzip broken", verdict
    assert_inside(target)


def find(name: str, outside: Path) -> Case:
    return next(case for case in corpus(os.fsencode(outside)) if case.name == name)


def assert_inside(target: Path) -> None:
    """No device node, and no file that is also outside."""
    count: dict[int, list[int]] = {}
    for directory, _, files in os.walk(target):
        for name in files:
            found = os.lstat(os.path.join(directory, name))
            assert not found.st_rdev
            count.setdefault(found.st_ino, [found.st_nlink, 0])[1] += 1
    assert all(links == seen for links, seen in count.values())


def test_the_entry_is_named(tmp_path: Path) -> None:
    verdict = unpack(member(b"good") + member(b"bad/../\xff\n") + END, tmp_path / "t")
    assert verdict["entry"] == "bad/../\ufffd\n"


def test_an_error_between_entries_names_none(tmp_path: Path) -> None:
    assert unpack(member(b"good") + b"\x01" * 512, tmp_path / "t")["entry"] is None


def rich_archive() -> bytes:
    return (
        header(b"d", DIRECTORY, mode=0o755)
        + pax(records(path=b"d/pax", mtime=b"1.5"))
        + member(b"x", b"p" * 700)
        + gnu_long(b"d/" + b"n" * 120)
        + member(b"y", b"q")
        + header(b"l", b"2", link=b"d")
        + header(b"h", b"1", link=b"d/pax")
        + END
    )


def test_truncation_at_every_header(tmp_path: Path) -> None:
    archive = rich_archive()
    for end in range(0, len(archive) - 1024 + 1, 256):
        verdict = unpack(archive[:end], tmp_path / f"t{end}")
        assert "truncated" in verdict["error"], (end, verdict)


def test_random_damage(tmp_path: Path, outside: Path) -> None:
    """A fixed seed, so that a failure can be seen again."""
    random_ = random.Random(8)
    before = tree(outside)
    archive = rich_archive()
    for turn in range(150):
        damaged = bytearray(archive)
        for _ in range(random_.randint(1, 6)):
            damaged[random_.randrange(len(damaged))] = random_.choice(
                b"\0\xff/.7158xgLK" + bytes([random_.randrange(256)])
            )
        # The checksum would catch nearly everything.
        fixed = b"".join(resummed(bytes(damaged[start : start + 512])) for start in range(0, len(damaged), 512))
        unpack(fixed, tmp_path / f"t{turn}")
    assert tree(outside) == before


def resummed(block: bytes) -> bytes:
    if block[257:262] != b"ustar":
        return block
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + f"{sum(blank):06o}\0 ".encode() + block[156:]


class TestBombs:
    def test_zeros(self, tmp_path: Path) -> None:
        """A thousand to one, but only the first 100 MiB of it are unpacked."""
        path = tmp_path / "bomb.tar.gz"
        zeros = gzip.compress(bytes(32 << 20))
        path.write_bytes(gzip.compress(header(b"zeros", size=1 << 30)) + zeros * 32 + gzip.compress(END))
        verdict = unpack(path, tmp_path / "t")
        assert verdict["entry"] == "zeros"
        assert "more than 200 bytes for each compressed one" in verdict["error"]
        assert (tmp_path / "t/zeros").stat().st_size < 110 << 20

    def test_zeros_of_a_small_archive_are_fine(self, tmp_path: Path) -> None:
        archive = gzip.compress(header(b"zeros", size=64 << 20) + bytes(64 << 20) + END)
        assert "error" not in unpack(archive, tmp_path / "t")

    def test_headers_in_memory(self, tmp_path: Path) -> None:
        """Many directories, long names, and full extended headers: the memory in use stays the same."""
        parts = []
        for number in range(3000):
            parts.append(gnu_long(b"d%d/" % number + b"n" * 200 + b"/" + b"m" * 200))
            parts.append(header(b"x", DIRECTORY, mode=0o700))
        parts.append(pax(records(comment=b"c" * 1_000_000)) + member(b"a"))
        (tmp_path / "t").mkdir()
        fd = os.open(tmp_path / "t", os.O_RDONLY)
        with subprocess.Popen(
            [PROGRAM, str(fd)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(fd,)
        ) as process:
            os.close(fd)
            assert process.stdin is not None
            process.stdin.write(b"".join(parts))
            # What it has not read by now fits into the pipe and its buffers.
            status = Path(f"/proc/{process.pid}/status").read_text()
            answer, _ = process.communicate(END)
        assert b'"entries": 3001' in answer
        [peak] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        assert peak < 24 << 10  # KiB

    def test_a_deep_tree(self, tmp_path: Path) -> None:
        started = time.monotonic()
        archive = b"".join(gnu_long(b"a/" * 1000 + b"%d/x" % number) + header(b"x", DIRECTORY) for number in range(20))
        assert "error" not in unpack(archive + END, tmp_path / "t")
        assert time.monotonic() - started < 20
        subprocess.run(["rm", "-rf", tmp_path / "t"], check=True)


class TestConfinement:
    @pytest.fixture
    def process(self, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
        """An unpacker at work: it has read one entry and waits for more."""
        (tmp_path / "t").mkdir()
        fd = os.open(tmp_path / "t", os.O_RDONLY)
        extra = os.open("/etc/passwd", os.O_RDONLY)
        process = subprocess.Popen(
            [PROGRAM, str(fd)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(fd, extra)
        )
        os.close(fd)
        os.close(extra)
        assert process.stdin is not None
        process.stdin.write(member(b"a", bytes(1 << 20)))
        process.stdin.flush()
        deadline = time.monotonic() + 10
        while not (tmp_path / "t/a").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process
        process.kill()
        process.communicate()

    def test_privileges(self, process: subprocess.Popen[bytes]) -> None:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        allowed = sum(1 << number for number in (0, 1, 3, 4, 31))
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) & ~allowed == 0
        assert int(status["CapPrm"], 16) & ~allowed == 0
        assert int(status["CapInh"], 16) == 0

    def test_limits(self, process: subprocess.Popen[bytes]) -> None:
        def limit(which: int) -> int:
            return resource.prlimit(process.pid, which)[1]

        assert limit(resource.RLIMIT_CORE) == limit(resource.RLIMIT_NPROC) == 0
        assert limit(resource.RLIMIT_DATA) == 64 << 20
        assert limit(resource.RLIMIT_NOFILE) <= 128

    def test_descriptors(self, process: subprocess.Popen[bytes], tmp_path: Path) -> None:
        with suppress(PermissionError):  # It cannot be looked into by its own user: that is part of it.
            for entry in os.scandir(f"/proc/{process.pid}/fd"):
                where = os.readlink(entry.path)
                assert where.startswith(("pipe:", str(tmp_path), "/dev/")) or entry.name == "2", where

    def test_landlock_is_in_force_where_the_kernel_has_it(self, tmp_path: Path) -> None:
        version = ctypes.CDLL(None).syscall(444, None, 0, 1)
        assert unpack(END, tmp_path / "t")["landlock"] == max(version, 0)

    def test_it_wants_an_open_directory(self) -> None:
        for arguments in ([], ["x"], ["0"], ["99"], ["3", "4"]):
            done = subprocess.run([PROGRAM, *arguments], input=END, capture_output=True)
            assert done.returncode == 1
            assert b"usage" in done.stdout


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchanges two names, again and again, from another thread."""
    exchange = ctypes.CDLL(None).renameat2
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            exchange(-100, os.fsencode(one), -100, os.fsencode(other), RENAME_EXCHANGE)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def race(top: Path) -> tuple[Path, Path]:
    """A target whose directory `d` is by turns a directory and a link to the outside."""
    outside = top / "outside"
    outside.mkdir(parents=True)
    target = top / "target"
    (target / "d").mkdir(parents=True)
    (target / "e").symlink_to(outside)
    return target, outside


def test_a_race_against_swapped_directories(tmp_path: Path) -> None:
    # More directories than are kept open, so that `d` is looked up anew each time.
    others = [member(b"o%d/x" % number) for number in range(70)]
    archive = b"".join(member(b"d/f%d" % turn, b"x") + b"".join(others) for turn in range(100)) + END
    for turn in range(20):
        target, outside = race(tmp_path / str(turn))
        with swapping(target / "d", target / "e"):
            verdict = unpack(archive, target)
        assert list(outside.iterdir()) == []
        assert "symbolic link" in verdict.get("error", "symbolic link")


def test_the_race_catches_a_naive_unpacker(tmp_path: Path) -> None:
    for turn in range(50):
        target, outside = race(tmp_path / str(turn))
        with swapping(target / "d", target / "e"):
            for number in range(200):
                path = target / "d" / f"f{number}"
                with suppress(OSError):
                    if not path.parent.is_symlink():
                        time.sleep(0)  # The other thread's turn, also on a busy machine.
                        path.write_text("x")
        if list(outside.iterdir()):
            return
    pytest.fail("the harness proves nothing")


def test_python_s_own_unpacker_would_have_been_fooled(tmp_path: Path, outside: Path) -> None:
    """That the corpus bites is seen where nothing guards against it."""
    fooled = 0
    for case in corpus(os.fsencode(outside)):
        target = outside / "target"
        target.mkdir(exist_ok=True)
        path = tmp_path / "a.tar"
        path.write_bytes(case.archive)
        if case.name in ("through an absolute link", "through a relative link", "dotdot"):
            before = tree(outside, without=target)
            with suppress(OSError, tarfile.TarError), tarfile.open(path) as archive:
                archive.extraction_filter = lambda member, _path: member  # Python 3.11.2 knows no other way.
                archive.extractall(target)
            fooled += tree(outside, without=target) != before
            subprocess.run(["rm", "-rf", target], check=True)
            (outside / "victim").write_text("untouched")
    assert fooled == 3
