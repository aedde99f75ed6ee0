# SPDX-License-Identifier: Apache-2.0
"""`podfast exec`."""

from __future__ import annotations

import argparse
import os
import signal
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from podfast.cli.arguments import Options, Parser, UsageError, assignment, namespace, swept_places
from podfast.cli.pump import Pump
from podfast.cli.signals import Signals
from podfast.cli.terminal import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podfast.node import PodRecord
    from podfast.sandbox.client import Exec

DESCRIPTION = "Runs a command in a running container."
EPILOG = """exit code: the command's own; 126 not executable, 127 not found, 128+n ended by signal n;
125 podfast failed, 2 usage.

examples:
  podfast exec web -- ls -l /
  podfast exec -it web -c collector -- sh
"""
STDIO = (0, 1, 2)


def configure(parser: Parser) -> None:
    parser.usage = "podfast exec [options] POD [-c CONTAINER] -- COMMAND [ARGUMENT …]"
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    parser.add_argument("-c", "--container", metavar="NAME", help="the container; the pod's first when not given")
    parser.add_argument(
        "-e", "--env", metavar="NAME=VALUE", type=assignment, action="append", default=[], help="set a variable"
    )
    parser.add_argument("-w", "--workdir", metavar="DIR", default="", help="another working directory")
    parser.add_argument("pod", metavar="POD", help="name or id")


def parse(parser: Parser, arguments: Sequence[str], options: Options) -> None:
    """Everything after `--` is the command, whatever it looks like. Without `--`, everything after the pod is."""
    words = list(arguments)
    at = words.index("--") if "--" in words else None
    nargs = "*" if at is not None else argparse.REMAINDER
    parser.add_argument("command", metavar="COMMAND", nargs=nargs, help="and its arguments")
    parser.parse_args(words[:at], options)
    if at is not None:
        if options.command:
            raise UsageError(f'"{options.command[0]}" stands before the "--", but it is neither an option nor the pod')
        options.command = words[at + 1 :]
    if not options.command:
        raise UsageError("no command (podfast exec POD -- COMMAND …)")
    if at is None and options.command[0].startswith("-"):
        raise UsageError(f'put "--" before the command, or "{options.command[0]}" before the pod')


def run(options: Options) -> int:
    from podfast.node import find
    from podfast.sandbox.client import Client

    places = swept_places(options)
    record = find(places.runroot, options.pod, namespace=namespace(options))
    index, container = choose_container(record, options.container)

    def start(stdio: tuple[int, int, int] | None, size: tuple[int, int], variables: Sequence[str]) -> Exec:
        return Client(record.directory).start_exec(
            index, container, options.command, variables=variables, workdir=options.workdir, stdio=stdio, size=size
        )

    if options.tty:
        from podfast.cli.tty import attach

        return attach(start, options.env, with_input=options.stdin)
    return _piped(start, options.env, with_input=options.stdin)


def choose_container(record: PodRecord, wanted: str | None) -> tuple[int, str]:
    """Index and name; the first container, said aloud when there are others."""
    from podfast.errors import NotFound

    names = record.containers
    if not names:
        raise NotFound(f'pod "{record.name}" has no running container yet')
    if wanted is None:
        if len(names) > 1:
            say(f'container "{names[0]}" of {", ".join(names)} (choose with -c)')
        return 0, names[0]
    if wanted not in names:
        raise NotFound(f'no container "{wanted}" in pod "{record.name}" (it has {", ".join(names)})')
    return names.index(wanted), wanted


Start = Callable[[tuple[int, int, int] | None, tuple[int, int], Sequence[str]], "Exec"]


def _piped(start: Start, variables: Sequence[str], *, with_input: bool) -> int:
    """Runs the command on pipes.

    A container process can open each of its descriptors anew, through /proc/self/fd, with other rights: a file of the
    host, read-only, becomes one to write to. And a terminal can be read from its output side. So nothing but pipes goes
    in: the caller's own where it has some, else new ones that are copied.
    """
    pump = Pump()
    with ExitStack() as ours, ExitStack() as theirs:
        stdio = [_passed(descriptor, pump, ours, theirs, with_input=with_input) for descriptor in STDIO]
        signals = ours.enter_context(Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT))
        process = ours.enter_context(start((stdio[0], stdio[1], stdio[2]), (24, 80), variables))
        theirs.close()
        code = _wait(process, pump, signals)
        pump.drain()
        return code


def _passed(descriptor: int, pump: Pump, ours: ExitStack, theirs: ExitStack, *, with_input: bool) -> int:
    """What the command gets for one of its three descriptors."""
    if descriptor == 0 and not with_input:
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        theirs.callback(os.close, nothing)
        return nothing
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return descriptor
    except OSError:  # closed by the caller
        pass
    reading, writing = os.pipe2(os.O_CLOEXEC)
    own, other = (writing, reading) if descriptor == 0 else (reading, writing)
    theirs.callback(os.close, other)
    close = _once(own)
    ours.callback(close)
    os.set_blocking(own, False)
    pump.add(*((descriptor, own) if descriptor == 0 else (own, descriptor)), close)
    return other


def _once(descriptor: int) -> Callable[[], None]:
    left = [descriptor]

    def close() -> None:
        if left:
            os.close(left.pop())

    return close


def _wait(process: Exec, pump: Pump, signals: Signals) -> int:
    interrupted = False
    while True:
        woken = pump.run([process.fileno(), signals.fileno()])
        if signals.fileno() in woken:
            for number in signals.read():
                if interrupted and number == signal.SIGINT:
                    return 128 + number  # closing the connection kills the command
                interrupted = interrupted or number == signal.SIGINT
                process.send_signal(number)
        if process.fileno() in woken:
            return process.wait()
