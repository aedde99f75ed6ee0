# SPDX-License-Identifier: Apache-2.0
"""`podfast VERB …`: finds the verb, runs it, and turns what went wrong into one line and an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from podfast.cli.arguments import USAGE_ERROR, Options, Parser, UsageError, add_global_options, split_at_verb

# Exit codes beside the container's own.
FAILED = 1
PODFAST_FAILED = 125  # of the verbs that otherwise return the container's code
INTERRUPTED = 130
PIPE_CLOSED = 141

# Verb → module and what it does, in the order in which one meets them.
VERBS = {
    "run": ("run", "run a pod and stay attached to it"),
    "ps": ("ps", "list containers"),
    "get": ("get", "list pods, or print one"),
    "logs": ("logs", "print what containers wrote"),
    "exec": ("exec", "run a command in a container"),
    "stop": ("stop", "stop pods gracefully and remove them"),
    "rm": ("rm", "remove pods"),
    "import": ("importing", "make an image of a root file system in a tarball"),
    "doctor": ("doctor", "tell what this machine lacks, and what that costs"),
    "bench": ("bench", "report benchmark results"),
    "version": ("version", "print the version"),
}
CODE_OF_THE_CONTAINER = frozenset({"run", "exec"})
# What hands trained elsewhere type.
KINDRED = {
    "delete": "rm",
    "remove": "rm",
    "kill": "stop",
    "down": "stop",
    "log": "logs",
    "apply": "run",
    "create": "run",
    "play": "run",
    "up": "run",
    "start": "run",
    "list": "ps",
    "ls": "ps",
    "pods": "get pods",
    "info": "doctor",
    "check": "doctor",
    "load": "import",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    _fill_standard_descriptors()
    before, verb, after = split_at_verb(sys.argv[1:] if arguments is None else arguments)
    options = Options()
    failed = PODFAST_FAILED if verb in CODE_OF_THE_CONTAINER else FAILED
    try:
        try:
            code = _dispatch(options, before, verb, after)
        except SystemExit as end:  # argparse has printed its help
            code = end.code if isinstance(end.code, int) else failed
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _failure(error, options, failed)
    finally:
        _close_output()


def _fill_standard_descriptors() -> None:
    """Callers may have closed some of 0, 1 and 2; the next file that is opened must not take such a number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _dispatch(options: Options, before: list[str], verb: str | None, after: list[str]) -> int:
    if verb == "help":
        verb, after = (after[0], ["--help"]) if after else (None, [])
        before = before if verb else [*before, "--help"]
    if verb is None and "--version" in before:
        verb, before = "version", [word for word in before if word != "--version"]
    if verb is not None and verb not in VERBS:
        raise UsageError(_unknown(verb))
    top = _top_parser(with_verbs=verb is None)
    top.parse_args(before, options)
    if verb is None:
        top.print_help(sys.stderr)
        return USAGE_ERROR
    name, does = VERBS[verb]
    module = import_module(f"podfast.cli.{name}")
    parser = Parser(verb, description=getattr(module, "DESCRIPTION", does.capitalize() + "."), epilog=module.EPILOG)
    module.configure(parser)
    add_global_options(parser)
    module.parse(parser, after, options) if hasattr(module, "parse") else parser.parse_args(after, options)
    code = module.run(options)
    assert isinstance(code, int)
    return code


def _top_parser(*, with_verbs: bool) -> Parser:
    description = epilog = ""
    if with_verbs:
        description = "Runs Kubernetes Pods on this machine, at the speed of fork."
        verbs = "\n".join(f"  {verb:<10}{does}" for verb, (_, does) in VERBS.items())
        epilog = f"commands:\n{verbs}\n\n`podfast COMMAND --help` tells more."
    parser = Parser("", description, epilog)
    parser.usage = "podfast [options] COMMAND …"
    add_global_options(parser)
    return parser


def _unknown(verb: str) -> str:
    import difflib

    close = KINDRED.get(verb) or next(iter(difflib.get_close_matches(verb, [*VERBS, "help"], n=1)), None)
    hint = f'did you mean "podfast {close}"?' if close else "see podfast --help"
    return f'unknown command "{verb}" ({hint})'


def _failure(error: BaseException, options: Options, failed: int) -> int:
    """Says on one line (a manifest: one line for each mistake) what went wrong; returns the exit code."""
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        return PIPE_CLOSED
    if options.debug and not isinstance(error, UsageError):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, UsageError):
        lines, code = [str(error)], USAGE_ERROR
    else:
        from podfast.cli.failures import explain

        lines, code = explain(error, failed)
    try:
        for line in lines:
            print(f"error: {line}", file=sys.stderr)
    except OSError:
        pass  # nobody reads it; the exit code still tells
    return code


def _reader_is_gone() -> bool:
    """Whether the reader of standard output closed its end, which is its right (`podfast logs x | head -1`)."""
    import select

    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _close_output() -> None:
    """Leaves nothing in the buffers that the interpreter would complain about when it ends."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
