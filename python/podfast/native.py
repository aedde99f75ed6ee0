# SPDX-License-Identifier: Apache-2.0
"""For those who build their own tools: clone, join and wait, as podfast's core does them.

    pid, pidfd = native.clone(["/bin/true"], [], namespaces=native.NEWNET | native.NEWPID)
    while (status := native.wait(pidfd)) is None: ...

`clone` starts a program without copying this process (CLONE_VM | CLONE_VFORK on a stack of its own), so it costs the
same in a small program and in one of many gigabytes, and it is safe in a threaded one. `join` enters namespaces of
another process through its pidfd and verifies that they are the ones asked for. All raise
podfast.errors.SystemFailure with the operation and its OSError.
"""

from __future__ import annotations

from podfast._native import clone, exit_status, join, wait

# Namespaces, as in clone(2).
NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000

__all__ = [
    "NEWCGROUP",
    "NEWIPC",
    "NEWNET",
    "NEWNS",
    "NEWPID",
    "NEWUSER",
    "NEWUTS",
    "clone",
    "exit_status",
    "join",
    "wait",
]
