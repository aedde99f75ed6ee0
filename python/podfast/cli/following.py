# SPDX-License-Identifier: Apache-2.0
"""Waiting for a pod that another process owns: for its lines, and for its end."""

from __future__ import annotations

import os
import time

from podfast.node import PodRecord, is_dead, records

# The longest pause between two looks at whether a directory is still there.
LOOK_SECONDS = 0.04


class Watched:
    """A pod, read again only when its owner has published something new."""

    def __init__(self, runroot: str, record: PodRecord) -> None:
        self._runroot = runroot
        self._path = f"{record.directory}/status.json"
        self._seen: tuple[int, int] | None = None
        self.record = record

    def gone(self) -> bool:
        """Whether its shim has ended. The owner may still be about to remove what is left."""
        return is_dead(self.record.directory)

    def refresh(self) -> PodRecord:
        """The newest state that is known; the last one when the pod is gone."""
        try:
            status = os.stat(self._path)
        except OSError:
            return self.record
        if self._seen != (status.st_ino, status.st_mtime_ns):
            self._seen = (status.st_ino, status.st_mtime_ns)
            self.record = records.read(self._runroot, self.record.id) or self.record
        return self.record

    def ended(self, containers: tuple[str, ...]) -> bool:
        """Whether these containers have ended, for good or until a restart, or the pod is gone."""
        if self.gone():
            return True
        record = self.refresh()
        if record.status.get("phase") in ("Succeeded", "Failed"):
            return True
        states = {
            status.get("name"): status.get("state")
            for status in record.status.get("containerStatuses") or ()
            if isinstance(status, dict)
        }
        return bool(states) and all(_terminated(states.get(name)) for name in containers)

    def wait_until_gone(self, timeout: float | None) -> bool:
        """Waits for the run directory to vanish. False when that took too long."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while os.path.lexists(self.record.directory):
            if deadline is not None and time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, LOOK_SECONDS)
        return True


def _terminated(state: object) -> bool:
    return isinstance(state, dict) and "terminated" in state
