# SPDX-License-Identifier: Apache-2.0
"""`podfast version`."""

import os
import sys

from podfast.cli.arguments import Options, Parser

EPILOG = ""


def configure(parser: Parser) -> None:
    parser.usage = "podfast version [options]"
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="the form of the answer")


def run(options: Options) -> int:
    from podfast._version import __version__

    kernel = os.uname()
    facts = {
        "podfast": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "linux": kernel.release,
        "machine": kernel.machine,
    }
    if options.output == "json":
        import json

        print(json.dumps(facts))
    else:
        print(f"podfast {__version__} (Python {facts['python']}, Linux {facts['linux']}, {facts['machine']})")
    return 0
