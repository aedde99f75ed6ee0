# SPDX-License-Identifier: Apache-2.0
"""`podfast logs`."""

from __future__ import annotations

import argparse
import functools
import re
import select
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from podfast.cli.arguments import Options, Parser, namespace, swept_places
from podfast.cli.following import Watched
from podfast.cli.output import LinePrinter, tell_lost
from podfast.node import Follower, Joiner, LogLine, PodRecord, Watch, find

DESCRIPTION = "Prints what the containers of a pod wrote. Lines of several containers are in the order of their time."
EPILOG = """examples:
  podfast logs -f web
  podfast logs web -c collector --tail 20 --timestamps
  podfast logs web -c worker -p              what it wrote before its last restart
"""
# A pod whose owner and shim were killed at once tells nobody; so one looks now and then.
WATCH_SECONDS = 1.0
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def configure(parser: Parser) -> None:
    parser.usage = "podfast logs POD [options]"
    parser.add_argument("pod", metavar="POD", help="name or id")
    parser.add_argument(
        "-c", "--container", metavar="NAME", action="append", help="only this container; may be repeated"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the containers have ended")
    parser.add_argument(
        "--tail", metavar="N", type=_count, default=None, help="only the last N lines of each container"
    )
    parser.add_argument(
        "--since", metavar="DURATION", type=_since, default=None, help="only lines younger than this: 30s, 5m, 2h"
    )
    parser.add_argument("-p", "--previous", action="store_true", help="the attempt before the newest one")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")


def run(options: Options) -> int:
    places = swept_places(options)
    record = find(places.runroot, options.pod, namespace=namespace(options))
    containers = _chosen(record, options.container)
    directory = places.log_directory(record.namespace, record.name, record.uid)
    printer = LinePrinter(containers, prefix=len(containers) > 1, timestamps=options.timestamps)
    if options.previous:
        _print_previous(directory, containers, options, printer)
        return 0
    watched = Watched(places.runroot, record)
    with Follower(directory, containers) as follower:
        if options.tail is not None:
            follower.skip_to_tail(options.tail)
        joiner = Joiner()
        with Watch([*follower.directories(), record.directory]) as watch:
            patience = functools.partial(_wait, watch, printer)
            for lines in _batches(follower, watched, containers, watch, patience if options.follow else None):
                printer.write(joiner.feed(_young(lines, options.since)))
        printer.write(joiner.flush())
        tell_lost(follower.lost())
    return 0


def _batches(
    follower: Follower,
    watched: Watched,
    containers: tuple[str, ...],
    watch: Watch,
    wait: Callable[[], None] | None,
) -> Iterator[list[LogLine]]:
    """All there is, and with `wait` all that comes. The end is looked for before the last lines: none is missed."""
    while True:
        watch.arm()
        ended = wait is None or watched.ended(containers)
        while lines := follower.read():
            yield lines
        if ended or wait is None:
            yield follower.rest()
            return
        wait()


def _wait(watch: Watch, printer: LinePrinter) -> None:
    """Until something was written, the reader of our output has gone, or it is time to look for a sudden death."""
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    reader = printer.watch_reader(poll)
    patience = watch.patience
    ready = {descriptor for descriptor, _ in poll.poll(1000 * (WATCH_SECONDS if patience is None else patience))}
    if reader in ready:
        raise BrokenPipeError
    if ready:
        watch.clear()


def _print_previous(directory: str, containers: tuple[str, ...], options: Options, printer: LinePrinter) -> None:
    from podfast.errors import NotFound
    from podfast.node import attempts

    for container in containers:
        known = attempts(directory, container)
        if len(known) < 2:
            raise NotFound(f'container "{container}" has not been restarted, or its first attempt wrote nothing')
        with Follower(directory, [container], first=known[-2], only=True) as follower:
            if options.tail is not None:
                follower.skip_to_tail(options.tail)
            joiner = Joiner()
            while lines := follower.read():
                printer.write(joiner.feed(_young(lines, options.since)))
            printer.write(joiner.feed(follower.rest()))
            printer.write(joiner.flush())


def _chosen(record: PodRecord, wanted: list[str] | None) -> tuple[str, ...]:
    from podfast.errors import NotFound

    if not wanted:
        return record.containers
    for name in wanted:
        if name not in record.containers:
            raise NotFound(f'no container "{name}" in pod "{record.name}" (it has {", ".join(record.containers)})')
    return tuple(wanted)


def _young(lines: Iterable[LogLine], since: str | None) -> Iterable[LogLine]:
    """Times of the same zone and length are in order as text."""
    return (line for line in lines if line.time >= since) if since else lines


def _count(text: str) -> int | None:
    if not text.removeprefix("-").isdecimal() or int(text) < -1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of lines (-1: all)')
    return None if int(text) == -1 else int(text)


def _since(text: str) -> str:
    """A duration as kubectl takes it (`1h30m`), made into the earliest time of a line."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f'"{text}" is not a duration, such as 30s, 5m or 1h30m')
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    try:
        return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    except OverflowError:
        return ""  # longer ago than there are years
