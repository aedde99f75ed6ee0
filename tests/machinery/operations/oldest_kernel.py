# SPDX-License-Identifier: Apache-2.0
"""What the core must do on the oldest kernel, with cgroup v2: mounts, joins, spawns, limits.

Prints a line for each, and ends with 1 if one fails.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import podfast
from podfast import native

STAY = "trap 'exit 0' TERM; sleep 1000 & wait"
KERNEL = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


def container(script: str, name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "host", "command": ["sh", "-c", script], **fields}


@contextmanager
def running(*containers: dict[str, Any], life: Any = "embedded", **spec: Any) -> Iterator[podfast.Pod]:
    fields = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "oldest"}, "spec": fields}
    with podfast.run(manifest, life=life, timeout=30) as pod:
        yield pod


def output(pod: podfast.Pod, *command: str) -> str:
    return pod.exec("a", list(command)).stdout.decode().strip()


def limits_are_in_the_groups() -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    with running(container(STAY, resources=limits)) as pod:
        assert output(pod, "cat", "/sys/fs/cgroup/memory.max") == str(64 << 20)
        assert output(pod, "cat", "/sys/fs/cgroup/cpu.max") == "50000 100000"
        with open(f"/sys/fs/cgroup/podfast-{pod.id}/pids.max") as file:
            assert file.read() == "2048\n"


def too_much_memory_is_told() -> None:
    hungry = container(
        "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo ${#x}", resources={"limits": {"memory": "32Mi"}}
    )
    with running(hungry) as pod:
        state = pod.wait(60).container_statuses[0].state.terminated
        assert state is not None and (state.exit_code, state.reason) == (137, "OOMKilled"), state


def a_command_joins_every_namespace() -> None:
    with running(container(STAY), container(STAY, "b")) as pod:
        kinds = ("net", "ipc", "uts", "mnt", "pid", "cgroup")
        for kind in kinds:
            inside = output(pod, "readlink", f"/proc/self/ns/{kind}")
            assert inside == os.readlink(f"/proc/{pod.containers['a'].pid}/ns/{kind}"), kind
            assert inside != os.readlink(f"/proc/self/ns/{kind}"), kind
            same = inside == os.readlink(f"/proc/{pod.containers['b'].pid}/ns/{kind}")
            assert same == (kind in ("net", "ipc", "uts")), kind
        assert output(pod, "cat", "/proc/self/cgroup").startswith("0::/x")


def the_root_is_assembled() -> None:
    read_only = container(STAY, securityContext={"readOnlyRootFilesystem": True})
    for one in (container(STAY), read_only):
        with running(one) as pod:
            mounts = output(pod, "cat", "/proc/mounts")
            kind = "overlay" if one is not read_only else "rootfs"
            assert any(line.split()[1:3] == ["/", kind] or line.split()[1] == "/" for line in mounts.splitlines()), (
                mounts
            )
            assert pod.exec("a", ["sh", "-c", "echo x > /proc/sys/kernel/hostname"]).exit_code
            assert pod.exec("a", ["sh", "-c", "echo x > /sys/fs/cgroup/cgroup.procs"]).exit_code
            assert (pod.exec("a", ["sh", "-c", "echo x > /tmp/x"]).exit_code == 0) == (one is not read_only)


def one_pid_namespace_and_pause_reaps() -> None:
    with running(container(STAY), container("(true & exec sleep 1000)", "b"), shareProcessNamespace=True) as pod:
        assert output(pod, "cat", "/proc/1/comm") == "podfast-pause"


def pause_takes_all_along() -> None:
    with running(container("trap '' TERM; while :; do sleep 1; done")) as pod:
        children = f"/sys/fs/cgroup/podfast-{pod.id}"
        assert os.path.isdir(children)
        os.kill(int(os.popen("pidof podfast-pause").read()), 9)
        assert pod.wait(10).phase == "Failed"


def builders_clone_into_a_group_and_join() -> None:
    os.mkdir("/sys/fs/cgroup/builders")
    group = os.open("/sys/fs/cgroup/builders", os.O_RDONLY | os.O_DIRECTORY)
    pid, pidfd = native.clone(["/bin/sleep", "1000"], [], namespaces=native.NEWNET | native.NEWPID, cgroup_fd=group)
    with open(f"/proc/{pid}/cgroup") as file:
        assert file.read() == "0::/builders\n"
    joined, other = native.clone(
        ["/bin/readlink", "/proc/self/ns/net"], [], join_pidfd=pidfd, join=native.NEWNET | native.NEWPID
    )
    assert joined and select.select([other], [], [], 10)[0] and native.wait(other) == 0
    os.kill(pid, 9)
    assert select.select([pidfd], [], [], 10)[0] and native.wait(pidfd) == 9
    os.rmdir("/sys/fs/cgroup/builders")


def a_served_pod_survives_its_shim() -> None:
    with running(container("sleep 2; exit 3"), life="served") as pod:
        before = pod.containers["a"].pid
        os.kill(int(os.popen("pidof podfast-shim").read().split()[0]), 9)
        time.sleep(0.5)
        assert pod.containers["a"].pid == before
        state = pod.wait(20).container_statuses[0].state.terminated
        wanted = (3, "Error") if KERNEL >= (6, 15) else (137, "ContainerStatusUnknown")
        assert state is not None and (state.exit_code, state.reason) == wanted, state


CHECKS: tuple[Callable[[], None], ...] = (
    limits_are_in_the_groups,
    too_much_memory_is_told,
    a_command_joins_every_namespace,
    the_root_is_assembled,
    one_pid_namespace_and_pause_reaps,
    pause_takes_all_along,
    builders_clone_into_a_group_and_join,
    a_served_pod_survives_its_shim,
)


def main() -> int:
    failed = 0
    for check in CHECKS:
        try:
            check()
            print("ok", check.__name__, flush=True)
        except Exception as error:  # each is told, and the others still run
            failed = 1
            print("FAILED", check.__name__, f"{type(error).__name__}: {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
