# SPDX-License-Identifier: Apache-2.0
"""Pod + images → PodPlan. Pure: what has to be looked up on the machine comes in as arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from podfast.errors import Problem, SpecError, Unsupported
from podfast.images.model import Identity, Image
from podfast.plan import capabilities, cgroups as cgroup_plans, model as m
from podfast.spec.expand import environment, expand_all
from podfast.spec.model import Container, Pod

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHM_BYTES = 64 << 20
# Ping without CAP_NET_RAW, and low ports without CAP_NET_BIND_SERVICE are the safe sysctls a container may rely on;
# the first is set for it.
SYSCTLS = (("sys/net/ipv4/ping_group_range", "0 2147483647"),)


def build(
    pod: Pod,
    images: Mapping[str, Image],
    identities: Sequence[Identity],
    host: m.HostFacts,
    names: m.Names,
    *,
    served: bool = False,
    needs_upper: frozenset[int] = frozenset(),
    file_volumes: frozenset[int] = frozenset(),
) -> m.PodPlan:
    """Everything that will be made for `pod`.

    `identities[i]` is whom container i runs as. `needs_upper` holds containers with a read-only root that lacks a
    mount point, `file_volumes` hostPaths that are not directories. Raises SpecError for a container without a
    command, Unsupported for limits that this host cannot keep.
    """
    trees: dict[tuple[str, int], int] = {}
    spec = pod.spec
    volumes = tuple(_volume(pod, index, trees, index in file_volumes) for index in range(len(spec.volumes)))
    positions = {volume.name: index for index, volume in enumerate(spec.volumes)}
    resources = [container.resources for container in spec.containers]
    _check_limits(pod, host)
    _check_users(pod, identities, host)
    containers = tuple(
        _container(
            pod, index, images[container.image], identities[index], positions, trees, host, names, index in needs_upper
        )
        for index, container in enumerate(spec.containers)
    )
    flags = (
        (m.SERVED if served else 0)
        | (m.SHARE_PID if spec.share_process_namespace else 0)
        | (m.ROOTLESS if host.rootless else 0)
        | (0 if _has_state(containers, volumes) else m.NO_STATE)
    )
    hierarchies = () if host.rootless else host.hierarchies
    return m.PodPlan(
        names=names,
        flags=flags,
        hostname=pod.metadata.name[:63],
        containers=containers,
        cgroups=cgroup_plans.build(names.id, resources, hierarchies),
        trees=tuple(m.TreePlan(source, tree_flags) for source, tree_flags in trees),
        volumes=volumes,
        files=_files(pod.metadata.name[:63]),
        sysctls=SYSCTLS,
        masks=host.masks,
        read_only=host.read_only,
        devices=host.devices if any(container.security_context.privileged for container in spec.containers) else (),
        undo=_undo(names, hierarchies, _has_state(containers, volumes)),
        log_max_bytes=pod.options.log_max_size,
        log_max_files=pod.options.log_max_files,
        shm_bytes=SHM_BYTES,
        cgroup_view=1 if hierarchies else 0,
    )


def _has_state(containers: Sequence[m.ContainerPlan], volumes: Sequence[m.VolumePlan]) -> bool:
    """Whether anything is on the state disk. A pod with its layers in memory makes and removes no file there."""
    layers = any(one.flags & (m.ROOT_UPPER | m.UPPER_MEMORY) == m.ROOT_UPPER for one in containers)
    return layers or any(volume.kind == m.VOLUME_DISK for volume in volumes)


def _tree(trees: dict[tuple[str, int], int], source: str, flags: int) -> int:
    return trees.setdefault((source, flags), len(trees))


def _check_limits(pod: Pod, host: m.HostFacts) -> None:
    if host.rootless:
        return  # said by `doctor`: an ordinary user's pods have no limits
    usable = frozenset().union(*(hierarchy.controllers for hierarchy in host.hierarchies))
    for container in pod.spec.containers:
        for name in ("cpu", "memory"):
            if getattr(container.resources.limits, name) is not None and name not in usable:
                raise Unsupported(
                    f'container "{container.name}" has a {name} limit, and this host has no {name} controller',
                    remedy="`podfast doctor` says how to enable it",
                )


def _check_users(pod: Pod, identities: Sequence[Identity], host: m.HostFacts) -> None:
    """An ordinary user's namespace maps one user and one group, which are 0 inside."""
    for container, identity in zip(pod.spec.containers, identities, strict=True):
        if host.rootless and (identity.uid or identity.gid):
            raise Unsupported(
                f'container "{container.name}" runs as {identity.uid}:{identity.gid}: without root, there is only 0:0',
                remedy="run podfast as root, or leave runAsUser and runAsGroup out",
            )


def _volume(pod: Pod, index: int, trees: dict[tuple[str, int], int], is_file: bool) -> m.VolumePlan:
    volume = pod.spec.volumes[index]
    if volume.host_path is not None:
        flags = m.TREE_RECURSIVE | (m.TREE_FILE if is_file else 0)
        if volume.host_path.type in ("CharDevice", "BlockDevice") or _is_for_privileged(pod, volume.name):
            flags |= m.TREE_DEVICES
        return m.VolumePlan(m.VOLUME_TREE, tree=_tree(trees, volume.host_path.path, flags))
    source = volume.empty_dir
    if source is not None and source.medium == "Memory":
        return m.VolumePlan(m.VOLUME_MEMORY, size_limit=source.size_limit or 0)
    return m.VolumePlan(m.VOLUME_DISK, size_limit=(source.size_limit if source else None) or 0)


def _is_for_privileged(pod: Pod, volume: str) -> bool:
    """`hostPath: /dev` in a privileged container is meant to have devices that work."""
    return any(
        container.security_context.privileged and any(mount.name == volume for mount in container.volume_mounts)
        for container in pod.spec.containers
    )


def _container(
    pod: Pod,
    index: int,
    image: Image,
    identity: Identity,
    positions: Mapping[str, int],
    trees: dict[tuple[str, int], int],
    host: m.HostFacts,
    names: m.Names,
    needs_upper: bool,
) -> m.ContainerPlan:
    container = pod.spec.containers[index]
    envp = _environment(pod, container, image, identity)
    argv = _argv(index, container, image)
    workdir = container.working_dir or image.config.working_dir or "/"
    layer_flags = m.TREE_READ_ONLY
    return m.ContainerPlan(
        name=container.name,
        log_directory=f"{names.log_directory.rsplit('/', 1)[1]}/{container.name}",
        flags=_flags(pod, container, host, needs_upper),
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups if not host.rootless else (),
        layers=tuple(_tree(trees, layer, layer_flags) for layer in image.layers),
        binds=tuple((_tree(trees, bind.source, layer_flags | m.TREE_RECURSIVE), bind.target) for bind in image.binds),
        mounts=tuple(
            m.MountPlan(
                positions[mount.name], mount.mount_path.lstrip("/"), m.MOUNT_READ_ONLY if mount.read_only else 0
            )
            for mount in sorted(container.volume_mounts, key=lambda mount: mount.mount_path.count("/"))
        ),
        argv=argv,
        envp=tuple(f"{key}={value}" for key, value in envp.items()),
        paths=candidates(argv[0], envp.get("PATH", DEFAULT_PATH)),
        workdir=workdir,
        capabilities=capabilities.mask(container.security_context, host.capabilities),
    )


def _in_memory(pod: Pod, container: Container, host: m.HostFacts) -> bool:
    """Where the writable layer is, unless the pod says it: on disk as in Kubernetes, but for `image: host` in memory.

    What such a container writes outside of its volumes is scratch, and a layer on a journaling file system is a third
    of a pod's start. An ordinary user's tmpfs has the attributes that an overlay needs from Linux 6.6 on only.
    """
    wish = pod.options.writable_layer
    return container.image == "host" and not host.rootless if wish == "auto" else wish == "memory"


def _flags(pod: Pod, container: Container, host: m.HostFacts, needs_upper: bool) -> int:
    security = container.security_context
    flags = m.AUTOSTART
    if security.read_only_root_filesystem:
        flags |= m.ROOT_READ_ONLY
    if not security.read_only_root_filesystem or needs_upper:
        flags |= m.ROOT_UPPER | (m.UPPER_MEMORY if _in_memory(pod, container, host) else 0)
    if security.privileged:
        flags |= m.PRIVILEGED
    elif pod.options.seccomp == "default":
        flags |= m.SECCOMP
    if security.allow_privilege_escalation is False:
        flags |= m.NO_NEW_PRIVS
    if pod.options.init:
        flags |= m.INIT
    return flags


def _environment(pod: Pod, container: Container, image: Image, identity: Identity) -> dict[str, str]:
    """The image's variables, then the Pod's; PATH, HOSTNAME and HOME as every runtime gives them."""
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": pod.metadata.name[:63], "HOME": identity.home}
    for text in image.config.env:
        key, _, value = text.partition("=")
        variables[key] = value
    variables.update(environment(container.env))
    return variables


def _argv(index: int, container: Container, image: Image) -> tuple[str, ...]:
    """`command` replaces entrypoint and cmd, `args` replaces cmd (core/v1, Container.command)."""
    variables = environment(container.env)
    command = expand_all(container.command, variables)
    args = expand_all(container.args, variables)
    argv = command + args if command else image.config.entrypoint + (args or image.config.cmd)
    if not argv:
        path = f"spec.containers[{index}].command"
        raise SpecError([Problem(f'"{path}" is required: image "{container.image}" has no command of its own', path)])
    if not argv[0]:
        path = f"spec.containers[{index}].command[0]"
        raise SpecError([Problem(f'"{path}" is empty: it names the program', path)])
    return argv


def candidates(program: str, search_path: str) -> tuple[str, ...]:
    """What execve tries, in this order (execvp(3))."""
    if "/" in program:
        return (program,)
    return tuple(f"{directory or '.'}/{program}" for directory in search_path.split(":"))


def _files(hostname: str) -> tuple[m.FilePlan, ...]:
    hosts = (
        f"# Made by podfast for this pod.\n127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    )
    return (
        m.FilePlan("hosts", hosts, "etc/hosts"),
        m.FilePlan("hostname", f"{hostname}\n", "etc/hostname"),
        m.FilePlan("resolv.conf", "# This pod has a loopback network only.\n", "etc/resolv.conf"),
    )


def _undo(names: m.Names, hierarchies: Sequence[m.Hierarchy], has_state: bool) -> tuple[str, ...]:
    """Replayed last to first (native/core/undo.c): processes and their groups first, the run directory last."""
    trash = f"{names.trash}/{names.id}"
    return (
        f"rmtree {names.run_directory}",
        f"name {names.name_claim}\t{names.id}",
        f"trash {names.log_directory}\t{trash}-l",
        *((f"trash {names.state_directory}\t{trash}",) if has_state else ()),
        *(f"cgroup {hierarchy.base}/podfast-{names.id}" for hierarchy in hierarchies),
    )
