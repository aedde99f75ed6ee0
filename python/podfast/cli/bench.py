# SPDX-License-Identifier: Apache-2.0
"""`podfast bench report`: one page from what the benchmarks have measured."""

from podfast.cli.arguments import Options, Parser

DESCRIPTION = "Makes one self-contained HTML page from the JSON files that `pytest --benchmark-json=FILE` writes."
EPILOG = """\
example:
  pytest benchmarks --benchmark-enable --benchmark-json=run.json
  podfast bench report run.json -o page.html"""


def configure(parser: Parser) -> None:
    parser.add_argument("action", choices=("report",), metavar="report", help="the only thing that can be done so far")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a JSON file of pytest-benchmark; later ones come later"
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the page to write")


def run(options: Options) -> int:
    from pathlib import Path

    from podfast.cli.bench_page import page
    from podfast.cli.bench_results import read

    runs = [read(Path(file)) for file in options.files]
    Path(options.output).write_text(page(runs), encoding="utf-8")
    return 0
