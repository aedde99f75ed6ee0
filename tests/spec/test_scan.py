# SPDX-License-Identifier: Apache-2.0
"""The fast scanner beside the event reader: what it takes, both read alike, down to the place of every key."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from podfast._native.yaml import Reading, TooMuch, control_character, read_events, scan
from tests.spec.samples import FULL, HELLO
from tests.spec.test_fuzz import _mutate

MIXED = """\
---
# Everything that the scanner knows.
a:
- b
- c: 1
  d: |
    x
     y

    z

  e: |-
   q
- - 1
  - 2
  -
    x: y
-
- ~
b: 'it''s'   # a comment
c: "a\\u00e9\\n\\x41\\U0001F600"
d:
  # x
  e: 1
  f: [a, b c, {x: y, "z":1}, -1, [ ], { } ]
  h: [-MIO::x, a:b, sh -c "x" > y|z, http://x:80/]
  1: {yes: no,
    off: on}
ä: ö #
"k k" : |+
  end

g: -x#y
"""

TOKENS = [
    *(
        "a",
        "b: ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        " ",
        ":",
        "#",
        " # c",
        "|\n",
        "|-\n",
        "'x'",
        '"y"',
        "[",
        "]",
        "{",
        "}",
        ",",
    ),
    *(
        "1",
        "~",
        "\t",
        "key:",
        "\n- ",
        "\n  - ",
        "\nk: ",
        "\n  k: ",
        "ä",
        "- k: ",
        "...",
        "---",
        "?",
        "!",
        "&a ",
        "*a",
        ">",
    ),
    *(
        "%",
        "@",
        "\\n",
        "\n\n",
        "<<: ",
        "\\",
        "'",
        '"',
        "\r\n",
        "\u2028",
        "\x85",
        "=",
        ": ",
        "-",
        "{a: b}",
        "[a, b]",
        "a b",
    ),
    *("::", "a:b", "[a", ", a", "{a: ", "]\n", "}\n", 'a"b', "<>", "[", "]", ", "),
]


def _both(text: bytes) -> tuple[Any, Reading] | None:
    """What the two read, when the scanner takes the text."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return None
    if control_character(text) >= 0:
        return None
    try:
        scanned = scan(text, nodes=20_000, depth=100)
    except TooMuch:
        assert read_events(text, nodes=20_000, depth=100).mistakes
        return None
    return None if scanned is None else (scanned, read_events(text, nodes=20_000, depth=100))


def _compare(text: bytes) -> bool:
    both = _both(text)
    if both is None:
        return False
    (value, line, column, marks), reading = both
    assert not reading.mistakes, text
    assert len(reading.documents) == 1, text
    other, *place = reading.documents[0]
    assert [line, column] == place, text
    _same(value, other, marks, reading.marks)
    return True


def _same(value: Any, other: Any, marks: dict[int, Any], others: dict[int, Any]) -> None:
    assert type(value) is type(other)
    if isinstance(value, dict):
        assert list(value) == list(other)
        assert marks[id(value)] == others[id(other)]
        for key in value:
            _same(value[key], other[key], marks, others)
    elif isinstance(value, list):
        assert len(value) == len(other)
        assert marks[id(value)] == others[id(other)]
        for item, another in zip(value, other, strict=True):
            _same(item, another, marks, others)
    else:
        assert value == other or value != value


SEEDS = [
    HELLO,
    MIXED,
    yaml.dump({**FULL, "metadata": {"name": "full"}}),
    json.dumps(FULL),
    json.dumps(FULL, indent=2),
    json.dumps(FULL, indent="\t"),
]


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_it_takes_what_people_write(seed: int) -> None:
    assert _compare(SEEDS[seed].encode())


def test_it_takes_the_examples() -> None:
    """So the first command that a newcomer types does not wait for PyYAML's import."""
    examples = list((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    assert examples
    for path in examples:
        assert _compare(path.read_bytes()), path


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_mutations(seed: int) -> None:
    chance = random.Random(seed)
    taken = sum(_compare(_mutate(SEEDS[seed].encode(), chance)) for _ in range(1500))
    assert taken > 20


def test_any_tokens() -> None:
    chance = random.Random(0)
    taken = 0
    for _ in range(20_000):
        text = "".join(chance.choice(TOKENS) for _ in range(chance.randrange(1, 16)))
        taken += _compare(text.encode())
    assert taken > 500


_WORDS = st.sampled_from(
    [
        "a",
        "b c",
        "1",
        "yes",
        "~",
        "1e3",
        "0x1F",
        "x:y",
        "-a",
        "a#b",
        "ä",
        "",
        "it's",
        'q"',
        "#",
        "- a",
        "a: b",
        "x\ny\n",
        "\n x",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        _WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "|", '"', "'"]),
    st.integers(1, 6),
)
def test_what_pyyaml_writes(value: Any, flow: bool | None, style: str | None, indent: int) -> None:
    _compare(yaml.dump(value, default_flow_style=flow, default_style=style, indent=indent, allow_unicode=True).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# x",
        "a: 1\na: 2",
        "a: &x 1",
        "a: *x",
        "a: !!str 1",
        "? a",
        "a: >\n b",
        "a: b\n  c",
        "a: 1\n---\n",
        "a:\tb",
        "{a}",
        "[a: b]",
        "a: 'x\n  y'",
    ],
)
def test_it_leaves_the_rest_to_events(text: str) -> None:
    assert scan(text.encode(), nodes=100, depth=10) is None
