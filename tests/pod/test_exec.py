# SPDX-License-Identifier: Apache-2.0
"""A further command in a running container: what it gets, what it says, and that it never outlives its caller."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading
import time
from pathlib import Path

import pytest

from podfast.errors import NotFound, PodfastError, StartError, WaitTimeout
from podfast.pod import Pod
from podfast.sandbox.client import Client, Exec
from tests.pod.conftest import (
    PATIENCE,
    READY,
    STAYS,
    World,
    alive,
    container,
    kill,
    lines,
    pid_of,
    said,
    shim_of,
    until,
)


def commands(pod: Pod, word: str, name: str = "c0") -> bool:
    """Whether a process of the container has this word in its command line."""
    pid = pod.containers[name].pid
    space = os.readlink(f"/proc/{pid}/ns/pid")
    for entry in os.listdir("/proc"):
        try:
            if (
                entry.isdigit()
                and os.readlink(f"/proc/{entry}/ns/pid") == space
                and word in Path(f"/proc/{entry}/cmdline").read_text()
            ):
                return True
        except OSError:
            continue
    return False


def test_what_it_says(world: World) -> None:
    with world.ready(READY) as pod:
        result = pod.exec("c0", ["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert result == (3, b"out\n", b"err\n")
        assert pod.exec("c0", ["true"]) == (0, b"", b"")
        assert pod.exec("c0", ["sh", "-c", "kill -9 $$"]).exit_code == 137
        assert pod.exec("c0", ["sh", "-c", "kill -TERM $$"]).exit_code == 143


@pytest.mark.parametrize(
    ("argv", "code", "word"),
    [
        (["no-such"], 127, "not found"),
        (["/no/such"], 127, "not found"),
        (["/etc/passwd"], 126, "Permission denied"),
        (["/usr"], 126, "ermission denied"),
        (["true", "x" * 60000, "y" * 3000], None, ""),
    ],
)
def test_what_cannot_be_run(world: World, argv: list[str], code: int | None, word: str) -> None:
    with world.ready(READY) as pod:
        if code is None:
            assert pod.exec("c0", argv).exit_code == 0
            return
        with pytest.raises(StartError, match=word) as caught:
            pod.exec("c0", argv)
        assert caught.value.exit_code == code and argv[0] in str(caught.value)
        assert pod.exec("c0", ["true"]).exit_code == 0


def test_what_does_not_fit(world: World) -> None:
    with world.ready(READY) as pod:
        for argv in (["true", "x" * 70000], ["true", "a\0b"], []):
            with pytest.raises(StartError) as caught:
                pod.exec("c0", argv)
            assert caught.value.exit_code == 126
        with pytest.raises(NotFound):
            pod.exec("c7", ["true"])
        assert pod.exec("c0", ["true"]).exit_code == 0


def test_standard_input(world: World) -> None:
    with world.ready(READY) as pod:
        assert pod.exec("c0", ["cat"], stdin=b"hello\0\xff").stdout == b"hello\0\xff"
        assert pod.exec("c0", ["cat"]).stdout == b""
        assert pod.exec("c0", ["cat"], stdin=b"").stdout == b""
        data = os.urandom(1 << 20)
        assert pod.exec("c0", ["cat"], stdin=data).stdout == data
        assert pod.exec("c0", ["true"], stdin=data).exit_code == 0  # nobody reads it


def test_environment_directory_and_user(world: World) -> None:
    one = container(
        READY,
        env=[{"name": "ONE", "value": "1"}, {"name": "TWO", "value": "2"}],
        workingDir="/usr",
        securityContext={"runAsUser": 1234, "runAsGroup": 5},
    )
    with world.ready(one) as pod:
        script = "echo $ONE $TWO $THREE $HOSTNAME; pwd; id -u; id -g; grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/self/status"
        written = pod.exec("c0", ["sh", "-c", script], env={"TWO": "zwei", "THREE": "3"}).stdout.decode().splitlines()
        assert written[:4] == ["1 zwei 3 test", "/usr", "1234", "5"]
        assert written[4].endswith("0000") and written[-1].split() == ["Seccomp:", "2"]
        assert pod.exec("c0", ["pwd"], working_dir="/tmp").stdout == b"/tmp\n"
        with pytest.raises(StartError, match="working directory"):
            pod.exec("c0", ["pwd"], working_dir="/nope")


def test_path_is_that_of_the_container(world: World) -> None:
    with world.ready(container(READY, env=[{"name": "PATH", "value": "/usr/bin:/bin"}])) as pod:
        assert pod.exec("c0", ["sh", "-c", "echo $PATH"]).stdout == b"/usr/bin:/bin\n"
        with pytest.raises(StartError):
            pod.exec("c0", ["sh", "-c", "true"], env={"PATH": "/nowhere"})


def test_it_is_in_the_containers_namespaces_and_groups(world: World) -> None:
    with world.ready(container(READY, resources={"limits": {"memory": "64Mi"}}), READY) as pod:
        here = [os.readlink(f"/proc/{pid_of(pod)}/ns/{kind}") for kind in ("net", "ipc", "uts", "pid", "mnt", "cgroup")]
        there = (
            pod.exec(
                "c0", ["readlink", *(f"/proc/self/ns/{kind}" for kind in ("net", "ipc", "uts", "pid", "mnt", "cgroup"))]
            )
            .stdout.decode()
            .split()
        )
        assert here == there
        groups = Path(f"/proc/{pid_of(pod)}/cgroup").read_text().splitlines()
        result = pod.exec("c0", ["sh", "-c", "sleep 0.3 & wait"], timeout=PATIENCE)
        assert result.exit_code == 0 and groups


def test_big_output_on_both_streams(world: World) -> None:
    with world.ready(READY) as pod:
        script = "head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait"
        result = pod.exec("c0", ["sh", "-c", script])
        assert (len(result.stdout), len(result.stderr)) == (3000000, 2000000)


def test_what_its_children_hold_open_is_not_waited_for(world: World) -> None:
    with world.ready(READY) as pod:
        begin = time.monotonic()
        assert pod.exec("c0", ["sh", "-c", "sleep 77 & echo done"]).stdout == b"done\n"
        assert time.monotonic() - begin < 1
        # The exec has ended, and what it started with it.
        until(lambda: not commands(pod, "sleep\x0077"), "the end of its children", 2)


def test_a_timeout_kills_all_that_it_started(world: World) -> None:
    with world.ready(READY) as pod:
        begin = time.monotonic()
        with pytest.raises(WaitTimeout, match=r"0\.3 s"):
            pod.exec("c0", ["sh", "-c", "setsid sleep 78 & sleep 78"], timeout=0.3)
        assert 0.3 <= time.monotonic() - begin < 0.6
        until(lambda: not commands(pod, "sleep\x0078"), "the end of its children", 2)
        assert pod.exec("c0", ["true"]).exit_code == 0


def test_it_ends_with_its_client(world: World) -> None:
    with world.ready(READY) as pod:
        client = world.process(
            "from podfast.sandbox.client import Client\n"
            "from podfast.sandbox.exec import run_exec\n"
            "print('begun', flush=True)\n"
            "run_exec(Client(sys.argv[1]), 0, 'c0', ['sh', '-c', 'setsid sleep 79 & sleep 79'], None, {}, '', None)\n",
            pod._supervised.names.run_directory,
        )
        said(client, "begun")
        until(lambda: commands(pod, "sleep\x0079"), "the command")
        kill(client.pid)
        until(lambda: not commands(pod, "sleep\x0079"), "its end", 2)
        assert pod.exec("c0", ["true"]).exit_code == 0


def test_the_container_takes_it_along(world: World) -> None:
    with world.ready(READY, READY) as pod:
        result: list[object] = []
        thread = threading.Thread(target=lambda: result.append(pod.exec("c0", ["sleep", "80"])))
        thread.start()
        until(lambda: commands(pod, "sleep\x0080"), "the command")
        kill(pid_of(pod))
        thread.join(PATIENCE)
        assert result == [(137, b"", b"")]
        with pytest.raises(NotFound, match="not running"):
            pod.exec("c0", ["true"])
        assert pod.exec("c1", ["true"]).exit_code == 0


def test_stop_ends_it(world: World) -> None:
    pod = world.ready(READY)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            caught.append(AssertionError(pod.exec("c0", ["sleep", "81"])))
        except PodfastError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: commands(pod, "sleep\x0081"), "the command")
    pod.stop()
    thread.join(PATIENCE)
    assert len(caught) == 1 and (isinstance(caught[0], PodfastError) or "137" in str(caught[0]))


def test_in_a_container_that_has_ended(world: World) -> None:
    with world.run("exit 0", STAYS) as pod:
        world.engine.drive(lambda: not pod._supervised.state.containers[0].alive, PATIENCE)
        with pytest.raises(NotFound, match='container "c0" is not running'):
            pod.exec("c0", ["true"])


def test_many_leave_nothing(world: World) -> None:
    with world.ready(READY) as pod:
        pid = shim_of(pod)

        def held() -> tuple[int, int]:
            return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{pid}/fd"))

        def run(n: int) -> tuple[int, int]:
            assert pod.exec("c0", ["sh", "-c", f"exit {n}"]).exit_code == n
            return held()

        before = max(run(n) for n in range(10))
        assert all(run(n) <= (before[0], before[1] + 2) for n in range(100))
        until(lambda: held() <= before, "no growth", 2)


def test_several_at_once(world: World) -> None:
    with world.ready(READY, READY) as pod:
        results: list[tuple[int, int]] = []

        def run(n: int) -> None:
            results.append((n, pod.exec(f"c{n % 2}", ["sh", "-c", f"sleep 0.05; exit {n}"]).exit_code))

        threads = [threading.Thread(target=run, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(results) == [(n, n) for n in range(12)]


def test_more_than_the_shim_serves_at_once(world: World) -> None:
    """32 clients; the next is turned away, and told so."""
    with world.ready(READY) as pod:
        client = Client(pod._supervised.names.run_directory)
        null = os.open("/dev/null", os.O_RDWR)
        held: list[Exec] = []
        try:
            for _ in range(32):
                held.append(client.start_exec(0, "c0", ["sleep", "82"], stdio=(null, null, null)))
            with pytest.raises(PodfastError, match="too many"):
                client.start_exec(0, "c0", ["sleep", "82"], stdio=(null, null, null))
        finally:
            for one in held:
                one.close()
            os.close(null)
        until(lambda: not commands(pod, "sleep\x0082"), "their end", 3)
        assert pod.exec("c0", ["true"]).exit_code == 0


def test_a_stranger_is_not_served(world: World) -> None:
    with world.ready(READY) as pod:
        directory = pod._supervised.names.run_directory
        assert os.stat(directory).st_mode & 0o077 == 0
        assert alive(pid_of(pod)) and lines(pod) == ["ready"]


# ---- on a terminal ----


def terminal(pod: Pod, argv: list[str], size: tuple[int, int] = (24, 80)) -> Exec:
    return Client(pod._supervised.names.run_directory).start_exec(0, "c0", argv, size=size)


def read_all(running: Exec) -> bytes:
    """What comes from a terminal until the command has ended."""
    collected = b""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and select.select([running.terminal], [], [], PATIENCE)[0]:
        try:
            data = os.read(running.terminal, 65536)
        except OSError:
            break
        if not data:
            break
        collected += data
    return collected


def test_a_terminal(world: World) -> None:
    with world.ready(READY) as pod:
        with terminal(
            pod,
            [
                "sh",
                "-c",
                "tty; stty size; echo x > /dev/tty; test -t 0 && test -t 1 && test -t 2; exit $?",
            ],
            (41, 123),
        ) as running:
            text = read_all(running)
            assert running.wait(PATIENCE) == 0
        assert b"/dev/pts/0\r\n41 123\r\nx\r\n" in text


def test_the_size_of_a_terminal_changes(world: World) -> None:
    with world.ready(READY) as pod:
        with terminal(
            pod, ["sh", "-c", "trap 'stty size; exit 5' WINCH; echo up; while :; do sleep 0.02; done"]
        ) as running:
            until(lambda: bool(select.select([running.terminal], [], [], 0)[0]), "the shell")
            os.read(running.terminal, 100)
            fcntl.ioctl(running.terminal, termios.TIOCSWINSZ, struct.pack("=HHHH", 50, 100, 0, 0))
            assert b"50 100" in read_all(running)
            assert running.wait(PATIENCE) == 5


def test_keys_are_signals(world: World) -> None:
    with world.ready(READY) as pod:
        with terminal(pod, ["sh", "-c", "echo up; exec sleep 83"]) as running:
            until(lambda: bool(select.select([running.terminal], [], [], 0)[0]), "the shell")
            os.write(running.terminal, b"\x03")
            assert running.wait(PATIENCE) == 130
        with terminal(pod, ["cat"]) as running:
            os.write(running.terminal, b"typed\n\x04")
            assert read_all(running).count(b"typed") == 2 and running.wait(PATIENCE) == 0


def test_closing_a_terminal_ends_its_command(world: World) -> None:
    with world.ready(READY) as pod:
        running = terminal(pod, ["sh", "-c", "trap '' HUP; sleep 84; sleep 84"])
        until(lambda: commands(pod, "sleep\x0084"), "the command")
        running.close()
        until(lambda: not commands(pod, "sleep\x0084"), "its end", 2)
