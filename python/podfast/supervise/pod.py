# SPDX-License-Identifier: Apache-2.0
"""One pod between its shim and the lifecycle: messages → events → actions → messages, and the status that others
read.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from podfast import _native, lifecycle, status as statuses
from podfast.errors import Conflict, PodfastError, StartError, SystemFailure
from podfast.sandbox import new_shim, protocol
from podfast.sandbox.failure import explain
from podfast.sandbox.protocol import Message
from podfast.status.model import Facts

if TYPE_CHECKING:
    from podfast.plan.model import PodPlan
    from podfast.sandbox import Sandbox
    from podfast.spec.model import Pod

LOCK_PATIENCE = 0.2  # seconds


class SupervisedPod:
    """The engine's side of a pod. Not thread-safe by itself: the engine's lock is held around every call."""

    def __init__(
        self, spec: Pod, plan: PodPlan, sandbox: Sandbox, facts: Facts, *, served: bool, attempts: Sequence[int] = ()
    ) -> None:
        self.spec = spec
        self.plan = plan
        self.sandbox = sandbox
        self.names = plan.names
        self.served = served
        self.gone = False
        self.failure: PodfastError | None = None
        self.before_removal: Callable[[], None] | None = None
        self.pidfds: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._fresh = not attempts
        self._rules = lifecycle.Rules.of(spec)
        # The shim starts attempt 0 of every container by itself, so the first actions are already under way.
        self.state, _ = lifecycle.initial(self._rules, time.monotonic(), time.time_ns(), attempts=attempts)
        self._facts = facts
        self._published: object = None

    @property
    def deadline(self) -> float | None:
        """Monotonic time of the next `tick`."""
        return self.state.deadline

    @property
    def starting(self) -> bool:
        """Whether a container has neither started nor failed for the first time."""
        return any(not container.has_started for container in self.state.containers)

    def pid(self, index: int) -> int | None:
        """The host's pid of a running container's first process."""
        fd = self.pidfds.get(index)
        if fd is None:
            return None
        if index not in self._pids:
            self._pids[index] = _native.pid_of(fd)
        return self._pids[index] or None

    def status(self) -> statuses.PodStatus:
        return statuses.project(self.spec, self.state, self._facts)

    # ---- what happens to it ----

    def read(self, now: float) -> None:
        """Take all packets that have come from the shim."""
        while not self.gone:
            try:
                message = self.sandbox.receive()
            except BlockingIOError:
                return
            except OSError:
                message = None
            if message is None:
                return  # the shim's pidfd tells whether it died
            self._take(message, now)

    def _take(self, message: Message, now: float) -> None:
        kind, index, attempt = message.type, message.index, message.attempt
        if kind == protocol.STARTED:
            self._keep_pidfd(index, message.fds)
            self._happen(lifecycle.ContainerStarted(index, attempt), now, message.wall_ns)
        elif kind == protocol.EXITED:
            self._drop_pidfd(index)
            code = os.waitstatus_to_exitcode(message.value)
            unknown = bool(message.flags & protocol.EXIT_UNKNOWN)
            event = lifecycle.ContainerExited(
                index,
                attempt,
                exit_code=code if code >= 0 else 128 - code,
                signal=max(0, -code),
                oom_killed=bool(message.flags & protocol.EXIT_OOM),
                unknown=unknown,
            )
            self._happen(event, now, message.wall_ns)
        elif kind == protocol.READY:
            self._keep_pause(message.fds)
            self._happen(lifecycle.SandboxReady(), now, message.wall_ns)
        elif kind == protocol.FAILED:
            self._failed(message, now)
        elif kind == protocol.PAUSE_EXITED:
            self._happen(lifecycle.PauseDied(), now, message.wall_ns)
        elif kind == protocol.GONE:
            if message.value:
                self._undo_again()
            self._end(now, message.wall_ns)
        elif kind == protocol.REQUEST:
            self._requested(message, now)

    def _undo_again(self) -> None:
        """The shim could not undo everything. Its records stay until somebody can, so we try at once."""
        try:
            self.sandbox.undo()
        except SystemFailure as error:
            self.failure = error

    def _failed(self, message: Message, now: float) -> None:
        stage = protocol.STAGES[message.stage]
        detail = message.payload.decode("utf-8", "replace")
        if message.index < 0:
            self.failure = explain("", stage, message.error, message.value, "", detail)
            self._happen(lifecycle.KillRequested(), now, message.wall_ns)
            return
        container = self.plan.containers[message.index]
        error = explain(container.name, stage, message.error, message.value, container.argv[0], detail)
        if self.failure is None and message.attempt == 0:
            self.failure = error
        event = lifecycle.StartFailed(
            message.index, message.attempt, reason=error.reason, message=str(error), exit_code=error.exit_code
        )
        self._happen(event, now, message.wall_ns)

    def _requested(self, message: Message, now: float) -> None:
        if message.value == protocol.ASK_STOP:
            self.stop(now, None if message.error < 0 else message.error / 1000)
        elif message.value in (protocol.ASK_KILL, protocol.ASK_REMOVE):
            self.kill(now)

    def shim_died(self, now: float) -> Sandbox | None:
        """Whatever the shim could still say has been read. A served pod gets a new one, which is returned; any other
        is undone here.
        """
        self.read(now)
        if self.gone:
            return None
        # Of a pod's first start only its shim knew how far it was, so that is undone; nothing is started twice.
        if self.served and not self.state.removing and not (self._fresh and self.starting):
            try:
                return self._successor()
            except Conflict as error:
                self.failure = self.failure or error
                self._end(now, time.time_ns())
                return None
            except (OSError, PodfastError):
                pass  # then nobody can supervise it
        if self.starting and self.failure is None:
            self.failure = StartError("podfast-shim died", stage="died")
        try:
            self.sandbox.undo()
        except PodfastError as error:  # the records stay for a sweep, and the other pods of this engine go on
            self.failure = self.failure or error
        self._end(now, time.time_ns())
        return None

    def _successor(self) -> Sandbox:
        """A new shim for the containers, which run on. It takes the run directory over from the old one's handle.

        Raises Conflict when another engine has been faster: the pod is its now, and must not be touched.
        """
        run_fd = os.dup(self.sandbox.run_fd)
        pod_fd = -1
        try:
            pod_fd = os.open("pod", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=run_fd)
            self._lock(pod_fd)
            return new_shim(self.sandbox.ground, self.plan, run_fd, pod_fd)
        except BaseException:
            os.close(run_fd)
            raise
        finally:
            if pod_fd >= 0:
                os.close(pod_fd)

    def _lock(self, pod_fd: int) -> None:
        """Every command that looks for dead pods holds this lock for an instant, and is no other owner."""
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                return fcntl.flock(pod_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Conflict(f"pod {self.names.id[:12]} has another engine now", owner=self.names.id) from error
            time.sleep(0.001)

    def resume(self) -> None:
        """Have a new shim, or one that is new to us, start what was being started. It knows which runs there were, and
        starts none of them again.
        """
        for index, container in enumerate(self.state.containers):
            if container.starting:
                self.sandbox.send(Message(protocol.START, index=index, attempt=container.attempt))

    def tick(self, now: float) -> None:
        self._happen(lifecycle.Tick(), now, time.time_ns())

    def stop(self, now: float, grace: float | None = None) -> None:
        self._happen(lifecycle.StopRequested(grace), now, time.time_ns())

    def kill(self, now: float) -> None:
        self._happen(lifecycle.KillRequested(), now, time.time_ns())

    def _end(self, now: float, wall: int) -> None:
        for index in list(self.pidfds):
            self._drop_pidfd(index)
        self.gone = True
        self._happen(lifecycle.SandboxGone(), now, wall)

    def _happen(self, event: lifecycle.Event, now: float, wall: int) -> None:
        self.state, actions = lifecycle.step(self._rules, self.state, event, now, wall)
        self._carry_out(actions)

    def _carry_out(self, actions: Iterable[lifecycle.Action]) -> None:
        for action in actions:
            if isinstance(action, lifecycle.StartContainer):
                self.sandbox.send(Message(protocol.START, index=action.index, attempt=action.attempt))
            elif isinstance(action, lifecycle.SignalContainer):
                self.sandbox.send(Message(protocol.SIGNAL, index=action.index, value=action.signo))
            elif isinstance(action, lifecycle.RemoveSandbox):
                if self.before_removal is not None:
                    self.before_removal()
                self.sandbox.send(Message(protocol.REMOVE))

    # ---- what it holds ----

    def _keep_pidfd(self, index: int, fds: tuple[int, ...]) -> None:
        self._drop_pidfd(index)
        if fds:
            self.pidfds[index] = fds[0]

    def _drop_pidfd(self, index: int) -> None:
        self._pids.pop(index, None)
        fd = self.pidfds.pop(index, None)
        if fd is not None:
            os.close(fd)

    def _keep_pause(self, fds: tuple[int, ...]) -> None:
        for fd in fds:
            if self.sandbox.pause_pidfd < 0:
                self.sandbox.pause_pidfd = fd
            else:
                os.close(fd)  # told again

    def release(self) -> None:
        """Give back descriptors without touching the pod."""
        for index in list(self.pidfds):
            self._drop_pidfd(index)
        self.sandbox.close()

    def publish(self) -> None:
        """Replace status.json, when something changed: one rename, so that a reader sees the old or the new one
        whole.
        """
        state = self.state
        if (
            self.gone
            or self._published is state
            or (self.starting and self.failure is None)
            or state.removing
            or state.killing
        ):
            return
        self._published = state
        run_fd = self.sandbox.run_fd
        try:
            pids = {container.name: self.pid(index) for index, container in enumerate(self.plan.containers)}
            data = statuses.encode(self.spec, self.status(), self._facts, pids, state=state)
            fd = os.open("status.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=run_fd)
            try:
                whole = os.write(fd, data) == len(data)
            finally:
                os.close(fd)
            if whole:
                os.rename("status.new", "status.json", src_dir_fd=run_fd, dst_dir_fd=run_fd)
        except OSError:
            self._published = None  # a full disk: the pod goes on, and the next change tries again
