# SPDX-License-Identifier: Apache-2.0
"""What a plan needs to know of this machine, read once for each engine."""

from __future__ import annotations

import os
import stat

from podfast.plan.model import Hierarchy, HostFacts

# SECURITY.md's lists follow the runtime spec's defaults (OCI runtime-spec, config-linux.md) and containerd's additions.
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/proc/kmsg",
    "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing",
    "/sys/kernel/security", "/sys/fs/bpf", "/sys/fs/pstore",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def gather() -> HostFacts:
    """Look at the machine. What does not exist here is left out of the lists, and never asked for again."""
    rootless = os.geteuid() != 0
    return HostFacts(
        hierarchies=hierarchies(),
        masks=tuple(path for path in MASKED if os.path.lexists(path)),
        read_only=tuple(path for path in READ_ONLY if os.path.lexists(path)),
        devices=() if rootless else devices(),
        capabilities=_capabilities(rootless),
        rootless=rootless,
    )


def devices() -> tuple[str, ...]:
    """The host's device nodes, for privileged containers: those directly in /dev and in its plain directories."""
    found = []
    for directory in ("", "net/", "dri/", "input/", "snd/", "vfio/", "mapper/", "bus/"):
        try:
            entries = list(os.scandir(f"/dev/{directory}"))
        except OSError:
            continue
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
            if kind and entry.name != "console":
                numbers = f"{os.major(status.st_rdev)} {os.minor(status.st_rdev)}"
                found.append(f"{kind} {stat.S_IMODE(status.st_mode):o} {numbers} {directory}{entry.name}")
    return tuple(sorted(found))


def hierarchies() -> tuple[Hierarchy, ...]:
    """The cgroup hierarchies that are mounted, in the order of the mount table.

    A v1 hierarchy is used below the directory that this process is in, so that limits set on us hold for our pods
    too. In the v2 tree that is not possible (cgroup v2, "no internal processes"): there pods are made at its top.
    """
    own = _own_groups()
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            if kind not in ("cgroup", "cgroup2"):
                continue
            root, point = left.split()[3:5]
            if not point.startswith("/sys/fs/cgroup"):
                continue
            name = point.removeprefix("/sys/fs/cgroup").lstrip("/")
            if kind == "cgroup2":
                found.append(Hierarchy(name, point, True, _controllers(point)))
                continue
            controllers = frozenset(options.split(",")) - {"rw", "ro"}
            named = next((part for part in controllers if part.startswith("name=")), None)
            path = own.get(named or ",".join(sorted(controllers)), "/")
            base = os.path.normpath(f"{point}/{os.path.relpath(path, root)}") if path.startswith(root) else point
            found.append(Hierarchy(name, base, False, frozenset() if named else controllers))
    return tuple(found)


def _own_groups() -> dict[str, str]:
    groups = {}
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            groups[controllers if controllers.startswith("name=") else ",".join(sorted(controllers.split(",")))] = path
    return groups


def _controllers(point: str) -> frozenset[str]:
    try:
        with open(f"{point}/cgroup.controllers", encoding="ascii") as file:
            return frozenset(file.read().split())
    except OSError:
        return frozenset()


def enable_controllers(facts: HostFacts) -> None:
    """v2: let groups at the top have the controllers that podfast sets. What is enabled already costs one read."""
    for hierarchy in facts.hierarchies:
        wanted = hierarchy.controllers & {"cpu", "memory", "pids"}
        if not hierarchy.v2 or not wanted:
            continue
        path = f"{hierarchy.base}/cgroup.subtree_control"
        with open(path, encoding="ascii") as file:
            missing = wanted - frozenset(file.read().split())
        if missing:
            with open(path, "w", encoding="ascii") as file:
                file.write(" ".join(f"+{name}" for name in sorted(missing)))


def _capabilities(rootless: bool) -> int:
    """What containers can be given: the bounding set, and of it what we hold, unless a user namespace gives us all of
    it.
    """
    sets = {}
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Cap"):
                key, _, value = line.partition(":")
                sets[key] = int(value, 16)
    return sets["CapBnd"] if rootless else sets["CapBnd"] & sets["CapPrm"]
