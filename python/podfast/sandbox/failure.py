# SPDX-License-Identifier: Apache-2.0
"""Numbers that a child reported → words for people: what did not work, where, and what to do."""

from __future__ import annotations

import errno
import os

from podfast.errors import StartError

WHERE = {
    "clone": "its process cannot be made",
    "cgroup": "its cgroup cannot be set up or joined",
    "namespace": "a namespace cannot be made",
    "root": "its root file system cannot be mounted",
    "bind": "a tree of its image cannot be mounted",
    "dev": "its /dev cannot be made",
    "proc": "its /proc cannot be mounted",
    "sys": "its /sys cannot be mounted",
    "mask": "a part of /proc or /sys cannot be covered",
    "volume": "a volume cannot be mounted",
    "file": "a generated file cannot be mounted",
    "join": "the pod's namespaces cannot be joined",
    "verify": "the namespaces joined are not those asked for",
    "cgroup-view": "its /sys/fs/cgroup cannot be shown",
    "pivot": "its root cannot be entered",
    "stdio": "its standard streams cannot be opened",
    "keyring": "its session keyring cannot be made",
    "workdir": "its working directory cannot be entered",
    "ids": "its user and groups cannot be set",
    "capabilities": "its capabilities cannot be set",
    "seccomp": "its seccomp filter cannot be installed",
    "pause": "the infra container cannot be started",
    "plan": "podfast-shim did not understand the plan",
    "state": "the pod's files cannot be made or removed",
    "network": "the pod's network cannot be set up",
    "tty": "a terminal cannot be opened",
    "died": "its process died before it could start the program",
}


def explain(container: str, stage: str, code: int, index: int, program: str, detail: str = "") -> StartError:
    """The error to raise for a container (or, with an empty name, a pod) that did not start; its cause is the
    OSError.
    """
    cause = OSError(code, os.strerror(code)) if code else None
    exit_code, reason = 128, "StartError"
    whom = f'container "{container}"' if container else "the pod"
    if stage == "exec":
        exit_code, message = _program(code, program)
    elif stage == "workdir":
        message = f"{WHERE[stage]}: {os.strerror(code)}" + (" as the container's user" if code == errno.EACCES else "")
    else:
        where = f" (number {index})" if stage in ("volume", "bind", "cgroup", "file") and container else ""
        message = f"{WHERE.get(stage, stage)}{where}: {os.strerror(code) if code else 'it was killed'}"
    if exit_code == 128 and stage not in ("exec", "workdir"):
        reason = "CreateContainerError"
    if detail:
        message += f": {detail}"
    if code == errno.ENOSPC:
        message += " (the disk is full)"
    error = StartError(
        f"{whom} did not start: {message}",
        container=container,
        stage=stage,
        errno=code,
        exit_code=exit_code,
        reason=reason,
    )
    error.__cause__ = cause
    return error


def _program(code: int, program: str) -> tuple[int, str]:
    """As a shell has it: 127 not found, 126 found but not runnable."""
    if code in (errno.ENOENT, errno.ENOTDIR):
        return 127, f'"{program}": not found in the container'
    if code == errno.E2BIG:
        return 126, f'"{program}": arguments and environment are too long for execve'
    if code == errno.ENOEXEC:
        return 126, f'"{program}": neither a binary for this machine nor a script with #!'
    return 126, f'"{program}": {os.strerror(code)}'
