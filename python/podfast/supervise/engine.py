# SPDX-License-Identifier: Apache-2.0
"""The engine: one pollable descriptor and `step()`.

It never blocks and owns no loop. The descriptor is an epoll of the pods' sockets, their shims' pidfds and one timer;
whoever holds the engine polls it and calls `step()`. The blocking API does so with `drive`; `podfast.aio` hands the
descriptor to asyncio.
"""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections.abc import Callable

from podfast import _native
from podfast.errors import PodfastError, WaitTimeout
from podfast.places import Places
from podfast.sandbox import Ground, Sandbox
from podfast.supervise.pod import SupervisedPod

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """Many pods, one descriptor. Threads may share it; a forked child may not use it, and cannot disturb it."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.ground = Ground(places)
        self.pods: dict[str, SupervisedPod] = {}
        self.closed = False
        self._lock = threading.RLock()
        self._epoll = select.epoll()
        self._timer = _native.make_timer()
        self._armed: float | None = None
        self._owners: dict[int, tuple[SupervisedPod, bool]] = {}
        self._waiters: set[int] = set()
        self._epoll.register(self._timer, select.EPOLLIN)
        _engines.add(self)

    def fileno(self) -> int:
        """Readable when `step()` has something to do."""
        return self._epoll.fileno()

    def add(self, pod: SupervisedPod) -> None:
        """Watch a pod's connection and its shim's life."""
        with self._lock:
            self.pods[pod.names.id] = pod
            self._watch(pod)
            self._set_timer()

    def _watch(self, pod: SupervisedPod) -> None:
        for fd, is_life in ((pod.sandbox.connection.fileno(), False), (pod.sandbox.shim_pidfd, True)):
            self._owners[fd] = (pod, is_life)
            self._epoll.register(fd, select.EPOLLIN)

    def _unwatch(self, pod: SupervisedPod) -> None:
        for fd in (pod.sandbox.connection.fileno(), pod.sandbox.shim_pidfd):
            self._owners.pop(fd, None)
            self._epoll.unregister(fd)

    def forget(self, pod: SupervisedPod) -> None:
        """Stop watching a pod that is gone."""
        with self._lock:
            if self.pods.pop(pod.names.id, None) is None:
                return
            self._unwatch(pod)
            pod.release()

    def step(self) -> None:
        """Handle all that has happened. Never blocks."""
        with self._lock:
            self._check()
            now = time.monotonic()
            touched: set[SupervisedPod] = set()
            happened = [(fd, self._owners.get(fd)) for fd, _ in self._epoll.poll(0)]
            for fd, owner in happened:
                if owner is None:
                    self._disarm()
                    continue
                if self._owners.get(fd) is not owner:
                    continue  # given up in this round, and the number may be somebody else's by now
                pod, is_life = owner
                touched.add(pod)
                if is_life:
                    self._succeed(pod, pod.shim_died(now))
                else:
                    pod.read(now)
            for pod in list(self.pods.values()):
                if pod.deadline is not None and pod.deadline <= now:
                    pod.tick(now)
                    touched.add(pod)
            self._settle(touched)

    def _succeed(self, pod: SupervisedPod, successor: Sandbox | None) -> None:
        if successor is not None:
            self._unwatch(pod)
            pod.sandbox.close()
            pod.sandbox = successor
            self._watch(pod)
            pod.resume()

    def act(self, pod: SupervisedPod, what: Callable[[float], None]) -> None:
        """Do something to a pod between steps: `what` is given the monotonic time."""
        with self._lock:
            self._check()
            what(time.monotonic())
            self._settle({pod})

    def drive(self, done: Callable[[], bool], timeout: float | None = None, what: str = "") -> None:
        """Step until `done()`, or raise WaitTimeout. Several threads may drive at once."""
        deadline = None if timeout is None else time.monotonic() + timeout
        wake = -1
        try:
            while True:
                self.step()
                if done():
                    return
                if wake < 0:
                    wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                    self.subscribe(wake)
                    continue  # once more: another thread may have stepped before this one could be woken
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    raise WaitTimeout(f"{what or 'the wait'} took longer than {timeout:g} s")
                poller = select.poll()
                poller.register(self._epoll.fileno(), select.POLLIN)
                poller.register(wake, select.POLLIN)
                if any(fd == wake for fd, _ in poller.poll(None if remaining is None else remaining * 1000 + 1)):
                    os.eventfd_read(wake)
        finally:
            if wake >= 0:
                self.unsubscribe(wake)
                os.close(wake)

    def subscribe(self, wake: int) -> None:
        """Have an eventfd written to whenever a step, anybody's, has changed a pod."""
        with self._lock:
            self._waiters.add(wake)

    def unsubscribe(self, wake: int) -> None:
        with self._lock:
            self._waiters.discard(wake)

    def close(self) -> None:
        """Kill and undo every embedded pod that is left, then give back all descriptors."""
        if self.closed:
            return
        for pod in list(self.pods.values()):
            if not pod.served:
                self.act(pod, pod.kill)
        try:
            self.drive(
                lambda: all(pod.served for pod in self.pods.values()), timeout=10, what="removing the engine's pods"
            )
        except WaitTimeout:
            pass  # a process in uninterruptible sleep: its shim goes on without us
        for pod in list(self.pods.values()):
            self.forget(pod)
        self._release()

    def _release(self) -> None:
        self.closed = True
        self._epoll.close()
        os.close(self._timer)
        self.ground.close()

    def _check(self) -> None:
        if self.closed:
            raise PodfastError("this engine is closed, or belongs to the process that this one was forked from")

    def _settle(self, touched: set[SupervisedPod]) -> None:
        for pod in touched:
            pod.publish()
            if pod.gone:
                self.forget(pod)
        self._set_timer()
        if touched:
            for wake in self._waiters:
                os.eventfd_write(wake, 1)

    def _set_timer(self) -> None:
        deadlines = [pod.deadline for pod in self.pods.values() if pod.deadline is not None]
        wanted = min(deadlines, default=None)
        if wanted != self._armed:
            _native.set_timer(self._timer, wanted)
            self._armed = wanted

    def _disarm(self) -> None:
        _native.set_timer(self._timer, None)
        self._armed = None


def _after_fork_in_child() -> None:
    """A forked child holds copies of our descriptors: closed at once, so that it is no second owner of anything."""
    for engine in list(_engines):
        for pod in list(engine.pods.values()):
            pod.release()
        engine.pods.clear()
        engine._lock = threading.RLock()
        if not engine.closed:
            engine._release()


os.register_at_fork(after_in_child=_after_fork_in_child)
