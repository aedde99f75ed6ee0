# SPDX-License-Identifier: Apache-2.0
"""What Kubernetes and podfast ask of a Pod beyond the types of its fields: names, paths, ranges and references."""

from __future__ import annotations

from collections.abc import Iterable

from podfast.spec import names
from podfast.spec.capabilities import ALL, NAMES, plain_name
from podfast.spec.model import Container, Document, ObjectMeta, Resources, SecurityContext, Volume
from podfast.spec.problems import Path, Report, shown, suggestion

__all__ = ["check"]

_MOST_CONTAINERS = 100
_MOST_VOLUMES = 200
_LARGEST_ID = (1 << 31) - 1
_LARGEST_ANNOTATIONS = 256 * 1024
_SPEC: Path = ("spec",)


def check(document: Document, report: Report) -> None:
    """Tell the report everything that is wrong with the values of a document."""
    _metadata(document.metadata, report)
    spec = document.spec
    _between(report, (*_SPEC, "terminationGracePeriodSeconds"), spec.termination_grace_period_seconds, 0, _LARGEST_ID)
    _identity(
        spec.security_context.run_as_user, spec.security_context.run_as_group, report, (*_SPEC, "securityContext")
    )
    few = _count(report, (*_SPEC, "volumes"), len(spec.volumes), 0, _MOST_VOLUMES)
    few = _count(report, (*_SPEC, "containers"), len(spec.containers), 1, _MOST_CONTAINERS) and few
    if not few:
        return
    _unique(report, (*_SPEC, "volumes"), "name", (volume.name for volume in spec.volumes))
    for index, volume in enumerate(spec.volumes):
        _volume(volume, report, (*_SPEC, "volumes", index))
    _unique(report, (*_SPEC, "containers"), "name", (container.name for container in spec.containers))
    declared = {volume.name for volume in spec.volumes}
    if report.is_broken_below((*_SPEC, "volumes")):
        # What the user meant to declare is not known, so every name is as good as declared.
        declared.update(mount.name for container in spec.containers for mount in container.volume_mounts)
    for index, container in enumerate(spec.containers):
        if report.full:
            return
        _container(container, report, (*_SPEC, "containers", index), declared)


def _metadata(metadata: ObjectMeta, report: Report) -> None:
    path: Path = ("metadata",)
    _say(report, (*path, "name"), names.subdomain(metadata.name))
    _say(report, (*path, "namespace"), names.label(metadata.namespace))
    for key, value in metadata.labels.items():
        _key(report, (*path, "labels", key), key)
        _say(report, (*path, "labels", key), names.label_value(value))
    size = 0
    for key, value in metadata.annotations.items():
        # Kubernetes takes capitals in the prefix of an annotation, though not of a label.
        _key(report, (*path, "annotations", key), key.lower())
        _no_nul(report, (*path, "annotations", key), value)
        size += len(key) + len(value)
    if size > _LARGEST_ANNOTATIONS:
        report.about((*path, "annotations"), f"must be at most {_LARGEST_ANNOTATIONS // 1024} KiB in all")


def _volume(volume: Volume, report: Report, path: Path) -> None:
    _say(report, (*path, "name"), names.label(volume.name))
    if volume.host_path is not None:
        _say(report, (*path, "hostPath", "path"), names.absolute_path(volume.host_path.path))
        if volume.empty_dir is not None:
            report.about(path, "must have one source, not both emptyDir and hostPath")
    directory = volume.empty_dir
    if directory is not None and directory.size_limit is not None and directory.medium != "Memory":
        report.about((*path, "emptyDir", "sizeLimit"), "is not supported yet on disk: give medium: Memory")


def _container(container: Container, report: Report, path: Path, volumes: set[str]) -> None:
    _say(report, (*path, "name"), names.label(container.name))
    _say(report, (*path, "image"), names.image(container.image))
    for field, texts in (("command", container.command), ("args", container.args)):
        for index, text in enumerate(texts):
            _no_nul(report, (*path, field, index), text)
    if container.working_dir:
        _say(report, (*path, "workingDir"), _directory(container.working_dir))
    for index, variable in enumerate(container.env):
        here = (*path, "env", index)
        _say(report, (*here, "name"), names.environment_name(variable.name))
        _no_nul(report, (*here, "value"), variable.value)
    if container.ports:
        _ports(container, report, (*path, "ports"))
    _resources(container.resources, report, (*path, "resources"))
    _mounts(container, report, (*path, "volumeMounts"), volumes)
    _security(container.security_context, report, (*path, "securityContext"))


def _directory(text: str) -> str:
    return names.visible(text) if text.startswith("/") else f'must be an absolute path, not "{shown(text)}"'


def _ports(container: Container, report: Report, path: Path) -> None:
    for index, port in enumerate(container.ports):
        _between(report, (*path, index, "containerPort"), port.container_port, 1, 65535)
        if port.name:
            _say(report, (*path, index, "name"), names.port_name(port.name))
    _unique(report, path, "name", (port.name for port in container.ports))


def _mounts(container: Container, report: Report, path: Path, volumes: set[str]) -> None:
    for index, mount in enumerate(container.volume_mounts):
        here = (*path, index)
        if report.full:
            return
        if mount.name not in volumes:
            hint = suggestion(mount.name, volumes)
            report.about((*here, "name"), f'must be the name of a volume of the pod, not "{shown(mount.name)}"{hint}')
        _say(report, (*here, "mountPath"), names.mount_point(mount.mount_path))
    _unique(report, path, "mountPath", (names.normal_path(mount.mount_path) for mount in container.volume_mounts))


def _resources(resources: Resources, report: Report, path: Path) -> None:
    for field in ("cpu", "memory"):
        limit = getattr(resources.limits, field)
        request = getattr(resources.requests, field)
        if limit is not None and limit == 0:
            report.about((*path, "limits", field), "must be more than 0")
        elif limit is not None and request is not None and request > limit:
            report.about((*path, "requests", field), "must not be more than the limit")


def _security(context: SecurityContext, report: Report, path: Path) -> None:
    _identity(context.run_as_user, context.run_as_group, report, path)
    for field in ("add", "drop"):
        for index, name in enumerate(getattr(context.capabilities, field)):
            plain = plain_name(name)
            if plain != ALL and plain not in NAMES:
                here = (*path, "capabilities", field, index)
                report.about(here, f'must be a capability, not "{shown(name)}"{suggestion(plain, (*NAMES, ALL))}')
    if context.privileged and context.allow_privilege_escalation is False:
        report.about((*path, "allowPrivilegeEscalation"), "must not be false when privileged is true")


def _identity(user: int | None, group: int | None, report: Report, path: Path) -> None:
    for field, number in (("runAsUser", user), ("runAsGroup", group)):
        if number is not None:
            _between(report, (*path, field), number, 0, _LARGEST_ID)


def _say(report: Report, path: Path, wrong: str) -> None:
    if wrong:
        report.about(path, wrong)


def _key(report: Report, path: Path, key: str) -> None:
    if wrong := names.qualified_name(key):
        report.add(path, f'the key "{shown(key)}" of {path[0]}.{path[1]} {wrong}')


def _no_nul(report: Report, path: Path, text: str) -> None:
    if "\0" in text:
        report.about(path, "must not have a NUL character in it")


def _between(report: Report, path: Path, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        report.about(path, f"must be between {least} and {most}")


def _count(report: Report, path: Path, count: int, least: int, most: int) -> bool:
    """Whether a list may be looked at further."""
    if least <= count <= most:
        return True
    report.about(path, f"must have between {least} and {most} items, not {count}")
    return count < least


def _unique(report: Report, path: Path, field: str, values: Iterable[str]) -> None:
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if value and first.setdefault(value, index) != index:
            report.about((*path, index, field), f'must be unique: "{shown(value)}" is taken by item {first[value]}')
