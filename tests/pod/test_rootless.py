# SPDX-License-Identifier: Apache-2.0
"""The same code as an ordinary user: a user namespace in front, loopback only, no limits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import podfast
from tests.machinery.leaks import LeakCheck
from tests.pod.conftest import manifest, until

UID = 54321
BECOME = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all")
TOP = Path(__file__).resolve().parent.parent.parent
# What is installed, which may not be the clone's: that lacks what is compiled.
PACKAGES = Path(podfast.__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.makes,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user"),
]


class User:
    """An ordinary user without a login: a home of its own, no session."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def python(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(PACKAGES), str(TOP))),
        }
        environment |= {"PODFAST_ROOT": f"{self.home}/root", "PODFAST_RUNROOT": f"{self.home}/run"}
        return subprocess.run(
            [*BECOME, sys.executable, "-c", script, *arguments],
            env=environment, cwd="/", capture_output=True, text=True, timeout=50,
        )  # fmt: skip

    def left(self) -> list[str]:
        """What is below its directories, but for what stays."""
        found = []
        for place in ("root", "run"):
            for name in ("pods", "names", "logs"):
                directory = self.home / place / name
                found += [str(path) for path in directory.iterdir()] if directory.exists() else []
        return found


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One for all, since making the image takes longest. (pytest's own directories are for root alone.)"""
    with tempfile.TemporaryDirectory(prefix="pf-home-") as directory:
        os.chown(directory, UID, UID)
        yield Path(directory)


@pytest.fixture
def user(home: Path, leakcheck: LeakCheck) -> Iterator[User]:
    made = User(home)
    for path in (sys.executable, PACKAGES / "podfast/__init__.py", TOP / "tests/__init__.py"):
        if subprocess.run([*BECOME, "test", "-r", path]).returncode:
            pytest.skip(f"an ordinary user cannot read {path}")
    leakcheck.expect("cgroups", "/podfast-")  # it makes none, others do
    yield made
    until(lambda: made.left() == [], "nothing left", 2)


def run(user: User, script: str, *arguments: str) -> str:
    result = user.python(f"import podfast, os, sys, time\n{script}", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_example(user: User) -> None:
    script = (
        "with podfast.run(sys.argv[1]) as pod:\n"
        "    status = pod.wait(40)\n"
        "    print(status.phase)\n"
        "    print(*(line.text.decode() for line in pod.logs('main')), sep='\\n')\n"
    )
    written = run(user, script, str(TOP / "examples" / "helloworld.yaml")).splitlines()
    assert written[0] == "Succeeded" and written[-1] == "Hello, world!" and "1001 = 7 x 11 x 13" in written


def test_what_it_is_inside(user: User) -> None:
    script = (
        "with podfast.run(eval(sys.argv[1])) as pod:\n"
        "    pod.wait_ready(20)\n"
        "    inside = 'id -u; hostname; touch /v/x /tmp/x && echo written; ls /sys/class/net;'\n"
        "    inside += 'echo x > /dev/null && test -c /dev/null && echo null; echo /proc/[0-9]*'\n"
        "    print(pod.exec('c0', ['sh', '-c', inside]).stdout.decode())\n"
        "    pod.exec('c1', ['test', '-e', '/v/x']).exit_code or print('shared')\n"
        "    print(pod.exec('c0', ['sh', '-c', 'exit 9']).exit_code)\n"
    )
    stays = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    both = [
        {
            "name": f"c{n}",
            "image": "host",
            "command": ["sh", "-c", stays],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }
        for n in range(2)
    ]
    written = run(user, script, repr(manifest(*both, volumes=[{"name": "v", "emptyDir": {}}]))).split("\n")
    assert (
        written[:5] == ["0", "test", "written", "lo", "null"]
        and "/proc/1 " in written[5]
        and written[-3:] == ["shared", "9", ""]
    )


def test_failures_are_told(user: User) -> None:
    script = (
        "try:\n"
        "    podfast.run(eval(sys.argv[1]))\n"
        "except podfast.errors.StartError as error:\n"
        "    print(error.exit_code)\n"
    )
    assert run(user, script, repr(manifest({"name": "c0", "image": "host", "command": ["nope"]}))) == "127\n"


def test_its_end_is_the_pods(user: User) -> None:
    """The engine is killed; the shim undoes the pod."""
    script = (
        "import signal\n"
        "pod = podfast.run(eval(sys.argv[1]))\n"
        "directory = pod._supervised.names.run_directory\n"
        "if os.fork() == 0:\n"
        "    parent = os.getppid()\n"
        "    os.kill(parent, signal.SIGKILL)\n"
        "    for _ in range(200):\n"
        "        if not os.path.exists(directory): break\n"
        "        time.sleep(0.01)\n"
        "    print('gone', not os.path.exists(directory), flush=True)\n"
        "    os._exit(0)\n"
        "time.sleep(20)\n"
    )
    result = user.python(f"import podfast, os, sys, time\n{script}", repr(manifest("exec sleep 1000")))
    assert result.returncode == -9 and result.stdout == "gone True\n"
