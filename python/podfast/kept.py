# SPDX-License-Identifier: Apache-2.0
"""What a later engine needs of a served pod, as one file of its run directory: the Pod, its plan, the facts of its
status.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from podfast.errors import PodfastError
from podfast.plan.model import PodPlan
from podfast.spec.model import Pod
from podfast.spec.quantity import Bytes, Millicores
from podfast.status.model import Facts

SLOT = struct.Struct("<Ii56x")  # pf_exit: state, attempt, …


class Kept(msgspec.Struct, frozen=True):
    pod: Pod
    plan: PodPlan
    facts: Facts


def write(pod: Pod, plan: PodPlan, facts: Facts) -> bytes:
    return msgspec.json.encode(Kept(pod, plan, facts))


def read(directory: str) -> tuple[Pod, PodPlan, Facts, tuple[int, ...]]:
    """The pod, its plan, its facts, and the attempt that each container is at. Raises PodfastError when it was not a
    served pod.
    """
    try:
        with open(f"{directory}/kept", "rb") as file:
            kept = msgspec.json.decode(file.read(), type=Kept, dec_hook=_number)
        with open(f"{directory}/exit", "rb") as file:
            exits = file.read()
    except (OSError, msgspec.MsgspecError) as error:
        raise PodfastError(f"{directory} does not hold a served pod: {error}") from error
    attempts = tuple(SLOT.unpack_from(exits, SLOT.size * index)[1] for index in range(len(kept.plan.containers)))
    return kept.pod, kept.plan, kept.facts, attempts


def _number(kind: type[Any], value: Any) -> Any:
    if kind in (Bytes, Millicores) and isinstance(value, int):
        return kind(value)
    raise ValueError("not a number")
