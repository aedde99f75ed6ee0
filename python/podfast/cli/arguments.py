# SPDX-License-Identifier: Apache-2.0
"""A parser that reports mistakes in one line, and the options that every verb has, before or after the verb."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

TYPE_CHECKING = False  # known to type checkers by its name; importing typing takes 4 ms
if TYPE_CHECKING:
    from typing import NoReturn

    from podfast.places import Places

USAGE_ERROR = 2

# argparse would look for translations of its few headings (5 ms), and then mix them with podfast's English.
argparse._ = str  # type: ignore[attr-defined]


class Options(argparse.Namespace):
    """What every verb is given."""

    root: str | None = None
    runroot: str | None = None
    namespace: str | None = None
    debug: bool = False


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where to read more, instead of repeating the whole usage."""

    def __init__(self, verb: str, description: str = "", epilog: str = "") -> None:
        super().__init__(
            prog=f"podfast {verb}".strip(),
            description=description,
            epilog=epilog,
            formatter_class=_formatter,
            allow_abbrev=False,
            add_help=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class UsageError(Exception):
    """The command line itself is wrong."""


def _formatter(prog: str) -> argparse.HelpFormatter:
    # Given no width, argparse asks shutil, whose import alone takes 5 ms.
    return argparse.RawDescriptionHelpFormatter(
        prog, max_help_position=28, width=min(width(sys.stdout.fileno()), 110) - 2
    )


def width(descriptor: int) -> int:
    """Columns of the terminal; 100 where there is none."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(descriptor).columns or 100
    except OSError:
        return 100


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """Options that may stand on both sides of the verb: what is not given leaves the other side's value alone."""
    group = parser.add_argument_group("options of every command")
    group.add_argument("-h", "--help", action="help", help="show this text")
    group.add_argument("-n", "--namespace", metavar="NAME", default=argparse.SUPPRESS, help="the pod's namespace")
    group.add_argument(
        "--root", metavar="DIR", default=argparse.SUPPRESS, help="images, volumes and logs ($PODFAST_ROOT)"
    )
    group.add_argument("--runroot", metavar="DIR", default=argparse.SUPPRESS, help="running pods ($PODFAST_RUNROOT)")
    group.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="add the traceback to an error")


def seconds(text: str) -> float:
    """The value of an option that is a time."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of seconds')
    return value


def assignment(text: str) -> str:
    """The value of an option that sets a variable."""
    if "=" not in text[1:]:
        raise argparse.ArgumentTypeError(f'"{text}" is not NAME=VALUE')
    return text


def split_at_verb(arguments: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Splits `[options] verb [arguments]` at the first word that is neither an option nor the value of one."""
    takes_value = {"-n", "--namespace", "--root", "--runroot"}
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in takes_value else 1
    if at >= len(arguments):
        return list(arguments), None, []
    return list(arguments[:at]), arguments[at], list(arguments[at + 1 :])


def namespace(options: Options) -> str | None:
    """The namespace that was asked for, if any."""
    return options.namespace or os.environ.get("PODFAST_NAMESPACE") or None


def swept_places(options: Options) -> Places:
    """The directories this command works on, after what dead pods left there has been removed."""
    from podfast.node import sweep
    from podfast.places import resolve

    places = resolve(options.root, options.runroot)
    sweep(*places)
    return places
