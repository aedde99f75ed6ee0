# SPDX-License-Identifier: Apache-2.0
"""What a container runs, how it ends, and what is said when it does not start."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import podfast
from podfast.errors import SpecError, StartError
from tests.pod.conftest import PATIENCE, STAYS, World, container, lines, manifest, pid_of, terminated


@pytest.mark.parametrize(
    ("script", "code", "signal", "reason", "phase"),
    [
        ("exit 0", 0, 0, "Completed", "Succeeded"),
        ("exit 1", 1, 0, "Error", "Failed"),
        ("exit 255", 255, 0, "Error", "Failed"),
        ("perl -e 'exec q(perl), q(-e), q(exit 7)'", 7, 0, "Error", "Failed"),
        # PID 1 does not die of a signal that it sends itself, except by one the kernel forces.
        ("kill -9 1; kill -TERM 1; exit 4", 4, 0, "Error", "Failed"),
    ],
)
def test_exit_codes(world: World, script: str, code: int, signal: int, reason: str, phase: str) -> None:
    with world.run(script) as pod:
        assert pod.wait(PATIENCE).phase == phase
        ended = terminated(pod)
        assert (ended.exit_code, ended.signal, ended.reason) == (code, signal, reason)
        assert ended.container_id.startswith("podfast://")
        assert ended.started_at <= ended.finished_at


@pytest.mark.parametrize("number", [9])
def test_a_signal_from_outside_is_128_and_its_number(world: World, number: int) -> None:
    with world.ready("echo ready; exec sleep 1000") as pod:
        os.kill(pid_of(pod), number)
        assert pod.wait(PATIENCE).phase == "Failed"
        assert (terminated(pod).exit_code, terminated(pod).signal, terminated(pod).reason) == (
            128 + number,
            number,
            "Error",
        )


def test_a_crash_is_told_with_its_signal(world: World) -> None:
    """The kernel forces SIGSEGV upon PID 1, too."""
    with world.run(container(None, command=["perl", "-e", "unpack 'p', pack 'J', 8"])) as pod:
        pod.wait(PATIENCE)
        assert terminated(pod).exit_code == 139


def test_all_containers_decide_the_phase(world: World) -> None:
    with world.run("exit 0", "exit 3", "exit 0") as pod:
        assert pod.wait(PATIENCE).phase == "Failed"
        assert [terminated(pod, index).exit_code for index in range(3)] == [0, 3, 0]


def test_the_status_is_that_of_kubernetes(world: World) -> None:
    with world.run(STAYS, STAYS) as pod:
        status = pod.wait_ready(PATIENCE)
        assert status.phase == "Running"
        conditions = {condition.type: condition.status for condition in status.conditions}
        wanted = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        assert conditions == dict.fromkeys(wanted, "True")
        for one in status.container_statuses:
            assert one.ready and one.started and one.restart_count == 0
            assert one.state.running is not None and one.image == "host"
    assert pod.gone


def failure(world: World, *containers: Any, **more: Any) -> StartError:
    with pytest.raises(StartError) as caught:
        world.run(*containers, **more)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", "./no-such", "/usr/bin/env/below-a-file"])
def test_not_found_is_127(world: World, program: str) -> None:
    error = failure(world, container(None, command=[program]))
    assert (error.exit_code, error.reason, error.container) == (127, "StartError", "c0")
    assert program in str(error) and "not found" in str(error) and isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("program", ["/etc/passwd", "/usr", "/etc"])
def test_not_executable_is_126(world: World, program: str) -> None:
    error = failure(world, container(None, command=[program]))
    assert (error.exit_code, error.reason) == (126, "StartError")
    assert program in str(error)


def test_a_file_in_path_that_may_not_be_run_is_126(world: World, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    volume = {"name": "v", "hostPath": {"path": str(tmp_path)}}
    one = container(None, command=["tool"], env=[{"name": "PATH", "value": "/v:/usr/bin"}])
    error = failure(world, one | {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[volume])
    assert error.exit_code == 126 and "Permission denied" in str(error)


@pytest.mark.parametrize(
    ("text", "word"), [("exit 5\n", "neither a binary"), ("#!/no/such/interpreter\n", "not found")]
)
def test_scripts_that_cannot_be_run(world: World, tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "tool").write_text(text)
    (tmp_path / "tool").chmod(0o755)
    volume = {"name": "v", "hostPath": {"path": str(tmp_path)}}
    one = container(None, command=["/v/tool"], volumeMounts=[{"name": "v", "mountPath": "/v"}])
    error = failure(world, one, volumes=[volume])
    assert error.exit_code == (126 if "binary" in word else 127) and word in str(error)


def test_too_long_for_exec_is_said_at_once(world: World) -> None:
    """One argument may hold 128 KiB, all together about 2 MiB."""
    for one in (
        container(None, command=["true", "x" * 200_000]),
        container(None, command=["true"], args=["x" * 60_000] * 45),
    ):
        begin = time.monotonic()
        error = failure(world, one)
        assert "too long" in str(error) and error.reason in ("StartError", "CreateContainerError")
        assert time.monotonic() - begin < 1.0


def test_an_environment_that_is_too_long(world: World) -> None:
    error = failure(world, container("true", env=[{"name": "LONG", "value": "x" * 140_000}]))
    assert "too long" in str(error)


def test_the_other_containers_of_a_failed_start_are_killed(world: World) -> None:
    error = failure(world, STAYS, container(None, "bad", command=["nope"]), STAYS)
    assert error.container == "bad"
    assert not world.engine.pods


def test_a_failed_start_without_raising(world: World) -> None:
    """`create` does not wait: the failure is in the status, as Kubernetes tells it."""
    with podfast.create(manifest(container(None, command=["nope"]), STAYS)) as pod:
        pod.step()
        with pytest.raises(StartError):
            pod.wait_started(PATIENCE)
        ended = terminated(pod)
        assert (ended.exit_code, ended.reason) == (127, "StartError") and "nope" in ended.message
        assert isinstance(pod.failure, StartError)


def test_a_missing_working_directory(world: World) -> None:
    error = failure(world, container("true", workingDir="/no/such/place"))
    assert error.stage == "workdir" and error.exit_code == 128 and "No such file" in str(error)


def test_a_working_directory_that_the_user_may_not_enter(world: World) -> None:
    security = {"runAsUser": 1234, "runAsGroup": 1234}
    error = failure(world, container("true", workingDir="/root", securityContext=security))
    assert error.stage == "workdir" and "Permission denied" in str(error)


def test_working_directory_and_arguments(world: World) -> None:
    one = container(None, command=["sh", "-c", 'pwd; echo "$0 $1"'], args=["a b", "$(X)"], workingDir="/usr/bin")
    assert world.output(one | {"env": [{"name": "X", "value": "c"}]}) == ["/usr/bin", "a b c"]


def test_variables_are_expanded(world: World) -> None:
    env = [
        {"name": "ONE", "value": "1"},
        {"name": "TWO", "value": "$(ONE)2"},
        {"name": "LATER", "value": "$(NOT_YET)"},
        {"name": "NOT_YET", "value": "x"},
        {"name": "KEPT", "value": "$$(ONE)"},
        {"name": "EMPTY"},
    ]
    script = 'echo "$TWO|$LATER|$KEPT|$EMPTY|$0|$HOSTNAME|$HOME"'
    one = container(None, command=["sh", "-c", script], args=["$(TWO)-$(NOPE)"], env=env)
    assert world.output(one) == ["12|$(NOT_YET)|$(ONE)||12-$(NOPE)|test|/root"]


def test_the_environment_is_nothing_more(world: World) -> None:
    names = {line.split("=")[0] for line in world.output(container(None, command=["env"]))}
    assert names == {"PATH", "HOSTNAME", "HOME"}


def test_no_descriptor_is_handed_on(world: World) -> None:
    assert world.output("for f in /proc/1/fd/*; do [ ! -e $f ] || echo ${f##*/}; done") == ["0", "1", "2"]


def test_signals_are_as_at_boot(world: World) -> None:
    written = world.output("cat /proc/self/status; umask")
    masks = {line.split()[0]: line.split()[-1] for line in written if line.startswith("Sig")}
    assert [masks[name].strip("0") for name in ("SigBlk:", "SigIgn:", "SigCgt:", "SigPnd:")] == ["", "", "", ""]
    assert written[-1] == "0022"


def test_no_command_is_a_mistake(world: World) -> None:
    with pytest.raises(SpecError, match=r"spec\.containers\[0\]\.command"):
        world.run(container())


def test_init_reaps_and_forwards(world: World) -> None:
    """With podfast.dev/init the application is not PID 1, and no zombie stays."""
    with world.ready(
        "trap 'exit 9' TERM; echo $PPID; (sleep 0.01 &) ; while :; do sleep 1000 & wait $!; done",
        options={"init": "true"},
    ) as pod:
        assert lines(pod) == ["1"]
        time.sleep(0.05)
        assert "Z" not in pod.exec("c0", ["sh", "-c", "cat /proc/[0-9]*/stat | cut -d' ' -f3"]).stdout.decode()
        pod.begin_stop()
        world.engine.drive(lambda: pod.ended or pod.gone, PATIENCE)
    assert pod._supervised.state.containers[0].current.exit_code == 9  # type: ignore[union-attr]


def test_init_reports_what_it_cannot_run(world: World) -> None:
    error_or_pod = None
    try:
        with world.run(container(None, command=["no-such-program"]), options={"init": "true"}) as pod:
            pod.wait(PATIENCE)
            error_or_pod = terminated(pod).exit_code
    except StartError as error:
        error_or_pod = error.exit_code
    assert error_or_pod == 127
