# SPDX-License-Identifier: Apache-2.0
"""Processes, zombies, namespaces; threads and descriptors of the test process itself."""

import os
import threading

from tests.machinery.view import Found, View, command_line

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "user", "uts")
_NAMESPACE_LINKS = tuple(f"{name}:[" for name in _NAMESPACES)


def processes(view: View) -> Found:
    return {process.key: f"{process} {command_line(process.pid)}" for process in view.ours.values() if not process.dead}


def zombies(view: View) -> Found:
    """Those of the machine's init are its own business: some take seconds to reap what they are given."""
    return {
        process.key: f"{process.pid} {process.name}, not reaped by {process.parent}"
        for process in view.ours.values()
        if process.dead and process.parent != 1
    }


def namespaces(view: View) -> Found:
    """Those that our processes are in or hold open, and those that a mount keeps."""
    found: Found = {}
    for pid, process in view.ours.items():
        if process.dead:
            continue
        for name in _NAMESPACES:
            try:
                target = os.readlink(f"/proc/{pid}/ns/{name}")
            except OSError:
                continue
            found.setdefault(target.replace("_for_children", ""), f"of process {pid} {process.name}")
        for number, target in view.descriptors[pid].items():
            if target.startswith(_NAMESPACE_LINKS):
                found.setdefault(target, f"held by descriptor {number} of process {pid} {process.name}")
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            if fields[3].startswith(_NAMESPACE_LINKS):
                found.setdefault(fields[3], f"held by a mount on {fields[4]}")
    return {key: f"{key} {text}" for key, text in found.items()}


def threads(view: View) -> Found:
    del view
    names = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    return {number: f"{number} {names.get(number, 'not made by Python')}" for number in os.listdir("/proc/self/task")}


def descriptors(view: View) -> Found:
    """Of the test process. The same number for the same thing is the same descriptor."""
    return {f"{number} {target}": f"{number} -> {target}" for number, target in view.descriptors[os.getpid()].items()}
