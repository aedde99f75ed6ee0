# SPDX-License-Identifier: Apache-2.0
"""The command line. `main` calls one verb; each verb is a module that is imported when it is used.

main       verbs, global options, errors → exit codes
arguments  the argument parser, and options that every verb has
terminal   colours, tables, ages
view       pods and containers as rows
output     container lines on their way to the terminal
attached   the loop of `run`; pump, tty: the loops of `exec`; following: waiting for a pod of another process
run ps get logs exec stop rm importing doctor version bench     the verbs
"""

from podfast.cli.main import main

__all__ = ["main"]
