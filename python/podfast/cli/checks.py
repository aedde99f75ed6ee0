# SPDX-License-Identifier: Apache-2.0
"""What `podfast doctor` looks at: each check reads a few files of the kernel and changes nothing."""

import os
import resource
from collections.abc import Callable, Iterator
from typing import NamedTuple

from podfast.cli.host import Host, read
from podfast.places import Places

GOOD, LIMITED, MISSING = "ok", "limited", "missing"

CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_NET_ADMIN, CAP_MKNOD = 21, 24, 12, 27
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")
GIB = 1 << 30


class Check(NamedTuple):
    """One line of the report. What is `missing` keeps every pod from running; what is `limited` costs something."""

    name: str
    state: str
    found: str
    costs: str = ""
    remedy: str = ""


def run_all(host: Host, places: Places) -> Iterator[Check]:
    for check in CHECKS:
        try:
            yield from check(host, places)
        except OSError as error:
            name = check.__name__.strip("_").replace("_", " ")
            yield Check(name, LIMITED, f"cannot be looked at: {error}", "unknown")


def _machine(host: Host, _: Places) -> Iterator[Check]:
    if host.machine in ("x86_64", "aarch64"):
        yield Check("machine", GOOD, host.machine)
    else:
        yield Check(
            "machine", MISSING, host.machine, "podfast's core is written for x86-64 and aarch64", "another machine"
        )


def _kernel(host: Host, _: Places) -> Iterator[Check]:
    found = f"Linux {host.release}"
    newer = [
        f"{what} (Linux {major}.{minor})" for (major, minor), what in NEWER.items() if host.version < (major, minor)
    ]
    if host.version < (6, 1):
        yield Check(
            "kernel", MISSING, found, "the mount and process calls that pods are made with", "Linux 6.1 or newer"
        )
    elif newer:
        yield Check("kernel", LIMITED, found, "does without: " + "; ".join(newer), "a newer kernel")
    else:
        yield Check("kernel", GOOD, found)


# What podfast uses where it is there, and does in another way where it is not.
NEWER = {
    (6, 3): "volumes in memory with mapped owners for rootless pods",
    (6, 5): "images with very many layers mounted by descriptors",
    (6, 11): "joining namespaces without a look into /proc",
    (6, 15): "exit codes of containers that outlived both engine and shim",
}


def _privileges(host: Host, _: Places) -> Iterator[Check]:
    if host.root and host.has_capability(CAP_SYS_ADMIN):
        yield Check("privileges", GOOD, "root")
        return
    if host.root:
        yield Check(
            "privileges", MISSING, "root without CAP_SYS_ADMIN (in a container?)", "namespaces cannot be made",
            "start the outer container privileged, or with the capability SYS_ADMIN",
        )  # fmt: skip
        return
    yield Check(
        "privileges", LIMITED, "an ordinary user: rootless pods", "no CPU and memory limits, only the loopback network",
        "run podfast as root where pods need them",
    )  # fmt: skip


def _user_namespaces(host: Host, _: Places) -> Iterator[Check]:
    name, costs = "user namespaces", "ordinary users cannot run pods"
    state = LIMITED if host.root else MISSING
    if (host.number("/proc/sys/user/max_user_namespaces") or 0) <= 0:
        yield Check(name, state, "none allowed", costs, "sysctl user.max_user_namespaces=15000")
    elif host.number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        yield Check(name, state, "only for root", costs, "sysctl kernel.unprivileged_userns_clone=1")
    elif host.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
        remedy = "an AppArmor profile for podfast, or sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        yield Check(name, state, "restricted by AppArmor", costs, remedy)
    else:
        yield Check(name, GOOD, "allowed")


def _namespaces(host: Host, _: Places) -> Iterator[Check]:
    absent = [name for name in NAMESPACES if not os.path.exists(f"/proc/self/ns/{name}")]
    if absent:
        yield Check(
            "namespaces",
            MISSING,
            f"no {', '.join(absent)}",
            "pods cannot be isolated",
            "a kernel built with CONFIG_NAMESPACES",
        )
        return
    limits = {name: host.number(f"/proc/sys/user/max_{name}_namespaces") or 0 for name in NAMESPACES}
    name = min(limits, key=lambda one: limits[one] if one != "user" else 1 << 62)
    if limits[name] < 1000:
        remedy = f"sysctl user.max_{name}_namespaces=15000"
        yield Check("namespaces", LIMITED, f"{limits[name]} {name} namespaces", "few pods at once", remedy)
    else:
        yield Check("namespaces", GOOD, f"all kinds, {limits[name]} and more of each")


def _mount_namespace(host: Host, _: Places) -> Iterator[Check]:
    count = len(host.mounts)
    cost = host.clone_cost()
    took = "" if cost is None else f", {cost[0] * 1e3:.1f} ms to copy (process alone {cost[1] * 1e3:.1f} ms)"
    found = f"{count} mounts on this host{took}"
    if count > 1000:
        costs = "each engine pays this copy once, at its start; pods are cloned from a pruned namespace and do not"
        yield Check("mounts", LIMITED, found, costs, "fewer mounts where podfast starts")
    else:
        yield Check("mounts", GOOD, found)


def _overlay(host: Host, places: Places) -> Iterator[Check]:
    if not host.has_filesystem("overlay"):
        costs = "no writable layer over an image: only containers with a read-only root"
        yield Check(
            "overlay", MISSING, "no overlay file system", costs, "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS"
        )
        return
    kind = host.mount_of(places.root).kind
    if kind in ("overlay", "nfs", "nfs4", "fuse", "vfat", "9p", "virtiofs"):
        costs = "its directories cannot be an overlay's upper layer"
        remedy = 'a root on ext4, xfs, btrfs or tmpfs (--root), or the annotation podfast.dev/writable-layer: "memory"'
        yield Check("overlay", LIMITED, f"{places.root} is on {kind}", costs, remedy)
    else:
        yield Check("overlay", GOOD, f"with {places.root} on {kind}")


def _run_root(host: Host, places: Places) -> Iterator[Check]:
    kind = host.mount_of(places.runroot).kind
    if kind == "tmpfs":
        yield Check("run root", GOOD, f"{places.runroot} is in memory")
    else:
        costs = "every status and every record is written to disk; remains of an earlier boot must be swept"
        yield Check(
            "run root",
            LIMITED,
            f"{places.runroot} is on {kind}",
            costs,
            "a tmpfs there, or --runroot on one (/dev/shm)",
        )


def _space(_: Host, places: Places) -> Iterator[Check]:
    there = places.root
    while not os.path.exists(there):
        there = os.path.dirname(there)
    stat = os.statvfs(there)
    free, files = stat.f_bavail * stat.f_frsize, stat.f_favail
    found = f"{free / GIB:.1f} GiB free under {there}"
    if free < GIB or (stat.f_files and files < 50_000):
        more = f", {files} files" if stat.f_files else ""
        yield Check("space", LIMITED, found + more, "images, volumes and logs soon fill it", "free some, or set --root")
    else:
        yield Check("space", GOOD, found)


def _resource_capability(host: Host, _: Places) -> Iterator[Check]:
    if host.has_capability(CAP_SYS_RESOURCE):
        yield Check("CAP_SYS_RESOURCE", GOOD, "there")
    elif host.root:
        costs = "guaranteed pods are not spared when memory runs out; limits of open files cannot be raised"
        yield Check(
            "CAP_SYS_RESOURCE", LIMITED, "not there", costs, "add the capability to the outer container or unit"
        )


def _security_modules(host: Host, _: Places) -> Iterator[Check]:
    seccomp = read("/proc/sys/kernel/seccomp/actions_avail")
    if not seccomp:
        costs = "containers could not be kept from dangerous system calls"
        yield Check("seccomp", MISSING, "not in this kernel", costs, "a kernel with CONFIG_SECCOMP_FILTER")
    else:
        yield Check("seccomp", GOOD, "filters")
    modules = host.security_modules()
    if "apparmor" in modules or "selinux" in modules:
        yield Check("access control", GOOD, ", ".join(modules))
    else:
        costs = "capabilities, seccomp, masks and read-only mounts stand alone: one layer less"
        yield Check("access control", LIMITED, "neither AppArmor nor SELinux", costs, "a kernel with one of them")


def _memory_files(host: Host, _: Places) -> Iterator[Check]:
    if host.number("/proc/sys/vm/memfd_noexec") == 2:
        costs = "nothing: podfast's binaries run from a private read-only tmpfs anyway"
        yield Check("memory files", GOOD, f"not executable (costs {costs})")


def _keys(host: Host, _: Places) -> Iterator[Check]:
    limit = host.number("/proc/sys/kernel/keys/" + ("root_maxkeys" if host.root else "maxkeys"))
    if limit is None:
        yield Check("keyrings", LIMITED, "none", "containers share no keyring, they have none", "CONFIG_KEYS")
    elif limit < 1000:
        yield Check(
            "keyrings",
            LIMITED,
            f"{limit} keys",
            "one per container: few containers at once",
            "sysctl kernel.keys.maxkeys=20000",
        )
    else:
        yield Check("keyrings", GOOD, f"{limit} keys")


def _limits(host: Host, _: Places) -> Iterator[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    pids = host.number("/proc/sys/kernel/pid_max") or 0
    found = f"{_shown(soft)} open files (can be raised to {_shown(hard)}), {pids} process ids"
    if 0 <= hard < 4096:
        yield Check(
            "limits",
            LIMITED,
            found,
            "an engine holds about ten files per pod",
            "raise the hard limit: ulimit -Hn 65536",
        )
    elif pids <= 32768:
        costs = "fewer processes in all than a few hundred busy pods may want"
        yield Check("limits", LIMITED, found, costs, "sysctl kernel.pid_max=4194304")
    else:
        yield Check("limits", GOOD, found)


def _shown(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _nftables(host: Host, _: Places) -> Iterator[Check]:
    if host.has_nftables():
        yield Check("nftables", GOOD, "there")
    else:
        yield Check(
            "nftables", LIMITED, "not there", "nothing yet: pods have only the loopback network", "modprobe nf_tables"
        )


def _compiled(host: Host, _: Places) -> Iterator[Check]:
    problem = host.compiled_problem()
    if problem:
        yield Check(
            "compiled parts",
            MISSING,
            problem,
            "no pod can be made",
            "install podfast again: pip install --force-reinstall podfast",
        )
    else:
        yield Check("compiled parts", GOOD, "there")


def _cgroups(host: Host, places: Places) -> Iterator[Check]:
    from podfast.cli import cgroups

    yield from cgroups.check(host, places)


CHECKS: tuple[Callable[[Host, Places], Iterator[Check]], ...] = (
    _machine,
    _kernel,
    _compiled,
    _privileges,
    _user_namespaces,
    _namespaces,
    _mount_namespace,
    _cgroups,
    _overlay,
    _run_root,
    _space,
    _resource_capability,
    _security_modules,
    _memory_files,
    _keys,
    _limits,
    _nftables,
)
