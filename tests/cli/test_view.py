# SPDX-License-Identifier: Apache-2.0
"""Words and columns, as kubectl has them."""

from typing import Any

import pytest

from podfast.cli import terminal, view
from podfast.cli.failures import explain, one_line
from podfast.errors import NotFound, Problem, SpecError, StartError, WaitTimeout
from podfast.node import PodRecord


def record(*states: dict[str, Any], phase: str = "Running", ready: bool = False, **more: Any) -> PodRecord:
    statuses = [
        {"name": f"c{i}", "image": "host", "ready": ready or "running" in state, "restartCount": i, "state": state}
        for i, state in enumerate(states)
    ]
    status = {"phase": phase, "containerStatuses": statuses} | more
    document = {"status": status, "podfast": {"pids": {"c0": 42}}, "metadata": {"labels": {"a": "b"}}}
    return PodRecord(name="n", namespace="ns", uid="u", id="ab" * 32, created=10**9, document=document)


RUNNING = {"running": {"startedAt": "1970-01-01T00:01:00Z"}}
COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED = {"terminated": {"exitCode": 1, "reason": "Error"}}
KILLED = {"terminated": {"exitCode": 137, "signal": 9}}
CODE = {"terminated": {"exitCode": 3}}
LOOPS = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("pod", "word"),
    [
        (record(RUNNING, RUNNING), "Running"),
        (record(RUNNING, LOOPS), "CrashLoopBackOff"),
        (record(LOOPS, FAILED), "CrashLoopBackOff"),
        (record(RUNNING, COMPLETED), "Running"),
        (record(RUNNING, FAILED), "Error"),
        (record(COMPLETED, COMPLETED, phase="Succeeded"), "Completed"),
        (record(KILLED, phase="Failed"), "Signal:9"),
        (record(CODE, phase="Failed"), "ExitCode:3"),
        (record(RUNNING, reason="Evicted"), "Evicted"),
        (record(phase="Pending"), "Pending"),
        (PodRecord(name="n", namespace="ns", uid="u", id="ab" * 32), "Pending"),
    ],
)
def test_the_status_column(pod: PodRecord, word: str) -> None:
    assert view.pod_status(pod) == word


def test_rows() -> None:
    pod = record(RUNNING, LOOPS)
    assert view.pod_row(pod, 131) == ("n", "1/2", "CrashLoopBackOff", "1", "2m10s")
    assert view.pod_wide(pod) == ("<none>", "ab" * 6)
    assert list(view.container_rows(pod, 131)) == [
        ("c0", "n", "ns", "host", "Running", "0", "71s", "42", "ab" * 6),
        ("c1", "n", "ns", "host", "CrashLoopBackOff", "1", "2m10s", "-", "ab" * 6),
    ]
    assert view.document(pod)["metadata"] == {"name": "n", "namespace": "ns", "uid": "u", "labels": {"a": "b"}}


@pytest.mark.parametrize("broken", [None, [], "x", [1], [{"state": 1}], [{"state": {"terminated": None}}]])
def test_a_strange_status_is_shown_as_far_as_it_goes(broken: object) -> None:
    pod = record()
    pod.document["status"]["containerStatuses"] = broken
    view.pod_row(pod, 0)
    list(view.container_rows(pod, 0))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"), (0, "0s"), (119.9, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"), (3 * 3600 + 60, "3h1m"), (8 * 3600, "8h"), (47 * 3600, "47h"), (48 * 3600, "2d"),
        (50 * 3600, "2d2h"), (8 * 86400, "8d"), (729 * 86400, "729d"), (730 * 86400, "2y"), (735 * 86400, "2y5d"),
    ],
)  # fmt: skip
def test_ages(seconds: float, shown: str) -> None:
    """k8s.io/apimachinery, duration.HumanDuration."""
    assert terminal.age(seconds) == shown


def test_moments() -> None:
    assert terminal.since("1970-01-01T00:00:10.123456789Z", 20) == "9s"
    assert terminal.since("1970-01-01T00:00:10Z", 20) == "10s"
    for nonsense in (None, 5, "", "yesterday", "1970-99-01T00:00:10Z"):
        assert terminal.since(nonsense, 20) == "<unknown>"


def test_a_table() -> None:
    assert (
        terminal.table(("A", "LONG"), [("x", ""), ("longer", "\x1b[31m\n")])
        == "A        LONG\nx        <none>\nlonger   ?[31m?\n"
    )
    assert terminal.table(("A",), [], with_headers=False) == ""


def test_errors_as_lines_and_codes() -> None:
    problems = SpecError([Problem("one", line=1, column=2, source="f"), Problem("two\n\x1b")])
    assert explain(problems, 125) == (["f:1:2: one", "two \\x1b"], 125)
    assert explain(NotFound("no pod"), 1) == (["no pod"], 1)
    assert explain(StartError("x", exit_code=127), 125) == (["x"], 127)
    assert explain(WaitTimeout("slow"), 1) == (["slow"], 124)
    assert explain(FileNotFoundError(2, "…", "/x"), 125) == (["/x: No such file or directory"], 125)
    assert explain(MemoryError(), 1) == (["out of memory"], 1)
    lines, code = explain(KeyError("k"), 125)
    assert code == 125 and "this is a bug in podfast" in lines[0]
    assert one_line("a\u202eb") == "a\\u202eb"
