# SPDX-License-Identifier: Apache-2.0
"""Which cgroup controllers a pod can use here: v2, v1, or both side by side."""

import os
from collections.abc import Iterator

from podfast.cli.checks import GOOD, LIMITED, Check
from podfast.cli.host import Host, read
from podfast.places import Places

WANTED = ("cpu", "memory", "pids")
COSTS = {
    "cpu": "no CPU limits and shares",
    "memory": "no memory limits, no OOMKilled",
    "pids": "a fork bomb in a pod is not contained",
}


def check(host: Host, _: Places) -> Iterator[Check]:
    unified = [mount.point for mount in host.mounts if mount.kind == "cgroup2"]
    legacy = {name: mount.point for mount in host.mounts if mount.kind == "cgroup" for name in mount.options}
    if not unified and not legacy:
        costs = "no limits, and processes are found by their namespaces alone"
        yield Check("cgroups", LIMITED, "none mounted", costs, "mount -t cgroup2 none /sys/fs/cgroup")
        return
    tree = set(read(f"{unified[0]}/cgroup.controllers").split()) if unified else set()
    usable = {name for name in WANTED if name in tree or name in legacy}
    yield _controllers(host, usable, _described(unified, tree, legacy))
    if legacy:
        costs = "making and removing the cgroups of a pod takes several times as long as with v2"
        yield Check("cgroup version", LIMITED, "v1 controllers", costs, "boot with systemd.unified_cgroup_hierarchy=1")
    else:
        yield Check("cgroup version", GOOD, "v2")


def _controllers(host: Host, usable: set[str], found: str) -> Check:
    if not host.root:
        return Check(
            "cgroups", LIMITED, found, "rootless pods have no limits", "run podfast as root where pods need them"
        )
    absent = [name for name in WANTED if name not in usable]
    if absent:
        costs = "; ".join(COSTS[name] for name in absent)
        remedy = f"enable {', '.join(absent)} (cgroup_enable= at boot; v2: cgroup.subtree_control of the parent)"
        return Check("cgroups", LIMITED, found, costs, remedy)
    if not os.access("/sys/fs/cgroup", os.W_OK) or "ro" in host.mount_of("/sys/fs/cgroup").options:
        remedy = "mount it writable (a container needs its own cgroup namespace, or --privileged)"
        return Check("cgroups", LIMITED, f"{found}, read-only", "no limits", remedy)
    return Check("cgroups", GOOD, found)


def _described(unified: list[str], tree: set[str], legacy: dict[str, str]) -> str:
    parts = []
    if unified:
        names = ", ".join(name for name in WANTED if name in tree) or "no controllers"
        parts.append(f"v2 ({names})")
    if legacy:
        names = ", ".join(name for name in WANTED if name in legacy) or "no controllers"
        parts.append(f"v1 ({names})")
    return " and ".join(parts)
