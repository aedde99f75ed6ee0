# SPDX-License-Identifier: Apache-2.0
"""The state machine of a pod."""

from __future__ import annotations

from collections.abc import Sequence

from podfast.lifecycle.model import Action, Event, PodState, Rules


def initial(rules: Rules, now: float, wall: int, *, attempts: Sequence[int] = ()) -> tuple[PodState, tuple[Action, ...]]:
    """A pod whose containers are being started, and their `StartContainer` actions."""
    raise NotImplementedError


def step(rules: Rules, state: PodState, event: Event, now: float, wall: int) -> tuple[PodState, tuple[Action, ...]]:
    """What an event makes of a pod, and what is to be done about it."""
    raise NotImplementedError
