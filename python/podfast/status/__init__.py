# SPDX-License-Identifier: Apache-2.0
"""What Kubernetes would say of a pod: PodState → PodStatus → the JSON that other processes read. Pure.

model.py    PodStatus and its parts        project.py   a state → its status
qos.py      the pod's class                document.py  a status → the published Pod, and back
"""

from podfast.status.document import decode, encode
from podfast.status.model import Condition, ContainerStatus, Facts, PodDocument, PodStatus
from podfast.status.project import container_id, project
from podfast.status.qos import qos_class

__all__ = [
    "Condition",
    "ContainerStatus",
    "Facts",
    "PodDocument",
    "PodStatus",
    "container_id",
    "decode",
    "encode",
    "project",
    "qos_class",
]
