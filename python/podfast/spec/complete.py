# SPDX-License-Identifier: Apache-2.0
"""A checked document → the Pod that later stages see: Kubernetes' defaults filled in, every name in its one form."""

from __future__ import annotations

from msgspec.structs import replace

from podfast.spec.capabilities import plain_name
from podfast.spec.model import (
    Capabilities,
    Container,
    Document,
    EmptyDir,
    Options,
    Pod,
    PodSpec,
    ResourceList,
    Resources,
    Volume,
    VolumeMount,
)
from podfast.spec.names import normal_path

__all__ = ["complete"]


def complete(document: Document, options: Options) -> Pod:
    """The Pod of a document that has been checked."""
    return Pod(metadata=document.metadata, spec=_spec(document.spec), options=options)


def _spec(spec: PodSpec) -> PodSpec:
    return replace(
        spec,
        containers=tuple(_container(container) for container in spec.containers),
        volumes=tuple(_volume(volume) for volume in spec.volumes),
    )


def _volume(volume: Volume) -> Volume:
    if volume.empty_dir is None and volume.host_path is None:
        return replace(volume, empty_dir=EmptyDir())
    return volume


def _container(container: Container) -> Container:
    context = container.security_context
    capabilities = Capabilities(
        add=tuple(map(plain_name, context.capabilities.add)),
        drop=tuple(map(plain_name, context.capabilities.drop)),
    )
    return replace(
        container,
        resources=_resources(container.resources),
        volume_mounts=tuple(map(_mount, container.volume_mounts)),
        security_context=replace(context, capabilities=capabilities),
    )


def _mount(mount: VolumeMount) -> VolumeMount:
    return replace(mount, mount_path=normal_path(mount.mount_path))


def _resources(resources: Resources) -> Resources:
    """A request that is not written is the limit."""
    limits, requests = resources.limits, resources.requests
    filled = ResourceList(
        cpu=limits.cpu if requests.cpu is None else requests.cpu,
        memory=limits.memory if requests.memory is None else requests.memory,
    )
    return Resources(limits=limits, requests=filled)
