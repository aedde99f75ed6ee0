# SPDX-License-Identifier: Apache-2.0
"""`podfast ps`."""

import time

from podfast.cli.arguments import Options, Parser, namespace, swept_places

DESCRIPTION = "Lists the containers of all pods, oldest pod first."
EPILOG = ""


def configure(parser: Parser) -> None:
    parser.usage = "podfast ps [options]"
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the ids of the pods")
    parser.add_argument("--no-trunc", action="store_true", help="print ids in full")
    parser.add_argument("--no-headers", action="store_true", help="print no headers")


def run(options: Options) -> int:
    from podfast.cli import terminal, view
    from podfast.node import pods

    wanted = namespace(options)
    records = [one for one in pods(swept_places(options).runroot) if wanted is None or one.namespace == wanted]
    if options.quiet:
        print("".join(f"{one.id if options.no_trunc else one.short_id}\n" for one in records), end="")
        return 0
    now = time.time()
    rows = []
    for record in records:
        for row in view.container_rows(record, now):
            rows.append((*row[:-1], record.id) if options.no_trunc else row)
    print(terminal.table(view.CONTAINER_HEADERS, rows, with_headers=not options.no_headers), end="")
    return 0
