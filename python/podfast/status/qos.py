# SPDX-License-Identifier: Apache-2.0
"""The quality of service class of a pod (kubernetes/pkg/apis/core/v1/helper/qos, `ComputePodQOS`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podfast.status.model import QosClass

if TYPE_CHECKING:
    from podfast.spec.model import Pod


def qos_class(pod: Pod) -> QosClass:
    """
    Guaranteed: every container limits CPU and memory and requests just that much. BestEffort: nobody asks for anything.
    Burstable: all else. An amount of zero counts as none; a request that is not written is the limit.
    """
    guaranteed, asked = True, False
    for container in pod.spec.containers:
        limits, requests = container.resources.limits, container.resources.requests
        for limit, request in ((limits.cpu, requests.cpu), (limits.memory, requests.memory)):
            wanted = limit if request is None else request
            asked = asked or bool(limit or wanted)
            guaranteed = guaranteed and bool(limit) and wanted == limit
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
