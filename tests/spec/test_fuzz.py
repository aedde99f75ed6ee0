# SPDX-License-Identifier: Apache-2.0
"""Mutations of good manifests: a Pod or a SpecError comes out, never anything else, and never without a message."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from podfast.errors import SpecError
from podfast.spec import Pod, load
from tests.spec.samples import FULL, HELLO

ROUNDS = 700
SEEDS = [HELLO.encode(), json.dumps(FULL).encode(), json.dumps(FULL, indent=2).encode()]
PIECES = [
    *(bytes([byte]) for byte in range(256)),
    *(
        b": ",
        b"- ",
        b"\n",
        b"\n  ",
        b"? ",
        b"<<: ",
        b"*a",
        b"&a ",
        b"!!int ",
        b"!x ",
        b"|\n",
        b">-\n",
        b"---\n",
        b"...\n",
    ),
    *(
        b"~",
        b"null",
        b"true",
        b"yes",
        b"1e3",
        b"0x10",
        b"1:30",
        b".inf",
        b"[]",
        b"{}",
        b"[",
        b"}",
        b'"',
        b"'",
        b"#",
        b"\\",
    ),
    *(
        b"\\ud83d",
        b"\\u0000",
        b"\xef\xbb\xbf",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"%YAML 1.1\n",
        b"podfast.dev/x: y\n",
        b"$(A)",
    ),
]


def _mutate(text: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice((0, 1, 2, 5, 20)))
        action = chance.randrange(5)
        if action == 0:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        elif action == 1:
            text = text[:at] + text[end:]
        elif action == 2:
            text = text[:at] + chance.choice(PIECES) + text[end:]
        elif action == 3:
            text = text[:at] + text[at:end] * chance.choice((2, 3, 50)) + text[end:]
        else:
            lines = text.split(b"\n")
            chance.shuffle(lines[: chance.randrange(len(lines)) + 1])
            first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
            text = b"\n".join(lines)
    return text


def _try(source: Any) -> Pod | None:
    try:
        pod = load(source, source_name="fuzz")
    except SpecError as error:
        problems = error.problems
    else:
        assert isinstance(pod, Pod)
        return pod
    lines = source.count(b"\n") + 1 if isinstance(source, bytes) else 0
    assert problems
    for problem in problems:
        assert problem.message
        assert str(problem).isprintable()
        assert 0 <= problem.line <= lines + 1
    return None


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_mutated_text(seed: int) -> None:
    chance = random.Random(seed)
    pods = 0
    for _ in range(ROUNDS):
        pods += _try(_mutate(SEEDS[seed], chance)) is not None
    # Neither everything nor nothing may survive, else the mutations show nothing.
    assert ROUNDS // 100 < pods < ROUNDS // 2


@given(st.binary(max_size=200))
def test_any_bytes(text: bytes) -> None:
    assert _try(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["apiVersion", "kind", "metadata", "spec", "name", "containers", "env", "labels", "resources"]
                )
                | st.text(max_size=5),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_any_data(data: Any) -> None:
    _try({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": data})
    if isinstance(data, dict):
        _try(data)
