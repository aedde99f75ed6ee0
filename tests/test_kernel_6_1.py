# SPDX-License-Identifier: Apache-2.0
"""podfast on the kernels of Debian 12 (6.1, the oldest supported) and 13 (6.12), with cgroup v2, in QEMU."""

import importlib.util
from pathlib import Path

import pytest

from tests.machinery import kernels, vm
from tests.machinery.initramfs import Tree, add_python
from tests.machinery.kernels import Kernel, Unavailable

CORE_TEST = Path(__file__).parent / "native" / "core_test"
START_STOP = Path(__file__).parent / "machinery" / "operations" / "start_stop.py"

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


def test_the_core(kernel: Kernel) -> None:
    if not CORE_TEST.exists():
        pytest.skip("tests/native/core_test is not built")
    tree = Tree()
    tree.copy(CORE_TEST, "/test/core_test")
    result = vm.run(kernel, ("/test/core_test",), tree)
    assert result.status == 0, result.output


def test_a_pod_starts_and_stops(kernel: Kernel) -> None:
    if importlib.util.find_spec("podfast") is None:
        pytest.skip("podfast is not installed")
    tree = Tree()
    add_python(tree, ("msgspec", "yaml", "_cffi_backend", "podfast"))
    tree.copy(START_STOP, "/test/start_stop.py")
    script = "python3 /test/start_stop.py && ls /run/podfast/pods /run/podfast/names; ls -d /sys/fs/cgroup/podfast-*"
    result = vm.run(kernel, ("sh", "-c", script), tree, environ=("PYTHONPATH=/python",), memory_mib=1024)
    left = "/run/podfast/names:\n\n/run/podfast/pods:\n"
    assert result.output == f"{left}ls: /sys/fs/cgroup/podfast-*: No such file or directory\n"
