# SPDX-License-Identifier: Apache-2.0
"""`podfast run`: this process owns the pod, shows what it writes, and ends with it."""

from __future__ import annotations

import signal

from podfast.cli.arguments import Options, Parser, UsageError, seconds, swept_places

DESCRIPTION = "Runs a pod and stays attached: prints what its containers write, until all have ended."
EPILOG = """Ctrl-C stops the pod gracefully, a second one kills it. Whatever happens to podfast, the pod ends with it.

exit code: the container's own; of several, the first in the manifest that did not end with 0.
126 not executable, 127 not found, 128+n ended by signal n; 130 after Ctrl-C, 143 after TERM;
125 podfast failed, 2 usage.

examples:
  podfast run examples/helloworld.yaml
  kubectl get pod web -o yaml | podfast run -
"""


def configure(parser: Parser) -> None:
    parser.usage = "podfast run [options] FILE"
    parser.add_argument("file", metavar="FILE", nargs="?", help="manifest of a v1 Pod; - is standard input")
    parser.add_argument("-f", "--filename", metavar="FILE", help="the same, as kubectl spells it")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    parser.add_argument("--grace", metavar="SECONDS", type=seconds, help="for Ctrl-C, instead of the pod's own period")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing of podfast's own")


def run(options: Options) -> int:
    source = options.file or options.filename
    if not source or (options.file and options.filename):
        raise UsageError("which manifest? (podfast run FILE)")
    # From here on a signal is something to read: nothing is interrupted half way.
    from podfast.cli.signals import Signals

    with Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        from podfast.cli.attached import Attached
        from podfast.cli.manifest import load
        from podfast.pod import create

        manifest = load(source, options)
        places = swept_places(options)
        pod = create(manifest, root=places.root, runroot=places.runroot)
        try:
            return Attached(pod, signals, options).run()
        finally:
            if not pod.gone:
                pod.kill()
