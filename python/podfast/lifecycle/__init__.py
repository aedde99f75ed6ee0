# SPDX-License-Identifier: Apache-2.0
"""What a pod does next: (state, event, now) → (state, actions). Pure: no clock, no I/O.

    model.py     rules, events, actions, states       machine.py  initial, step
    back_off.py  how long before a restart            phase.py    the pod's phase

Whoever drives it calls `initial` once and `step` for each event, carries out the actions in their order, and sends
`Tick` when `state.deadline` has passed. Events may come twice, late or in any order: what does not fit changes nothing.
"""

from podfast.lifecycle.machine import initial, step
from podfast.lifecycle.model import (
    Action,
    ContainerExited,
    ContainerRules,
    ContainerStarted,
    ContainerState,
    Event,
    KillRequested,
    PauseDied,
    Phase,
    PodState,
    RemoveSandbox,
    Rules,
    Running,
    SandboxGone,
    SandboxReady,
    SignalContainer,
    StartContainer,
    StartFailed,
    StopRequested,
    Terminated,
    Tick,
    Waiting,
)

__all__ = [
    "Action",
    "ContainerExited",
    "ContainerRules",
    "ContainerStarted",
    "ContainerState",
    "Event",
    "KillRequested",
    "PauseDied",
    "Phase",
    "PodState",
    "RemoveSandbox",
    "Rules",
    "Running",
    "SandboxGone",
    "SandboxReady",
    "SignalContainer",
    "StartContainer",
    "StartFailed",
    "StopRequested",
    "Terminated",
    "Tick",
    "Waiting",
    "initial",
    "step",
]
