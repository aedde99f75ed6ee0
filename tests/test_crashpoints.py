# SPDX-License-Identifier: Apache-2.0
"""A sample of crash points of a pod's start and stop; `python -m tests.machinery.crashpoints` tries them all."""

import importlib.util
import os

import pytest

from tests.machinery import crashpoints, injector
from tests.machinery.operations import SUBJECTS
from tests.machinery.roots import Roots

POINTS_PER_ROLE = 8
START_STOP = SUBJECTS["start-stop"]

pytestmark = [
    pytest.mark.skipif(not injector.available(), reason="the fault injector knows x86-64 only"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(importlib.util.find_spec("podfast") is None, reason="podfast is not installed"),
]


@pytest.mark.makes
def test_unharmed_it_works(roots: Roots) -> None:
    outcome = injector.record(START_STOP.operation(roots))
    assert (outcome.status, outcome.stderr, outcome.left) == (0, "", ())
    assert outcome.calls.keys() >= {"engine", "launch", "shim", "child"}


@pytest.mark.parametrize("role", ["engine", "shim", "child"])
def test_nothing_is_left_wherever_it_is_hit(role: str) -> None:
    every = crashpoints.points(START_STOP, roles=[role])
    results = list(crashpoints.tour(START_STOP, crashpoints.spread(every, POINTS_PER_ROLE)))
    complaints = "\n".join(str(result) for result in results if result.complaints)
    assert not complaints, complaints
    assert any(result.outcome.fired for result in results)
