# SPDX-License-Identifier: Apache-2.0
"""What the state machine of a pod is made of: rules, events, actions and states, all frozen.

`now` is always monotonic seconds, `wall` nanoseconds since 1970: the machine compares the first and only copies the
second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from podfast.spec.model import Pod

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]
RestartPolicy = Literal["Always", "OnFailure", "Never"]

# The kubelet forgets a container's back-off when it ran for longer than this (kubelet.go, `HasExpiredFunc`; KEP-4603).
BACK_OFF_RESET = 600.0
# How many seconds after KILL a container counts as stuck: the pod is then removed around it.
KILL_PATIENCE = 2.0


class ContainerRules(Struct, frozen=True):
    """What holds for one container. The policy is the pod's today; containers may have their own one day (KEP-5307)."""

    name: str
    restart_policy: RestartPolicy = "Always"

    def restarts(self, exit_code: int) -> bool:
        """Whether a container that ended so is started again."""
        return self.restart_policy == "Always" or (self.restart_policy == "OnFailure" and exit_code != 0)


class Rules(Struct, frozen=True):
    """What the machine needs to know of a Pod. `grace` and `back_off_*` are in seconds."""

    containers: tuple[ContainerRules, ...]
    grace: float = 30.0
    back_off_initial: float = 10.0
    back_off_max: float = 300.0

    @classmethod
    def of(cls, pod: Pod) -> Rules:
        policy = pod.spec.restart_policy
        return cls(
            containers=tuple(ContainerRules(container.name, policy) for container in pod.spec.containers),
            grace=float(pod.spec.termination_grace_period_seconds),
            back_off_initial=pod.options.back_off_initial,
            back_off_max=pod.options.back_off_max,
        )


# ---- events: what has happened ----


class SandboxReady(Struct, frozen=True, gc=False):
    """Pause holds the pod's namespaces."""


class ContainerStarted(Struct, frozen=True, gc=False):
    """The container's program runs: its exec has succeeded."""

    index: int
    attempt: int


class StartFailed(Struct, frozen=True, gc=False):
    """The container's program never ran. `exit_code` is what a shell would report: 126, 127 or 128."""

    index: int
    attempt: int
    reason: str
    message: str
    exit_code: int


class ContainerExited(Struct, frozen=True, gc=False):
    """The container ended. `exit_code` is 128 + `signal` for a signal; `unknown`: nobody was there to see it end."""

    index: int
    attempt: int
    exit_code: int
    signal: int = 0
    oom_killed: bool = False
    unknown: bool = False


class PauseDied(Struct, frozen=True, gc=False):
    """The infra container ended, and whoever watched it is killing the others."""


class SandboxGone(Struct, frozen=True, gc=False):
    """Everything of the pod has been undone, asked for or not. Nothing happens to it after this."""


class StopRequested(Struct, frozen=True, gc=False):
    """End the pod as Kubernetes does. `grace` in seconds, None: the pod's own; 0 kills at once (core/v1, PodSpec)."""

    grace: float | None = None


class KillRequested(Struct, frozen=True, gc=False):
    """End the pod at once."""


class Tick(Struct, frozen=True, gc=False):
    """`PodState.deadline` has passed."""


Event = (
    SandboxReady
    | ContainerStarted
    | StartFailed
    | ContainerExited
    | PauseDied
    | SandboxGone
    | StopRequested
    | KillRequested
    | Tick
)


# ---- actions: what is to be done ----


class StartContainer(Struct, frozen=True, gc=False):
    index: int
    attempt: int


class SignalContainer(Struct, frozen=True, gc=False):
    index: int
    signo: int


class RemoveSandbox(Struct, frozen=True, gc=False):
    """Undo the pod, the last action of all: every container has ended, or has not although it was killed 2 s ago."""


Action = StartContainer | SignalContainer | RemoveSandbox


# ---- states ----


class Waiting(Struct, frozen=True, gc=False):
    """It does not run yet (`ContainerCreating`) or not again yet (`CrashLoopBackOff`)."""

    kind: ClassVar[str] = "waiting"
    reason: str
    message: str = ""


class Running(Struct, frozen=True, gc=False):
    kind: ClassVar[str] = "running"
    started_at: int  # wall


class Terminated(Struct, frozen=True, gc=False):
    """`started_at` is 0 for a program that never ran. `attempt` says which of its runs this was."""

    kind: ClassVar[str] = "terminated"
    exit_code: int
    reason: str
    message: str
    signal: int
    started_at: int  # wall
    finished_at: int  # wall
    attempt: int


class ContainerState(Struct, frozen=True):
    """One container.

    `attempt` counts from 0 and is the run last asked for; while `starting`, nobody has told what became of it.
    `restart_count` counts the runs that were told of, beyond the first. `back_off` is how many seconds the container
    will wait (or, with `restart_at`, waits) after its end; it was set at `back_off_since`. Both times are monotonic.
    """

    name: str
    attempt: int
    restart_count: int
    current: Waiting | Running | Terminated
    last: Terminated | None = None
    starting: bool = False
    back_off: float = 0.0
    back_off_since: float = 0.0
    restart_at: float | None = None

    @property
    def running(self) -> bool:
        return type(self.current) is Running

    @property
    def has_started(self) -> bool:
        """Whether its first run has begun, or has failed to: what happens from now on is a later one."""
        return self.attempt > 0 or not self.starting

    @property
    def exit_known(self) -> bool:
        """Whether a run of it has ended."""
        return self.last is not None or type(self.current) is Terminated

    @property
    def alive(self) -> bool:
        """Whether a process of it may exist."""
        return self.starting or type(self.current) is Running

    @property
    def ended(self) -> bool:
        """Whether it has ended and no restart is under way or due."""
        return type(self.current) is Terminated and not self.starting and self.restart_at is None


class PodState(Struct, frozen=True):
    """A pod. `deadline`: the monotonic time at which `Tick` is due, None while nothing waits.

    `kill_at`, `remove_at`: the monotonic times at which a pod that stops is killed, and removed at the latest.

    `ready`: every container runs (podfast has no readiness probes yet). `created_at`, `stop_at` and
    `*_changed` are wall times, 0 for never. `reason` and `message` say why a pod failed when its containers do not.
    """

    phase: Phase
    containers: tuple[ContainerState, ...]
    created_at: int
    stopping: bool = False
    killing: bool = False
    kill_at: float | None = None
    remove_at: float | None = None
    deadline: float | None = None
    sandbox_ready: bool = False
    sandbox_changed: int = 0
    ready: bool = False
    ready_changed: int = 0
    broken: bool = False
    removing: bool = False
    gone: bool = False
    stop_at: int = 0
    grace: float = 0.0
    reason: str = ""
    message: str = ""
