# SPDX-License-Identifier: Apache-2.0
"""What containers write: every byte, in order, in the CRI format, whatever happens to the disk or to the shim."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import podfast
from podfast.node import LogLine
from podfast.places import resolve
from podfast.pod import Pod
from podfast.supervise import engine_for
from tests.machinery import kernel
from tests.pod.conftest import PATIENCE, READY, Manifest, World, container, kill, lines, manifest, shim_of, until

RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [PF] ")
LONGEST = 16384


def perl(program: str, name: str = "c0") -> Manifest:
    return container(None, name, command=["perl", "-e", f"$| = 1; binmode STDOUT; {program}"])


def ended(world: World, *containers: str | Manifest, **more: Any) -> tuple[Pod, list[LogLine]]:
    pod = world.run(*containers, **more)
    pod.wait(PATIENCE)
    return pod, list(pod.logs())


def raw(pod: Pod, name: str = "c0", attempt: int = 0) -> bytes:
    """All files of one attempt, oldest first."""
    directory = Path(pod.log_directory, name)
    rotated = sorted(path for path in directory.iterdir() if path.name.startswith(f"{attempt}.log."))
    return b"".join(path.read_bytes() for path in (*rotated, directory / f"{attempt}.log"))


def test_the_format(world: World) -> None:
    pod, _ = ended(world, "echo out; echo err >&2; echo; printf 'no end'")
    with pod:
        records = raw(pod).split(b"\n")
        assert records.pop() == b"" and len(records) == 4
        assert all(RECORD.match(record) for record in records)
        assert sorted(record.split(b" ", 1)[1] for record in records) == [
            b"stderr F err",
            b"stdout F ",
            b"stdout F out",
            b"stdout P no end",
        ] or [record.split(b" ", 1)[1] for record in records if b"no end" in record] == [b"stdout F no end"]
        assert os.stat(pod.log_directory).st_mode & 0o007 == 0


def test_each_stream_is_in_order(world: World) -> None:
    pod, found = ended(world, perl('for (1..2000) { print STDOUT "o$_\\n"; print STDERR "e$_\\n" }'))
    with pod:
        for stream, letter in (("stdout", "o"), ("stderr", "e")):
            assert [line.text.decode() for line in found if line.stream == stream] == [
                f"{letter}{n}" for n in range(1, 2001)
            ]
        times = [line.time for line in found]
        assert times == sorted(times)


def test_bytes_are_kept_exactly(world: World) -> None:
    pod, _ = ended(world, perl('print join("", map chr, grep { $_ != 10 } 0..255), "\\n"; print "\\r\\n"'))
    with pod:
        payload = [record.split(b" ", 3)[3] for record in raw(pod)[:-1].split(b"\n")]
        assert payload == [bytes(n for n in range(256) if n != 10), b"\r"]


@pytest.mark.parametrize("size", [LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST, 3 * LONGEST + 5])
def test_long_lines_are_cut(world: World, size: int) -> None:
    pod, found = ended(world, perl(f'print "x" x {size}, "\\n", "short\\n"'))
    with pod:
        records = [record.split(b" ", 3)[2:] for record in raw(pod)[:-1].split(b"\n")]
        assert [len(text) for _, text in records[:-1]] == [LONGEST] * (size // LONGEST) + (
            [size % LONGEST] if size % LONGEST or not size else []
        )
        tags = [tag for tag, _ in records]
        assert tags == [b"P"] * (len(records) - 2) + [b"F", b"F"]
        assert [len(line.text) for line in found] == [size, 5]


def test_a_megabyte_without_an_end(world: World) -> None:
    pod, _ = ended(world, perl("print 'y' x (1 << 20)"))
    with pod:
        records = [record.split(b" ", 3)[2:] for record in raw(pod)[:-1].split(b"\n")]
        assert sum(len(text) for _, text in records) == 1 << 20 and {len(text) for _, text in records} == {LONGEST}


def test_a_line_in_pieces(world: World) -> None:
    pod, found = ended(world, perl('for (1..5) { print "p$_ "; select undef, undef, undef, 0.01 } print "\\n"'))
    with pod:
        assert [line.text for line in found] == [b"p1 p2 p3 p4 p5 "]


def test_much_and_fast(world: World) -> None:
    pod, found = ended(world, perl('print "$_ " . "z" x 80 . "\\n" for 1..50000'))
    with pod:
        assert [int(line.text.split()[0]) for line in found] == list(range(1, 50001))


def test_what_is_written_last_is_there(world: World) -> None:
    """Whatever is in the pipe when a container ends belongs to it."""
    for _ in range(5):
        pod, found = ended(world, perl('print "a" x 60000, "\\n"; exit 0'))
        with pod:
            assert [len(line.text) for line in found] == [60000]


def test_follow_ends_with_the_pod(world: World) -> None:
    with world.run(perl('for (1..5) { print "$_\\n"; select undef, undef, undef, 0.03 }')) as pod:
        seen = [(time.monotonic(), line.text) for line in pod.logs(follow=True)]
        assert [text for _, text in seen] == [b"1", b"2", b"3", b"4", b"5"]
        assert seen[-1][0] - seen[0][0] > 0.06  # they came as they were written


def test_follow_sees_restarts(world: World) -> None:
    script = "echo run; echo x >> /v/x; test $(wc -l < /v/x) -ge 3"
    one = container(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    with world.run(one, policy="OnFailure", volumes=[{"name": "v"}], options={"back-off-initial": "10ms"}) as pod:
        assert [(line.attempt, line.text) for line in pod.logs(follow=True)] == [(0, b"run"), (1, b"run"), (2, b"run")]


def test_follow_can_be_left(world: World) -> None:
    with world.run(perl('while (1) { print "x\\n"; select undef, undef, undef, 0.01 }')) as pod:
        assert len(list(itertools.islice(pod.logs(follow=True), 10))) == 10


def test_tail_and_one_container(world: World) -> None:
    with world.run("seq 1 50", "seq 51 100") as pod:
        pod.wait(PATIENCE)
        assert [line.text for line in pod.logs("c1", tail=2)] == [b"99", b"100"]
        assert len(list(pod.logs())) == 100 and {line.container for line in pod.logs("c0")} == {"c0"}
        assert list(pod.logs(tail=0)) == []


def test_rotation_loses_nothing_that_is_kept(world: World) -> None:
    options = {"log-max-size": "64Ki", "log-max-files": "3"}
    pod, found = ended(world, perl('print "$_ " . "z" x 90 . "\\n" for 1..10000'), options=options)
    with pod:
        files = os.listdir(f"{pod.log_directory}/c0")
        assert len(files) == 3 and "0.log" in files
        assert all(os.path.getsize(f"{pod.log_directory}/c0/{name}") <= 65536 + 131072 for name in files)
        numbers = [int(line.text.split()[0]) for line in found]
        assert numbers == list(range(numbers[0], 10001)) and len(numbers) > 1000


def test_follow_through_rotation(world: World) -> None:
    options = {"log-max-size": "64Ki", "log-max-files": "100"}
    program = 'for (1..6000) { print "$_ " . "z" x 90 . "\\n"; select undef, undef, undef, 0.0005 unless $_ % 20 }'
    with world.run(perl(program), options=options) as pod:
        assert [int(line.text.split()[0]) for line in pod.logs(follow=True)] == list(range(1, 6001))


def test_no_file_before_the_first_line(world: World) -> None:
    pod, found = ended(world, "exit 0")
    with pod:
        assert found == [] and not os.path.exists(f"{pod.log_directory}/c0/0.log")


def test_a_container_that_cannot_keep_up_with_its_reader(world: World) -> None:
    """A stopped shim stalls the output, and loses nothing."""
    with world.run(perl('print "$_\\n" for 1..30000')) as pod:
        os.kill(shim_of(pod), signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(shim_of(pod), signal.SIGCONT)
        pod.wait(PATIENCE)
        assert [int(line) for line in lines(pod)] == list(range(1, 30001))


def test_a_torn_record_is_mended(world: World) -> None:
    """What a killed shim left half written is cut off by the next one, and the next record begins a line."""
    with world.ready(
        perl('print "before\\n"; while (!-e "/v/go") { select undef, undef, undef, 0.01 } print "after\\n"; sleep 1000')
        | {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        life="served",
        volumes=[{"name": "v"}],
    ) as pod:
        path = f"{pod.log_directory}/c0/0.log"
        old = shim_of(pod)
        os.kill(old, signal.SIGSTOP)
        with open(path, "ab") as file:
            file.write(b"2026-11-25T14:00:00.000000000Z stdout F torn in the mid")
        kill(old)
        world.engine.drive(lambda: shim_of(pod) != old, PATIENCE)
        Path(f"{pod._supervised.names.state_directory}/v0/go").touch()
        until(lambda: "after" in lines(pod), "the next line")
        assert lines(pod) == ["before", "after"]
        assert all(RECORD.match(record) for record in Path(path).read_bytes().splitlines())


@pytest.fixture
def small_disk(tmp_path: Path) -> str:
    """A root on a file system of 1 MiB."""
    return str(tmp_path / "small")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_full_disk_stalls_and_loses_nothing(world: World, small_disk: str) -> None:
    """A tmpfs of 6 MiB as the root; a ballast file fills it, and is taken away again."""
    os.mkdir(small_disk)
    kernel.mount("small", small_disk, "tmpfs", 0, "size=6m,mode=711")
    writer = perl('print "$_ " . "z" x 90 . "\\n" for 1..20000')
    try:
        with podfast.run(manifest(writer, READY), root=small_disk, timeout=PATIENCE) as pod:
            fill(f"{small_disk}/ballast")
            time.sleep(0.2)
            kept = [int(line.split()[0]) for line in lines(pod, "c0")]
            assert kept == list(range(1, len(kept) + 1)) and len(kept) < 20000
            assert pod.exec("c1", ["true"]).exit_code == 0  # the pod and its shim are well
            os.unlink(f"{small_disk}/ballast")
            until(lambda: len(lines(pod, "c0")) == 20000, "the rest")
            assert [int(line.split()[0]) for line in lines(pod, "c0")] == list(range(1, 20001))
    finally:
        engine_for(resolve(small_disk, world.roots.runroot)).close()
        kernel.unmount(small_disk)


def fill(path: str) -> None:
    """Until nothing more fits."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))


def test_a_flood_does_not_starve_others(world: World) -> None:
    flood = perl('while (1) { print "x" x 100, "\\n" }')
    with world.run(flood, READY, policy="Always", options={"log-max-size": "1Mi", "log-max-files": "2"}) as pod:
        begin = time.monotonic()
        for _ in range(3):
            assert pod.exec("c1", ["true"]).exit_code == 0
        assert time.monotonic() - begin < 2
        begin = time.monotonic()
        # What was there when it was asked for, though more comes all the time.
        assert len(list(pod.logs("c1"))) == 1 and sum(1 for _ in pod.logs("c0")) > 0
        pod.stop(0)
        assert time.monotonic() - begin < 5


def test_threads_may_follow_while_others_wait(world: World) -> None:
    with world.run(perl('for (1..20) { print "$_\\n"; select undef, undef, undef, 0.01 }')) as pod:
        found: list[list[bytes]] = []
        threads = [
            threading.Thread(target=lambda: found.append([line.text for line in pod.logs(follow=True)]))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        assert pod.wait(PATIENCE).phase == "Succeeded"
        for thread in threads:
            thread.join(PATIENCE)
        assert found == [[b"%d" % n for n in range(1, 21)]] * 3


def test_logs_are_plain_files(world: World) -> None:
    with world.ready(READY) as pod:
        assert subprocess.run(
            ["cat", f"{pod.log_directory}/c0/0.log"], capture_output=True, check=True
        ).stdout.endswith(b" stdout F ready\n")
