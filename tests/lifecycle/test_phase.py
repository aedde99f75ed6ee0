# SPDX-License-Identifier: Apache-2.0
"""Phases as Kubernetes' `getPhase` has them, and readiness."""

from __future__ import annotations

import pytest

from podfast.lifecycle import SandboxReady
from podfast.lifecycle.model import RestartPolicy

from .world import World

# What two containers did, in order: s start, 0 exit with 0, 1 exit with 1, f failed to start, - nothing yet.
CASES: list[tuple[RestartPolicy, str, str, str]] = [
    ("Always", "-", "-", "Pending"),
    ("Always", "s", "-", "Pending"),
    ("Always", "s1", "-", "Pending"),
    ("Always", "s", "s", "Running"),
    ("Always", "s0", "s", "Running"),
    ("Always", "s0", "s0", "Running"),
    ("Always", "f", "f", "Running"),
    ("Always", "s1s1", "s1s1", "Running"),
    ("OnFailure", "s0", "s", "Running"),
    ("OnFailure", "s0", "s0", "Succeeded"),
    ("OnFailure", "s0", "s1", "Running"),
    ("OnFailure", "s0", "s1s0", "Succeeded"),
    ("OnFailure", "s0", "f", "Running"),
    ("Never", "s0", "-", "Pending"),
    ("Never", "s0", "s", "Running"),
    ("Never", "s0", "s0", "Succeeded"),
    ("Never", "s1", "s", "Running"),
    ("Never", "s1", "s0", "Failed"),
    ("Never", "s0", "f", "Failed"),
    ("Never", "f", "-", "Pending"),
]


def play(world: World, index: int, script: str) -> None:
    for letter in script:
        if letter == "s":
            world.start(index)
        elif letter == "f":
            world.fail(index)
        elif letter != "-":
            world.exit(index, int(letter))


@pytest.mark.parametrize(("policy", "first", "second", "phase"), CASES)
def test_phase(policy: RestartPolicy, first: str, second: str, phase: str) -> None:
    world = World(policy, 2)
    world.happen(SandboxReady())
    play(world, 0, first)
    play(world, 1, second)
    assert world.phase() == phase


def test_ready_while_all_containers_run() -> None:
    world = World(containers=2)
    created = world.wall
    assert (world.state.ready, world.state.ready_changed) == (False, created)
    world.after(1.0)
    world.start(0)
    assert not world.state.ready
    world.after(1.0)
    world.start(1)
    assert (world.state.ready, world.state.ready_changed) == (True, world.wall)
    became = world.wall
    world.after(1.0)
    world.happen(SandboxReady())
    assert world.state.ready_changed == became
    world.exit(1)
    assert (world.state.ready, world.state.ready_changed) == (False, world.wall)


def test_sandbox_ready_is_kept_with_its_time() -> None:
    world = World()
    assert (world.state.sandbox_ready, world.state.sandbox_changed) == (False, world.wall)
    world.after(1.0, SandboxReady())
    became = world.wall
    world.after(1.0, SandboxReady())
    assert (world.state.sandbox_ready, world.state.sandbox_changed) == (True, became)


def test_has_started_and_exit_known() -> None:
    world = World("Never", 2)
    assert [container.has_started for container in world.state.containers] == [False, False]
    world.start(0)
    world.fail(1)
    assert [container.has_started for container in world.state.containers] == [True, True]
    assert [container.exit_known for container in world.state.containers] == [False, True]
