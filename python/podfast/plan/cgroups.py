# SPDX-License-Identifier: Apache-2.0
"""Resources → cgroup directories and what is written into them, for v1, v2 and hybrid hosts.

v1: only hierarchies that a limit of this pod needs; the shim joins the pod's pids group, so that all it forks is born
there. v2: one tree; processes are cloned into their group. A v2 tree without controllers (hybrid hosts) still tracks
processes: it is what `cgroup.kill` empties. Conversions are the kubelet's (pkg/kubelet/cm/helpers_linux.go), and runc's
for cpu.weight.
"""

from __future__ import annotations

from collections.abc import Sequence

from podfast.plan.model import CGROUP_MEMORY, CGROUP_SHIM, CGROUP_TRACK, CGROUP_V2, CgroupPlan, Hierarchy
from podfast.spec.model import Resources

PIDS_MAX = 2048
PERIOD_US = 100_000
MIN_QUOTA_US = 1_000
MIN_SHARES = 2
MAX_SHARES = 262_144

Writes = tuple[tuple[str, str], ...]


def build(pod_id: str, resources: Sequence[Resources], hierarchies: Sequence[Hierarchy]) -> tuple[CgroupPlan, ...]:
    """The groups of a pod, parents before children."""
    pod = f"podfast-{pod_id}"
    plans: list[CgroupPlan] = []
    # Without a v2 tree, the pids hierarchy tells whose process is whose.
    by_pids = not any(hierarchy.v2 for hierarchy in hierarchies)
    for index, hierarchy in enumerate(hierarchies):
        if hierarchy.v2:
            plans += _unified(index, hierarchy, pod, resources)
        else:
            plans += _legacy(index, hierarchy, pod, resources, by_pids)
    return tuple(plans)


def shares(millicores: int) -> int:
    """cpu.shares for a request, 1024 a core."""
    return max(MIN_SHARES, min(MAX_SHARES, millicores * 1024 // 1000))


def weight(millicores: int) -> int:
    """cpu.weight for a request: shares 2…262144 onto 1…10000, as runc does it."""
    return 1 + (shares(millicores) - 2) * 9999 // 262142


def quota(millicores: int) -> int:
    """Microseconds of a period of 100 ms; the kernel takes no less than 1 ms."""
    return max(MIN_QUOTA_US, millicores * PERIOD_US // 1000)


def _legacy(
    index: int, hierarchy: Hierarchy, pod: str, resources: Sequence[Resources], by_pids: bool
) -> list[CgroupPlan]:
    view = hierarchy.name
    plans = []
    if "pids" in hierarchy.controllers:
        plans.append(CgroupPlan(index, pod, (("pids.max", str(PIDS_MAX)),), -1, CGROUP_SHIM, view))
        if by_pids:
            return plans + [CgroupPlan(index, f"{pod}/{i}", (), i, CGROUP_TRACK, view) for i in range(len(resources))]
    children = [(i, _legacy_writes(hierarchy, one)) for i, one in enumerate(resources)]
    children = [(i, writes) for i, writes in children if writes]
    if children and not plans:
        plans.append(CgroupPlan(index, pod, (), -1, 0, view))
    memory = CGROUP_MEMORY if "memory" in hierarchy.controllers else 0
    plans += [CgroupPlan(index, f"{pod}/{i}", writes, i, memory, view) for i, writes in children]
    return plans


def _legacy_writes(hierarchy: Hierarchy, resources: Resources) -> Writes:
    writes: list[tuple[str, str]] = []
    limits, requests = resources.limits, resources.requests
    if "cpu" in hierarchy.controllers:
        if requests.cpu is not None:
            writes.append(("cpu.shares", str(shares(requests.cpu))))
        if limits.cpu is not None:
            writes.append(("cpu.cfs_period_us", str(PERIOD_US)))
            writes.append(("cpu.cfs_quota_us", str(quota(limits.cpu))))
    if "memory" in hierarchy.controllers and limits.memory is not None:
        writes.append(("memory.limit_in_bytes", str(limits.memory)))
    return tuple(writes)


def _unified(index: int, hierarchy: Hierarchy, pod: str, resources: Sequence[Resources]) -> list[CgroupPlan]:
    view = hierarchy.name
    usable = hierarchy.controllers & {"cpu", "memory", "pids"}
    writes: list[tuple[str, str]] = []
    if "pids" in usable:
        writes.append(("pids.max", str(PIDS_MAX)))
    if usable:
        writes.append(("cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(usable))))
    plans = [CgroupPlan(index, pod, tuple(writes), -1, CGROUP_V2, view)]
    flags = CGROUP_V2 | CGROUP_TRACK | (CGROUP_MEMORY if "memory" in usable else 0)
    for i, one in enumerate(resources):
        plans.append(CgroupPlan(index, f"{pod}/{i}", _unified_writes(usable, one), i, flags, view))
    return plans


def _unified_writes(usable: frozenset[str], resources: Resources) -> Writes:
    writes: list[tuple[str, str]] = []
    limits, requests = resources.limits, resources.requests
    if "cpu" in usable:
        if requests.cpu is not None:
            writes.append(("cpu.weight", str(weight(requests.cpu))))
        if limits.cpu is not None:
            writes.append(("cpu.max", f"{quota(limits.cpu)} {PERIOD_US}"))
    if "memory" in usable and limits.memory is not None:
        writes.append(("memory.max", str(limits.memory)))
        writes.append(("memory.oom.group", "1"))
    return tuple(writes)
