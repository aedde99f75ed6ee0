# SPDX-License-Identifier: Apache-2.0
"""The pods of this machine, for those who do not own them: where they are, what they are, what dead ones have left.

records    run directories → PodRecord; find one by name or id
sweeping   undo what dead pods have left
crilog     one log file
logs       all log files of a pod, followed
watch      what tells that they have grown
"""

from podfast.node.crilog import Joiner, LogLine
from podfast.node.logs import Follower, attempts, read_logs
from podfast.node.records import PodRecord, choose, find, pods
from podfast.node.sweeping import is_dead, sweep
from podfast.node.watch import Watch

__all__ = [
    "Follower",
    "Joiner",
    "LogLine",
    "PodRecord",
    "Watch",
    "attempts",
    "choose",
    "find",
    "is_dead",
    "pods",
    "read_logs",
    "sweep",
]
