# SPDX-License-Identifier: Apache-2.0
"""A pod that runs in one shell, seen and used from another: ps, get, logs, exec, stop, rm."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import STAYS, Podfast, Terminal, wait_for_lines, wait_until

Running = subprocess.Popen[str]


def pod_id(podfast: Podfast) -> str:
    return podfast("ps", "-q", "--no-trunc").stdout.split()[0]


# ---- ps and get ----


def test_ps(podfast: Podfast, running: Running) -> None:
    lines = podfast("ps").stdout.splitlines()
    assert lines[0].split("   ")[0] == "CONTAINER"
    rows = [line.split() for line in lines[1:]]
    assert [row[:6] for row in rows] == [[name, "test", "default", "host", "Running", "0"] for name in ("c0", "c1")]
    for row in rows:
        assert re.fullmatch(r"\d+s", row[6]) and os.path.exists(f"/proc/{row[7]}")
    whole = pod_id(podfast)
    assert len(whole) == 64 and all(row[8] == whole[:12] for row in rows)
    assert podfast("ps", "-q").stdout == whole[:12] + "\n"
    assert podfast("ps", "-n", "other", "--no-headers").stdout == ""
    assert whole in podfast("ps", "--no-trunc").stdout


def test_get_pods(podfast: Podfast, running: Running) -> None:
    header, row = podfast("get", "pods").stdout.splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["test", "2/2", "Running", "0"]
    assert podfast("get", "po", "-A", "--no-headers").stdout.split()[:2] == ["default", "test"]
    assert podfast("get", "pods", "-o", "wide").stdout.splitlines()[0].endswith("POD ID")
    for what in ("pods", "pod/test"):
        assert podfast("get", what, "-o", "name").stdout == "pod/test\n"


def test_get_a_pod_as_a_document(podfast: Podfast, running: Running) -> None:
    shown = json.loads(podfast("get", "pod", "test", "-o", "json").stdout)
    assert yaml.safe_load(podfast("get", "pod", "test", "-o", "yaml").stdout) == shown
    assert (shown["apiVersion"], shown["kind"], shown["metadata"]["name"]) == ("v1", "Pod", "test")
    assert shown["status"]["phase"] == "Running"
    assert [one["name"] for one in shown["status"]["containerStatuses"]] == ["c0", "c1"]
    assert "podfast" not in shown
    listed = json.loads(podfast("get", "pods", "-o", "json").stdout)
    assert (listed["kind"], len(listed["items"])) == ("List", 1)


def test_no_pods(podfast: Podfast) -> None:
    result = podfast("get", "pods")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "podfast: no pods in namespace default\n")
    assert json.loads(podfast("get", "pods", "-o", "json").stdout)["items"] == []
    assert len(podfast("ps").stdout.splitlines()) == 1


@pytest.mark.parametrize("form", ["{name}", "default/{name}", "pod/{name}", "{id}", "{id:.12}", "{id:.5}"])
def test_the_ways_to_name_a_pod(podfast: Podfast, running: Running, form: str) -> None:
    token = form.format(name="test", id=pod_id(podfast))
    assert podfast("get", "pod", token, "-o", "name").stdout == "pod/test\n"


# ---- logs ----


def test_logs(podfast: Podfast, running: Running) -> None:
    assert sorted(podfast("logs", "test").stdout.splitlines()) == ["c0 | ready", "c1 | ready"]
    assert podfast("logs", "test", "-c", "c1").stdout == "ready\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z ready\n", podfast("logs", "test", "-c", "c0", "--timestamps").stdout)
    assert podfast("logs", "test", "--since", "1h").stdout.count("ready") == 2
    assert podfast("logs", "test", "--since", "1ms").stdout == ""
    assert podfast("logs", "test", "--tail", "0").stdout == ""
    assert podfast("logs", "test", "--tail", "1").stdout.count("ready") == 2
    result = podfast("logs", "test", "-c", "c9")
    assert (result.returncode, result.stderr) == (1, 'error: no container "c9" in pod "test" (it has c0, c1)\n')
    result = podfast("logs", "test", "-c", "c0", "-p")
    assert result.returncode == 1 and "has not been restarted" in result.stderr


def test_logs_follow_until_the_pod_ends(podfast: Podfast) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.3; done; echo error >&2"
    run = podfast.start("run", podfast.pod(script, STAYS))
    wait_for_lines(run, "c0 | 1")
    first = podfast.start("logs", "-f", "test", "-c", "c0")
    everything = podfast.start("logs", "-f", "test")
    assert first.communicate(timeout=20)[0] == "1\n2\n3\nerror\n"
    assert first.returncode == 0
    podfast("stop", "test")
    assert everything.communicate(timeout=20)[0].splitlines().count("c1 | ended") == 1


def test_logs_come_as_they_are_written(podfast: Podfast) -> None:
    script = "echo ready; while :; do sleep 0.5; date +%s.%N; done"
    process = podfast.start("run", podfast.pod(script, name="clock"))
    wait_for_lines(process, "c0 | ready")
    follower = podfast.start("logs", "-f", "clock", "--tail", "0")
    assert follower.stdout is not None
    delays = []
    for _ in range(3):
        line = follower.stdout.readline()
        delays.append(time.time() - float(line))
    assert min(delays) < 0.2
    follower.terminate()


def test_logs_of_the_attempt_before(podfast: Podfast) -> None:
    more = "  volumes: [{name: v}]\n"
    script = "echo x >> /v/n; echo attempt $(wc -l < /v/n); [ $(wc -l < /v/n) = 1 ] && exit 1; sleep 60 & wait $!"
    with open(podfast.pod(script, policy="Always", more=more, grace=0)) as file:
        text = file.read() + "    volumeMounts: [{name: v, mountPath: /v}]\n"
    run = podfast.start("run", podfast.file(text))
    wait_for_lines(run, "c0 | attempt 1", "c0 | attempt 2")
    assert podfast("logs", "test", "-p").stdout == "attempt 1\n"
    assert podfast("logs", "test").stdout == "attempt 1\nattempt 2\n"
    assert podfast("get", "pods", "--no-headers").stdout.split()[3] == "1"


def test_logs_with_a_reader_that_has_enough(podfast: Podfast, running: Running) -> None:
    result = podfast.bash(f"{podfast.shell('logs', '-f', 'test')} | head -1")
    assert result.stdout.count("\n") == 1 and result.stderr == ""
    assert result.returncode == 141


# ---- exec ----


def test_exec(podfast: Podfast, running: Running) -> None:
    result = podfast("exec", "test", "-c", "c1", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert podfast("exec", "test", "-c", "c0", "--", "sh", "-c", "kill -TERM $$").returncode == 143
    result = podfast("exec", "test", "--", "true")
    assert (result.returncode, result.stderr) == (0, 'podfast: container "c0" of c0, c1 (choose with -c)\n')


def test_exec_options(podfast: Podfast, running: Running) -> None:
    where = ["-c", "c0", "test"]
    assert podfast("exec", *where, "echo", "-n", "--", "x").returncode == 2  # what stands before -- is not a command
    assert podfast("exec", *where, "echo", "-n", "x").stdout == "x"
    script = ["sh", "-c", "pwd; echo $A $B"]
    result = podfast("exec", *where, "-w", "/usr", "-e", "A=1", "-e", "B=x=y", "--", *script)
    assert result.stdout == "/usr\n1 x=y\n"


def test_exec_standard_input(podfast: Podfast, running: Running, tmp_path: Path) -> None:
    where = ["-c", "c0", "test"]
    assert podfast("exec", "-i", *where, "--", "cat", stdin="hello").stdout == "hello"
    assert podfast("exec", *where, "--", "cat", stdin="hello").stdout == ""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(1 << 20))
    with open(source) as file, open(target, "w") as out:
        process = podfast.start("exec", "-i", *where, "--", "cat", stdin=file, stdout=out)
        assert process.wait(20) == 0
    assert source.read_bytes() == target.read_bytes()


def test_exec_gives_no_file_of_the_host_away(podfast: Podfast, running: Running, tmp_path: Path) -> None:
    """Through /proc/self/fd a process opens its descriptors anew: a file of the host must not be among them."""
    secret = tmp_path / "secret"
    secret.write_text("as it was")
    script = ["sh", "-c", "readlink /proc/self/fd/0; echo no > /proc/self/fd/0"]
    with open(secret) as file:
        process = podfast.start("exec", "-i", "-c", "c0", "test", "--", *script, stdin=file)
        output, _ = process.communicate(timeout=20)
    assert output.startswith("pipe:")
    assert secret.read_text() == "as it was"


def test_exec_does_not_wait_for_input_that_nobody_reads(podfast: Podfast, running: Running) -> None:
    process = podfast.start("exec", "-i", "-c", "c0", "test", "--", "true", stdin=subprocess.PIPE)
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("command", "code", "reason"), [("no-such", 127, "not found"), ("/etc/passwd", 126, "Permission denied")]
)
def test_exec_of_what_does_not_start(podfast: Podfast, running: Running, command: str, code: int, reason: str) -> None:
    result = podfast("exec", "-c", "c0", "test", "--", command)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ") and reason in result.stderr and result.stderr.count("\n") == 1


def test_exec_in_a_container_that_is_not_there(podfast: Podfast, running: Running) -> None:
    result = podfast("exec", "-c", "nope", "test", "--", "true")
    assert (result.returncode, result.stderr) == (125, 'error: no container "nope" in pod "test" (it has c0, c1)\n')


def test_exec_passes_signals_on(podfast: Podfast, running: Running) -> None:
    script = "trap 'echo heard; exit 9' INT; echo go; while :; do sleep 0.05; done"
    process = podfast.start("exec", "-c", "c0", "test", "--", "sh", "-c", script)
    wait_for_lines(process, "go")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "heard\n"
    assert process.returncode == 9


def test_an_exec_ends_with_its_client(podfast: Podfast, running: Running) -> None:
    process = podfast.start("exec", "-c", "c0", "test", "--", "sh", "-c", "echo $$; exec sleep 1234.5")
    assert process.stdout is not None and process.stdout.readline()
    sleeping = ["pgrep", "-f", "^sleep 1234.5"]
    assert subprocess.run(sleeping, stdout=subprocess.DEVNULL).returncode == 0
    process.kill()
    wait_until(lambda: subprocess.run(sleeping, stdout=subprocess.DEVNULL).returncode != 0, "the command to end")


def test_exec_on_a_terminal(podfast: Podfast, running: Running, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("exec", "-it", "-c", "c0", "test", "--", "sh")
    shown.expect(r"[#$] $")
    assert shown.is_raw()
    shown.type("tty; stty size; echo $TERM\r")
    shown.expect(r"/dev/pts/\d+\r\n30 120\r\nxterm\r\n")
    shown.resize(44, 99)
    os.kill(shown.process.pid, signal.SIGWINCH)
    shown.type("sleep 0.2; stty size\r")
    shown.expect("44 99\r\n")
    shown.type("sleep 60\r")
    time.sleep(0.3)
    shown.type("\x03")  # reaches the command there, not podfast here
    shown.type("exit 3\r")
    assert shown.finish() == 3
    assert not shown.is_raw()


def test_the_end_of_input_on_a_terminal(podfast: Podfast, running: Running, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("exec", "-it", "-c", "c0", "test", "--", "cat")
    wait_until(shown.is_raw, "the command's terminal to be ours")
    shown.type("hello\r")
    shown.expect("hello\r\nhello\r\n")
    shown.type("\x04")
    assert shown.finish() == 0
    piped = podfast("exec", "-it", "-c", "c0", "test", "--", "cat", stdin="from a pipe\n")
    assert (piped.returncode, piped.stdout) == (0, "from a pipe\nfrom a pipe\n")


# ---- stop and rm ----


def test_stop(podfast: Podfast, running: Running) -> None:
    result = podfast("stop", "test")
    assert (result.returncode, result.stdout, result.stderr) == (0, "test\n", "")
    assert running.wait(20) == 0
    assert running.stdout is not None
    assert sorted(running.stdout.read().splitlines()) == ["c0 | ended", "c1 | ended"]
    assert podfast("ps", "-q").stdout == ""
    assert podfast("stop", "test").returncode == 1


def test_stop_with_another_grace(podfast: Podfast) -> None:
    run = podfast.start("run", podfast.pod("trap '' TERM; echo ready; sleep 60", grace=60))
    wait_for_lines(run, "c0 | ready")
    start = time.monotonic()
    assert podfast("stop", "test", "--grace", "0.2").returncode == 0
    assert time.monotonic() - start < 10
    assert run.wait(20) == 137


def test_rm(podfast: Podfast, running: Running) -> None:
    result = podfast("rm", "test")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == 'error: pod "test" is running (podfast stop test, or rm --force)\n'
    result = podfast("rm", "--force", "test")
    assert (result.returncode, result.stdout) == (0, "test\n")
    assert running.wait(20) == 137


def test_what_a_dead_podfast_left_is_swept_by_the_next_command(podfast: Podfast, running: Running) -> None:
    """Both the engine and the shim are killed at once: nobody is left to clean up."""
    directory = Path(podfast.roots.runroot, "pods", pod_id(podfast))
    shim = _shim(directory)
    running.send_signal(signal.SIGSTOP)
    os.kill(shim, signal.SIGKILL)
    running.kill()
    running.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{shim}"), "the shim to end")
    podfast("ps")
    assert not directory.exists()


def _shim(directory: Path) -> int:
    """The process that holds the lock of the pod (proc(5), locks)."""
    inode = directory.joinpath("pod").stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "FLOCK" in fields and fields[-3].endswith(f":{inode}"):
            return int(fields[4])
    raise AssertionError("nobody holds the pod's lock")
