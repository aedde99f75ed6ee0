# SPDX-License-Identifier: Apache-2.0
"""What is looked up on the machine between a Pod and its plan: host paths, users, mount points. Everything here can
fail before anything is made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from podfast import images
from podfast.errors import Problem, SpecError
from podfast.images import Identity, Image
from podfast.plan.model import Names
from podfast.spec.model import HostPath, Pod
from podfast.status.model import Facts

KINDS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def hostpaths(pod: Pod) -> frozenset[int]:
    """Check every hostPath, and make those that are to be made (core/v1, HostPathType). All that is wrong is told at
    once. Returns the volumes that are not directories.
    """
    problems = []
    files = []
    for index, volume in enumerate(pod.spec.volumes):
        if volume.host_path is None:
            continue
        complaint = _hostpath(volume.host_path)
        if complaint:
            path = f"spec.volumes[{index}].hostPath.path"
            problems.append(Problem(f'"{path}": {volume.host_path.path} {complaint}', path))
        elif not _is_directory(volume.host_path):
            files.append(index)
    if problems:
        raise SpecError(problems)
    return frozenset(files)


def _is_directory(source: HostPath) -> bool:
    """What was checked is not asked again. That it still is one is seen when it is opened (pf_tree_open)."""
    return source.type.startswith("Directory") if source.type else os.path.isdir(source.path)


def _hostpath(source: HostPath) -> str:
    try:
        status = os.stat(source.path)
    except FileNotFoundError:
        return _make(source)
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    wanted = {"DirectoryOrCreate": "Directory", "FileOrCreate": "File"}.get(source.type, source.type)
    if wanted:
        fits, name = KINDS[wanted]
        return "" if fits(status.st_mode) else f"is not a {name}"
    return ""


def _make(source: HostPath) -> str:
    try:
        if source.type == "DirectoryOrCreate":
            os.makedirs(source.path, 0o755, exist_ok=True)
        elif source.type == "FileOrCreate":
            os.close(os.open(source.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        else:
            return "does not exist"
    except OSError as error:
        return f"cannot be made: {error.strerror}"
    return ""


def identities(pod: Pod, found: Mapping[str, Image]) -> list[Identity]:
    """Whom each container runs as: its own security context, else the pod's, else the image's user."""
    return [_identity(pod, index, found) for index in range(len(pod.spec.containers))]


def _identity(pod: Pod, index: int, found: Mapping[str, Image]) -> Identity:
    container = pod.spec.containers[index]
    own, shared = container.security_context, pod.spec.security_context
    user = own.run_as_user if own.run_as_user is not None else shared.run_as_user
    group = own.run_as_group if own.run_as_group is not None else shared.run_as_group
    image = found[container.image]
    wanted = image.config.user if user is None else str(user)
    if wanted in ("", "0") and image.reference == "host":
        identity = Identity(0, 0, (), "/root")
    else:
        identity = images.lookup_user(image, wanted)
    if group is not None:
        identity = Identity(identity.uid, group, identity.groups, identity.home)
    return identity


def missing_mount_points(pod: Pod, found: Mapping[str, Image]) -> frozenset[int]:
    """Containers with a read-only root in which a mount point must be made first: they need a writable layer for
    that.
    """
    return frozenset(
        index
        for index, container in enumerate(pod.spec.containers)
        if container.security_context.read_only_root_filesystem
        and _lacks(found[container.image], [mount.mount_path for mount in container.volume_mounts])
    )


def _lacks(image: Image, targets: list[str]) -> bool:
    needed = ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", *targets]
    return any(not any(os.path.lexists(layer + target) for layer in image.layers) for target in needed)


def status_facts(pod: Pod, names: Names, found: Mapping[str, Image], created: int) -> Facts:
    """What the status tells beyond the state. `created` is unix nanoseconds."""
    containers = pod.spec.containers
    return Facts(
        uid=names.uid,
        id=names.id,
        created=created,
        node=os.uname().nodename,
        images=tuple(container.image for container in containers),
        image_ids=tuple(f"sha256:{found[container.image].id}" for container in containers),
    )
