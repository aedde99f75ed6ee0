# SPDX-License-Identifier: Apache-2.0
"""The table of all fields against the model, and against Kubernetes."""

from __future__ import annotations

from collections import Counter

from podfast.spec import fields, model
from tests.spec.samples import messages, minimal

# How many fields each type has in Kubernetes 1.37.
COUNTS = {
    "Pod": 5,
    "ObjectMeta": 15,
    "PodSpec": 43,
    "PodSecurityContext": 13,
    "Container": 25,
    "ContainerPort": 5,
    "EnvVar": 3,
    "ResourceRequirements": 3,
    "VolumeMount": 8,
    "SecurityContext": 12,
    "Capabilities": 2,
    "Volume": 31,
    "EmptyDirVolumeSource": 3,
    "HostPathVolumeSource": 2,
    "Probe": 10,
    "EphemeralContainer": 26,
    "Lifecycle": 3,
    "Affinity": 3,
}


def test_every_field_of_kubernetes_is_there_once() -> None:
    rows = list(fields.table())
    assert not [key for key, count in Counter((row.type, row.field) for row in rows).items() if count > 1]
    counted = Counter(row.type for row in rows)
    assert {name: counted[name] for name in COUNTS} == COUNTS


def test_the_table_and_the_model_know_the_same_types() -> None:
    names = {kind.__name__ for kind in model.STRUCTS}
    assert set(fields.OTHERS) <= names
    assert set(fields.KUBERNETES) <= names
    assert not names & set(fields.BELOW)


def test_every_verdict_has_a_reason() -> None:
    for row in fields.table():
        assert row.verdict in ("honoured", "without effect", "refused", "below")
        assert bool(row.reason) is (row.verdict != "honoured")


def test_every_refused_field_is_refused_by_name() -> None:
    spec = minimal()["spec"]
    for name, fate in fields.OTHERS["PodSpec"].items():
        found = messages({**minimal(), "spec": {**spec, name: "x"}})
        assert found == ([f"spec.{name} {fate.reason}"] if fate.refused else [])
    for name, fate in fields.OTHERS["Container"].items():
        assert messages(minimal(**{name: "x"})) == [f"spec.containers[0].{name} {fate.reason}"]
