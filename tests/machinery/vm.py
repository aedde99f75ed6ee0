# SPDX-License-Identifier: Apache-2.0
"""Boots a kernel in QEMU and runs one command in it.

    result = vm.run(kernels.kernel("6.1"), ("/test/core_test",), tree)
    assert result.status == 0, result.output

Inside, busybox is the userland, the root is a tmpfs (one cannot pivot away from an initramfs), cgroup v2 is mounted
with all controllers, the loopback device is up. The command's output comes through a serial line of its own, the
kernel's messages through another.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.machinery.initramfs import Tree
from tests.machinery.kernels import Kernel, Unavailable

ACCELERATOR_VARIABLE = "PODFAST_VM_ACCEL"
_QEMU, _BUSYBOX = "qemu-system-x86_64", "/bin/busybox"
_STATUS = "podfast-vm-status "

_FIRST = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t tmpfs -o mode=755,size=90% root /new
cp -a $(ls -d /* | grep -vx -e /new -e /dev) /new
mkdir /new/dev
exec switch_root /new /second
"""

_SECOND = """#!/bin/sh
export PATH=/bin:/usr/bin:/sbin HOME=/root TERM=dumb
mkdir -p /proc /sys /dev /tmp /run /root /var
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts; mount -t tmpfs shm /dev/shm; mount -t devpts devpts /dev/pts
mount -t tmpfs run /run; mount -t tmpfs tmp /tmp; chmod 1777 /tmp /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
for name in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$name" > /sys/fs/cgroup/cgroup.subtree_control; done
for module in /modules/*; do [ -e "$module" ] && insmod "$module"; done
ip link set lo up
stty -F /dev/ttyS1 raw
exec < /dev/null > /dev/ttyS1 2>&1
cd /
setsid /bin/sh /command
echo "%s$?"
poweroff -f
"""


@dataclass(frozen=True)
class Result:
    status: int
    output: str
    """Standard output and standard error of the command."""
    console: str
    """What the kernel said."""
    seconds: float


def require() -> None:
    """Raises Unavailable, with what is missing."""
    if shutil.which(_QEMU) is None:
        raise Unavailable(f"{_QEMU} is not installed (Debian: qemu-system-x86)")
    if not Path(_BUSYBOX).exists() and not Path("/usr/bin/busybox").exists():
        raise Unavailable("busybox is not installed (Debian: busybox-static)")


def run(
    kernel: Kernel,
    command: Sequence[str],
    tree: Tree | None = None,
    *,
    modules: Sequence[str] = ("overlay",),
    environ: Sequence[str] = (),
    memory_mib: int = 512,
    cpus: int = 1,
    timeout: float = 120.0,
) -> Result:
    """The command's exit status and output. TimeoutError, with what was said, if it does not end in time (seconds)."""
    require()
    tree = tree or Tree()
    _add_system(tree, kernel, command, modules, environ)
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "initrd").write_bytes(tree.archive())
        started = time.monotonic()
        ended = _boot(kernel, directory, memory_mib, cpus, timeout)
        seconds = time.monotonic() - started
        output = Path(directory, "output").read_text(errors="replace")
        console = Path(directory, "console").read_text(errors="replace")
    text, found, status = output.rpartition(_STATUS)
    if not found:
        why = f"ended without a status: {ended}" if ended else f"does not end within {timeout:g} s"
        raise TimeoutError(f"the virtual machine {why}\n{output}\n{console[-2000:]}")
    return Result(int(status), text, console, seconds)


def _boot(kernel: Kernel, directory: str, memory_mib: int, cpus: int, timeout: float) -> str:
    """Returns what QEMU said; nothing when it was ended at the timeout."""
    argv = (
        _QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-accel", os.environ.get(ACCELERATOR_VARIABLE, "tcg"), "-cpu", "max", "-smp", str(cpus), "-m", str(memory_mib),
        "-kernel", kernel.image, "-initrd", f"{directory}/initrd",
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable",
        "-serial", f"file:{directory}/console", "-serial", f"file:{directory}/output",
    )  # fmt: skip
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return ""
    return f"exit {done.returncode} {done.stderr}"


def _add_system(
    tree: Tree, kernel: Kernel, command: Sequence[str], modules: Sequence[str], environ: Sequence[str]
) -> None:
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        tree.copy(shutil.which("busybox") or _BUSYBOX, path)
    for name in ("cat", "ls", "sh", "sleep", "true"):
        tree.link(f"/usr/bin/{name}", "busybox")  # `image: host` shows /usr
    tree.directory("/new")
    tree.write("/init", _FIRST, 0o755)
    tree.write("/second", _SECOND % _STATUS, 0o755)
    tree.write("/command", f"{' '.join(map(shlex.quote, environ))} exec {shlex.join(command)}\n".lstrip())
    tree.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    tree.write("/etc/group", "root:x:0:\n")
    number = 0
    for name in modules:
        for data in kernel.module(name):
            tree.write(f"/modules/{number:03}-{name}.ko", data)
            number += 1
