# SPDX-License-Identifier: Apache-2.0
"""PodStatus as core/v1 defines it, in Kubernetes' JSON: what podfast can say of a pod so far.

Times are RFC 3339 texts in UTC, to the second, as Kubernetes prints them. Fields that Kubernetes always writes have no
default; the others are left out of the JSON when they are empty.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from podfast.lifecycle import Phase

ConditionStatus = Literal["True", "False", "Unknown"]
QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]


class Facts(Struct, frozen=True):
    """What the status tells beyond the state. `created` is unix nanoseconds; images are in the containers' order."""

    uid: str
    id: str
    created: int
    node: str = ""
    images: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()


class _Model(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What all parts of a status have in common."""


class WaitingState(_Model, frozen=True):
    reason: str = ""
    message: str = ""


class RunningState(_Model, frozen=True):
    started_at: str = ""


class TerminatedState(_Model, frozen=True):
    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""
    container_id: str = field(default="", name="containerID")


class State(_Model, frozen=True):
    """At most one of them is set; none in the `lastState` of a container that has not ended yet."""

    waiting: WaitingState | None = None
    running: RunningState | None = None
    terminated: TerminatedState | None = None


class ContainerStatus(_Model, frozen=True):
    name: str
    state: State
    last_state: State
    ready: bool
    restart_count: int
    image: str
    image_id: str = field(name="imageID")
    container_id: str = field(default="", name="containerID")
    started: bool | None = None


class Condition(_Model, frozen=True):
    type: str
    status: ConditionStatus
    last_transition_time: str = ""
    reason: str = ""
    message: str = ""


class PodStatus(_Model, frozen=True):
    phase: Phase
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    reason: str = ""
    host_ip: str = field(default="", name="hostIP")
    pod_ip: str = field(default="", name="podIP")
    start_time: str = ""
    container_statuses: tuple[ContainerStatus, ...] = ()
    qos_class: QosClass | None = None

    def condition(self, type: str) -> bool:  # noqa: A002  Kubernetes' word
        """Whether a condition is "True"."""
        return any(one.type == type and one.status == "True" for one in self.conditions)


class Metadata(_Model, frozen=True):
    name: str
    namespace: str
    uid: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Own(_Model, frozen=True):
    """What podfast publishes beyond Kubernetes. `pids`: the running containers' first processes, as the host counts."""

    id: str = ""
    node: str = ""
    pids: dict[str, int] = {}


class PodDocument(_Model, frozen=True):
    """A whole Pod as it is published, but for its spec: `podfast.spec` reads that."""

    metadata: Metadata
    status: PodStatus
    podfast: Own = Own()
