# SPDX-License-Identifier: Apache-2.0
"""An ordinary user runs the examples: loopback only, no limits, the same text."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, PATIENCE, Podfast, wait_for_lines

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOBODY = 65534


@pytest.fixture
def user(podfast: Podfast) -> Podfast:
    """The roots belong to a user without any rights, who runs podfast. An ordinary user tests as himself."""
    if os.geteuid() != 0:
        return podfast
    for path in podfast.roots:
        os.chown(path, NOBODY, NOBODY)
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": (), "cwd": "/"}
    look = [sys.executable, "-c", f"import podfast.cli, podfast._native; open({str(EXAMPLES / 'helloworld.yaml')!r})"]
    try:
        found = subprocess.run(look, capture_output=True, text=True, **identity)  # type: ignore[call-overload]
    except PermissionError as error:  # the interpreter itself
        pytest.skip(f"the user nobody cannot read this installation of podfast: {error}")
    if found.returncode:
        pytest.skip(f"the user nobody cannot read this installation of podfast: {found.stderr.splitlines()[-1]}")
    podfast.identity = identity
    return podfast


def test_helloworld(user: Podfast) -> None:
    result = user("run", str(EXAMPLES / "helloworld.yaml"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "main    | Hello, world!" in result.stdout.splitlines()


def test_restarts(user: Podfast) -> None:
    result = user("run", str(EXAMPLES / "retry.yaml"))
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "job | done")


def test_other_shells(user: Podfast) -> None:
    process = user.start("run", str(EXAMPLES / "web-with-logs.yaml"))
    wait_for_lines(process, "web       | serving on port 8080")
    assert [row.split()[0] for row in user("ps", "--no-headers").stdout.splitlines()] == ["web", "collector"]
    assert user("exec", "-c", "web", "web-with-logs", "--", "id", "-u").stdout == "0\n"
    assert user("exec", "-c", "web", "web-with-logs", "--", "nope").returncode == 127
    assert user("logs", "-c", "web", "web-with-logs").stdout == "serving on port 8080\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130


def test_doctor(user: Podfast) -> None:
    result = user("doctor")
    assert result.returncode == 0
    assert "an ordinary user: rootless pods" in result.stdout


def test_pods_of_another_user(user: Podfast) -> None:
    """Names and logs of root's pods are none of an ordinary user's business."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    for path in user.roots:
        os.chown(path, 0, 0)
    os.makedirs(f"{user.roots.runroot}/pods", mode=0o711)
    result = subprocess.run([*COMMAND, "ps"], capture_output=True, text=True, env=user.environment(), **user.identity)  # type: ignore[call-overload]
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: the pods under {user.roots.runroot} belong to another user")
    os.rmdir(f"{user.roots.runroot}/pods")
