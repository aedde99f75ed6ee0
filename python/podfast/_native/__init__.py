# SPDX-License-Identifier: Apache-2.0
"""The typed face of all compiled code. Nothing outside this package imports a compiled module.

Every call either returns or raises SystemFailure with the operation, its object and an OSError as the cause.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

from podfast._native._core import ffi, lib as _untyped
from podfast._native._encode import encode as _encode
from podfast.errors import SystemFailure

if TYPE_CHECKING:
    from podfast._native._types import Error, Library

ABI = 1
lib = cast("Library", _untyped)

if lib.pf_abi() != ABI:
    raise ImportError(
        f"podfast's compiled core is of ABI {lib.pf_abi()}, its Python code of ABI {ABI}: install podfast again"
    )

PROFILE = ffi.string(lib.pf_profile()).decode()
TREE_FILE, TREE_READ_ONLY, TREE_DEVICES, TREE_RECURSIVE = 1, 2, 4, 8
NEW_PID = 1


class Launcher(NamedTuple):
    """Descriptors of an engine's launcher: its namespaces and the binaries on its private tmpfs. `user_ns` is -1 for
    root.
    """

    mount_ns: int
    user_ns: int
    shim: int
    pause: int
    init: int


def binary(name: str) -> str:
    """The path of a program that was installed with the package."""
    return os.path.join(os.path.dirname(__file__), "bin", name)


def _error() -> Error:
    return cast("Error", ffi.new("struct pf_err *"))


def _raise(err: Error, remedy: str = "") -> NoReturn:
    what = ffi.string(err.what).decode("utf-8", "replace")
    operation, _, thing = what.partition(" ")
    cause = OSError(err.code, os.strerror(err.code), thing)
    raise SystemFailure(
        f"{what}: {os.strerror(err.code)}", operation=operation, object=thing, errno=err.code, remedy=remedy
    ) from cause


def encode(plan: object) -> bytes:
    """A PodPlan as the shim reads it. Raises ValueError for text that no process can be given."""
    return _encode(plan, ABI)


def make_launcher(hierarchies: Sequence[tuple[str, str]], *, uid_map: str = "", gid_map: str = "") -> Launcher:
    """Make the engine's launcher. `hierarchies` are (base, name); id maps ask for a user namespace in front."""
    keep = [ffi.new("char[]", os.fsencode(text)) for pair in hierarchies for text in pair]
    specs = ffi.new("struct pf_hierarchy_spec[]", max(1, len(hierarchies)))
    for index in range(len(hierarchies)):
        specs[index].base, specs[index].name = keep[2 * index], keep[2 * index + 1]
    names = ("podfast-shim", "podfast-pause", "podfast-init")
    paths = [ffi.new("char[]", os.fsencode(binary(name))) for name in names]
    maps = [ffi.new("char[]", text.encode()) for text in (uid_map, gid_map)]
    spec = ffi.new("struct pf_launcher_spec *")
    spec.shim, spec.pause, spec.init = paths
    spec.hierarchies, spec.n_hierarchies, spec.rootless = specs, len(hierarchies), bool(uid_map)
    spec.uid_map, spec.gid_map = maps
    out = ffi.new("struct pf_launcher *")
    err = _error()
    if lib.pf_launcher_make(spec, out, err) < 0:
        _raise(
            err,
            "podfast needs root or user namespaces; `podfast doctor` looks closer" if err.code in (1, 13, 28) else "",
        )
    return Launcher(out.mount_ns, out.user_ns, out.shim, out.pause, out.init)


def spawn_shim(launcher: Launcher, mount_ns: int, fds: Sequence[int], *, new_pid: bool) -> int:
    """Start a shim whose descriptor 3 + i is fds[i] (-1: none). Returns a pidfd of it; it is nobody's child here."""
    native = ffi.new("struct pf_launcher *", list(launcher))
    err = _error()
    pidfd = lib.pf_shim_spawn(native, mount_ns, ffi.new("int[]", list(fds)), len(fds), NEW_PID if new_pid else 0, err)
    if pidfd < 0:
        _raise(err)
    return pidfd


def undo_replay(root_fd: int, run_fd: int) -> None:
    """Replay the undo records of the run directory `run_fd`; paths are resolved from `root_fd`, the host's root
    directory.
    """
    err = _error()
    if lib.pf_undo_replay(root_fd, run_fd, err) < 0:
        _raise(err)


def remove_tree(dir_fd: int, name: str) -> None:
    """Remove `name` below `dir_fd`, following no link and crossing no mount. What is not there is fine."""
    err = _error()
    if lib.pf_remove_tree(dir_fd, os.fsencode(name), err) < 0:
        _raise(err)


def remove_cgroup(dir_fd: int, path: str) -> None:
    """Kill what is in the cgroup directory `path` below `dir_fd` and remove it with everything below."""
    err = _error()
    if lib.pf_cgroup_remove(dir_fd, os.fsencode(path), err) < 0:
        _raise(err)


def open_tree(path: str, flags: int, dir_fd: int = -100) -> int:
    """A detached private clone of the mount tree at `path` (open_tree(2)), with the flags' mount attributes."""
    err = _error()
    fd = lib.pf_tree_open(dir_fd, os.fsencode(path), flags, err)
    if fd < 0:
        _raise(err)
    return fd


def open_in_root(dir_fd: int, path: str) -> int:
    """An O_PATH descriptor of `path`, resolved as if `dir_fd` were the root (openat2(2), RESOLVE_IN_ROOT)."""
    err = _error()
    fd = lib.pf_open_in_root(dir_fd, os.fsencode(path), err)
    if fd < 0:
        _raise(err)
    return fd


def open_proc() -> int:
    """A descriptor of /proc that has been checked to be the root of a procfs."""
    err = _error()
    fd = lib.pf_proc_open(err)
    if fd < 0:
        _raise(err)
    return fd


def sealed(name: str, data: bytes) -> int:
    """A memfd that holds `data` and can no longer be changed."""
    err = _error()
    fd = lib.pf_sealed(name.encode(), data, len(data), err)
    if fd < 0:
        _raise(err)
    return fd


def clone(
    argv: Sequence[str],
    envp: Sequence[str],
    *,
    namespaces: int = 0,
    cgroup_fd: int = -1,
    stdio: tuple[int, int, int] | None = None,
    join_pidfd: int = -1,
    join: int = 0,
) -> tuple[int, int]:
    """Start argv[0] by clone3(2) without copying this process; returns (pid, pidfd). A failed execve raises."""
    keep = [ffi.new("char[]", os.fsencode(text)) for text in (*argv, *envp)]
    spec = ffi.new("struct pf_clone_spec *")
    arguments = ffi.new("char *[]", [*keep[: len(argv)], ffi.NULL])
    variables = ffi.new("char *[]", [*keep[len(argv) :], ffi.NULL])
    numbers = ffi.NULL if stdio is None else ffi.new("int[]", list(stdio))
    spec.argv, spec.envp, spec.stdio = arguments, variables, numbers
    spec.namespaces, spec.cgroup_fd, spec.join_pidfd, spec.join = namespaces, cgroup_fd, join_pidfd, join
    pid = ffi.new("int *")
    err = _error()
    pidfd = lib.pf_clone(spec, pid, err)
    if pidfd < 0:
        _raise(err)
    return pid[0] or pid_of(pidfd), pidfd


def pid_of(pidfd: int) -> int:
    """The pid, in this process's pid namespace, of the process behind a pidfd; 0 when it has been reaped."""
    fd = os.open(f"/proc/self/fdinfo/{pidfd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, 512)
    finally:
        os.close(fd)
    return max(0, int(text.partition(b"Pid:")[2].split(None, 1)[0]))


def wait(pidfd: int) -> int | None:
    """The wait status of a child that has ended, which is thereby reaped; None while it runs."""
    status = ffi.new("int *")
    err = _error()
    done = lib.pf_wait(pidfd, status, err)
    if done < 0:
        _raise(err)
    return status[0] if done else None


def exit_status(pidfd: int) -> int | None:
    """The wait status of any process that has ended and was reaped (PIDFD_GET_INFO, Linux 6.15); None if it is not
    known.
    """
    status = ffi.new("int *")
    err = _error()
    done = lib.pf_exit_status(pidfd, status, err)
    return status[0] if done == 1 else None


def join(pidfd: int, namespaces: int) -> None:
    """Enter namespaces of the process behind `pidfd` and verify that they are its own (setns(2))."""
    err = _error()
    if lib.pf_join(pidfd, namespaces, err) < 0:
        _raise(err)


def make_timer() -> int:
    """A timerfd on the monotonic clock (timerfd_create(2)), disarmed."""
    err = _error()
    fd = lib.pf_timer_make(err)
    if fd < 0:
        _raise(err)
    return fd


def set_timer(fd: int, at: float | None) -> None:
    """Make the timer readable at the monotonic time `at`, in seconds; None disarms it."""
    err = _error()
    if lib.pf_timer_set(fd, 0 if at is None else max(1, int(at * 1e9)), err) < 0:
        _raise(err)


def make_inotify() -> int:
    """An inotify descriptor (inotify(7)), non-blocking."""
    err = _error()
    fd = lib.pf_inotify_make(err)
    if fd < 0:
        _raise(err)
    return fd


def add_inotify(fd: int, path: str, mask: int) -> bool:
    """Watch `path` for the events of `mask`; False when it is not there."""
    err = _error()
    if lib.pf_inotify_add(fd, os.fsencode(path), mask, err) >= 0:
        return True
    if err.code == errno.ENOENT:
        return False
    _raise(err)
