# SPDX-License-Identifier: Apache-2.0
"""The corpus: archives that mean harm, with what the unpacker must say. `{out}` is a directory outside the target."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

from .archives import (
    BLOCK,
    BLOCKDEV,
    CHAR,
    DIRECTORY,
    END,
    FIFO,
    LINK,
    SYMLINK,
    base256,
    gnu_long,
    header,
    member,
    pax,
    record,
    records,
)


@dataclass(frozen=True)
class Case:
    name: str
    archive: bytes
    says: str
    """A part of the error; empty where the archive is harmless once it is read rightly."""


def directory(name: bytes, mode: int = 0o755) -> bytes:
    return header(name, DIRECTORY, mode=mode)


def symlink(name: bytes, target: bytes) -> bytes:
    return header(name, SYMLINK, link=target)


def hardlink(name: bytes, target: bytes) -> bytes:
    return header(name, LINK, link=target)


def corpus(out: bytes) -> list[Case]:
    """All cases. `out` is an absolute path that holds `victim` (a file) and `room` (a directory)."""
    return [
        *names(out),
        *links(out),
        *types(),
        *duplicates(out),
        *headers(),
        *extended(out),
        *attributes(),
        *ends(),
        *streams(),
    ]


def names(out: bytes) -> list[Case]:
    return [
        Case("dotdot", member(b"../victim", b"bad") + END, '".."'),
        Case("dotdot inside", member(b"a/../b", b"bad") + END, '".."'),
        Case("dotdot deep", member(b"a/b/../../../room/x", b"bad") + END, '".."'),
        Case("dotdot alone", directory(b"..") + END, '".."'),
        Case("dotdot at the end", directory(b"a/..") + END, '".."'),
        Case("absolute dotdot", member(b"/../victim", b"bad") + END, '".."'),
        Case("dotdot in the prefix", header(b"victim", prefix=b"..") + END, '".."'),
        Case("absolute", pax(records(path=out + b"/victim")) + member(b"x", b"bad") + END, ""),
        Case("absolute with slashes", pax(records(path=b"//" + out + b"//victim")) + member(b"x", b"bad") + END, ""),
        Case("absolute directory", pax(records(path=out + b"/room")) + directory(b"x", mode=0o777) + END, ""),
        Case("empty", member(b"", b"bad") + END, "empty name"),
        Case("the root as a file", member(b"./", b"bad") + END, "root that is no directory"),
        Case("the root as a link", symlink(b".", out) + END, "root that is no directory"),
        Case("a long component", pax(records(path=b"x" * 256)) + member(b"x") + END, "256 bytes"),
        Case("a long path", pax(records(path=b"y/" * 2100 + b"x")) + member(b"x") + END, "path of"),
        Case("NUL in a PAX path", pax(records(path=b"a\0b")) + member(b"x") + END, "NUL"),
        Case("NUL in a long name", gnu_long(b"a\0b") + member(b"x") + END, "NUL"),
        Case("a whiteout", member(b"a/.wh.b") + END, "whiteout"),
        Case("an opaque whiteout", member(b"a/.wh..wh..opq") + END, "whiteout"),
        Case("a whiteout of the parent", member(b".wh...") + END, "whiteout"),
        Case("control characters", member(b"a\x1b[2J\nb\r", b"fine") + END, ""),
        Case("magic names", member(b"proc/self/root/victim", b"fine") + END, ""),
    ]


def links(out: bytes) -> list[Case]:
    through = "symbolic link"
    return [
        Case("through an absolute link", symlink(b"a", out) + member(b"a/victim", b"bad") + END, through),
        Case("through a relative link", symlink(b"a", b"..") + member(b"a/victim", b"bad") + END, through),
        Case("through a link to the root", symlink(b"a", b".") + member(b"a/victim", b"bad") + END, through),
        Case("through a chain", symlink(b"a", b"b") + symlink(b"b", out) + member(b"a/victim", b"bad") + END, through),
        Case("through a late link", directory(b"a") + symlink(b"a/b", out) + member(b"a/b/c/d", b"bad") + END, through),
        Case("a directory through a link", symlink(b"a", out) + directory(b"a/new") + END, through),
        Case("a directory over a link", symlink(b"a", out + b"/room") + directory(b"a", mode=0o777) + END, through),
        Case("a fifo through a link", symlink(b"a", out) + header(b"a/new", FIFO) + END, through),
        Case("a link through a link", symlink(b"a", out) + symlink(b"a/new", b"x") + END, through),
        Case("through procfs", symlink(b"a", b"/proc/self/cwd") + member(b"a/victim", b"bad") + END, through),
        Case("through a descriptor", symlink(b"a", b"/proc/self/fd/0") + member(b"a/victim", b"bad") + END, through),
        Case("a link to itself", symlink(b"a", b"a") + member(b"a/b", b"bad") + END, through),
        Case("a link over a link", symlink(b"a", out + b"/victim") + symlink(b"a", b"x") + END, ""),
        Case("a file over a link", symlink(b"a", out + b"/victim") + member(b"a", b"fine") + END, ""),
        Case("a fifo over a link", symlink(b"a", out + b"/victim") + header(b"a", FIFO) + END, ""),
        Case("a harmless target", symlink(b"a", b"../" * 50 + b"etc/passwd") + END, ""),
        Case("an empty target", symlink(b"a", b"") + END, "no path"),
        Case("a NUL in a target", pax(records(linkpath=b"a\0b")) + symlink(b"a", b"x") + END, "no path"),
        Case("a long target", pax(records(linkpath=b"x/" * 2100)) + symlink(b"a", b"x") + END, "4200 bytes"),
        Case("a hard link out", hardlink(b"a", b"../victim") + member(b"a", b"bad") + END, '".."'),
        Case(
            "an absolute hard link", pax(records(linkpath=out + b"/victim")) + hardlink(b"a", b"x") + END, "not there"
        ),
        Case("a hard link through a link", symlink(b"a", out) + hardlink(b"b", b"a/victim") + END, through),
        Case(
            "a hard link to a link",
            symlink(b"a", out + b"/victim") + hardlink(b"b", b"a") + member(b"b", b"fine") + END,
            "",
        ),
        Case("a hard link to nothing", hardlink(b"a", b"b") + END, "not there"),
        Case("a hard link to itself", member(b"a") + hardlink(b"a", b"./a") + END, "itself"),
        Case("a hard link to a directory", directory(b"d") + hardlink(b"a", b"d") + END, "to a directory"),
        Case("a hard link to the root", hardlink(b"a", b".") + END, "to the root"),
        Case(
            "a hard link over a directory",
            directory(b"d") + member(b"a") + hardlink(b"d", b"a") + END,
            "has a directory",
        ),
        Case("a hard link without a target", hardlink(b"a", b"") + END, "empty name"),
    ]


def types() -> list[Case]:
    device = "device node"
    return [
        Case("a character device", header(b"null", CHAR) + END, device),
        Case("a block device", header(b"disk", BLOCKDEV) + END, device),
        Case("a device with a file's name", header(b"devices/x", CHAR) + END, device),
        Case("a device named dev", header(b"dev", CHAR) + END, device),
        Case("an overlay whiteout", header(b"etc/passwd", CHAR) + END, device),
        Case("a device below dev", header(b"dev/sda", BLOCKDEV) + END, ""),
        Case("a device with content", header(b"dev/sda", BLOCKDEV, size=512) + bytes(BLOCK) + END, "content"),
        Case("a directory with content", member(b"d", b"data", DIRECTORY) + END, "content"),
        Case("a link with content", member(b"l", b"data", SYMLINK, link=b"x") + END, "content"),
        Case("a fifo with content", member(b"p", b"data", FIFO) + END, "content"),
        Case("a hard link with content", member(b"a") + member(b"b", b"data", LINK, link=b"a") + END, "malformed"),
        Case("a sparse file", header(b"s", b"S") + END, "sparse"),
        Case("a volume label", header(b"v", b"V") + END, "type 'V'"),
        Case("another volume", header(b"v", b"M") + END, "type 'M'"),
        Case("a dump directory", header(b"v", b"D") + END, "type 'D'"),
        Case("an unknown type", header(b"v", b"\xff") + END, "type"),
    ]


def duplicates(out: bytes) -> list[Case]:
    return [
        Case("a directory becomes a file", directory(b"a") + member(b"a", b"x") + END, "has a directory"),
        Case("a full directory becomes a file", member(b"a/b") + member(b"a", b"x") + END, "has a directory"),
        Case("a directory becomes a link", directory(b"a") + symlink(b"a", out) + END, "has a directory"),
        Case("a directory becomes a fifo", directory(b"a") + header(b"a", FIFO) + END, "has a directory"),
        Case("a file becomes a directory", member(b"a") + directory(b"a") + END, "something else"),
        Case("a file becomes a parent", member(b"a") + member(b"a/b") + END, "something else"),
        Case("a fifo becomes a directory", header(b"a", FIFO) + directory(b"a") + END, "something else"),
        Case(
            "a hard link is written through",
            member(b"a", b"good")
            + hardlink(b"b", b"a")
            + symlink(b"a", out + b"/victim")
            + member(b"b", b"fine")
            + END,
            "",
        ),
        Case("one name a thousand times", b"".join(member(b"a", b"%d" % turn) for turn in range(1000)) + END, ""),
    ]


def headers() -> list[Case]:
    return [
        Case("a wrong checksum", header(b"a", checksum=b"000000\0 ") + END, "checksum"),
        Case("a checksum that is no number", header(b"a", checksum=b"zzzzzz\0 ") + END, "no number"),
        Case("noise", bytes(range(256)) * 8, "malformed"),
        Case("a size that is no number", header(b"a", size=b"12x") + END, "no number"),
        Case("a negative size", header(b"a", size=base256(-1, 12)) + END, "negative"),
        Case("a huge size", header(b"a", size=base256(1 << 62, 12)) + END, "over the limit"),
        Case("a size beyond 64 bits", header(b"a", size=b"\x80" + b"\xff" * 11) + END, "out of range"),
        Case("a size beyond the limit", header(b"a", size=base256((20 << 30) + 1, 12)) + END, "over the limit"),
        Case("a size beyond the archive", header(b"a", size=1 << 30) + END, "truncated"),
        Case("a negative owner", header(b"a", uid=base256(-2, 8)) + END, "negative"),
        Case("an owner that means none", header(b"a", uid=base256(0xFFFFFFFF, 8)) + END, "uid"),
        Case("a group beyond 32 bits", header(b"a", gid=base256(1 << 33, 8)) + END, "gid"),
        Case("a mode with all bits", header(b"a", mode=b"7777777\0") + END, ""),
        Case("a time long ago", header(b"a", mtime=base256(-(1 << 40), 12)) + END, ""),
        Case("a time far ahead", header(b"a", mtime=base256(1 << 60, 12)) + END, ""),
        Case("a zero block between", member(b"a") + bytes(BLOCK) + member(b"b") + END, "zero block"),
    ]


def extended(out: bytes) -> list[Case]:
    does_not_parse = "does not parse"
    return [
        Case("a PAX path with dotdot", pax(records(path=b"../victim")) + member(b"x", b"bad") + END, '".."'),
        Case("a long name with dotdot", gnu_long(b"../victim") + member(b"x", b"bad") + END, '".."'),
        Case("PAX and GNU disagree", pax(records(path=b"a")) + gnu_long(b"b") + member(b"x") + END, "two names"),
        Case("GNU and PAX disagree", gnu_long(b"b") + pax(records(path=b"a")) + member(b"x") + END, "two names"),
        Case(
            "two targets",
            pax(records(linkpath=b"a")) + gnu_long(b"b", b"K") + symlink(b"x", b"c") + END,
            "two link targets",
        ),
        Case("two PAX headers", pax(records(path=b"a")) + pax(records(path=b"b")) + member(b"x") + END, "two extended"),
        Case("two long names", gnu_long(b"a") + gnu_long(b"b") + member(b"x") + END, "two extended"),
        Case("PAX hides an entry", pax(records(size=b"512")) + header(b"a") + header(b"hidden", CHAR) + END, ""),
        Case("PAX shows an entry", pax(records(size=b"0")) + member(b"a", header(b"shown", CHAR)) + END, "device node"),
        Case("a negative PAX size", pax(records(size=b"-1")) + member(b"a") + END, does_not_parse),
        Case("a huge PAX size", pax(records(size=b"99999999999999999999")) + member(b"a") + END, does_not_parse),
        Case("a PAX size with a sign", pax(records(size=b"+5")) + member(b"a", b"hello") + END, does_not_parse),
        Case("a PAX owner that means none", pax(records(uid=b"4294967295")) + member(b"a") + END, "uid"),
        Case("a PAX time that is no number", pax(records(mtime=b"1e9")) + member(b"a") + END, does_not_parse),
        Case("a lying record", pax(b"99 path=a\n") + member(b"a") + END, does_not_parse),
        Case("a short record", pax(b"5 path=a\n") + member(b"a") + END, does_not_parse),
        Case("a record of no length", pax(b"0 path=a\n") + member(b"a") + END, does_not_parse),
        Case("a record without a value", pax(b"7 path\n") + member(b"a") + END, does_not_parse),
        Case("an endless record length", pax(b"9" * 400 + b" path=a\n") + member(b"a") + END, does_not_parse),
        Case("a huge PAX header", header(b"x", b"x", size=base256(1 << 40, 12)) + END, "extended header"),
        Case("a PAX header of 2 MiB", pax(records(comment=b"c" * (2 << 20))) + member(b"a") + END, "extended header"),
        Case("a long name of 1 MiB", gnu_long(b"n" * (1 << 20)) + member(b"a") + END, "extended header"),
        Case("a global path", pax(records(path=b"victim"), b"g") + member(b"a") + END, "global"),
        Case("a global size", pax(records(size=b"0"), b"g") + member(b"a", b"x") + END, "global"),
        Case("a global comment", pax(records(comment=b"fine"), b"g") + member(b"a") + END, ""),
        Case("PAX without an entry", pax(records(path=b"a")) + END, "without an entry"),
        Case("a long name without an entry", gnu_long(b"a") + END, "without an entry"),
        Case("PAX sparse", pax(records(GNU__sparse__major=b"1")) + member(b"a") + END, "sparse"),
        Case("PAX sparse name", pax(records(GNU__sparse__name=out + b"/victim")) + member(b"a") + END, "sparse"),
    ]


def attributes() -> list[Case]:
    many = b"".join(record(b"SCHILY.xattr.user.%d" % number, b"x") for number in range(100))
    return [
        Case("overlay redirect", xattr(b"user.overlay.redirect", b"/etc"), "order to overlayfs"),
        Case("overlay opaque", xattr(b"trusted.overlay.opaque", b"y"), "order to overlayfs"),
        Case("an xattr of 128 KiB", xattr(b"user.big", b"x" * (128 << 10)), "extended attribute"),
        Case("an xattr with a long name", xattr(b"user." + b"n" * 300, b"x"), "no name"),
        Case("an xattr without a name", xattr(b"", b"x"), "no name"),
        Case("an xattr with a NUL", xattr(b"user.a\0b", b"x"), "no name"),
        Case("a hundred xattrs", pax(many) + member(b"a") + END, "more than"),
        Case("an xattr of the host", xattr(b"security.ima", b"x"), ""),
        Case("xattrs of a link", pax(record(b"SCHILY.xattr.user.x", b"y")) + symlink(b"a", b"b") + END, ""),
    ]


def xattr(name: bytes, value: bytes) -> bytes:
    return pax(record(b"SCHILY.xattr." + name, value)) + member(b"a") + END


def ends() -> list[Case]:
    return [
        Case("no end mark", member(b"a", b"x"), "end mark"),
        Case("nothing", b"", "first byte"),
        Case("one byte", b"x", "inside a block"),
        Case("half a header", header(b"a")[:300], "inside a block"),
        Case("half the content", header(b"a", size=1000) + b"x" * 700, "inside an entry"),
        Case("no padding", header(b"a", size=10) + b"x" * 10, "padding"),
        Case("one end block", member(b"a") + bytes(BLOCK), ""),
        Case("an archive behind the end", member(b"a") + END + member(b"b") + END, "behind the end"),
        Case("noise behind the end", member(b"a") + END + b"x", "behind the end"),
        Case("zeros behind the end", member(b"a") + END + bytes(100_000), ""),
    ]


def streams() -> list[Case]:
    squeezed = gzip.compress(member(b"a", bytes(range(256)) * 100) + END)
    flipped = bytearray(squeezed)
    flipped[-6] ^= 1
    broken = bytearray(squeezed)
    broken[len(broken) // 2] ^= 0xFF
    return [
        Case("gzip cut in its header", squeezed[:5], "truncated"),
        Case("gzip cut in the middle", squeezed[: len(squeezed) // 2], "truncated"),
        Case("gzip cut in its trailer", squeezed[:-3], "truncated"),
        Case("gzip with a wrong checksum", bytes(flipped), "gzip"),
        Case("gzip broken", bytes(broken), ""),
        Case("noise behind gzip", squeezed + b"noise and more noise", "gzip"),
        Case("gzip of nothing", gzip.compress(b""), "end mark"),
        Case("gzip of gzip", gzip.compress(gzip.compress(squeezed)), "truncated"),
        Case("zlib", zlib.compress(member(b"a") + END), "truncated"),
        Case("zstd", b"\x28\xb5\x2f\xfd" + bytes(600), "zstd is not supported"),
        Case("xz", b"\xfd7zXZ\x00" + bytes(600), "xz is not supported"),
        Case("bzip2", b"BZh9" + bytes(600), "bzip2 is not supported"),
        Case("zip", b"PK\x03\x04" + bytes(600), "zip is not supported"),
        Case("text", b"#!/bin/sh\nrm -rf /\n" * 100, "malformed"),
        Case("a file of zeros", bytes(10_240), ""),
    ]
