# SPDX-License-Identifier: Apache-2.0
"""The crash-point harness on toys: each fault really happens, a clean toy passes, and each kind of bug is caught."""

import errno
import os
import sys
from pathlib import Path

import pytest

from tests.machinery import crashpoints, injector, kernel
from tests.machinery.faults import FAULTS, KILL, Fault
from tests.machinery.injector import Operation
from tests.machinery.operations import toy
from tests.machinery.roots import Roots

pytestmark = [
    pytest.mark.skipif(not injector.available(), reason="the fault injector knows x86-64 only"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the toy needs root for a pid namespace"),
]

CLEAN = toy("clean")


def test_calls_are_counted_by_role(roots: Roots) -> None:
    calls = injector.record(CLEAN.operation(roots)).calls
    assert set(calls) >= {"engine", "launch", "shim", "child", "pause"}
    assert calls["engine"].count("mkdir") == 1 and calls["shim"].count("mkdir") == 1
    assert calls["launch"] == ("close", "execve")  # between clone and exec
    assert "getppid" in calls["child"]
    assert "brk" not in calls["engine"]  # what comes before the mark does not count


def test_only_calls_at_which_the_fault_can_happen_count(roots: Roots) -> None:
    calls = injector.record(CLEAN.operation(roots), FAULTS["ENOSPC"]).calls
    assert set(calls["engine"]) == {"openat", "write", "mkdir", "clone"}


@pytest.mark.parametrize("role", ["engine", "launch", "shim", "child"])
def test_a_kill_hits_the_role_before_the_call(role: str, roots: Roots) -> None:
    operation = CLEAN.operation(roots)
    outcome = injector.run(operation, role, 1)
    assert outcome.fired
    assert outcome.call == injector.record(operation).calls[role][0] or role in ("shim", "child")
    assert (outcome.status == -9) == (role == "engine")
    CLEAN.recover(roots)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS.values() if not fault.is_kill], ids=str)
def test_an_error_is_what_the_call_returns(fault: Fault, roots: Roots) -> None:
    only = Fault(fault.name, fault.number, frozenset(["mkdir"]))
    outcome = injector.run(CLEAN.operation(roots), "engine", 1, only)
    assert outcome.fired and outcome.call == "mkdir" and outcome.status == 3
    assert outcome.stderr == f"error: {os.strerror(fault.number)}\n"


def test_an_error_passes_a_filter_that_kills(roots: Roots) -> None:
    outcome = injector.run(CLEAN.operation(roots), "child", 1, Fault("EIO", errno.EIO, frozenset(["getppid"])))
    assert outcome.fired and outcome.status == 0
    Path(roots.runroot, "survived").rmdir()


def test_close_fails_and_still_closes() -> None:
    code = """
import os, signal
number = os.open("/", os.O_RDONLY)
signal.raise_signal(signal.SIGURG)
try:
    os.close(number)
except OSError as error:
    print(error.errno)
print(os.path.exists(f"/proc/self/fd/{number}"))
"""
    fault = Fault("EIO", errno.EIO, frozenset(["close"]))
    outcome = injector.run(Operation((sys.executable, "-S", "-c", code), marked=True), "engine", 1, fault)
    assert outcome.stdout == f"{errno.EIO}\nFalse\n"


def test_threads_belong_to_their_process() -> None:
    code = "import threading, os\nt = threading.Thread(target=os.getppid)\nt.start(); t.join()"
    calls = injector.record(Operation((sys.executable, "-S", "-c", code))).calls
    assert set(calls) == {"engine"} and "getppid" in calls["engine"]


def test_what_outlives_the_operation_is_let_go_alive(leakcheck: object) -> None:
    del leakcheck
    outcome = injector.record(Operation(("sh", "-c", "sleep 1004 >/dev/null 2>&1 & echo $!"), linger=0.2))
    pid = int(outcome.stdout)
    assert outcome.left == ("helper",) and kernel.stat_fields(pid)[0] == "S"
    kernel.kill(pid)


def test_a_hang_is_ended_and_told() -> None:
    outcome = injector.record(Operation(("sleep", "1000"), limit=0.2))
    assert outcome.timed_out and outcome.status == -9


@pytest.mark.parametrize("point", range(3))
def test_a_clean_toy_passes_everywhere(point: int) -> None:
    every = crashpoints.points(CLEAN, every=2)[point::3]
    results = list(crashpoints.tour(CLEAN, every))
    assert not [str(result) for result in results if result.complaints]
    assert sum(result.outcome.fired for result in results) >= 0.9 * len(every)


@pytest.mark.parametrize(
    ("mode", "role", "fault", "complaint"),
    [
        ("late", "engine", "KILL", "/a/"),
        ("orphan", "engine", "KILL", "podfast-pause"),
        ("sloppy", "engine", "ENOMEM", "/a/"),
    ],
)
def test_a_bug_is_caught(mode: str, role: str, fault: str, complaint: str) -> None:
    subject = toy(mode)
    results = crashpoints.tour(subject, crashpoints.points(subject, [role], [fault]))
    assert any(result.outcome.fired and complaint in " ".join(result.complaints) for result in results)


def test_points_are_spread_evenly() -> None:
    every = [crashpoints.Point("engine", k, KILL) for k in range(1, 101)]
    assert [point.k for point in crashpoints.spread(every, 4)] == [1, 26, 51, 76]
    assert crashpoints.spread(every, 1000) == every


def test_the_command_line_tells_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert crashpoints.main(["--operation", "toy-clean", "--roles", "shim", "--faults", "KILL", "--limit", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["shim", "KILL", "3", "3", "0"]
