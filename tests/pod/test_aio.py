# SPDX-License-Identifier: Apache-2.0
"""The same pods in an asyncio program."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from podfast import aio
from podfast.errors import PodfastError, StartError, WaitTimeout
from tests.pod.conftest import PATIENCE, READY, STAYS, World, container, lines, manifest

Story = Callable[[], Awaitable[Any]]


def play(story: Story) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(story(), 20)

    return asyncio.run(main())


def test_a_block(world: World) -> None:
    async def story() -> None:
        async with aio.run(manifest(READY, READY)) as pod:
            assert (await pod.wait_ready(PATIENCE)).phase == "Running"
            assert (await pod.exec("c0", ["echo", "hi"])).stdout == b"hi\n"
            assert pod.status.phase == "Running"
        assert pod.blocking.gone

    play(story)


def test_awaited(world: World) -> None:
    async def story() -> None:
        pod = await aio.run(manifest("exit 3"))
        assert (await pod.wait(PATIENCE)).phase == "Failed"
        await pod.stop()
        await pod.stop()

    play(story)


def test_several_at_once(world: World) -> None:
    async def one(n: int) -> int:
        async with aio.run(manifest(f"sleep 0.1; exit {n}", name=f"pod{n}")) as pod:
            status = await pod.wait(PATIENCE)
            return status.container_statuses[0].state.terminated.exit_code  # type: ignore[union-attr]

    async def story() -> list[int]:
        return await asyncio.gather(*(one(n) for n in range(8)))

    assert play(story) == list(range(8))


def test_the_loop_goes_on(world: World) -> None:
    async def story() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        task = asyncio.create_task(tick())
        async with aio.run(manifest("sleep 0.3")) as pod:
            await pod.wait(PATIENCE)
        task.cancel()
        return ticks

    assert play(story) > 10


def test_containers_are_restarted_meanwhile(world: World) -> None:
    """Nobody waits for the pod: the loop alone steps the engine."""

    async def story() -> int:
        async with aio.run(manifest("exit 1", policy="Always", options={"back-off-initial": "20ms"})) as pod:
            begin = time.monotonic()
            while (
                pod.blocking._supervised.state.containers[0].restart_count < 3 and time.monotonic() < begin + PATIENCE
            ):
                await asyncio.sleep(0.01)
            return pod.blocking._supervised.state.containers[0].restart_count

    assert play(story) >= 3


def test_failures(world: World) -> None:
    async def story() -> None:
        with pytest.raises(StartError):
            await aio.run(manifest(container(None, command=["nope"])))
        never = aio.run(manifest(container(None, command=["nope"])))
        with pytest.raises(StartError):
            await never.__aenter__()
        async with aio.run(manifest("exit 1")) as pod:
            await pod.wait(PATIENCE)
            with pytest.raises(PodfastError, match="without becoming ready"):
                await pod.wait_ready(PATIENCE)
        async with aio.run(manifest(STAYS)) as pod:
            with pytest.raises(WaitTimeout):
                await pod.wait(0.05)

    play(story)
    assert not world.engine.pods


def test_cancelled_while_it_waits(world: World) -> None:
    async def story() -> None:
        async def inner() -> None:
            async with aio.run(manifest(READY, grace=30)) as pod:
                while not lines(pod.blocking):
                    await asyncio.sleep(0.005)
                started.set()
                await pod.wait()

        started = asyncio.Event()
        task = asyncio.create_task(inner())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begin = time.monotonic()
    play(story)
    assert not world.engine.pods and time.monotonic() - begin < 5


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_cancelled_while_it_starts(world: World, steps: int) -> None:
    async def story() -> None:
        async def begin() -> None:
            await aio.run(manifest(STAYS, STAYS))

        task = asyncio.create_task(begin())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(story)
    assert not world.engine.pods


def test_one_loop_after_another(world: World) -> None:
    async def story() -> None:
        async with aio.run(manifest(READY)) as pod:
            await pod.wait_ready(PATIENCE)

    for _ in range(3):
        play(story)


def test_a_timeout_around_it(world: World) -> None:
    async def story() -> None:
        async def forever() -> None:
            async with aio.run(manifest(STAYS)) as pod:
                await pod.wait()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(forever(), 0.2)

    play(story)
    assert not world.engine.pods
