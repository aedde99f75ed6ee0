# SPDX-License-Identifier: Apache-2.0
"""The same pods for asyncio: the engine's one descriptor is added to the running loop, and waiting is awaiting.

async with podfast.aio.run("pod.yaml") as pod:
    await pod.wait_ready(timeout=10)
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Generator, Mapping
from typing import Any

from podfast import pod as blocking
from podfast.errors import PodfastError, WaitTimeout
from podfast.status import PodStatus
from podfast.supervise import Engine


class _Driver:
    """Steps one engine from one loop, and wakes those who wait for something it may have done."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = engine
        self.loop = loop
        self._waiters: set[asyncio.Future[None]] = set()
        self._users = 0
        self._wake = -1

    def enter(self) -> None:
        self._users += 1
        if self._users == 1:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self.engine.subscribe(self._wake)
            self.loop.add_reader(self._wake, self._woken)
            self.loop.add_reader(self.engine.fileno(), self.engine.step)

    def leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        self.loop.remove_reader(self._wake)
        self.engine.unsubscribe(self._wake)
        os.close(self._wake)
        if not self.engine.closed:
            self.loop.remove_reader(self.engine.fileno())

    def _woken(self) -> None:
        """Something happened in a step, ours or that of `status` or of another thread."""
        os.eventfd_read(self._wake)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, done: Callable[[], bool], timeout: float | None, what: str) -> None:
        async def loop() -> None:
            self.engine.step()
            while not done():
                waiter: asyncio.Future[None] = self.loop.create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)

        try:
            await asyncio.wait_for(loop(), timeout)
        except TimeoutError as error:
            raise WaitTimeout(f"{what} took longer than {timeout} s") from error


_drivers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Engine, _Driver]] = weakref.WeakKeyDictionary()


def _driver(engine: Engine) -> _Driver:
    loop = asyncio.get_running_loop()
    drivers = _drivers.setdefault(loop, {})
    if engine not in drivers:
        drivers[engine] = _Driver(engine, loop)
    return drivers[engine]


class Pod:
    """A pod in an asyncio program: while it is here, the loop steps its engine, so containers are restarted as they
    exit.
    """

    def __init__(self, pod: blocking.Pod) -> None:
        self.blocking = pod  # what does not wait is used from here: name, id, containers, logs without follow
        self._driver = _driver(pod._engine)
        self._driver.enter()
        self._left = False

    @property
    def status(self) -> PodStatus:
        return self.blocking.status

    async def wait_started(self, timeout: float | None = None) -> None:
        supervised = self.blocking._supervised
        await self._driver.until(
            lambda: supervised.failure is not None or not supervised.starting, timeout, "the start"
        )
        if supervised.failure is not None:
            raise supervised.failure

    async def wait_ready(self, timeout: float | None = None) -> PodStatus:
        """Until the pod is Ready; raises PodfastError when it ends before."""
        supervised = self.blocking._supervised
        await self._driver.until(lambda: supervised.state.ready or self._over(), timeout, "becoming ready")
        if not supervised.state.ready:
            raise PodfastError(f'pod "{self.blocking.name}" ended without becoming ready')
        return supervised.status()

    async def wait(self, timeout: float | None = None) -> PodStatus:
        """Until the pod has Succeeded or Failed."""
        await self._driver.until(self._over, timeout, "the pod")
        return self.blocking._supervised.status()

    def _over(self) -> bool:
        supervised = self.blocking._supervised
        return supervised.gone or supervised.state.phase in ("Succeeded", "Failed")

    async def exec(self, container: str, argv: list[str], **options: Any) -> blocking.ExecResult:
        """As `podfast.Pod.exec`, in a thread of the loop's executor: the loop goes on."""
        return await asyncio.to_thread(self.blocking.exec, container, argv, **options)

    async def stop(self, grace: float | None = None) -> PodStatus:
        """Stop as Kubernetes would, and remove."""
        supervised = self.blocking._supervised
        engine = self.blocking._engine
        if not supervised.gone:
            engine.act(supervised, lambda now: supervised.stop(now, grace))
        await self._driver.until(lambda: supervised.gone, None, "removing the pod")
        return self._finish()

    async def kill(self) -> PodStatus:
        supervised = self.blocking._supervised
        if not supervised.gone:
            self.blocking._engine.act(supervised, supervised.kill)
        await self._driver.until(lambda: supervised.gone, 30, "removing the pod")
        return self._finish()

    def _finish(self) -> PodStatus:
        if not self._left:
            self._left = True
            self._driver.leave()
        return self.blocking._supervised.status()

    async def __aenter__(self) -> Pod:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Graceful, whatever ended the block; a cancellation while it stops kills what is left."""
        try:
            await self.stop()
        except asyncio.CancelledError:
            await self.kill()
            raise


class _Starting:
    """What `run` returns: awaitable, and an asynchronous context manager."""

    def __init__(self, manifest: blocking.Manifest, timeout: float | None, places: Mapping[str, Any]) -> None:
        self._manifest = manifest
        self._timeout = timeout
        self._places = places
        self._pod: Pod | None = None

    async def _start(self) -> Pod:
        # Parsing, planning and the shim's spawn take about a millisecond and are not worth a thread.
        pod = Pod(blocking.create(self._manifest, **self._places))
        try:
            await pod.wait_started(self._timeout)
        except BaseException:
            await pod.kill()
            raise
        return pod

    def __await__(self) -> Generator[Any, None, Pod]:
        return self._start().__await__()

    async def __aenter__(self) -> Pod:
        self._pod = await self._start()
        return self._pod

    async def __aexit__(self, *details: Any) -> None:
        assert self._pod is not None
        await self._pod.__aexit__(*details)


def run(
    manifest: blocking.Manifest,
    *,
    root: str | None = None,
    runroot: str | None = None,
    life: blocking.Life = "embedded",
    timeout: float | None = None,
) -> _Starting:
    """As `podfast.run`: `pod = await run(…)` or `async with run(…) as pod`."""
    return _Starting(manifest, timeout, {"root": root, "runroot": runroot, "life": life})
