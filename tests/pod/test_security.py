# SPDX-License-Identifier: Apache-2.0
"""Users, capabilities, privileges, limits: what a container may do, and how much."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from podfast.errors import SpecError, Unsupported
from podfast.plan import Hierarchy
from podfast.plan.capabilities import mask
from podfast.spec.model import Capabilities, SecurityContext
from tests.pod.conftest import PATIENCE, READY, STAYS, World, container, lines, pid_of

DEFAULT = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10)


def secured(script: str, **context: Any) -> dict[str, Any]:
    return container(script, securityContext=context)


def capabilities(world: World, **context: Any) -> dict[str, int]:
    written = world.output(secured("cat /proc/self/status", **context))
    return {line[3:6]: int(line.split()[1], 16) for line in written if line.startswith("Cap")}


def test_root_has_the_default_nine(world: World) -> None:
    assert capabilities(world) == {"Inh": 0, "Prm": DEFAULT, "Eff": DEFAULT, "Bnd": DEFAULT, "Amb": 0}


def test_a_user_has_none_but_the_bounding_set(world: World) -> None:
    assert capabilities(world, runAsUser=1000) == {"Inh": 0, "Prm": 0, "Eff": 0, "Bnd": DEFAULT, "Amb": 0}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"drop": ["ALL"]}, 0),
        ({"drop": ["ALL"], "add": ["NET_RAW"]}, 1 << 13),
        ({"drop": ["KILL"]}, DEFAULT & ~(1 << 5)),
        ({"add": ["NET_ADMIN"]}, DEFAULT | 1 << 12),
    ],
)
def test_added_and_dropped(world: World, change: dict[str, list[str]], wanted: int) -> None:
    found = capabilities(world, capabilities=change)
    assert found["Prm"] == found["Eff"] == found["Bnd"] == wanted and found["Amb"] == found["Inh"] == 0


def test_all_means_what_podfast_has(world: World) -> None:
    assert capabilities(world, capabilities={"add": ["ALL"]})["Eff"] == world.engine.ground.facts.capabilities


def test_what_podfast_lacks_cannot_be_given() -> None:
    """Asked for by name it is an error; ALL and privileged take what there is."""
    available = DEFAULT
    with pytest.raises(Unsupported, match="SYS_ADMIN"):
        mask(SecurityContext(capabilities=Capabilities(add=("SYS_ADMIN",))), available)
    assert mask(SecurityContext(capabilities=Capabilities(add=("ALL",))), available) == available
    assert mask(SecurityContext(privileged=True), available) == available


def test_user_and_group(world: World) -> None:
    script = "id -u; id -g; id -G"
    assert world.output(secured(script, runAsUser=1234, runAsGroup=567)) == ["1234", "567", "567"]
    assert world.output(secured(script, runAsUser=1234)) == ["1234", "0", "0"]
    assert world.output(secured(script)) == ["0", "0", "0"]


def test_a_containers_user_wins_over_the_pods(world: World) -> None:
    script = "id -u; id -g"
    both = {"runAsUser": 1000, "runAsGroup": 1001}
    with world.run(
        script, secured(script, runAsUser=2000), secured(script, runAsUser=0, runAsGroup=0), securityContext=both
    ) as pod:
        pod.wait(PATIENCE)
        assert [lines(pod, name) for name in pod.containers] == [["1000", "1001"], ["2000", "1001"], ["0", "0"]]


def test_a_user_can_use_its_streams(world: World) -> None:
    script = "echo out > /dev/stdout; echo err > /dev/stderr; echo again > /proc/self/fd/1; read x; echo $?"
    assert sorted(world.output(secured(script, runAsUser=1000, runAsGroup=1000))) == ["1", "again", "err", "out"]


def test_no_new_privileges(world: World) -> None:
    script = "grep NoNewPrivs /proc/self/status"
    assert world.output(secured(script, allowPrivilegeEscalation=False))[0].split() == ["NoNewPrivs:", "1"]
    assert world.output(secured(script))[0].split() == ["NoNewPrivs:", "0"]


def test_the_filter_is_on_and_can_be_taken_off(world: World) -> None:
    script = "grep Seccomp: /proc/self/status; unshare --user true; echo $?"
    assert [line.split()[-1] for line in world.output(script)][::2][0] == "2"
    assert world.output(script)[-1] != "0"
    assert world.output(script, options={"seccomp": "unconfined"})[0].split() == ["Seccomp:", "0"]
    assert world.output(secured("grep Seccomp: /proc/self/status", privileged=True))[0].split() == ["Seccomp:", "0"]


def test_mount_is_refused_even_to_root(world: World) -> None:
    assert world.output(
        "exec 2>/dev/null; mount -t tmpfs x /mnt; echo $?; chroot / true; echo $?; mknod /tmp/x b 1 1; echo $?"
    ) == ["32", "125", "1"]


def test_what_is_masked_and_read_only(world: World) -> None:
    script = (
        "head -c1 /proc/kcore; head -c1 /proc/keys; head -c1 /proc/timer_list; ls /sys/firmware; "
        "echo x > /proc/sys/kernel/hostname; echo x > /proc/sysrq-trigger; "
        "touch /sys/x; touch /sys/fs/cgroup/x; echo end"
    )
    written = world.output(script)
    assert written[-1] == "end" and all(
        "Read-only" in line or "Permission denied" in line or "cannot" in line for line in written[:-1]
    ), written


def test_devices(world: World) -> None:
    written = world.output(
        "cd /dev; ls; head -c2 urandom | wc -c; echo > null; tty; test -c ptmx && test -w ptmx; echo $?"
    )
    names = {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "ptmx",
        "pts",
        "shm",
        "mqueue",
        "fd",
        "stdin",
        "stdout",
        "stderr",
    }
    assert set(written[:-3]) == names and written[-3:] == ["2", "not a tty", "0"]


def test_privileged_sees_the_hosts_devices(world: World) -> None:
    devices = {
        os.path.basename(name.split()[-1]) for name in world.engine.ground.facts.devices if "/" not in name.split()[-1]
    }
    with world.run(
        secured(
            "ls /dev; mount -t tmpfs x /mnt && echo mounted; test -w /sys/kernel && echo writable", privileged=True
        ),
        "ls /dev",
    ) as pod:
        pod.wait(PATIENCE)
        assert devices <= set(lines(pod, "c0")) and {"mounted"} <= set(lines(pod, "c0"))
        assert "mem" not in lines(pod, "c1") and "kmsg" not in lines(pod, "c1")


def test_the_session_keyring_is_its_own(world: World) -> None:
    with world.ready(READY, READY) as pod:
        rings = [pod.exec(name, ["cat", "/proc/self/status"]).exit_code for name in pod.containers]
        assert rings == [0, 0]
        # /proc/keys is masked in the container; the kernel's own list, read here, has one new ring for each process.
        assert pid_of(pod, "c0") != pid_of(pod, "c1")


def test_dumpable_processes_of_podfast_are_not_seen(world: World) -> None:
    """A container that shares the pod's pids sees pause, and learns nothing from it."""
    with world.ready(READY, shareProcessNamespace=True) as pod:
        result = pod.exec(
            "c0",
            [
                "sh",
                "-c",
                "cd /proc/1; ls -A root/ 2>/dev/null; ls fd | wc -l; cat environ; grep CapEff status",
            ],
        )
        written = result.stdout.decode().split("\n")
        assert "pod" not in written and "host" not in written
        assert "CapEff:\t0000000000000000" in written


# ---- limits ----


def group_file(world: World, pid: int, controller: str, name: str) -> str | None:
    """What a file of a process's cgroup holds; None where this host has no such controller."""
    for hierarchy in world.engine.ground.facts.hierarchies:
        if controller in hierarchy.controllers:
            with open(f"{_group(hierarchy, pid)}/{name}", encoding="ascii") as file:
                return file.read().strip()
    return None


def _group(hierarchy: Hierarchy, pid: int) -> str:
    point = f"/sys/fs/cgroup/{hierarchy.name}".rstrip("/")
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        for line in file:
            number, controllers, path = line.strip().split(":", 2)
            if (number == "0" and hierarchy.v2) or (
                set(controllers.split(",")) & hierarchy.controllers and not hierarchy.v2
            ):
                return point + path
    raise AssertionError(hierarchy)


def has(world: World, controller: str) -> Hierarchy:
    for hierarchy in world.engine.ground.facts.hierarchies:
        if controller in hierarchy.controllers:
            return hierarchy
    pytest.skip(f"this host has no {controller} controller")


def test_cpu_limits_and_requests_are_written(world: World) -> None:
    hierarchy = has(world, "cpu")
    one = container(STAYS, resources={"limits": {"cpu": "250m"}, "requests": {"cpu": "100m"}})
    with world.run(one) as pod:
        pid = pid_of(pod)
        if hierarchy.v2:
            assert group_file(world, pid, "cpu", "cpu.max") == "25000 100000"
            assert group_file(world, pid, "cpu", "cpu.weight") == "4"
        else:
            assert group_file(world, pid, "cpu", "cpu.cfs_quota_us") == "25000"
            assert group_file(world, pid, "cpu", "cpu.shares") == "102"


def test_a_cpu_limit_holds(world: World) -> None:
    has(world, "cpu")
    one = container("while :; do :; done", resources={"limits": {"cpu": "100m"}})
    with world.run(one) as pod:
        pid = pid_of(pod)
        time.sleep(0.1)
        before, begin = used(pid), time.monotonic()
        time.sleep(0.6)
        share = (used(pid) - before) / (time.monotonic() - begin)
        assert share < 0.2, share


def used(pid: int) -> float:
    """Seconds of processor time."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_memory_limit_is_written(world: World) -> None:
    hierarchy = has(world, "memory")
    with world.run(container(STAYS, resources={"limits": {"memory": "64Mi"}})) as pod:
        name = "memory.max" if hierarchy.v2 else "memory.limit_in_bytes"
        assert group_file(world, pid_of(pod), "memory", name) == str(64 << 20)


def test_a_container_sees_its_own_limit(world: World) -> None:
    """The cgroup view: programs that size themselves by it must find theirs, not the machine's."""
    hierarchy = has(world, "memory")
    name = "memory.max" if hierarchy.v2 else "memory/memory.limit_in_bytes"
    one = container(f"cat /sys/fs/cgroup/{name}; cat /proc/self/cgroup", resources={"limits": {"memory": "64Mi"}})
    written = world.output(one)
    assert written[0] == str(64 << 20)
    own = [line for line in written[1:] if ":memory:" in line or (hierarchy.v2 and line.startswith("0::"))]
    assert own and own[0].endswith(":/")


def test_processes_are_limited(world: World) -> None:
    has(world, "pids")
    with world.run(STAYS) as pod:
        value = group_file(world, pid_of(pod), "pids", "pids.max")
        assert value == "2048"
    # Seen from inside: a fork bomb ends at the limit, and the pod can still be stopped.
    bomb = container(
        "perl -e 'while (defined(my $p = fork)) { if (!$p) { sleep 1000 } last if ++$n > 5000 } print \"$n\\n\"';"
        "echo over; sleep 1000"
    )
    with world.ready(bomb) as pod:
        assert 1000 < int(lines(pod)[0]) < 2048
        begin = time.monotonic()
        pod.kill()
        assert time.monotonic() - begin < 5


def test_limits_need_their_controller(world: World) -> None:
    with pytest.raises(SpecError):
        world.run(container("true", resources={"limits": {"cpu": "-1"}}))
