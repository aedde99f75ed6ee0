# SPDX-License-Identifier: Apache-2.0
"""`podfast get pods` and `podfast get pod NAME`."""

import time
from typing import Any

from podfast.cli.arguments import Options, Parser, UsageError, namespace, swept_places
from podfast.node import PodRecord

DESCRIPTION = "Lists pods, or prints some."
EPILOG = "examples:\n  podfast get pods -A\n  podfast get pod web -o yaml\n"
KINDS = ("pods", "pod", "po")
DEFAULT_NAMESPACE = "default"


def configure(parser: Parser) -> None:
    parser.usage = "podfast get pods|pod [NAME …] [options]"
    parser.add_argument("kind", metavar="pods|pod", help="what to list")
    parser.add_argument("pods", metavar="NAME", nargs="*", help="names or ids; all pods when there are none")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="pods of every namespace")
    parser.add_argument("-o", "--output", choices=("wide", "json", "yaml", "name"), help="another form than the table")
    parser.add_argument("--no-headers", action="store_true", help="print no headers")


def run(options: Options) -> int:
    kind, _, name = str(options.kind).partition("/")
    if kind not in KINDS:
        raise UsageError(f'no such thing to get: "{options.kind}" (only pods)')
    records = _select(options, [name, *options.pods] if name else options.pods)
    if options.output in ("json", "yaml"):
        _print_documents(options, records)
    elif options.output == "name":
        print("".join(f"pod/{record.name}\n" for record in records), end="")
    else:
        _print_table(options, records)
    return 0


def _select(options: Options, names: list[str]) -> list[PodRecord]:
    from podfast.node import choose, pods

    known = pods(swept_places(options).runroot)
    if names:
        return [choose(known, name, namespace=namespace(options)) for name in names]
    wanted = None if options.all_namespaces else namespace(options) or DEFAULT_NAMESPACE
    return [record for record in known if wanted in (None, record.namespace)]


def _print_table(options: Options, records: list[PodRecord]) -> None:
    from podfast.cli import terminal, view

    if not records:
        where = "" if options.all_namespaces else f" in namespace {namespace(options) or DEFAULT_NAMESPACE}"
        terminal.say(f"no pods{where}")
        return
    now = time.time()
    headers: tuple[str, ...] = view.POD_HEADERS
    rows = [view.pod_row(record, now) for record in records]
    if options.output == "wide":
        headers += view.POD_WIDE_HEADERS
        rows = [row + view.pod_wide(record) for row, record in zip(rows, records, strict=True)]
    if options.all_namespaces:
        headers = ("NAMESPACE", *headers)
        rows = [(record.namespace, *row) for row, record in zip(rows, records, strict=True)]
    print(terminal.table(headers, rows, with_headers=not options.no_headers), end="")


def _print_documents(options: Options, records: list[PodRecord]) -> None:
    from podfast.cli import view

    documents = [view.document(record) for record in records]
    one = len(options.pods) == 1 or "/" in options.kind
    whole: dict[str, Any] = documents[0] if one else {"apiVersion": "v1", "kind": "List", "items": documents}
    if options.output == "json":
        import json

        print(json.dumps(whole, indent=4, ensure_ascii=False))
    else:
        import yaml

        print(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), end="")
