# SPDX-License-Identifier: Apache-2.0
"""What `podfast doctor` asks the kernel: small files under /proc and /sys, one netlink message, one process."""

import os
import socket
import struct
import time
from functools import cached_property
from typing import NamedTuple

READ_LIMIT = 16 << 20
ROUNDS = 5


class Mount(NamedTuple):
    point: str
    kind: str
    options: frozenset[str]


class Host:
    """This machine, as this process sees it. Nothing is looked at before it is asked for."""

    def __init__(self) -> None:
        names = os.uname()
        self.machine = names.machine
        self.release = names.release
        self.version = _version(names.release)
        self.root = os.geteuid() == 0

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """proc(5), mountinfo: …  mount point  options … - type  source  super options."""
        mounts = []
        for line in read("/proc/self/mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            fields, more = left.split(" "), right.split(" ")
            if len(fields) > 5 and len(more) > 2:
                point = fields[4].encode().decode("unicode_escape", "replace")  # \040 and the like
                mounts.append(Mount(point, more[0], frozenset(more[2].split(","))))
        return tuple(mounts)

    def mount_of(self, path: str) -> Mount:
        """The mount that a path is on, or would be; of several on one point the last one, which hides the others."""
        found = Mount("/", "unknown", frozenset())
        for mount in self.mounts:
            inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
            if inside and len(mount.point) >= len(found.point):
                found = mount
        return found

    def number(self, path: str) -> int | None:
        """A file that holds one number; None where there is none."""
        try:
            return int(read(path))
        except ValueError:
            return None

    def has_filesystem(self, name: str) -> bool:
        """Whether it can be mounted: known to the kernel, or a module that it would load."""
        if any(line.split("\t")[-1] == name for line in read("/proc/filesystems").splitlines()):
            return True
        listed = read(f"/lib/modules/{self.release}/modules.alias") + read(
            f"/lib/modules/{self.release}/modules.builtin"
        )
        return f"alias fs-{name} " in listed or f"/{name}.ko" in listed

    def has_capability(self, number: int) -> bool:
        for line in read("/proc/self/status").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
        return False

    def security_modules(self) -> frozenset[str]:
        names = {name for name in read("/sys/kernel/security/lsm").strip().split(",") if name}
        if read("/sys/module/apparmor/parameters/enabled").startswith("Y"):
            names.add("apparmor")
        if os.path.exists("/sys/fs/selinux/enforce"):
            names.add("selinux")
        return frozenset(names)

    def has_nftables(self) -> bool:
        """Asks nf_tables for its generation; a kernel without it answers with an error, or not at all."""
        netlink_netfilter, nfnl_subsys_nftables, nft_msg_getgen, nft_msg_newgen = 12, 10, 16, 15
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, netlink_netfilter) as channel:
                channel.settimeout(1)
                # nlmsghdr: length, type, flags (NLM_F_REQUEST), sequence, port; nfgenmsg: family, version, resource.
                kind = nfnl_subsys_nftables << 8 | nft_msg_getgen
                channel.sendto(struct.pack("=IHHII", 20, kind, 1, 1, 0) + bytes(4), (0, 0))
                answer = channel.recv(4096)
        except OSError:
            return False
        return len(answer) >= 6 and struct.unpack_from("=H", answer, 4)[0] == nfnl_subsys_nftables << 8 | nft_msg_newgen

    def clone_cost(self) -> tuple[float, float] | None:
        """Seconds to start a process in a new mount namespace, and in this one, at best. None without the right to."""
        from podfast.errors import SystemFailure

        try:
            return _best_clone(CLONE_NEWNS), _best_clone(0)
        except (ImportError, SystemFailure):
            return None

    def compiled_problem(self) -> str:
        """What is wrong with podfast's compiled parts; empty when nothing is."""
        try:
            from podfast import _native
        except ImportError as error:
            return str(error)
        names = ("podfast-shim", "podfast-pause", "podfast-init", "podfast-unpack")
        absent = [name for name in names if not os.access(_native.binary(name), os.X_OK)]
        if absent:
            return "no " + ", ".join(absent)
        return "" if _native.PROFILE == "release" else f"a build for {_native.PROFILE}, far slower than a release"


CLONE_NEWNS = 0x00020000


def _best_clone(namespaces: int) -> float:
    from podfast import _native

    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        _, pidfd = _native.clone(["/bin/true"], [], namespaces=namespaces)
        best = min(best, time.perf_counter() - start)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    return best


def read(path: str) -> str:
    """A file of the kernel; empty when it is not there or not for us."""
    text = bytearray()
    try:
        with open(path, "rb", buffering=0) as file:
            # In pieces: a sysctl refuses to be read into a big buffer.
            while len(text) < READ_LIMIT and (piece := file.read(32 << 10)):
                text += piece
    except OSError:
        return ""
    return text.decode("utf-8", "replace")


def _version(release: str) -> tuple[int, int]:
    """6.18.44-x → (6, 18); what does not look like a version is taken for an old one."""
    parts = release.split("-")[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        return 0, 0
