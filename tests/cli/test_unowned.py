# SPDX-License-Identifier: Apache-2.0
"""A served pod whose engine, or engine and shim, have died: its name stays taken, and a shell can still end it."""

import json
import subprocess
import sys

import pytest

from tests.machinery.roots import Roots

MANIFEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "unowned"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "a", "image": "host", "command": ["sleep", "1000"]}],
    },
}
LEAVE = f"""
import os, sys
import podfast
pod = podfast.run({MANIFEST!r}, life="served")
if "shim" in sys.argv:
    import signal
    signal.pidfd_send_signal(pod._supervised.sandbox.shim_pidfd, signal.SIGKILL)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("dead", [[], ["shim"]], ids=["engine", "engine and shim"])
@pytest.mark.parametrize("verb", ["stop", "rm --force"])
def test_a_pod_that_nobody_owns(roots: Roots, verb: str, dead: list[str]) -> None:
    del roots  # it names the places in the environment
    subprocess.run([sys.executable, "-c", LEAVE, *dead], check=False, timeout=30)
    again = podfast("run", "-", stdin=json.dumps(MANIFEST))
    assert again.returncode == 125
    assert 'a pod "unowned" is running already' in again.stderr
    done = podfast(*verb.split(), "unowned")
    assert (done.returncode, done.stdout, done.stderr) == (0, "unowned\n", "")


def podfast(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "podfast.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
