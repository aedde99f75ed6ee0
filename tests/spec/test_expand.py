# SPDX-License-Identifier: Apache-2.0
"""`$(NAME)`, as the API defines it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from podfast.spec import environment, expand, expand_all
from podfast.spec.model import EnvVar

VARIABLES = {"A": "1", "B_C": "two", "EMPTY": "", "REF": "$(A)", "a b": "spaces"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B_C)z", "x1ytwoz"),
        ("$(EMPTY)", ""),
        ("$(NOPE)", "$(NOPE)"),
        ("$()", "$()"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A", "$A"),
        ("${A}", "${A}"),
        ("$", "$"),
        ("$$", "$"),
        ("$$$", "$$"),
        ("a$", "a$"),
        ("$(", "$("),
        ("$(A", "$(A"),
        ("$(A $(A)", "$(A $(A)"),
        ("$(A$$", "$(A$"),
        ("$(a b)", "spaces"),
        ("$(REF)", "$(A)"),
        ("$x$(A)", "$x1"),
        ("$(($(A))", "$(($(A))"),
        ("echo $(date)", "echo $(date)"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, VARIABLES) == expected


@given(st.text("ab$()"))
def test_what_refers_to_nothing_loses_only_doubled_signs(text: str) -> None:
    once = expand(text, {})
    assert once.replace("$", "") == text.replace("$", "")
    assert expand(text.replace("$", "$$"), {"a": "x", "b": "y", "": "z"}) == text


def test_environment_sees_what_stands_before() -> None:
    variables = [EnvVar("A", "1"), EnvVar("B", "$(A)$(C)"), EnvVar("C", "3"), EnvVar("A", "$(A)2")]
    assert environment(variables) == {"A": "12", "B": "1$(C)", "C": "3"}
    assert expand_all(["$(B)", "x"], environment(variables)) == ("1$(C)", "x")
