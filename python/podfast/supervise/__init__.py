# SPDX-License-Identifier: Apache-2.0
"""The engine: what the shims say → lifecycle → what the shims are told.

engine.py  one descriptor, step()     pod.py  one pod     current.py  the engine of this process
"""

from podfast.supervise.current import engine_for
from podfast.supervise.engine import Engine
from podfast.supervise.pod import SupervisedPod

__all__ = ["Engine", "SupervisedPod", "engine_for"]
