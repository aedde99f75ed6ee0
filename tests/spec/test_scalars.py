# SPDX-License-Identifier: Apache-2.0
"""Scalars mean what they mean to Kubernetes: go-yaml v2's rules, then JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given, strategies as st

from podfast._native.yaml import Reading, join_surrogates, place, read, resolve


def _read(text: str) -> Reading:
    return read(text.encode(), nodes=20_000, depth=100)


def _value(text: str) -> Any:
    reading = _read(text)
    assert not reading.mistakes
    ((value, _, _),) = reading.documents
    return value


# What PyYAML's SafeLoader reads differently, and what Kubernetes reads.
DIFFERENCES = [
    # 1. One letter is a boolean, too.
    ("y", "y", True),
    ("N", "N", False),
    # 2. Dates are strings.
    ("2024-02-29", yaml.safe_load("2024-02-29"), "2024-02-29"),
    # 3. There are no numbers to base 60.
    ("1:30", 90, "1:30"),
    ("1:30.5", 90.5, "1:30.5"),
    # 4. Floats need no point and no sign in the exponent; whole ones fit where an integer is wanted.
    ("1e3", "1e3", 1000),
    ("1.5e3", "1.5e3", 1500),
    ("5.0", 5.0, 5),
    # 5. Integers: 0o for octal, capitals in prefixes, digits that are not octal after a 0; 64 bits and no more.
    ("0o17", "0o17", 15),
    ("0X1F", "0X1F", 31),
    ("08", "08", 8),
    ("0x1FFFFFFFFFFFFFFFF", 0x1FFFFFFFFFFFFFFFF, "0x1FFFFFFFFFFFFFFFF"),
]


@pytest.mark.parametrize(("text", "pyyaml", "kubernetes"), DIFFERENCES)
def test_where_pyyaml_differs(text: str, pyyaml: Any, kubernetes: Any) -> None:
    assert yaml.safe_load(text) == pyyaml
    assert _value(text) == kubernetes
    assert type(_value(text)) is type(kubernetes)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")),
        *((word, False) for word in ("n", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")),
        *((word, word) for word in ("tRUE", "yEs", "oN", "none", "nil", "None", "=", "yesterday", "-", "+", ".", "_1")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("017", 15),
        ("-017", -15),
        ("0b101", 5),
        ("-0b11", -3),
        ("0B1", 1),
        ("1_000", 1000),
        ("0x_1F", 31),
        ("0_8", 8),
        ("0x", "0x"),
        ("0b2", "0b2"),
        ("0xg", "0xg"),
        ("9223372036854775807", 2**63 - 1),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        (".5", 0.5),
        ("-.5", -0.5),
        ("._5", "._5"),
        ("1.", 1),
        ("1_0.5", 10.5),
        ("1e", "1e"),
        ("1e+", "1e+"),
        ("1e400", "1e400"),
        ("1e-400", 0),
        ("1e21", 1e21),
        ("1e20", 10**20),
        ("1.2.3", "1.2.3"),
        ("1,000", "1,000"),
        ("80/tcp", "80/tcp"),
        ("5s", "5s"),
        ("٣", "٣"),
        ("1٣", "1٣"),
        (".inf", float("inf")),
        ("+.Inf", float("inf")),
        ("-.INF", float("-inf")),
        ("+inf", "+inf"),
        ("1" * 2000, "1" * 2000),
    ],
)
def test_resolve(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_quotes_and_tags_make_strings() -> None:
    assert _value("[\"5\", 'yes', !!str 5, ! 5]") == ["5", "yes", "5", "5"]
    assert _value("- |\n  5\n- >\n  yes\n") == ["5\n", "yes\n"]
    assert _value("[!!int 5, !!float 5, !!bool yes, !!null ~, !!timestamp 2024-01-01]") == [
        5,
        5,
        True,
        None,
        "2024-01-01",
    ]


def test_keys_become_strings() -> None:
    assert _value("{1: a, yes: b, 0x10: c, 1.5: d, 1e3: e, 'no': f, .5: g}") == {
        "1": "a",
        "true": "b",
        "16": "c",
        "1.5": "d",
        "1000": "e",
        "no": "f",
        "0.5": "g",
    }


@pytest.mark.parametrize("text", ["{~: 1}", "{[a]: 1}", "{{a: b}: 1}", "{? : 1}"])
def test_keys_that_cannot_be(text: str) -> None:
    reading = _read(text)
    assert len(reading.mistakes) == 1
    assert "key" in reading.mistakes[0].message


@pytest.mark.parametrize(
    "text", ["!foo x", "!!binary aGk=", "!!set {a: }", "!!omap []", "!<x:y> 1", "!!int x", "!!bool 5"]
)
def test_tags_that_are_refused(text: str) -> None:
    (mistake,) = _read(text).mistakes
    assert "tag" in mistake.message


# A key in YAML may be 1024 characters long, escapes as written; no key of a Pod comes near.
_SAFE_TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[chr(c) for c in (0x7F, *range(0x80, 0xA0), 0xFEFF, 0xFFFE, 0xFFFF)],
    )
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _SAFE_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_SAFE_TEXT.filter(lambda key: len(key) < 150), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_JSON.filter(lambda value: isinstance(value, (dict, list))), st.booleans())
@example({"a": "\\ud83d", "b": '"'}, True)
def test_json_is_yaml(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    reading = read(join_surrogates(text.encode()), nodes=20_000, depth=100)
    assert not reading.mistakes
    assert reading.documents[0][0] == value


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
@example("- |")
def test_any_text_in_quotes_is_itself(text: str) -> None:
    quoted = text.replace("'", "''")
    assert _value(f"'{quoted}'") == text


def test_places_are_those_of_the_keys() -> None:
    reading = _read("a: 1\nb:\n  c: [x,\n    y]\n")
    root = reading.documents[0][0]
    assert place(reading.marks[id(root)]["b"]) == (2, 1)
    assert place(reading.marks[id(root["b"])]["c"]) == (3, 3)
    assert [place(mark) for mark in reading.marks[id(root["b"]["c"])]] == [(3, 7), (4, 5)]
