# SPDX-License-Identifier: Apache-2.0
"""Volumes, host paths, read-only roots: what a container can see, write and keep."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from podfast.errors import SpecError, StartError
from tests.pod.conftest import PATIENCE, READY, World, container, lines, pid_of

MOUNT = [{"name": "v", "mountPath": "/v"}]
DISK: list[dict[str, Any]] = [{"name": "v", "emptyDir": {}}]
MEMORY: list[dict[str, Any]] = [{"name": "v", "emptyDir": {"medium": "Memory"}}]


def host(path: str | Path, kind: str = "") -> list[dict[str, Any]]:
    return [{"name": "v", "hostPath": {"path": str(path), "type": kind}}]


@pytest.mark.parametrize("volumes", [DISK, MEMORY], ids=["disk", "memory"])
def test_a_volume_is_shared_by_all(world: World, volumes: list[dict[str, Any]]) -> None:
    one = container("echo from c0 > /v/x; stat -c %a /v", volumeMounts=MOUNT)
    two = container(
        "until [ -s /other/place/x ]; do sleep 0.01; done; cat /other/place/x",
        volumeMounts=[{"name": "v", "mountPath": "/other/place"}],
    )
    with world.run(one, two, volumes=volumes) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"
        assert lines(pod, "c0") == ["777"] and lines(pod, "c1") == ["from c0"]


def test_any_user_may_write_to_a_volume(world: World) -> None:
    one = container(
        "touch /v/x && stat -c %u:%g /v/x", volumeMounts=MOUNT, securityContext={"runAsUser": 1234, "runAsGroup": 99}
    )
    assert world.output(one, volumes=DISK) == ["1234:99"]


def test_the_limit_of_a_memory_volume_holds(world: World) -> None:
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    script = "head -c 3000000 /dev/zero > /v/x; echo $?; stat -c %s /v/x"
    assert world.output(container(script, volumeMounts=MOUNT), volumes=volumes)[-2:] == ["1", str(1 << 20)]


def test_a_read_only_mount(world: World) -> None:
    one = container("echo x > /v/x; echo $?", volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}])
    two = container("echo y > /v/y; echo $?", volumeMounts=MOUNT)
    with world.run(one, two, volumes=DISK) as pod:
        pod.wait(PATIENCE)
        assert lines(pod, "c0")[-1] == "2" and "Read-only" in lines(pod, "c0")[0]
        assert lines(pod, "c1") == ["0"]


def test_one_volume_at_two_places(world: World) -> None:
    mounts = [*MOUNT, {"name": "v", "mountPath": "/w", "readOnly": True}]
    assert world.output(
        container("echo x > /v/x; cat /w/x; touch /w/y 2>/dev/null || echo no", volumeMounts=mounts), volumes=DISK
    ) == ["x", "no"]


def test_a_mount_below_a_mount(world: World) -> None:
    volumes = [{"name": "outer"}, {"name": "inner"}]
    mounts = [{"name": "inner", "mountPath": "/v/deep/er"}, {"name": "outer", "mountPath": "/v"}]
    one = container(
        "touch /v/a /v/deep/er/b; ls /v; ls /v/deep/er; grep -c ' /v' /proc/self/mountinfo", volumeMounts=mounts
    )
    assert world.output(one, volumes=volumes) == ["a", "deep", "b", "2"]


def test_a_mount_over_what_the_image_has(world: World) -> None:
    one = container(
        "ls /usr/share; echo /etc/*",
        volumeMounts=[{"name": "v", "mountPath": "/usr/share"}, {"name": "v", "mountPath": "/opt"}],
    )
    written = world.output(one, volumes=DISK)
    assert written[0].startswith("/etc/")


@pytest.mark.parametrize("place", ["/dev", "/proc", "/sys", "/dev/pts"])
def test_no_volume_replaces_what_is_podfasts_own(world: World, place: str, tmp_path: Path) -> None:
    """Rule 4: it is refused, or it is not what the container sees there."""
    (tmp_path / "null").write_text("mine")
    one = container(
        "echo hidden > /dev/null; test -c /dev/null && grep -q Name /proc/self/status && ls /sys/class && echo ok",
        volumeMounts=[{"name": "v", "mountPath": place}],
    )
    with pytest.raises(SpecError, match=f"/{place.split('/')[1]}"):
        world.run(one, volumes=host(tmp_path))
    assert (tmp_path / "null").read_text() == "mine"


def test_host_directory(world: World, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from the host\n")
    one = container("cat /v/in; echo to the host > /v/out", volumeMounts=MOUNT)
    assert world.output(one, volumes=host(tmp_path, "Directory")) == ["from the host"]
    assert (tmp_path / "out").read_text() == "to the host\n"


def test_host_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a file\n")
    assert world.output(container("cat /v; test -f /v", volumeMounts=MOUNT), volumes=host(tmp_path / "f", "File")) == [
        "a file"
    ]


@pytest.mark.parametrize(("kind", "test"), [("DirectoryOrCreate", "-d"), ("FileOrCreate", "-f")])
def test_host_path_that_is_made(world: World, tmp_path: Path, kind: str, test: str) -> None:
    path = tmp_path / "new"
    one = container(f"test {test} /v", volumeMounts=MOUNT)
    for _ in range(2):  # the second time it is there
        assert world.output(one, volumes=host(path, kind)) == []
    assert path.stat().st_mode & 0o777 == (0o755 if kind.startswith("D") else 0o644)


def test_host_socket(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        perl = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new('/run/s') or die $!; print $s 'hello'"
        one = container(None, command=["perl", "-e", perl], volumeMounts=[{"name": "v", "mountPath": "/run/s"}])
        assert world.output(one, volumes=host(tmp_path / "s", "Socket")) == []
        connection, _ = server.accept()
        with connection:
            assert connection.recv(10) == b"hello"


def test_host_device(world: World) -> None:
    one = container("head -c 4 /v | od -An -tx1; test -c /v", volumeMounts=MOUNT)
    assert world.output(one, volumes=host("/dev/zero", "CharDevice")) == [" 00 00 00 00"]


def test_a_device_in_a_plain_volume_does_not_work(world: World) -> None:
    one = container(
        "mknod /v/zero c 1 5; head -c 4 /v/zero; echo $?",
        volumeMounts=MOUNT,
        securityContext={"capabilities": {"add": ["MKNOD"]}},
    )
    assert world.output(one, volumes=DISK)[-1] == "1"


def test_what_is_mounted_below_a_host_path_comes_along(world: World) -> None:
    assert (
        world.output(
            container("test -c /v/null; stat -f -c %T /v/shm", volumeMounts=MOUNT), volumes=host("/dev", "Directory")
        )
        != []
    )


def test_set_id_programs_on_volumes(world: World, tmp_path: Path) -> None:
    """A container could make a user of the host root with one: its directory is out of reach of the host's users."""
    with world.ready(container(READY, volumeMounts=MOUNT), volumes=DISK) as pod:
        state = pod._supervised.names.state_directory
        assert os.stat(state).st_mode & 0o077 == 0
    del tmp_path


def test_volumes_survive_their_containers_and_go_with_the_pod(world: World) -> None:
    with world.run(
        container("echo x >> /v/x; exit 1", volumeMounts=MOUNT),
        policy="Always",
        options={"back-off-initial": "10ms"},
        volumes=DISK,
    ) as pod:
        path = f"{pod._supervised.names.state_directory}/v0/x"
        world.engine.drive(lambda: os.path.exists(path) and os.path.getsize(path) >= 6, PATIENCE)
    assert not os.path.exists(path)


def test_a_read_only_root(world: World) -> None:
    one = container(
        "touch /x; echo $?; touch /tmp/x; echo $?; touch /etc/x; echo $?; touch /v/x; echo $?", volumeMounts=MOUNT
    )
    one["securityContext"] = {"readOnlyRootFilesystem": True}
    assert [line for line in world.output(one, volumes=DISK) if line.isdigit()] == ["1", "1", "1", "0"]


def test_a_read_only_root_on_mount_points_that_exist(world: World) -> None:
    one = container(
        "touch /mnt/x && touch /opt/x; echo $?; touch /dev/shm/x; echo $?",
        volumeMounts=[{"name": "v", "mountPath": "/mnt"}],
    )
    one["securityContext"] = {"readOnlyRootFilesystem": True}
    with world.run(one, volumes=DISK) as pod:
        state = pod._supervised.names.state_directory
        assert not [name for name in os.listdir(state) if name.endswith(".u")], "it needs no writable layer"
        pod.wait(PATIENCE)
        assert [line for line in lines(pod) if line.isdigit()] == ["1", "0"]


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_the_writable_layer(world: World, where: str) -> None:
    with world.ready(
        f"echo mine > /opt/x; rm /etc/nsswitch.conf; mkdir /etc/new; {READY}", options={"writable-layer": where}
    ) as pod:
        assert (
            pod.exec("c0", ["sh", "-c", "cat /opt/x; ls -d /etc/new; ls /etc/nsswitch.conf"]).stdout
            == b"mine\n/etc/new\n"
        )
        assert os.path.exists(f"{pod._supervised.names.state_directory}/0.0.u") == (where == "disk")
    assert not os.path.exists("/opt/x")


def test_usr_is_the_hosts_and_cannot_be_written(world: World) -> None:
    written = world.output("touch /usr/x; touch /bin/x; echo $?; ls -A /usr/local/etc; ls /home /root")
    assert written[-1] in ("/root:", "1") or "1" in written
    assert not os.path.exists("/usr/x")


def test_nothing_of_the_host_is_seen(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    assert world.output(f"ls {tmp_path}/secret /etc/shadow /root/.ssh {world.roots.root} 2>/dev/null; echo $?") == ["2"]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("", "does not exist"), ("Directory", "does not exist"), ("File", "does not exist"), ("Socket", "does not exist")],
)
def test_a_missing_host_path(world: World, tmp_path: Path, kind: str, word: str) -> None:
    with pytest.raises(SpecError, match=word) as caught:
        world.run(container("true", volumeMounts=MOUNT), volumes=host(tmp_path / "nope", kind))
    assert "spec.volumes[0].hostPath.path" in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("File", "is not a file"),
        ("Socket", "is not a socket"),
        ("CharDevice", "character device"),
        ("BlockDevice", "block device"),
    ],
)
def test_a_host_path_of_another_kind(world: World, tmp_path: Path, kind: str, word: str) -> None:
    with pytest.raises(SpecError, match=word):
        world.run(container("true", volumeMounts=MOUNT), volumes=host(tmp_path, kind))


def test_all_missing_host_paths_are_told_at_once(world: World, tmp_path: Path) -> None:
    volumes = [{"name": name, "hostPath": {"path": f"{tmp_path}/{name}"}} for name in ("a", "b")]
    with pytest.raises(SpecError) as caught:
        world.run("true", volumes=volumes)
    assert len(caught.value.problems) == 2


def test_links_in_the_image_do_not_lead_out(world: World, tmp_path: Path) -> None:
    """A volume mounted through a link that a container made lands inside the container."""
    first = container("ln -sfn /etc /v/link; ln -sfn ../../../../../../../etc /v/up", volumeMounts=MOUNT)
    world.output(first, volumes=host(tmp_path))
    before = sorted(os.listdir("/etc"))
    mounts = [*MOUNT, {"name": "w", "mountPath": "/v/link"}, {"name": "w", "mountPath": "/v/up"}]
    volumes = [*host(tmp_path), {"name": "w", "emptyDir": {}}]
    try:
        world.output(container("echo x > /v/link/podfast-test; true", volumeMounts=mounts), volumes=volumes)
    except StartError:
        pass  # a refusal is as good
    assert sorted(os.listdir("/etc")) == before


def test_a_container_that_runs_has_its_volumes_when_the_host_directory_is_replaced(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    with world.ready(container(READY, volumeMounts=MOUNT), volumes=host(tmp_path / "d")) as pod:
        (tmp_path / "d").rename(tmp_path / "e")
        (tmp_path / "e" / "x").write_text("still here")
        assert pod.exec("c0", ["cat", "/v/x"]).stdout == b"still here"
        assert pid_of(pod)
