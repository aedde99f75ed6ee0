# SPDX-License-Identifier: Apache-2.0
"""podfast runs Kubernetes Pods on a Linux machine at the speed of fork.

    with podfast.run("pod.yaml") as pod:
        print(pod.exec("web", ["hostname"]).stdout)

In the order the data flows:

    spec         manifest → Pod                      sandbox, _native   plan → shim, and the messages to it
    images       reference → root file system        lifecycle          (state, event) → (state, actions), pure
    preparation  what is looked up before a plan     supervise, status  the engine's step; state → PodStatus
    plan         Pod + images → PodPlan, pure        pod, aio           the main path and the handles; blocking, asyncio
    node         the pods of this machine            cli, native        the command line; clone, join, wait for builders
"""

from __future__ import annotations

from podfast._version import __version__

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would cost `podfast version` 4 ms
if TYPE_CHECKING:
    from typing import Any

    from podfast import aio, errors, native
    from podfast.errors import PodfastError
    from podfast.pod import Container, ExecResult, Pod, adopt, create, run

__all__ = [
    "Container",
    "ExecResult",
    "Pod",
    "PodfastError",
    "__version__",
    "adopt",
    "aio",
    "create",
    "errors",
    "native",
    "run",
]

_HOMES = {
    "Container": "pod",
    "ExecResult": "pod",
    "Pod": "pod",
    "PodfastError": "errors",
    "adopt": "pod",
    "create": "pod",
    "run": "pod",
}


def __getattr__(name: str) -> Any:
    """Import what is used when it is used: `podfast version` needs none of it (PEP 562)."""
    from importlib import import_module

    if name in ("aio", "errors", "native"):
        return import_module(f"podfast.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'podfast' has no attribute {name!r}")
    return getattr(import_module(f"podfast.{home}"), name)
