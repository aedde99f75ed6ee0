# SPDX-License-Identifier: Apache-2.0
"""The leak check finds a seeded leak of every kind, says what it is, and is content once it is gone."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.machinery import cgroups, isolation, kernel, leaks
from tests.machinery.leaks import LeakCheck, LeakError
from tests.machinery.roots import Roots

Seed = Callable[[Roots], AbstractContextManager[str]]
"""Leaves something behind, yields what the report must say of it, and takes it away again."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make the leak")


@contextlib.contextmanager
def process(_: Roots) -> Iterator[str]:
    with subprocess.Popen(("sleep", "1000")) as child:
        yield f"{child.pid} sleep"
        child.kill()


@contextlib.contextmanager
def orphan(_: Roots) -> Iterator[str]:
    """Reparented, in a session and namespaces of its own, with an emptied environment."""
    command = "exec setsid env -i unshare --pid --net --mount --ipc --uts --fork sh -c 'exec sleep 1001'"
    script = f"{command} >/dev/null & echo $!"
    parent = int(subprocess.run(("sh", "-c", script), stdout=subprocess.PIPE, text=True, check=True).stdout)
    wait_for(lambda: "sleep 1001" in children_of(parent).values())
    yield f"(state S, parent {parent}) sleep 1001"
    for pid in (parent, *children_of(parent)):
        kernel.kill(pid)


@contextlib.contextmanager
def namespaces_of_an_orphan(roots: Roots) -> Iterator[str]:
    with orphan(roots):
        yield "net:["


@contextlib.contextmanager
def zombie(_: Roots) -> Iterator[str]:
    child = subprocess.Popen(("true",))
    wait_for(lambda: kernel.stat_fields(child.pid)[:1] == ["Z"])
    yield f"{child.pid} true, not reaped by {os.getpid()}"
    child.wait()


@contextlib.contextmanager
def mounted(roots: Roots) -> Iterator[str]:
    kernel.mount("podfast-seed", roots.root, "tmpfs")
    yield f"tmpfs podfast-seed (root /) on {roots.root}"
    kernel.unmount(roots.root)


@contextlib.contextmanager
def namespace_mount(roots: Roots) -> Iterator[str]:
    """A network that only a bind mount keeps."""
    path = f"{roots.root}/images"
    Path(path).touch()
    script = 'mount --bind /proc/self/ns/net "$1" && readlink /proc/self/ns/net'
    command = ("unshare", "--net", "sh", "-c", script, "sh", path)
    name = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    yield f"{name} held by a mount on {path}"
    kernel.unmount(path)
    os.unlink(path)


@contextlib.contextmanager
def namespace_descriptor(_: Roots) -> Iterator[str]:
    """A network that only a descriptor of the test keeps."""
    command = ("unshare", "--net", "sh", "-c", "echo; read x")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        descriptor = os.open(f"/proc/{child.pid}/ns/net", os.O_RDONLY)
        child.kill()
    yield f"held by descriptor {descriptor} of process {os.getpid()}"
    os.close(descriptor)


@contextlib.contextmanager
def cgroup(_: Roots) -> Iterator[str]:
    path = f"{cgroups.hierarchies()[-1]}/podfast-seed-{os.getpid()}"
    os.mkdir(path)
    yield f"{path} (empty)"
    os.rmdir(path)


@contextlib.contextmanager
def link(_: Roots) -> Iterator[str]:
    ip("link", "add", "pfseed0", "type", "veth", "peer", "name", "pfseed1")
    yield "pfseed1"
    ip("link", "del", "pfseed0")


@contextlib.contextmanager
def address(_: Roots) -> Iterator[str]:
    ip("addr", "add", "10.197.3.1/32", "dev", "lo")
    yield "10.197.3.1/32 on lo"
    ip("addr", "del", "10.197.3.1/32", "dev", "lo")


@contextlib.contextmanager
def route(_: Roots) -> Iterator[str]:
    ip("route", "add", "10.197.4.0/24", "dev", "lo")
    yield "10.197.4.0/24 dev lo table 254"
    ip("route", "del", "10.197.4.0/24", "dev", "lo")


@contextlib.contextmanager
def rule(_: Roots) -> Iterator[str]:
    ip("rule", "add", "from", "10.197.5.1", "table", "77")
    yield "rule family 2"
    ip("rule", "del", "from", "10.197.5.1", "table", "77")


@contextlib.contextmanager
def nft_table(_: Roots) -> Iterator[str]:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    if nft is None:
        pytest.skip("nft is not installed")
    text = "add table inet pfseed; add chain inet pfseed c; add rule inet pfseed c tcp dport 4711 counter accept"
    if subprocess.run((nft, text), check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this kernel has no nftables")
    yield "table inet pfseed: tcp dport 4711 counter accept"
    subprocess.run((nft, "delete table inet pfseed"), check=True)


@contextlib.contextmanager
def lease(roots: Roots) -> Iterator[str]:
    path = f"{roots.runroot}/lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield f"FLOCK WRITE by {os.getpid()} on {path}"
    os.close(descriptor)


@contextlib.contextmanager
def descriptor(_: Roots) -> Iterator[str]:
    made = os.open("/dev/zero", os.O_RDONLY)
    yield f"{made} -> /dev/zero"
    os.close(made)


@contextlib.contextmanager
def connection(_: Roots) -> Iterator[str]:
    with socket.socket() as made:
        yield f"{made.fileno()} -> socket:["


@contextlib.contextmanager
def thread(_: Roots) -> Iterator[str]:
    end = threading.Event()
    made = threading.Thread(target=end.wait, name="seed")
    made.start()
    yield f"{made.native_id} seed"
    end.set()
    made.join()


@contextlib.contextmanager
def bpf_map(_: Roots) -> Iterator[str]:
    attributes = struct.pack("6I", 2, 4, 8, 1, 0, 0) + bytes(4) + b"pfseed\0"  # an array of one element
    try:
        made = kernel.bpf(0, ctypes.create_string_buffer(attributes, 256))
    except OSError as error:
        pytest.skip(f"this kernel makes no BPF maps: {error}")
    yield "pfseed"
    os.close(made)


@contextlib.contextmanager
def file(roots: Roots) -> Iterator[str]:
    path = Path(roots.runroot, "pods", "ab" * 32)
    path.mkdir(parents=True)
    (path / "status.json").write_text("{}")
    yield f"{path}/status.json (2 bytes)"
    shutil.rmtree(path)


@contextlib.contextmanager
def odd_file(roots: Roots) -> Iterator[str]:
    path = Path(roots.root, "core.1")
    path.touch()
    yield f"{path} (0 bytes)"
    path.unlink()


@contextlib.contextmanager
def trash(roots: Roots) -> Iterator[str]:
    path = Path(roots.root, "trash", "x")
    path.mkdir(parents=True)
    yield f"{path}/"
    shutil.rmtree(path)


SEEDS: tuple[tuple[str, Seed], ...] = (
    ("processes", process), ("processes", orphan), ("zombies", zombie), ("mounts", mounted),
    ("namespaces", namespaces_of_an_orphan), ("namespaces", namespace_mount), ("namespaces", namespace_descriptor),
    ("cgroups", cgroup), ("links", link), ("addresses", address), ("routes", route), ("routes", rule),
    ("nft", nft_table), ("locks", lease), ("descriptors", descriptor), ("descriptors", connection),
    ("threads", thread), ("bpf", bpf_map), ("files", file), ("files", odd_file), ("trash", trash),
)  # fmt: skip


@needs_root
@pytest.mark.parametrize(("kind", "seed"), SEEDS, ids=[f"{kind}-{seed.__name__}" for kind, seed in SEEDS])
def test_a_seeded_leak_is_found_by_name(kind: str, seed: Seed, roots: Roots) -> None:
    check = LeakCheck(roots)
    with seed(roots) as said:
        found = check.wait(timeout=0.2)
        assert any(leak.kind == kind and said in leak.what for leak in found), [str(leak) for leak in found]
    check.check()


def test_every_kind_has_a_seed() -> None:
    assert {kind for kind, _ in SEEDS} == set(leaks.KINDS)


def test_nothing_is_found_where_nothing_is(roots: Roots) -> None:
    check = LeakCheck(roots)
    subprocess.run(("true",), check=True)
    for name in ("pods", "names", "images/x"):
        os.makedirs(f"{roots.root}/{name}")
    assert check.leaks(ignore=leaks.SHARED) == []


def test_what_goes_in_time_is_no_leak(roots: Roots) -> None:
    check = LeakCheck(roots)
    child = subprocess.Popen(("sleep", "1000"))

    def end() -> None:
        child.kill()
        child.wait()

    threading.Timer(0.1, end).start()
    started = time.monotonic()
    check.check()
    assert 0.1 <= time.monotonic() - started < 1


def test_the_report_names_everything(roots: Roots) -> None:
    check = LeakCheck(roots)
    with process(roots) as one, descriptor(roots) as two, pytest.raises(LeakError) as caught:
        check.check(timeout=0.05)
    assert one in str(caught.value) and two in str(caught.value)


def test_what_is_expected_passes(roots: Roots) -> None:
    check = LeakCheck(roots)
    check.expect("descriptors", "-> /dev/zero$")
    with descriptor(roots):
        assert check.leaks(ignore=leaks.SHARED) == []


def test_a_watched_directory_must_be_as_it_was(roots: Roots, tmp_path: Path) -> None:
    check = LeakCheck(roots)
    (tmp_path / "old").touch()
    check.watch(str(tmp_path))
    assert check.leaks(ignore=leaks.SHARED) == []
    (tmp_path / "new").touch()
    assert [leak.what for leak in check.leaks(ignore=leaks.SHARED)] == [f"{tmp_path}/new (0 bytes)"]


@needs_root
def test_other_peoples_processes_and_cgroups_are_not_ours(roots: Roots) -> None:
    """Theirs do not carry the mark. (They would not descend from this process either.)"""
    check = LeakCheck(roots)
    path = f"{cgroups.hierarchies()[-1]}/podfast-other-{os.getpid()}"
    os.mkdir(path)
    script = f"ulimit -q 12345; setsid sleep 1003 >/dev/null & echo $! > {path}/cgroup.procs; echo $!"
    pid = int(subprocess.run(("bash", "-c", script), stdout=subprocess.PIPE, text=True, check=True).stdout)
    try:
        assert check.wait(timeout=0.2) == []
    finally:
        kernel.kill(pid)
        wait_for(lambda: not kernel.stat_fields(pid))
        os.rmdir(path)


@needs_root
def test_the_session_has_its_own_mounts_and_network(roots: Roots) -> None:
    del roots
    assert isolation.own_mounts() and isolation.own_network()
    assert os.readlink("/proc/thread-self/ns/net") != os.readlink(f"/proc/{os.getppid()}/ns/net")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def wait_for(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def children_of(pid: int) -> dict[int, str]:
    found = {}
    for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(number)] = Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ").strip()
    return found


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True)
