# SPDX-License-Identifier: Apache-2.0
"""Where podfast keeps its files: the root (images, volumes, logs) and the run root (what lives as long as pods do)."""

import os
from typing import NamedTuple

ROOT_VARIABLE = "PODFAST_ROOT"
RUNROOT_VARIABLE = "PODFAST_RUNROOT"
LONGEST_NAME = 255  # bytes of a file name


class Places(NamedTuple):
    """The two directories everything is under. All engines and commands that share them see the same pods."""

    root: str
    runroot: str

    @property
    def pods(self) -> str:
        """Run directories, one per pod, named by the pod's id."""
        return f"{self.runroot}/pods"

    @property
    def names(self) -> str:
        """Claims of pod names: links to ids."""
        return f"{self.runroot}/names"

    @property
    def lock(self) -> str:
        """Held shared while a pod directory is being made, exclusively while sweeping."""
        return f"{self.runroot}/lock"

    @property
    def state(self) -> str:
        """Writable layers and volumes, one directory per pod."""
        return f"{self.root}/pods"

    @property
    def logs(self) -> str:
        return f"{self.root}/logs"

    @property
    def trash(self) -> str:
        """Renamed trees that wait to be deleted."""
        return f"{self.root}/trash"

    def run_directory(self, pod_id: str) -> str:
        return f"{self.runroot}/pods/{pod_id}"

    def log_directory(self, namespace: str, name: str, uid: str) -> str:
        """A pod's logs, laid out as the kubelet does: one directory per container in it. A long name is cut to what a
        file name holds; the uid tells pods apart.
        """
        return f"{self.root}/logs/{namespace}_{name[: LONGEST_NAME - len(namespace) - len(uid) - 2]}_{uid}"


def resolve(root: str | None = None, runroot: str | None = None) -> Places:
    """What is asked for, else the environment's wish, else the default of this user. Nothing is created."""
    return Places(
        os.path.abspath(root or os.environ.get(ROOT_VARIABLE) or _default_root()),
        os.path.abspath(runroot or os.environ.get(RUNROOT_VARIABLE) or _default_runroot()),
    )


def _default_root() -> str:
    if os.geteuid() == 0:
        return "/var/lib/podfast"
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{home}/podfast"


def _default_runroot() -> str:
    uid = os.geteuid()
    if uid == 0:
        return "/run/podfast"
    # Without a login session there is no XDG_RUNTIME_DIR. The directory in /tmp is owned by the user and mode 0700;
    # whoever makes it checks that, because everyone may create names there.
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/podfast" if runtime else f"/tmp/podfast-{uid}"
