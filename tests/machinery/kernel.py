# SPDX-License-Identifier: Apache-2.0
"""The few system calls that Python 3.11 lacks. Each raises OSError with the call's name and object."""

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

AT_FDCWD = -100
RENAME_EXCHANGE = 2

SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, -1)
SYS_RENAMEAT2 = {"x86_64": 316, "aarch64": 276}.get(os.uname().machine, -1)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _checked(result: int, operation: str, subject: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{operation}: {os.strerror(number)}", subject)
    return result


def unshare(flags: int) -> None:
    """For the calling thread alone."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare", f"{flags:#x}")


def setns(descriptor: int, kind: int) -> None:
    """For the calling thread alone."""
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns", str(descriptor))


def mount(source: str, target: str, filesystem: str, flags: int = 0, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), filesystem.encode(), flags, options.encode())
    _checked(_libc.mount(*arguments), "mount", target)


def unmount(target: str) -> None:
    """Takes it out of the table at once, busy or not."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), "umount2", target)


def exchange(one: str, other: str) -> None:
    """Swaps two paths atomically."""
    here, paths = ctypes.c_long(AT_FDCWD), (os.fsencode(one), os.fsencode(other))
    arguments = (ctypes.c_long(SYS_RENAMEAT2), here, paths[0], here, paths[1], ctypes.c_ulong(RENAME_EXCHANGE))
    _checked(_libc.syscall(*arguments), "renameat2", f"{one} <-> {other}")


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """The attributes must be a whole, zeroed union: some kernels write past a shorter one."""
    arguments = (ctypes.c_long(SYS_BPF), ctypes.c_long(command), attributes, ctypes.c_ulong(len(attributes)))
    return _checked(_libc.syscall(*arguments), "bpf", str(command))


def kill(pid: int, started: str | None = None) -> None:
    """SIGKILL through a pidfd; with `started` (field 22 of /proc/<pid>/stat) only if it is still that process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if started is None or start_time(pid) == started:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def stat_fields(pid: int) -> list[str]:
    """/proc/<pid>/stat after the name: state, ppid, … ; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read(1024).rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []


def start_time(pid: int) -> str:
    fields = stat_fields(pid)
    return fields[19] if len(fields) > 19 else ""
