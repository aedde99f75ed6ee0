# SPDX-License-Identifier: Apache-2.0
"""Acts: namespaces, volumes, cgroups, start, stop, through one shim for each pod.

ground.py    what an engine opens once     create.py  plan → shim     adopt.py   served pods: a new engine, a new shim
protocol.py  messages                      host.py    facts about the machine     client.py  other shells
"""

from podfast.sandbox.adopt import new_shim, take_over
from podfast.sandbox.create import Sandbox, create, name, sweep_dead
from podfast.sandbox.ground import Ground

__all__ = ["Ground", "Sandbox", "create", "name", "new_shim", "sweep_dead", "take_over"]
