# SPDX-License-Identifier: Apache-2.0
"""`podfast stop`."""

from __future__ import annotations

from collections.abc import Callable

from podfast.cli.arguments import Options, Parser, namespace, seconds, swept_places
from podfast.cli.following import Watched
from podfast.node import PodRecord
from podfast.places import Places

DESCRIPTION = "Stops pods as Kubernetes would: TERM, the grace period, then KILL. A stopped pod is removed."
EPILOG = "examples:\n  podfast stop web\n  podfast stop web other/db --grace 1\n"
# What a stop may take beyond the grace period: killing, undoing, and a process in uninterruptible sleep.
ALLOWANCE_SECONDS = 5.0


def configure(parser: Parser) -> None:
    parser.usage = "podfast stop POD … [options]"
    parser.add_argument("pods", metavar="POD", nargs="+", help="name or id")
    parser.add_argument("--grace", metavar="SECONDS", type=seconds, help="another grace period than the pod's own")


def run(options: Options) -> int:
    from podfast.sandbox.client import Client

    return for_each(options, lambda record: Client(record.directory).stop(options.grace), grace=options.grace)


def for_each(options: Options, ask: Callable[[PodRecord], None], *, grace: float | None) -> int:
    """Asks the owner of each pod for something that ends it, then waits until all are gone; prints each one's name."""
    from podfast.errors import NotFound, WaitTimeout
    from podfast.node import choose, pods

    places = swept_places(options)
    known = pods(places.runroot)
    chosen = [choose(known, token, namespace=namespace(options)) for token in options.pods]
    for record in chosen:
        try:
            ask(record)
        except NotFound:
            _end_unowned(record, places, grace)
    for record in chosen:
        patience = (grace_period(record) if grace is None else grace) + ALLOWANCE_SECONDS
        if not Watched(places.runroot, record).wait_until_gone(patience):
            raise WaitTimeout(f'pod "{record.name}" is still there after {patience:g} s; its owner goes on trying')
        print(record.name, flush=True)
    return 0


def _end_unowned(record: PodRecord, places: Places, grace: float | None) -> None:
    """A pod that nobody answers for went by itself; a served one may run on without an engine, and is taken over."""
    if record.life != "served":
        return
    from podfast.errors import NotFound
    from podfast.pod import adopt

    try:
        adopt(record.id, root=places.root, runroot=places.runroot).stop(grace)
    except NotFound:
        pass  # somebody was faster


def grace_period(record: PodRecord) -> float:
    spec = record.document.get("spec")
    seconds = spec.get("terminationGracePeriodSeconds") if isinstance(spec, dict) else None
    return float(seconds) if isinstance(seconds, int) else 30.0
