# SPDX-License-Identifier: Apache-2.0
"""`podfast rm`."""

from __future__ import annotations

from podfast.cli import stop
from podfast.cli.arguments import Options, Parser

DESCRIPTION = "Removes pods that have ended; with --force also those that run, without any grace."
EPILOG = ""


def configure(parser: Parser) -> None:
    parser.usage = "podfast rm POD … [options]"
    parser.add_argument("pods", metavar="POD", nargs="+", help="name or id")
    parser.add_argument("-f", "--force", action="store_true", help="kill what still runs")


def run(options: Options) -> int:
    from podfast.errors import Conflict
    from podfast.node import PodRecord
    from podfast.sandbox.client import Client

    def remove(record: PodRecord) -> None:
        if not options.force and record.status.get("phase") not in ("Succeeded", "Failed"):
            raise Conflict(f'pod "{record.name}" is running (podfast stop {record.name}, or rm --force)')
        Client(record.directory).remove()

    return stop.for_each(options, remove, grace=0)
