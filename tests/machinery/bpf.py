# SPDX-License-Identifier: Apache-2.0
"""BPF programs, maps, links and type information in the kernel, by id.

They have no owner that the kernel tells. What a process that is not ours holds by a descriptor is passed over.
"""

import ctypes
import os
import struct

from tests.machinery import kernel
from tests.machinery.view import Found, View, descriptors

# kind → (next id, descriptor from id, where the name is in its info or None)
_KINDS = {"prog": (11, 13, 64), "map": (12, 14, 24), "btf": (23, 19, None), "link": (31, 30, None)}
_INFO_BY_DESCRIPTOR = 15
_UNION_BYTES = 256


def bpf(view: View) -> Found:
    known = view.before.get("bpf", {})
    found = {}
    for kind in _KINDS:
        for number in _ids(kind):
            key = f"{kind} {number}"
            found[key] = known.get(key) or f"{key} {_name(kind, number)}"
    fresh = [key for key in found if key not in known]
    if fresh and view.before:
        for key in _held_elsewhere(view):
            found.pop(key, None)
    return found


def _ids(kind: str) -> list[int]:
    found: list[int] = []
    number = 0
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("II", number, 0), _UNION_BYTES)
        try:
            kernel.bpf(_KINDS[kind][0], attributes)
        except OSError:
            return found  # the end of the list, or no permission to see it
        number = struct.unpack_from("I", attributes.raw, 4)[0]
        found.append(number)


def _name(kind: str, number: int) -> str:
    _, by_id, offset = _KINDS[kind]
    if offset is None:
        return ""
    try:
        descriptor = kernel.bpf(by_id, ctypes.create_string_buffer(struct.pack("I", number), _UNION_BYTES))
    except OSError:
        return ""
    try:
        info = ctypes.create_string_buffer(512)
        request = struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info))
        kernel.bpf(_INFO_BY_DESCRIPTOR, ctypes.create_string_buffer(request, _UNION_BYTES))
        return info.raw[offset : offset + 16].partition(b"\0")[0].decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _held_elsewhere(view: View) -> list[str]:
    found = []
    for pid in view.processes.keys() - view.ours.keys():
        for number, target in descriptors(pid).items():
            if not target.startswith("anon_inode:bpf"):
                continue
            try:
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
                    fields = dict(line.split(":", 1) for line in file if ":" in line)
            except OSError:
                continue
            for kind in _KINDS:
                if f"{kind}_id" in fields:
                    found.append(f"{kind} {int(fields[f'{kind}_id'])}")
    return found
