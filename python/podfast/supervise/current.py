# SPDX-License-Identifier: Apache-2.0
"""The engines of this process: one for each pair of root and run root, made when the first pod needs it."""

from __future__ import annotations

import atexit
import os
import threading

from podfast.places import Places
from podfast.supervise.engine import Engine

_engines: dict[Places, Engine] = {}
_lock = threading.Lock()


def engine_for(places: Places) -> Engine:
    """The engine of these places. After a fork, the child gets one of its own."""
    with _lock:
        engine = _engines.get(places)
        if engine is None or engine.closed:
            engine = _engines[places] = Engine(places)
        return engine


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)


@atexit.register
def _close_all() -> None:
    # The kernel would kill the pods anyway; this way nothing is left for a moment after we are gone.
    for engine in list(_engines.values()):
        engine.close()
