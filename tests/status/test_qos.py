# SPDX-License-Identifier: Apache-2.0
"""The quality of service class, by Kubernetes' rules."""

from __future__ import annotations

from typing import Any

import pytest

from podfast import spec
from podfast.status import qos_class


def amounts(**kinds: dict[str, str]) -> dict[str, Any]:
    return kinds


BOTH = {"cpu": "1", "memory": "64Mi"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{}], "BestEffort"),
        ([{}, {}], "BestEffort"),
        ([amounts(requests={"cpu": "0"})], "BestEffort"),
        ([amounts(limits=BOTH)], "Guaranteed"),  # requests default to limits
        ([amounts(limits=BOTH, requests=BOTH)], "Guaranteed"),
        ([amounts(limits=BOTH), amounts(limits={"cpu": "2", "memory": "1Gi"})], "Guaranteed"),
        ([amounts(limits=BOTH), {}], "Burstable"),
        ([amounts(limits=BOTH, requests={"cpu": "500m"})], "Burstable"),
        ([amounts(limits={"cpu": "1"})], "Burstable"),
        ([amounts(limits={"memory": "64Mi"})], "Burstable"),
        ([amounts(requests={"cpu": "1"})], "Burstable"),
        ([amounts(requests=BOTH)], "Burstable"),
    ],
)
def test_class(containers: list[dict[str, Any]], expected: str) -> None:
    pod = spec.load(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": f"c{n}", "resources": one} for n, one in enumerate(containers)]},
        }
    )
    assert qos_class(pod) == expected
