# SPDX-License-Identifier: Apache-2.0
"""Rules 1 to 5 and 8 to 11: images and volumes that stand in for podfast's own, or would run in its processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfast.errors import PodfastError, StartError
from podfast.sandbox.host import MASKED
from tests.pod.conftest import PATIENCE, READY, World, container, lines, until
from tests.security.conftest import USR, Hostile

ROOT = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("target", ["/etc", "usr", "../../../../../../etc", "/proc/1/root", "nowhere"])
def test_a_link_in_the_image_for_what_is_ours(world: World, hostile: Hostile, name: str, target: str) -> None:
    """Rule 4. It is refused, and the place and all it leads to are as they were."""
    before = sorted(os.listdir("/etc"))
    one = hostile("test -c /dev/null && grep -q Name /proc/self/status && ls /sys/class", {name: target})
    with pytest.raises(StartError) as caught:
        world.run(one, volumes=[USR])
    assert caught.value.stage in ("dev", "proc", "sys") and caught.value.errno == 40
    assert sorted(os.listdir("/etc")) == before


def test_files_in_the_image_below_what_is_ours(world: World, hostile: Hostile) -> None:
    files = {"dev/null": "mine", "proc/self/status": "mine", "sys/class": "mine", "sys/fs/cgroup/x": "mine"}
    script = "test -c /dev/null && grep -q Name /proc/self/status && test -d /sys/class && ls /sys/fs/cgroup"
    assert "x" not in world.output(hostile(script, {}, files), volumes=[USR])


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "../proc", "/dev", "/dev/shm", "/sys", "/sys/fs/cgroup"])
def test_a_volume_through_a_link_of_the_image(world: World, hostile: Hostile, target: str, tmp_path: Path) -> None:
    """The mount point is harmless to read; where it leads is not."""
    one = hostile("true", {"data": target})
    one["volumeMounts"].append({"name": "v", "mountPath": "/data"})
    (tmp_path / "v").mkdir()
    with pytest.raises(StartError) as caught:
        world.run(one, volumes=[USR, {"name": "v", "hostPath": {"path": str(tmp_path / "v")}}])
    assert caught.value.stage == "volume"


@pytest.mark.parametrize("target", ["/proc/version", "/dev/null", "../dev/full"])
def test_a_generated_file_through_a_link_of_the_image(world: World, hostile: Hostile, target: str) -> None:
    with pytest.raises(StartError) as caught:
        world.run(hostile("true", {"etc/hosts": target}), volumes=[USR])
    assert caught.value.stage == "file"


def test_what_is_preloaded_or_looked_up_runs_in_nobody_of_ours(world: World, hostile: Hostile) -> None:
    """Rule 11: nothing of the image's loader or name service is read until its own program is executed."""
    files = {
        "etc/ld.so.preload": "/evil.so\n",
        "evil.so": "not an object",
        "etc/nsswitch.conf": "passwd: evil\ngroup: evil\n",
        "etc/passwd": "someone:x:4321:4322::/:/bin/sh\n",
        "etc/group": "team:x:4323:someone\n",
    }
    environment = {"LD_PRELOAD": "/evil.so", "LD_LIBRARY_PATH": "/", "LOCPATH": "/", "NLSPATH": "/%N"}
    one = hostile(
        "id -u; id -g; id -G", {}, files, user="someone", env=[f"{name}={value}" for name, value in environment.items()]
    )
    with world.run(one, volumes=[USR]) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"
        written = lines(pod)
    assert [line for line in written if "evil" not in line] == ["4321", "4322", "4322 4323"]
    assert all(line.startswith("ERROR: ld.so") for line in written if "evil" in line)


@pytest.mark.parametrize(
    "passwd", ["someone:x:" + "9" * 40 + ":1::/:/\n", "someone\n", "x" * (1 << 20), "someone:x:-1:-1::/:\n", "\0\0\0"]
)
def test_a_hostile_list_of_users(world: World, hostile: Hostile, passwd: str) -> None:
    with pytest.raises(PodfastError) as caught:
        world.run(hostile("true", {}, {"etc/passwd": passwd}, user="someone"), volumes=[USR])
    assert "someone" in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("target", ["/etc", "../../../../../../etc", "/proc/self/root/etc"])
def test_a_working_directory_through_a_link(world: World, hostile: Hostile, target: str) -> None:
    """Rule 6: getcwd starts with /, inside."""
    one = hostile("pwd -P; ls", {"w": target}, {"etc/mine": ""}, workdir="/w")
    assert world.output(one, volumes=[USR])[0] == "/etc"


SWAPPER = """
import os, sys
from tests.machinery import kernel
os.set_blocking(0, False)
print(flush=True)
while True:
    for _ in range(500):
        kernel.exchange(sys.argv[1], sys.argv[2])
    try:
        if os.read(0, 1) == b"":
            break
    except BlockingIOError:
        pass
"""


@contextlib.contextmanager
def swapped(one: Path, other: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPER, one, other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()


def test_a_mount_point_that_changes_while_it_is_used(world: World, tmp_path: Path) -> None:
    """Rule 1: in a volume somebody exchanges the directory that is the next mount point for a link out, all the time.
    The mount lands inside, or the start is refused.
    """
    shared, outside = tmp_path / "shared", tmp_path / "outside"
    (shared / "point").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_text("still here")
    (shared / "link").symlink_to("../" * 20 + str(outside)[1:])
    mounts = [{"name": "s", "mountPath": "/s"}, {"name": "w", "mountPath": "/s/point/below"}]
    volumes = [{"name": "s", "hostPath": {"path": str(shared)}}, {"name": "w", "emptyDir": {"medium": "Memory"}}]
    before = Path("/proc/self/mountinfo").read_text()
    started = refused = 0
    with swapped(shared / "point", shared / "link"):
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                with world.run(
                    container("ls -A /s/point/below /s/link/below; true", volumeMounts=mounts), volumes=volumes
                ) as pod:
                    pod.wait(PATIENCE)
                started += 1
            except StartError as error:
                if error.stage != "volume":
                    raise
                refused += 1
    assert started + refused > 5
    assert os.listdir(outside) == ["kept"], "something was made outside"
    assert Path("/proc/self/mountinfo").read_text() == before


def test_a_host_path_that_changes_while_it_is_used(world: World, tmp_path: Path) -> None:
    """A hostPath is opened once: what was checked to be a directory of the wanted kind is what is mounted."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    (good / "which").write_text("good")
    bad.write_text("which")
    one = container("test -d /v && cat /v/which", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    seen: set[str] = set()
    with swapped(good, bad):
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                with world.run(
                    one, volumes=[{"name": "v", "hostPath": {"path": str(good), "type": "Directory"}}]
                ) as pod:
                    seen.add(pod.wait(PATIENCE).phase)
            except PodfastError:
                seen.add("refused")
    assert seen <= {"Succeeded", "refused"}, seen


def test_a_container_cannot_undo_its_root(world: World) -> None:
    """Rule 2: the old root is gone, not hidden: no way up, nothing in the mount table but the container's own."""
    script = """
        cd /; cd ../../../../..; pwd; ls -di /.. / | cut -d' ' -f1 | sort -u | wc -l
        grep -c . /proc/self/mountinfo; grep -E ' (/host|/root|/tree|/pod|/vol) ' /proc/self/mountinfo
        ls -d /host /pod /tree /vol /cg 2>/dev/null; echo end
    """
    written = world.output(script)
    assert written[0] == "/" and written[1] == "1" and written[3:] == ["end"] and int(written[2]) < 60


@needs_root
def test_masks_hide(world: World) -> None:
    """Rule 5: every path that is masked and exists is an empty directory or the null device, and cannot be changed."""
    masks = world.engine.ground.facts.masks
    assert {"/proc/kcore", "/proc/keys", "/proc/kmsg", "/sys/firmware", "/sys/fs/bpf"} <= set(MASKED)
    assert set(masks) == {path for path in MASKED if os.path.lexists(path)}
    with world.ready(READY) as pod:
        for path in masks:
            kind = "d" if os.path.isdir(path) else "f" if os.path.exists(path) else ""
            script = (
                f"if [ -d {path} ]; then ls -A {path}; elif [ -e {path} ]; then "
                f"head -c 1 {path}; echo x > {path}; stat -c %t:%T {path}; fi"
            )
            result = pod.exec("c0", ["sh", "-c", script])
            if kind == "d":
                assert result.stdout == b"", path
            if kind == "f":
                assert result.stdout == b"1:3\n", (path, result)


@needs_root
def test_read_only_parts_of_proc(world: World) -> None:
    with world.ready(READY) as pod:
        for path in world.engine.ground.facts.read_only:
            if not os.path.exists(path):
                continue
            result = pod.exec(
                "c0", ["sh", "-c", f"grep -c ' {path} ro,' /proc/self/mountinfo; test -w {path}; echo $?"]
            )
            assert result.stdout == b"1\n1\n", (path, result)
        tries = (
            "sys/kernel/core_pattern",
            "sys/kernel/hostname",
            "sys/net/ipv4/ip_forward",
            "sysrq-trigger",
            "sys/vm/drop_caches",
        )
        for path in tries:
            assert pod.exec("c0", ["sh", "-c", f"echo 1 > /proc/{path}"]).exit_code != 0, path


def test_the_view_of_cgroups(world: World) -> None:
    """Rule 4: a namespace of its own, whose root is the container's group, and nothing to write, whoever asks."""
    with world.ready(READY) as pod:
        pid = pod.containers["c0"].pid
        assert os.readlink(f"/proc/{pid}/ns/cgroup") != os.readlink("/proc/self/ns/cgroup")
        script = """
            grep -v ':/$' /proc/self/cgroup
            find /sys/fs/cgroup -maxdepth 2 -writable ! -type l | head -3
            for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x 2>/dev/null && echo made $d; done
            grep -c ' /sys/fs/cgroup[^ ]* rw' /proc/self/mountinfo
        """
        first = [word for word in pod.exec("c0", ["sh", "-c", script]).stdout.decode().split("\n") if word]
        assert first[-1] == "0" and not [line for line in first if "made" in line], first


def test_labels_of_an_image_do_not_cross(world: World, hostile: Hostile) -> None:
    """Rules 8 and 9: what an archive says about itself is a file like any other."""
    files = {
        "manifest.json": '[{"Config":"config.json","Layers":[]}]',
        "config.json": '{"config":{"Labels":{"podfast.dev/init":"true","podfast.dev/seccomp":"unconfined"}}}',
        "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
    }
    one = hostile("cat /proc/1/comm; grep Seccomp: /proc/1/status; id -u; env | grep -ci label", {}, files)
    with world.run(one, volumes=[USR]) as pod:
        pod.wait(PATIENCE)
        assert [line.split()[-1] for line in lines(pod)] == ["sh", "2", "0", "0"]


def test_ids_in_paths(world: World) -> None:
    """Rule 10: whatever pod and containers are called, paths below root and run root are made of ids and numbers."""
    with world.run(container(READY, "unusual-container"), name="unusual-pod") as pod:
        until(lambda: bool(lines(pod, "unusual-container")))
        for top in (world.roots.runroot, f"{world.roots.root}/pods", f"{world.roots.root}/trash"):
            for _, folders, names in os.walk(top):
                assert not [name for name in (*folders, *names) if "unusual" in name]
