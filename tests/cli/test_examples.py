# SPDX-License-Identifier: Apache-2.0
"""Every example runs as its text says, and the list in examples/README.md is whole."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Podfast, wait_for_lines, wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_every_example_is_listed_and_tested() -> None:
    found = {path.name for path in EXAMPLES.glob("*.yaml")}
    readme = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"\((\S+\.yaml)\)", readme)) == found
    here = Path(__file__).read_text()
    for name in found:
        assert f'"{name}"' in here, f"{name} has no test"
        assert f"podfast run examples/{name}" in (EXAMPLES / name).read_text()


def test_helloworld(podfast: Podfast) -> None:
    podfast("run", str(EXAMPLES / "helloworld.yaml"))  # makes the root file system of `image: host`
    start = time.monotonic()
    result = podfast("run", str(EXAMPLES / "helloworld.yaml"))
    assert time.monotonic() - start < 10  # about a second on a quiet machine
    assert (result.returncode, result.stderr) == (0, "")
    said = {name: _said(result.stdout, name) for name in ("api", "compute", "log", "main")}
    assert said["main"] == ["1001 = 7 x 11 x 13", "2310 = 2 x 3 x 5 x 7 x 11", "65537 = 65537", "Hello, world!"]
    assert said["compute"] == ["took 1001 apart", "took 2310 apart", "took 65537 apart"]
    assert said["api"] == ["open on port 8080", "closed"]
    assert said["log"][0] == "journal: asked 1001" and said["log"][-1] == "journal: closed"


def test_retry(podfast: Podfast) -> None:
    result = podfast("run", str(EXAMPLES / "retry.yaml"))
    assert (result.returncode, result.stderr) == (0, "")
    assert _said(result.stdout, "job") == ["attempt 1", "attempt 2", "attempt 3", "done"]


def test_web_with_logs(podfast: Podfast) -> None:
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("this example needs python3 under /usr")
    process = podfast.start("run", str(EXAMPLES / "web-with-logs.yaml"))
    wait_for_lines(process, "web       | serving on port 8080")
    ask = "import urllib.request as r; print(r.urlopen('http://localhost:8080').read().decode())"
    exec_in_web = ["exec", "web-with-logs", "-c", "web", "--", "python3", "-c", ask]
    wait_until(lambda: podfast(*exec_in_web).returncode == 0, "the server to answer")
    assert podfast(*exec_in_web).stdout == "<h1>Hello from a pod</h1>\n\n"
    logs = ["logs", "web-with-logs", "-c", "collector"]
    wait_until(lambda: '"GET / HTTP/1.1" 200' in podfast(*logs).stdout, "the collector to see it")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def _said(output: str, container: str) -> list[str]:
    pairs = [line.split(" | ", 1) for line in output.splitlines()]
    return [text for name, text in pairs if name.rstrip() == container]
