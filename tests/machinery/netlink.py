# SPDX-License-Identifier: Apache-2.0
"""Links, addresses, routes, rules, permanent neighbours and nftables of the network the test runs in.

In a network that is not the session's own only podfast's devices and tables are looked at.
"""

import ipaddress
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator

from tests.machinery import isolation
from tests.machinery.view import Found, View

_NETFILTER = 12
_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE = 18, 22, 26, 30, 34
_NFT_GETTABLE = 10 << 8 | 1
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_PERMANENT = 0x80
_HEADER = struct.Struct("=IHHII")

Attributes = dict[int, bytes]


def links(view: View) -> Found:
    del view
    names = _names()
    return {f"{index} {name}": f"{index}: {name}" for index, name in names.items() if _looked_at(name)}


def addresses(view: View) -> Found:
    del view
    found, names = {}, _names()
    for head, attributes in _dump(socket.NETLINK_ROUTE, _GETADDR, 8):
        _, length, _, _, index = struct.unpack("=BBBBI", head)
        text = f"{_address(attributes.get(2) or attributes.get(1))}/{length} on {names.get(index, index)}"
        if _looked_at(names.get(index, "")):
            found[text] = text
    return found


def routes(view: View) -> Found:
    """Routes of every table, rules, and neighbours that somebody wrote down."""
    del view
    names = _names()
    texts = [*_routes(names), *_rules(), *_neighbours(names)]
    return {text: text for text, name in texts if _looked_at(name)}


def rules(view: View) -> Found:
    """nftables: line by line where `nft` is installed, else the tables' names."""
    del view
    tables = _nft_tables()
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not tables or program is None:
        return {text: text for text in tables}
    listing = subprocess.run((program, "-a", "list", "ruleset"), capture_output=True, text=True, check=False).stdout
    found, table = {}, ""
    for line in listing.splitlines():
        if line.startswith("table "):
            table = line.partition("{")[0].strip()
        text = re.sub(r" packets \d+ bytes \d+", "", line.strip())
        if text != "}" and (isolation.own_network() or "podfast" in table):
            found[f"{table}: {text}"] = f"{table}: {text}"
    return found


def _routes(names: dict[int, str]) -> Iterator[tuple[str, str]]:
    for head, attributes in _dump(socket.NETLINK_ROUTE, _GETROUTE, 12):
        family, length, _, _, table, _, _, kind, flags = struct.unpack("=BBBBBBBBI", head)
        if flags & 0x200:
            continue  # a cached copy
        name = names.get(_number(attributes.get(4)), "")
        table = _number(attributes.get(15)) or table
        target = "default" if 1 not in attributes else f"{_address(attributes[1])}/{length}"
        gateway = f" via {_address(attributes[5])}" if 5 in attributes else ""
        yield f"{target}{gateway} dev {name} table {table} type {kind} family {family}", name


def _rules() -> Iterator[tuple[str, str]]:
    for head, attributes in _dump(socket.NETLINK_ROUTE, _GETRULE, 12):
        rest = " ".join(f"{key}={value.hex()}" for key, value in sorted(attributes.items()))
        yield f"rule family {head[0]} {rest}", "podfast" if attributes.get(6) else ""


def _neighbours(names: dict[int, str]) -> Iterator[tuple[str, str]]:
    for head, attributes in _dump(socket.NETLINK_ROUTE, _GETNEIGH, 12):
        _, index, state = struct.unpack("=B3xIH2x", head)
        name = names.get(index, "")
        if state & _PERMANENT and name != "lo":
            yield f"neighbour {_address(attributes.get(1))} dev {name}", name


def _nft_tables() -> list[str]:
    try:
        return [
            f"table {attributes.get(1, b'').rstrip(bytes(1)).decode('ascii', 'replace')}"
            for _, attributes in _dump(_NETFILTER, _NFT_GETTABLE, 4)
        ]
    except OSError:
        return []  # a kernel without nftables has no tables


def _looked_at(name: str) -> bool:
    return isolation.own_network() or name.startswith(("pf", "podfast"))


def _names() -> dict[int, str]:
    found = {}
    for head, attributes in _dump(socket.NETLINK_ROUTE, _GETLINK, 16):
        found[struct.unpack("=BxHiII", head)[2]] = attributes.get(3, b"?").rstrip(b"\0").decode("ascii", "replace")
    return found


def _dump(protocol: int, kind: int, head_bytes: int) -> Iterator[tuple[bytes, Attributes]]:
    """All objects of one kind: the fixed head of each, and its attributes."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as link:
        link.send(_HEADER.pack(_HEADER.size + head_bytes, kind, _REQUEST_DUMP, 1, 0) + bytes(head_bytes))
        while True:
            data = link.recv(1 << 18)
            while data:
                length, got, _, _, _ = _HEADER.unpack_from(data)
                if got == _DONE:
                    return
                if got == _ERROR:
                    number = -struct.unpack_from("=i", data, _HEADER.size)[0]
                    raise OSError(number, f"netlink dump {kind}: {os.strerror(number)}")
                body = data[_HEADER.size : length]
                yield body[:head_bytes], _attributes(body[head_bytes:])
                data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Attributes:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _number(data: bytes | None) -> int:
    return int.from_bytes(data, "little") if data else 0


def _address(data: bytes | None) -> str:
    if data is None or len(data) not in (4, 16):
        return data.hex() if data else ""
    return str(ipaddress.ip_address(data))
