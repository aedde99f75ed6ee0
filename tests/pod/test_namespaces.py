# SPDX-License-Identifier: Apache-2.0
"""What the containers of a pod share, and what each has of its own."""

from __future__ import annotations

import os

import pytest

from podfast.pod import Pod
from tests.pod.conftest import (
    PATIENCE,
    READY,
    STAYS,
    World,
    children,
    container,
    kill,
    lines,
    parent,
    pause_of,
    pid_of,
    shim_of,
    terminated,
    until,
)

# A container waits for what another one does.
WAIT = "until [ -e /v/{0} ]; do sleep 0.01; done"
VOLUME = [{"name": "v", "emptyDir": {}}]
MOUNT = [{"name": "v", "mountPath": "/v"}]


def spaces(pid: int) -> dict[str, str]:
    return {
        kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "ipc", "uts", "pid", "mnt", "cgroup", "user")
    }


def test_net_ipc_and_uts_are_the_pods(world: World) -> None:
    with world.run(STAYS, STAYS) as pod:
        one, two, pause, own = (
            spaces(pid_of(pod, "c0")),
            spaces(pid_of(pod, "c1")),
            spaces(pause_of(pod)),
            spaces(os.getpid()),
        )
        for kind in ("net", "ipc", "uts"):
            assert one[kind] == two[kind] == pause[kind] != own[kind]
        for kind in ("pid", "mnt", "cgroup"):
            assert len({one[kind], two[kind], pause[kind], own[kind]}) >= 3, kind
            assert own[kind] not in (one[kind], two[kind])


def test_containers_meet_on_localhost(world: World) -> None:
    server = (
        "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1:80', Listen => 1) or die $@;"
        "open F, '>', '/v/up'; close F; my $c = $s->accept; print $c 'hello'"
    )
    client = (
        "use IO::Socket::INET; select undef, undef, undef, 0.01 until -e '/v/up';"
        "my $s = IO::Socket::INET->new('localhost:80') or die $@; print <$s>"
    )
    one, two = (container(None, command=["perl", "-e", text], volumeMounts=MOUNT) for text in (server, client))
    with world.run(one, two, volumes=VOLUME) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"
        assert lines(pod, "c1") == ["hello"]


def test_there_is_only_a_loopback(world: World) -> None:
    written = world.output("cat /proc/net/dev; cat /sys/class/net/lo/operstate; ls /sys/class/net")
    assert written[-1] == "lo" and all("lo:" in line or "|" in line for line in written[:-2])


def test_ipv6_and_ping_without_capability(world: World) -> None:
    perl = (
        "use Socket qw(:DEFAULT inet_pton); socket(S, PF_INET6, SOCK_STREAM, 0) or die $!;"
        "bind(S, pack_sockaddr_in6(0, inet_pton(AF_INET6, '::1'))) or die $!;"
        "socket(P, PF_INET, SOCK_DGRAM, 1) or die $!; print 'fine'"
    )
    one = container(
        None, command=["perl", "-e", perl], securityContext={"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}}
    )
    assert world.output(one) == ["fine"]


def test_system_v_memory_is_shared(world: World) -> None:
    write = "my $m = shmget(4711, 64, 01666) // die $!; shmwrite($m, 'seen', 0, 4); open F, '>', '/v/up'; close F"
    read = (
        "select undef, undef, undef, 0.01 until -e '/v/up';"
        "my $m = shmget(4711, 64, 0) // die $!; shmread($m, my $b, 0, 4); print $b"
    )
    one, two = (container(None, command=["perl", "-e", text], volumeMounts=MOUNT) for text in (write, read))
    with world.run(one, two, volumes=VOLUME) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"
        assert lines(pod, "c1") == ["seen"]


def test_dev_shm_and_message_queues_are_shared(world: World) -> None:
    one = container(f"echo 1 > /dev/shm/x; touch /v/up; {WAIT.format('down')}", volumeMounts=MOUNT)
    two = container(
        f"{WAIT.format('up')}; cat /dev/shm/x; stat -f -c %T /dev/mqueue; touch /v/down", volumeMounts=MOUNT
    )
    with world.run(one, two, volumes=VOLUME) as pod:
        assert pod.wait(PATIENCE).phase == "Succeeded"
        assert lines(pod, "c1") == ["1", "mqueue"]


def test_the_hostname_is_the_pods_name(world: World) -> None:
    script = "hostname; cat /etc/hostname; grep -c 127.0.0.1 /etc/hosts; getent hosts test | cut -d' ' -f1"
    written = world.output(script)
    assert written[:3] == ["test", "test", "1"] and written[3] in ("127.0.0.1", "::1")


def test_a_long_name_is_cut_for_the_host_name(world: World) -> None:
    name = "a" * 60 + ".example.org"
    assert world.output("hostname", name=name) == [name[:63]]


def test_each_container_is_pid_1_of_its_own(world: World) -> None:
    script = "echo $PPID; read pid rest < /proc/self/stat; echo $pid; ls -d /proc/[0-9]* | wc -l"
    with world.run(script, script) as pod:
        pod.wait(PATIENCE)
        for name in pod.containers:
            # sh reads its own file; afterwards sh, ls and wc are there, and nobody else.
            assert lines(pod, name)[:2] == ["0", "1"] and int(lines(pod, name)[2]) <= 3


def test_mounts_stay_inside(world: World) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        before = file.read()
    security = {"privileged": True}
    with world.ready(container(f"mount -t tmpfs x /mnt; {READY}", securityContext=security), READY) as pod:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            assert file.read() == before
        assert pod.exec("c0", ["stat", "-f", "-c", "%T", "/mnt"]).stdout == b"tmpfs\n"
        assert pod.exec("c1", ["stat", "-f", "-c", "%T", "/mnt"]).stdout != b"tmpfs\n"


def test_a_container_sees_no_host_mounts(world: World) -> None:
    roots = [line.split()[4] for line in world.output("cat /proc/self/mountinfo")]
    assert all(point == "/" or point.split("/")[1] in ("usr", "dev", "proc", "sys", "etc") for point in roots), roots


def test_files_written_by_one_are_not_seen_by_another(world: World) -> None:
    with world.ready(f"echo x > /tmp/x; {READY}", READY) as pod:
        assert pod.exec("c0", ["cat", "/tmp/x"]).stdout == b"x\n"
        assert pod.exec("c1", ["cat", "/tmp/x"]).exit_code == 1


def test_shared_pids_with_pause_as_pid_1(world: World) -> None:
    with world.ready(READY, READY, shareProcessNamespace=True) as pod:
        one, two, pause = spaces(pid_of(pod, "c0")), spaces(pid_of(pod, "c1")), spaces(pause_of(pod))
        assert (
            one["pid"]
            == two["pid"]
            == os.readlink(f"/proc/{pause_of(pod)}/ns/pid_for_children")
            != spaces(shim_of(pod))["pid"]
        )
        assert pod.exec("c0", ["cat", "/proc/1/comm"]).stdout == b"podfast-pause\n"
        listed = pod.exec("c0", ["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout.decode().split()
        assert listed.count("podfast-pause") == 1 and listed.count("sleep") == 2
        assert pause["mnt"] != one["mnt"]


def test_pause_reaps_orphans(world: World) -> None:
    """A shared pid namespace has one reaper, and it is not the application."""
    with world.ready("(sh -c 'sleep 0.02 & exec true') & wait; " + READY, shareProcessNamespace=True) as pod:
        command = ["sh", "-c", "cat /proc/[0-9]*/stat"]
        # A short sleep and its parent are gone, and nothing is a zombie.
        until(
            lambda: " Z " not in (text := pod.exec("c0", command).stdout.decode()) and text.count("(sleep)") == 1,
            "the reaper",
            2,
        )


def test_a_container_takes_its_children_along_in_shared_pids(world: World) -> None:
    """Without a pid namespace of its own the container's cgroup says who belongs to it."""
    with world.ready(
        "setsid sleep 1234 & setsid sleep 1235 & echo ready; sleep 0.05; exit 0", READY, shareProcessNamespace=True
    ) as pod:
        world.engine.drive(lambda: pod.status.container_statuses[0].state.terminated is not None, PATIENCE)
        until(
            lambda: (
                "sleep 123"
                not in pod.exec("c1", ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).stdout.decode()
            ),
            "their end",
            2,
        )


def restarted(world: World, pod: Pod, n: int) -> None:
    def done() -> bool:
        container = pod._supervised.state.containers[0]
        return container.restart_count == n and container.running

    world.engine.drive(done, PATIENCE)


def test_a_killed_container_is_restarted_beside_the_same_pause(world: World) -> None:
    options = {"back-off-initial": "20ms"}
    with world.ready(READY, READY, shareProcessNamespace=True, policy="Always", options=options) as pod:
        pause, other = pause_of(pod), pid_of(pod, "c1")
        for n in range(1, 4):
            kill(pid_of(pod))
            restarted(world, pod, n)
            assert pod.exec("c0", ["true"]).exit_code == 0
        assert (pause_of(pod), pid_of(pod, "c1")) == (pause, other) and pod.containers["c1"].restart_count == 0


def test_daemons_die_with_their_container(world: World) -> None:
    with world.ready("setsid sleep 1236 & echo ready; exec sleep 0.2") as pod:
        child = next((pid for name, pid in children(pid_of(pod)).items() if name in ("sleep", "setsid")), 0)
        pod.wait(PATIENCE)
        assert terminated(pod).exit_code == 0
        if child:
            until(lambda: not os.path.exists(f"/proc/{child}"))


def test_the_shim_is_nobodys_child_here(world: World) -> None:
    with world.run(STAYS) as pod:
        assert parent(shim_of(pod)) != os.getpid()
        assert parent(pid_of(pod)) == parent(pause_of(pod)) == shim_of(pod)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("shared", [False, True])
def test_the_pod_dies_with_pause(world: World, shared: bool) -> None:
    with world.ready(READY, READY, shareProcessNamespace=shared, policy="Always") as pod:
        pids = [pid_of(pod, name) for name in pod.containers]
        kill(pause_of(pod))
        status = pod.wait(PATIENCE)
        assert (status.phase, status.reason) == ("Failed", "SandboxChanged")
        assert [terminated(pod, index).exit_code for index in range(2)] == [137, 137]
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
