# SPDX-License-Identifier: Apache-2.0
"""podfast on the kernels of Debian 12 (6.1, the oldest supported) and 13 (6.12), with cgroup v2, in QEMU."""

import importlib.util
from pathlib import Path

import pytest

from tests.machinery import kernels, vm
from tests.machinery.initramfs import Tree, add_python
from tests.machinery.kernels import Kernel, Unavailable

OPERATIONS = Path(__file__).parent / "machinery" / "operations"

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    try:
        vm.require()
        return kernels.kernel(request.param)
    except Unavailable as error:
        pytest.skip(str(error))


def test_the_machine_is_as_the_tests_assume(kernel: Kernel) -> None:
    script = """
        uname -r; cat /sys/fs/cgroup/cgroup.controllers; cd /tmp; mkdir a b c d
        mount -t overlay o -o lowerdir=a,upperdir=b,workdir=c d && touch d/x && ls b
        exit 7
    """
    result = vm.run(kernel, ("sh", "-c", script))
    release, controllers, upper = result.output.splitlines()[:3]
    assert (result.status, release, upper) == (7, kernel.release, "x")
    assert {"cpu", "memory", "pids"} <= set(controllers.split())


def run_inside(kernel: Kernel, name: str, after: str = "") -> vm.Result:
    if importlib.util.find_spec("podfast") is None:
        pytest.skip("podfast is not installed")
    tree = Tree()
    add_python(tree, ("msgspec", "yaml", "_cffi_backend", "podfast"))
    tree.copy(OPERATIONS / name, f"/test/{name}")
    script = f"python3 /test/{name} && {{ {after or 'true'}; }}"
    return vm.run(kernel, ("sh", "-c", script), tree, environ=("PYTHONPATH=/python",), memory_mib=1024)


LEFT = "ls /run/podfast/pods /run/podfast/names; ls -d /sys/fs/cgroup/podfast-*"
NOTHING_LEFT = "/run/podfast/names:\n\n/run/podfast/pods:\nls: /sys/fs/cgroup/podfast-*: No such file or directory\n"


def test_a_pod_starts_and_stops(kernel: Kernel) -> None:
    assert run_inside(kernel, "start_stop.py", LEFT).output == NOTHING_LEFT


def test_the_core(kernel: Kernel) -> None:
    """Mounts, joins, spawns and limits, with cgroup v2."""
    result = run_inside(kernel, "oldest_kernel.py", LEFT)
    lines = result.output.splitlines()
    assert lines and not [line for line in lines if line.startswith("FAILED")], result.output
    assert result.output.endswith(NOTHING_LEFT), result.output
