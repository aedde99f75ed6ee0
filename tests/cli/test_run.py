# SPDX-License-Identifier: Apache-2.0
"""`podfast run`, attached: lines, streams, exit codes, signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.cli.conftest import STAYS, Podfast, Terminal, wait_for_lines, wait_until


def test_lines_are_prefixed_and_streams_kept_apart(podfast: Podfast) -> None:
    result = podfast("run", podfast.pod("echo out; echo err >&2", "printf 'no newline'"))
    assert result.returncode == 0
    assert sorted(result.stdout.splitlines()) == ["c0 | out", "c1 | no newline"]
    assert result.stderr == "c0 | err\n"


def test_names_are_padded_to_the_longest(podfast: Podfast) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  restartPolicy: Never\n  containers:\n"
    text += "".join(f"  - name: {name}\n    command: [echo, hello]\n" for name in ("a", "longer"))
    result = podfast("run", podfast.file(text))
    assert sorted(result.stdout.splitlines()) == ["a      | hello", "longer | hello"]


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        (["exit 0"], 0),
        (["exit 3"], 3),
        (["exit 0", "exit 5"], 5),
        (["sleep 0.2; exit 4", "exit 5", "exit 0"], 4),  # the manifest's order counts, not the time
        (["exit 255"], 255),
    ],
)
def test_the_exit_code_is_the_containers(podfast: Podfast, commands: list[str], code: int) -> None:
    result = podfast("run", podfast.pod(*commands))
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


def test_the_exit_code_of_a_container_that_a_signal_ended(podfast: Podfast) -> None:
    # With the pod's processes in one pid namespace pause is PID 1; as PID 1 itself it could not be killed from inside.
    result = podfast("run", podfast.pod("kill -9 $$$$", more="  shareProcessNamespace: true\n"))
    assert result.returncode == 137


def test_a_manifest_from_standard_input(podfast: Podfast) -> None:
    with open(podfast.pod("echo hello")) as file:
        text = file.read()
    assert podfast("run", "-", stdin=text).stdout == "c0 | hello\n"
    assert podfast("run", "-f", "-", stdin=text).stdout == "c0 | hello\n"


def test_timestamps(podfast: Podfast) -> None:
    result = podfast("run", "--timestamps", podfast.pod("echo hello"))
    prefix, time_text, text = result.stdout.rsplit(" ", 2)
    assert (prefix, text) == ("c0 |", "hello\n")
    assert time_text.endswith("Z") and len(time_text) == 30


def test_a_container_that_restarts(podfast: Podfast) -> None:
    more = "  volumes: [{name: v}]\n"
    script = "echo x >> /v/n; echo attempt $(wc -l < /v/n); [ $(wc -l < /v/n) = 2 ]"
    path = podfast.pod(script, policy="OnFailure", more=more)
    with open(path) as file:
        text = file.read() + "    volumeMounts: [{name: v, mountPath: /v}]\n"
    result = podfast("run", podfast.file(text))
    assert result.stdout.splitlines() == ["c0 | attempt 1", "c0 | attempt 2"]
    assert result.returncode == 0


def test_many_and_long_lines_arrive_whole(podfast: Podfast) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; head -c 50000 /dev/zero | tr '\\0' x; echo"
    result = podfast("run", podfast.pod(script))
    lines = [line.removeprefix("c0 | ") for line in result.stdout.splitlines()]
    assert lines == [*map(str, range(5000)), "x" * 50000]


def test_a_slow_reader_loses_nothing(podfast: Podfast) -> None:
    script = "i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done"
    process = podfast.start("run", podfast.pod(script))
    assert process.stdout is not None
    time.sleep(1)
    assert process.stdout.read().splitlines() == [f"c0 | {number}" for number in range(30000)]
    assert process.wait() == 0


def test_a_namespace_of_the_command_line(podfast: Podfast) -> None:
    path = podfast.pod(STAYS)
    process = podfast.start("run", path, "-n", "mine")
    wait_for_lines(process, "c0 | ready")
    assert podfast("get", "pods", "-A", "--no-headers").stdout.split()[:2] == ["mine", "test"]
    process.terminate()
    assert process.wait() == 143
    with open(path) as file:
        text = file.read().replace("  name: test\n", "  name: test\n  namespace: other\n")
    result = podfast("run", podfast.file(text), "-n", "mine")
    assert (result.returncode, result.stderr) == (2, 'error: the manifest is for namespace "other", not "mine"\n')
    result = podfast("run", path, "-n", "../up")
    assert result.returncode == 2 and "error: the namespace must be of a-z" in result.stderr


def test_a_name_in_use(podfast: Podfast, running: subprocess.Popen[str]) -> None:
    result = podfast("run", podfast.pod("true"))
    assert result.returncode == 125
    assert result.stderr.startswith('error: a pod "test" is running already: ')
    assert running.poll() is None


# ---- ending ----


def test_ctrl_c_stops_gracefully_and_says_so(podfast: Podfast, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("run", podfast.pod(STAYS, STAYS))
    for _ in range(2):  # in any order
        shown.expect("ready")
    shown.type("\x03")
    shown.expect(r"podfast: stopping test \(Ctrl-C again kills it\)")
    assert shown.finish() == 130
    assert shown.text.count("ended") == 2


def test_the_last_words_of_a_container_that_said_nothing_before(podfast: Podfast) -> None:
    silent = "trap 'echo last; exit 0' TERM; while :; do sleep 60 & wait $!; done"
    process = podfast.start("run", "-q", podfast.pod(silent, silent, "sleep 0.5; " + STAYS))
    wait_for_lines(process, "c2 | ready")
    process.terminate()
    assert sorted(process.communicate(timeout=20)[0].splitlines()) == ["c0 | last", "c1 | last", "c2 | ended"]


def test_a_second_ctrl_c_kills(podfast: Podfast, terminal: Callable[..., Terminal]) -> None:
    stubborn = "trap 'echo no' TERM; echo ready; while :; do sleep 60 & wait $!; done"
    shown = terminal("run", podfast.pod(stubborn, grace=60))
    shown.expect("ready")
    shown.type("\x03")
    shown.expect("stopping test")
    shown.expect("no\r\n")
    shown.type("\x03")
    shown.expect("podfast: killing test")
    start = time.monotonic()
    assert shown.finish() == 130
    assert time.monotonic() - start < 5


def test_what_ignores_term_is_killed_after_its_grace(podfast: Podfast) -> None:
    process = podfast.start("run", podfast.pod("trap '' TERM; echo ready; sleep 60", grace=1))
    wait_for_lines(process, "c0 | ready")
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert 0.9 < time.monotonic() - start < 6


def test_grace_of_the_command_line(podfast: Podfast) -> None:
    process = podfast.start("run", "--grace", "0.1", "-q", podfast.pod("trap '' TERM; echo ready; sleep 60", grace=60))
    wait_for_lines(process, "c0 | ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert process.stderr is not None and process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_too(podfast: Podfast, running: subprocess.Popen[str], number: signal.Signals) -> None:
    running.send_signal(number)
    output, errors = running.communicate(timeout=20)
    assert running.returncode == 128 + number
    assert sorted(output.splitlines()) == ["c0 | ended", "c1 | ended"]
    assert errors == "podfast: stopping test\n"


def test_a_hang_up_that_was_ignored_stays_ignored(podfast: Podfast) -> None:
    path = podfast.pod(STAYS)
    process = podfast.start("run", path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for_lines(process, "c0 | ready")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    assert process.wait() == 143


def test_killing_podfast_ends_the_pod(podfast: Podfast, running: subprocess.Popen[str]) -> None:
    rows = podfast("ps", "--no-headers").stdout.splitlines()
    pids = [int(row.split()[-2]) for row in rows]
    assert len(pids) == 2 and all(os.path.exists(f"/proc/{pid}") for pid in pids)
    running.kill()
    running.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the pod's processes to end")
    assert podfast("ps", "--no-headers").stdout == ""


def test_a_reader_that_has_enough(podfast: Podfast) -> None:
    path = podfast.pod("while :; do echo line; done", grace=0)
    result = podfast.bash(f"{podfast.shell('run', path)} | head -1")
    assert (result.returncode, result.stdout, result.stderr) == (141, "c0 | line\n", "")


def test_a_reader_that_has_enough_before_there_is_more(podfast: Podfast) -> None:
    result = podfast.bash(f"{podfast.shell('run', podfast.pod('echo line; sleep 60', grace=0))} | head -1")
    assert (result.returncode, result.stdout, result.stderr) == (141, "c0 | line\n", "")


def test_signals_are_heard_while_nobody_reads(podfast: Podfast) -> None:
    process = podfast.start("run", "-q", podfast.pod("echo ready; while :; do echo line; done", grace=0))
    wait_for_lines(process, "c0 | ready")
    time.sleep(0.5)  # the pipe is full by now
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143


def test_signals_are_heard_in_a_flood(podfast: Podfast) -> None:
    process = podfast.start("run", "-q", podfast.pod("exec yes", grace=0), stdout=subprocess.DEVNULL)
    wait_until(lambda: podfast("get", "pods", "--no-headers").stdout != "", "the pod to run")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


# ---- colours ----


def test_colours_on_a_terminal_only(podfast: Podfast, terminal: Callable[..., Terminal]) -> None:
    path = podfast.pod("echo hello", "echo hello")
    shown = terminal("run", path)
    assert shown.finish() == 0
    assert "\x1b[36mc0 | \x1b[0mhello\r\n" in shown.text
    assert "\x1b[33mc1 | \x1b[0mhello\r\n" in shown.text
    assert "\x1b" not in podfast("run", path).stdout


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_they_are_not_wanted(
    podfast: Podfast, terminal: Callable[..., Terminal], env: dict[str, str]
) -> None:
    shown = terminal("run", podfast.pod("echo hello"), env=env)
    assert shown.finish() == 0
    assert shown.text == "c0 | hello\r\n"


def test_standard_output_stays_as_it_was_for_others(podfast: Podfast) -> None:
    """Who shares it with podfast must not find it non-blocking."""
    look = f"{sys.executable} -c 'import os; print(os.get_blocking(1))'"
    assert podfast.bash(f"{podfast.shell('run', podfast.pod('true'))}; {look}").stdout == "True\n"
