# SPDX-License-Identifier: Apache-2.0
"""Tar archives byte by byte: what no archiver would write."""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, LINK, SYMLINK, CHAR, BLOCKDEV, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"


def octal(value: int, width: int) -> bytes:
    return f"{value:0{width - 1}o}".encode() + b"\0"


def base256(value: int, width: int) -> bytes:
    return (
        b"\x80" + value.to_bytes(width - 1, "big") if value >= 0 else (value % (1 << 8 * width)).to_bytes(width, "big")
    )


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def header(
    name: bytes,
    kind: bytes = FILE,
    *,
    size: int | bytes = 0,
    link: bytes = b"",
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 1_600_000_000,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One block; a number given as bytes goes in as it is."""

    def field(value: int | bytes, width: int) -> bytes:
        return (octal(value, width) if isinstance(value, int) else value).ljust(width, b"\0")[:width]

    block = bytearray(BLOCK)
    block[0:100] = name[:100].ljust(100, b"\0")
    block[100:108] = field(mode, 8)
    block[108:116] = field(uid, 8)
    block[116:124] = field(gid, 8)
    block[124:136] = field(size, 12)
    block[136:148] = field(mtime, 12)
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157:257] = link[:100].ljust(100, b"\0")
    block[257:265] = magic.ljust(8, b"\0")
    block[345:500] = prefix[:155].ljust(155, b"\0")
    block[148:156] = f"{sum(block):06o}\0 ".encode() if checksum is None else checksum
    return bytes(block)


def member(name: bytes, data: bytes = b"", kind: bytes = FILE, **fields: object) -> bytes:
    fields.setdefault("size", len(data))
    return header(name, kind, **fields) + padded(data)  # type: ignore[arg-type]


def records(**values: bytes) -> bytes:
    """The content of a PAX header."""
    return b"".join(record(keyword.replace("__", ".").encode(), value) for keyword, value in values.items())


def record(keyword: bytes, value: bytes) -> bytes:
    body = b" " + keyword + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(content: bytes, kind: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/x", content, kind)


def gnu_long(text: bytes, kind: bytes = b"L") -> bytes:
    return member(b"././@LongLink", text + b"\0", kind, magic=b"ustar  ")
