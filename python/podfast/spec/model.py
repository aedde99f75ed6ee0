# SPDX-License-Identifier: Apache-2.0
"""The Pod as podfast holds it: frozen, typed, with Kubernetes' names in camelCase outside and Python's inside.

What `podfast.spec.load` returns has been checked whole: names, paths, ranges, references from mounts to volumes.
Structs that are built by hand have not. Only honoured fields are here; `podfast.spec.fields` lists every other field of
the v1 Pod with what becomes of it. Lists are tuples; maps are dicts that nobody may change.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from podfast.spec.quantity import Bytes, Millicores, parse_cpu, parse_memory

__all__ = [
    "Capabilities",
    "Container",
    "ContainerPort",
    "EmptyDir",
    "EnvVar",
    "HostPath",
    "ObjectMeta",
    "Options",
    "Pod",
    "PodSecurityContext",
    "PodSpec",
    "ResourceList",
    "Resources",
    "SecurityContext",
    "Volume",
    "VolumeMount",
]

RestartPolicy = Literal["Always", "OnFailure", "Never"]
HostPathType = Literal[
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"
]


class _Model(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What all parts of a Pod have in common."""


class EnvVar(_Model, frozen=True):
    """One environment variable, as written: `podfast.spec.expand` puts in what `$(NAME)` stands for."""

    name: str
    value: str = ""


class VolumeMount(_Model, frozen=True):
    name: str
    mount_path: str
    read_only: bool = False


class ResourceList(_Model, frozen=True):
    """Amounts of what a container may use. `cpu` is in thousandths of a core, `memory` in bytes."""

    cpu: Millicores | None = None
    memory: Bytes | None = None


class Resources(_Model, frozen=True):
    """Limits and requests. A request that is not written is its limit, as in Kubernetes; `load` fills it in."""

    limits: ResourceList = ResourceList()
    requests: ResourceList = ResourceList()


class Capabilities(_Model, frozen=True):
    """Names without `CAP_`, in capitals; `ALL` stands for every one."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SecurityContext(_Model, frozen=True):
    run_as_user: int | None = None
    run_as_group: int | None = None
    capabilities: Capabilities = Capabilities()
    read_only_root_filesystem: bool = False
    privileged: bool = False
    allow_privilege_escalation: bool | None = None


class PodSecurityContext(_Model, frozen=True):
    """Defaults for all containers of the pod; a container's own value wins."""

    run_as_user: int | None = None
    run_as_group: int | None = None


class ContainerPort(_Model, frozen=True):
    """Which port the program listens on. It tells people and probes; as in Kubernetes, it opens and closes nothing."""

    container_port: int
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class Container(_Model, frozen=True):
    name: str
    image: str = "host"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    security_context: SecurityContext = SecurityContext()


class EmptyDir(_Model, frozen=True):
    """A directory that lives as long as the pod. `medium` "Memory" keeps it in RAM; `size_limit` is in bytes."""

    medium: Literal["", "Memory"] = ""
    size_limit: Bytes | None = None


class HostPath(_Model, frozen=True):
    path: str
    type: HostPathType = ""


class Volume(_Model, frozen=True):
    """Exactly one of `empty_dir` and `host_path` is set; a volume without a source is an `EmptyDir`."""

    name: str
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None


class PodSpec(_Model, frozen=True):
    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...] = ()
    restart_policy: RestartPolicy = "Always"
    termination_grace_period_seconds: int = 30
    share_process_namespace: bool = False
    security_context: PodSecurityContext = PodSecurityContext()


class ObjectMeta(_Model, frozen=True):
    """Name and labels. A uid in the document is an API server's; every run of a pod gets one of its own."""

    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Options(Struct, frozen=True):
    """podfast's own settings, from the pod's `podfast.dev/*` annotations. `back_off_*` are in seconds.

    A container's log is at most `log_max_files` files of `log_max_size` bytes; the kubelet's defaults.
    """

    init: bool = False
    writable_layer: Literal["auto", "disk", "memory"] = "auto"
    back_off_initial: float = 10.0
    back_off_max: float = 300.0
    seccomp: Literal["default", "unconfined"] = "default"
    log_max_size: int = 10 << 20
    log_max_files: int = 5


class Document(_Model, frozen=True):
    """The Pod exactly as a manifest writes it. `Pod` is this with the options understood."""

    api_version: Literal["v1"]
    kind: Literal["Pod"]
    metadata: ObjectMeta
    spec: PodSpec


# Every type that a manifest is made of.
STRUCTS: tuple[type[Struct], ...] = (
    Document,
    ObjectMeta,
    PodSpec,
    PodSecurityContext,
    Container,
    ContainerPort,
    EnvVar,
    Resources,
    ResourceList,
    VolumeMount,
    SecurityContext,
    Capabilities,
    Volume,
    EmptyDir,
    HostPath,
)


class Pod(Struct, frozen=True):
    """A checked Pod: what all later stages work from."""

    metadata: ObjectMeta
    spec: PodSpec
    options: Options = Options()
    api_version: str = "v1"
    kind: str = "Pod"


def decode(tree: object) -> Document:
    """Turn plain data into a Document; raises `msgspec.ValidationError` at the first part that does not fit."""
    return msgspec.convert(tree, Document, dec_hook=_decode_quantity)


def _decode_quantity(kind: type[Any], value: Any) -> Any:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        if kind is Millicores:
            return parse_cpu(value)
        if kind is Bytes:
            return parse_memory(value)
    raise ValueError("must be a quantity, such as 500m or 64Mi")
