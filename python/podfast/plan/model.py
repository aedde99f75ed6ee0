# SPDX-License-Identifier: Apache-2.0
"""The plan of one pod: everything that will be made, as data. It can be printed, compared and tested without root.

Numbers and flags are those of native/include/podfast.h; `podfast._native` compares the ABI when it is imported.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

# pf_plan.flags
SERVED, SHARE_PID, ROOTLESS, ADOPT, NO_STATE = 1, 2, 4, 8, 16
# pf_cgroup.flags
CGROUP_V2, CGROUP_MEMORY, CGROUP_TRACK, CGROUP_SHIM = 1, 2, 4, 8
# pf_tree.flags
TREE_FILE, TREE_READ_ONLY, TREE_DEVICES, TREE_RECURSIVE = 1, 2, 4, 8
# pf_volume.kind
VOLUME_TREE, VOLUME_DISK, VOLUME_MEMORY = 0, 1, 2
# pf_mount.flags
MOUNT_READ_ONLY = 1
# pf_container.flags
AUTOSTART, ROOT_READ_ONLY, ROOT_UPPER, UPPER_MEMORY, PRIVILEGED, NO_NEW_PRIVS, SECCOMP, INIT = (
    1,
    2,
    4,
    8,
    16,
    32,
    64,
    128,
)


class Hierarchy(Struct, frozen=True):
    """One mounted cgroup hierarchy. Pods are made below `base`, an absolute host directory.

    `name` is its directory below /sys/fs/cgroup ("memory", "cpu,cpuacct", "unified"; "" when the v2 tree is mounted
    there itself). `controllers` are those that can be used at `base`.
    """

    name: str
    base: str
    v2: bool
    controllers: frozenset[str]


class HostFacts(Struct, frozen=True):
    """What a plan needs to know of the machine; gathered once for each engine."""

    hierarchies: tuple[Hierarchy, ...] = ()
    masks: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()  # as in podfast.h: "c 660 10 229 fuse"
    capabilities: int = (1 << 41) - 1  # what this process may hand on, as bits
    rootless: bool = False


class Names(Struct, frozen=True):
    """Where the objects of one pod are: ids and absolute paths, made up by the engine before anything exists."""

    id: str
    uid: str
    run_directory: str
    state_directory: str
    log_directory: str
    trash: str
    name_claim: str


class CgroupPlan(Struct, frozen=True):
    hierarchy: int
    path: str
    writes: tuple[tuple[str, str], ...]
    container: int
    flags: int
    view: str


class TreePlan(Struct, frozen=True):
    """A tree of the host that is cloned into the pod: an absolute path."""

    source: str
    flags: int


class VolumePlan(Struct, frozen=True):
    kind: int
    tree: int = 0
    size_limit: int = 0
    mode: int = 0o777


class FilePlan(Struct, frozen=True):
    name: str
    content: str
    target: str


class MountPlan(Struct, frozen=True):
    volume: int
    target: str
    flags: int


class ContainerPlan(Struct, frozen=True):
    name: str
    log_directory: str
    flags: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    layers: tuple[int, ...]
    binds: tuple[tuple[int, str], ...]
    mounts: tuple[MountPlan, ...]
    argv: tuple[str, ...]
    envp: tuple[str, ...]
    paths: tuple[str, ...]
    workdir: str
    capabilities: int


class PodPlan(Struct, frozen=True):
    names: Names
    flags: int
    hostname: str
    containers: tuple[ContainerPlan, ...]
    cgroups: tuple[CgroupPlan, ...]
    trees: tuple[TreePlan, ...]
    volumes: tuple[VolumePlan, ...]
    files: tuple[FilePlan, ...]
    sysctls: tuple[tuple[str, str], ...]
    masks: tuple[str, ...]
    read_only: tuple[str, ...]
    devices: tuple[str, ...]
    undo: tuple[str, ...]
    log_max_bytes: int
    log_max_files: int
    shm_bytes: int
    cgroup_view: int

    @property
    def trash_name(self) -> str:
        return self.names.id

    @property
    def state_name(self) -> str:
        return self.names.state_directory

    @property
    def has_state(self) -> bool:
        """Whether anything of the pod is on the state disk: a writable layer, an emptyDir."""
        return not self.flags & NO_STATE

    @property
    def passes_trees(self) -> bool:
        """Whether trees reach the shim as descriptors; without root it opens them itself."""
        return not self.flags & ROOTLESS


def show(plan: PodPlan) -> str:
    """The plan as indented JSON, for people."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=2).decode()
