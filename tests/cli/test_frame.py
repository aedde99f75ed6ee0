# SPDX-License-Identifier: Apache-2.0
"""Verbs, options, help, errors and exit codes: what all commands have in common."""

import json
import os
import subprocess
import sys
import time

import pytest

from podfast.cli.main import VERBS
from tests.cli.conftest import COMMAND, Podfast


def test_help_names_every_verb(podfast: Podfast) -> None:
    result = podfast("--help")
    assert result.returncode == 0 and result.stderr == ""
    for verb, (_, does) in VERBS.items():
        assert f"  {verb:<10}{does}\n" in result.stdout
    assert podfast("help").stdout == podfast("-h").stdout == result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(podfast: Podfast, verb: str) -> None:
    result = podfast(verb, "--help")
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith(f"usage: podfast {verb} ")
    for option in ("--root", "--runroot", "--namespace", "--debug"):
        assert option in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 110
    assert podfast("help", verb).stdout == result.stdout


def test_no_verb_shows_help_where_errors_go(podfast: Podfast) -> None:
    result = podfast()
    assert result.returncode == 2 and result.stdout == ""
    assert "commands:" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["rnu"], 'unknown command "rnu" (did you mean "podfast run"?)'),
        (["delete", "x"], 'unknown command "delete" (did you mean "podfast rm"?)'),
        (["xyzzy"], 'unknown command "xyzzy" (see podfast --help)'),
        (["ps", "--bla"], "unrecognized arguments: --bla (see podfast ps --help)"),
        (["--bla", "ps"], "unrecognized arguments: --bla (see podfast --help)"),
        (["logs"], "the following arguments are required: POD (see podfast logs --help)"),
        (["run"], "which manifest? (podfast run FILE)"),
        (["run", "a", "-f", "b"], "which manifest? (podfast run FILE)"),
        (["run", "--grace", "x", "a"], 'argument --grace: "x" is not a number of seconds (see podfast run --help)'),
        (
            ["logs", "x", "--tail", "-2"],
            'argument --tail: "-2" is not a number of lines (-1: all) (see podfast logs --help)',
        ),
        (
            ["logs", "x", "--since", "soon"],
            'argument --since: "soon" is not a duration, such as 30s, 5m or 1h30m (see podfast logs --help)',
        ),
        (["stop", "x", "--grace", "-1"], 'argument --grace: "-1" is not a number of seconds (see podfast stop --help)'),
        (["exec", "x"], "no command (podfast exec POD -- COMMAND …)"),
        (["exec", "x", "y", "--", "z"], '"y" stands before the "--", but it is neither an option nor the pod'),
        (["exec", "x", "-c", "y", "z"], 'put "--" before the command, or "-c" before the pod'),
        (
            ["exec", "x", "-e", "=1", "--", "true"],
            'argument -e/--env: "=1" is not NAME=VALUE (see podfast exec --help)',
        ),
        (["get", "nodes"], 'no such thing to get: "nodes" (only pods)'),
    ],
)
def test_a_wrong_command_line(podfast: Podfast, arguments: list[str], error: str) -> None:
    result = podfast(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"error: {error}\n")


@pytest.mark.parametrize("verb", ["logs", "exec", "stop", "rm", "get"])
def test_a_pod_that_is_not_there(podfast: Podfast, verb: str) -> None:
    arguments = {"exec": ["exec", "gone", "--", "true"], "get": ["get", "pod", "gone"]}.get(verb, [verb, "gone"])
    result = podfast(*arguments)
    assert result.returncode == (125 if verb == "exec" else 1)
    assert (result.stdout, result.stderr) == ("", 'error: no pod "gone"\n')


def test_global_options_stand_before_or_after_the_verb(podfast: Podfast) -> None:
    asked = ["--namespace", "elsewhere", "--root", podfast.roots.root]
    before, after = podfast(*asked, "get", "pods"), podfast("get", "pods", *asked)
    assert before.stderr == after.stderr == "podfast: no pods in namespace elsewhere\n"
    assert podfast("get", "pods", env={"PODFAST_NAMESPACE": "there"}).stderr == "podfast: no pods in namespace there\n"


def test_debug_adds_the_traceback(podfast: Podfast) -> None:
    plain, verbose = podfast("logs", "gone"), podfast("--debug", "logs", "gone")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in verbose.stderr and verbose.stderr.endswith(plain.stderr)
    assert plain.returncode == verbose.returncode == 1


def test_version(podfast: Podfast) -> None:
    from podfast import __version__

    result = podfast("version")
    assert result.returncode == 0
    assert result.stdout.startswith(f"podfast {__version__} (Python ")
    assert podfast("--version").stdout == result.stdout
    assert json.loads(podfast("version", "-o", "json").stdout)["podfast"] == __version__


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["run", "--help"]])
def test_what_is_quick_imports_little(podfast: Podfast, arguments: list[str]) -> None:
    def loaded(script: str) -> set[str]:
        command = [sys.executable, "-c", f"import sys; {script}; print(*sys.modules, file=sys.stderr)", *arguments]
        return set(subprocess.run(command, capture_output=True, text=True, env=podfast.environment()).stderr.split())

    heavy = {"asyncio", "msgspec", "yaml", "typing", "dataclasses", "inspect", "subprocess", "json", "_cffi_backend"}
    # What the installation itself loads at every start (an editable one does) is not ours.
    ours = loaded("from podfast.cli import main; main(sys.argv[1:])") - loaded("pass")
    assert "podfast.cli.main" in ours
    assert ours & heavy == set()


def test_version_answers_at_once(podfast: Podfast) -> None:
    """60 ms on a quiet machine. Here beside the bare interpreter, because the tests run on busy ones."""

    def best(arguments: list[str]) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run(arguments, stdout=subprocess.DEVNULL, env=podfast.environment(), check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    best([*COMMAND, "version"])  # writes the bytecode where that is allowed
    assert best([*COMMAND, "version"]) < 5 * best([sys.executable, "-c", "pass"])


def test_a_full_disk_behind_standard_output(podfast: Podfast) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*COMMAND, "version"], stdout=full, stderr=subprocess.PIPE, text=True, env=podfast.environment()
        )
    assert (result.returncode, result.stderr) == (1, "error: No space left on device\n")


def test_closed_standard_descriptors(podfast: Podfast) -> None:
    result = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m podfast.cli ps 0<&- 2<&-"],
        capture_output=True, text=True, env=podfast.environment(),
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout.startswith("CONTAINER")
    closed = f"{sys.executable} -m podfast.cli version 1>&-"
    assert subprocess.run(["sh", "-c", closed], env=podfast.environment(), stderr=subprocess.DEVNULL).returncode in (
        0,
        1,
    )


def test_a_reader_that_closes_early(podfast: Podfast) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        result = subprocess.run(
            [*COMMAND, "version"], stdout=pipe, stderr=subprocess.PIPE, text=True, env=podfast.environment()
        )
    assert (result.returncode, result.stderr) == (141, "")


def test_the_module_and_the_package_start_the_same(podfast: Podfast) -> None:
    result = subprocess.run([sys.executable, "-m", "podfast.cli", "version"], capture_output=True, text=True)
    assert result.stdout == podfast("version").stdout
