# SPDX-License-Identifier: Apache-2.0
"""The faults that are injected, and the system calls at which each can happen: elsewhere it would prove nothing."""

import errno
from dataclasses import dataclass

_NEW_DESCRIPTOR = """open openat openat2 creat dup dup2 dup3 fcntl pipe pipe2 socket socketpair accept accept4
epoll_create1 eventfd2 signalfd4 timerfd_create memfd_create pidfd_open pidfd_getfd inotify_init1
open_tree open_tree_attr fsopen fspick fsmount clone3 landlock_create_ruleset seccomp bpf
userfaultfd perf_event_open"""
_NEW_NAME = """mkdir mkdirat mknod mknodat symlink symlinkat link linkat rename renameat renameat2"""
_NEW_TASK = "clone clone3 fork vfork unshare setns"
_MOUNT = "mount move_mount mount_setattr fsconfig fsmount open_tree open_tree_attr pivot_root"
_SPACE = """open openat openat2 creat write pwrite64 writev pwritev pwritev2 fallocate ftruncate truncate
copy_file_range sendfile fsync fdatasync setxattr fsetxattr inotify_add_watch"""
_BLOCK = """read write readv writev pread64 pwrite64 wait4 waitid epoll_wait epoll_pwait epoll_pwait2 poll ppoll
select pselect6 recvmsg recvfrom sendmsg sendto connect accept accept4 flock futex nanosleep
clock_nanosleep close open openat openat2 rt_sigtimedwait getrandom fallocate"""
_DISK = """read write pread64 pwrite64 open openat openat2 close fsync fdatasync getdents64 unlink unlinkat
rmdir ftruncate fallocate readlink readlinkat execve execveat newfstatat statx"""
_MEMORY = """mmap mremap mprotect execve execveat sendmsg sendto recvmsg epoll_ctl read write ioctl getdents64
bind listen connect setsockopt add_key keyctl prctl seccomp unlinkat inotify_add_watch"""


@dataclass(frozen=True)
class Fault:
    """SIGKILL, or a call that fails."""

    name: str
    number: int
    calls: frozenset[str]
    """Names of the system calls that count; empty: all."""

    def __str__(self) -> str:
        return self.name

    @property
    def is_kill(self) -> bool:
        return self.number == 0


def _fault(name: str, *calls: str) -> Fault:
    return Fault(name, getattr(errno, name), frozenset(" ".join(calls).split()))


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("KILL", 0, frozenset()),
        _fault("ENOSPC", _NEW_NAME, _SPACE, _NEW_TASK, _MOUNT),
        _fault("EIO", _DISK, _NEW_NAME),
        _fault("EMFILE", _NEW_DESCRIPTOR),
        _fault("ENOMEM", _NEW_DESCRIPTOR, _NEW_NAME, _NEW_TASK, _MOUNT, _MEMORY),
        _fault("EINTR", _BLOCK),
    )
}
KILL = FAULTS["KILL"]
