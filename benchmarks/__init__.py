# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: every figure of podfast as a ratio to something that was run beside it, in turns.

build        compiles the C programs below when they are needed
floor/       what a pod costs without podfast: plain, cheap, and one exec          ipc/  logs/   load generators
coprocess    a program that answers commands with the time they took
subject      podfast's side: pods started and stopped, in this process or in one of its own
conftest     the `interleaved` and `figures` fixtures
test_*       the benchmarks; `pytest benchmarks` runs each once, `pytest benchmarks --benchmark-enable` measures
"""
