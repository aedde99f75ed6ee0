# SPDX-License-Identifier: Apache-2.0
"""Restart policies, back-off, out of memory: what happens when a container ends."""

from __future__ import annotations

import itertools
import os
import time

import pytest

from podfast.pod import Pod
from tests.pod.conftest import (
    PATIENCE,
    READY,
    STAYS,
    World,
    container,
    kill,
    lines,
    pause_of,
    pid_of,
    terminated,
    until,
)

QUICK = {"back-off-initial": "20ms", "back-off-max": "80ms"}


def restarts(world: World, pod: Pod, n: int, name: str = "c0") -> None:
    world.engine.drive(
        lambda: pod._supervised.state.containers[list(pod.containers).index(name)].restart_count >= n,
        PATIENCE,
        "a restart",
    )


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Always", 0, True), ("Always", 3, True), ("OnFailure", 3, True), ("OnFailure", 0, False), ("Never", 3, False)],
)
def test_policies(world: World, policy: str, code: int, again: bool) -> None:
    with world.run(f"exit {code}", policy=policy, options=QUICK) as pod:
        if again:
            restarts(world, pod, 2)
            assert pod.status.phase == "Running"
            last = pod.status.container_statuses[0].last_state.terminated
            assert last is not None and last.exit_code == code
        else:
            assert pod.wait(PATIENCE).phase == ("Failed" if code else "Succeeded")
            assert pod.containers["c0"].restart_count == 0


def test_on_failure_until_it_succeeds(world: World) -> None:
    script = "echo x >> /v/runs; test $(wc -l < /v/runs) -eq 3"
    one = container(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    with world.run(one, policy="OnFailure", options=QUICK, volumes=[{"name": "v"}]) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"
        assert pod.containers["c0"].restart_count == 2


def test_the_first_restart_is_at_once_and_then_waits_double(world: World) -> None:
    with world.run(
        "date +%s%N; exit 1", policy="Always", options={"back-off-initial": "100ms", "back-off-max": "200ms"}
    ) as pod:
        restarts(world, pod, 4)
        until(lambda: len(lines(pod)) >= 5)
        at = [int(line) / 1e9 for line in lines(pod)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
        assert gaps[0] < gaps[1] and gaps[1] >= 0.1 and gaps[2] >= 0.2 and gaps[3] >= 0.2
        assert gaps[0] < 0.1 or gaps[1] > 0.15  # a busy machine makes all of them longer


def test_crash_loop_back_off_is_a_waiting_reason(world: World) -> None:
    with world.run("exit 1", policy="Always", options={"back-off-initial": "5s"}) as pod:
        world.engine.drive(lambda: pod._supervised.state.containers[0].restart_at is not None, PATIENCE)
        one = pod.status.container_statuses[0]
        assert one.state.waiting is not None and one.state.waiting.reason == "CrashLoopBackOff"
        assert "back-off 5s restarting failed container=c0" in one.state.waiting.message
        assert pod.status.phase == "Running" and not one.ready
        begin = time.monotonic()
    assert time.monotonic() - begin < 1.5  # stop does not wait for the back-off


def test_a_restart_keeps_everything_else(world: World) -> None:
    one = container(
        "echo $RANDOM; echo x >> /v/runs; touch /own; trap 'exit 0' TERM; sleep 1000 & wait",
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    with world.ready(one, READY, policy="Always", options=QUICK, volumes=volumes) as pod:
        pause, other, first = pause_of(pod), pid_of(pod, "c1"), pid_of(pod)
        net = os.readlink(f"/proc/{first}/ns/net")
        for n in range(1, 4):
            kill(pid_of(pod))
            restarts(world, pod, n)
            until(lambda n=n: pod.exec("c0", ["wc", "-l", "/v/runs"]).stdout.split()[:1] == [b"%d" % (n + 1)])  # type: ignore[misc]
        assert (pause_of(pod), pid_of(pod, "c1")) == (pause, other)
        assert pid_of(pod) != first and os.readlink(f"/proc/{pid_of(pod)}/ns/net") == net
        assert pod.containers["c1"].restart_count == 0
        assert pod.status.container_statuses[0].last_state.terminated.exit_code == 137  # type: ignore[union-attr]


def test_a_restarted_container_has_a_fresh_root(world: World) -> None:
    with world.ready("ls /tmp/mine; touch /tmp/mine; echo up; sleep 0.03", policy="Always", options=QUICK) as pod:
        restarts(world, pod, 2)
        until(lambda: lines(pod).count("up") >= 3)
        assert "/tmp/mine" not in lines(pod)


def test_each_attempt_has_a_log_of_its_own(world: World) -> None:
    with world.run("echo once", policy="Always", options=QUICK) as pod:
        restarts(world, pod, 2)
        until(lambda: len(lines(pod)) >= 3)
        assert sorted(os.listdir(f"{pod.log_directory}/c0"))[:3] == ["0.log", "1.log", "2.log"]


def test_a_start_that_fails_later_is_tried_again(world: World) -> None:
    """The program goes while the pod runs: the restart fails, is told, and backs off."""
    script = "cp /bin/sh /v/sh; echo ready; sleep 0.05; rm /v/sh"
    mount = [{"name": "v", "mountPath": "/v"}]
    late = "until [ -e /v/sh ]; do sleep 0.01; done; exec sleep 0.1"
    two = container(late, "late", volumeMounts=mount)
    with world.run(
        container(script, volumeMounts=mount), two, policy="OnFailure", options=QUICK, volumes=[{"name": "v"}]
    ) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"


def memory_hog(limit: str = "24Mi") -> dict[str, object]:
    return {"limits": {"memory": limit}}


@pytest.mark.parametrize("policy", ["Never", "Always"])
def test_out_of_memory_is_told(world: World, policy: str) -> None:
    hog = container(None, command=["perl", "-e", "$x = 'x' x (200 << 20); print 'never'"], resources=memory_hog())
    with world.run(hog, STAYS, policy=policy, options={"back-off-initial": "200ms"}) as pod:
        world.engine.drive(
            lambda: (
                pod._supervised.state.containers[0].restart_count >= 1
                or pod._supervised.state.containers[0].current.__class__.__name__ == "Terminated"
            ),
            PATIENCE,
        )
        one = pod.status.container_statuses[0]
        ended = one.state.terminated or one.last_state.terminated
        assert ended is not None and (ended.exit_code, ended.reason, ended.signal) == (137, "OOMKilled", 9)
        assert pod.containers["c1"].restart_count == 0 and pod.containers["c1"].pid


def test_a_child_that_runs_out_of_memory_is_not_the_container(world: World) -> None:
    """A container that goes on, and ends well, has Completed."""
    one = container("perl -e '$x = \"x\" x (200 << 20)'; echo went on; exit 0", resources=memory_hog())
    with world.run(one) as pod:
        pod.wait(PATIENCE)
        assert lines(pod)[-1] == "went on"
        assert terminated(pod).exit_code == 0


def test_killed_without_out_of_memory_is_an_error(world: World) -> None:
    with world.ready(container("echo ready; exec sleep 1000", resources=memory_hog("64Mi"))) as pod:
        kill(pid_of(pod))
        pod.wait(PATIENCE)
        assert (terminated(pod).exit_code, terminated(pod).reason) == (137, "Error")
