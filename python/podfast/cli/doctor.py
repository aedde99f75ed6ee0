# SPDX-License-Identifier: Apache-2.0
"""`podfast doctor`."""

from podfast.cli.arguments import Options, Parser
from podfast.cli.checks import GOOD, LIMITED, MISSING, Check, run_all
from podfast.cli.host import Host
from podfast.cli.terminal import coloured

DESCRIPTION = "Tells what this machine lacks for pods, what that costs, and what would help. Changes nothing."
EPILOG = "exit code: 0 when pods can run here, 1 when they cannot"

GREEN, YELLOW, RED = 32, 33, 31
COLOURS = {GOOD: GREEN, LIMITED: YELLOW, MISSING: RED}


def configure(parser: Parser) -> None:
    parser.usage = "podfast doctor [--json]"
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(options: Options) -> int:
    from podfast.places import resolve

    places = resolve(options.root, options.runroot)
    checks = list(run_all(Host(), places))
    able = all(check.state != MISSING for check in checks)
    if options.json:
        import json

        print(json.dumps({"able": able, "checks": [check._asdict() for check in checks]}, indent=2))
    else:
        _print(checks, able)
    return 0 if able else 1


def _print(checks: list[Check], able: bool) -> None:
    bright = coloured(1)
    name_width = max(len(check.name) for check in checks)
    margin = " " * (len(LIMITED) + name_width + 6)
    for check in checks:
        word = check.state.ljust(len(LIMITED))
        print(f"{_paint(word, COLOURS[check.state], bright)}   {check.name.ljust(name_width)}   {check.found}")
        if check.state != GOOD:
            print(f"{margin}costs:  {check.costs}")
            print(f"{margin}remedy: {check.remedy}")
    limited = sum(check.state == LIMITED for check in checks)
    if not able:
        print("\nPods cannot run on this machine: what is missing above must be mended first.")
    elif limited:
        print(f"\nPods run on this machine; {limited} thing{'s' * (limited != 1)} could be better.")
    else:
        print("\nPods run on this machine, and nothing is lacking.")


def _paint(text: str, colour: int, bright: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if bright else text
