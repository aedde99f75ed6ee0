# SPDX-License-Identifier: Apache-2.0
"""Quantities, by Kubernetes' grammar."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from podfast.spec.quantity import format_bytes, format_cpu, parse_cpu, parse_memory


@pytest.mark.parametrize(
    ("text", "millicores"),
    [
        ("0", 0),
        ("1", 1000),
        ("+1", 1000),
        ("0.5", 500),
        (".5", 500),
        ("5.", 5000),
        ("500m", 500),
        ("0.0001", 1),
        ("1n", 1),
        ("100u", 1),
        ("1001u", 2),
        ("1e-1", 100),
        ("2E1", 20_000),
        ("1k", 1_000_000),
        (2, 2000),
        (0.1, 100),
        (1e-07, 1),
        ("1e-300", 1),
    ],
)
def test_cpu(text: str | float, millicores: int) -> None:
    assert parse_cpu(text) == millicores


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1Ki", 1 << 10),
        ("1Mi", 1 << 20),
        ("1.5Gi", 3 << 29),
        ("1Ti", 1 << 40),
        ("1Pi", 1 << 50),
        ("1Ei", 1 << 60),
        ("1k", 1000),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1E3", 1000),
        ("1e3", 1000),
        ("1.2e1", 12),
        ("1000m", 1),
        ("0.5Ki", 512),
        (128, 128),
        (1e9, 10**9),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_memory(text: str | float, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        "x",
        "-",
        "+",
        ".",
        "1..2",
        "1K",
        "1mi",
        "1MB",
        "1MiB",
        "1e",
        "1e+",
        "1e1k",
        "1Kim",
        "--1",
        "0x10",
        "1_0",
        "٣",
        "1e٣",
        "inf",
        "nan",
        "1,5",
        "1" * 65,
    ],
)
def test_what_is_no_quantity(text: str) -> None:
    for parse in (parse_cpu, parse_memory):
        with pytest.raises(ValueError, match="quantity"):
            parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1", "negative"),
        ("-1Mi", "negative"),
        ("8Ei", "too large"),
        ("1e99999", "too large"),
        ("0.1", "whole"),
        ("64m", "whole"),
    ],
)
def test_memory_that_is_out_of_range(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_memory(text)


@given(st.integers(0, 2**63 - 1))
def test_what_is_written_is_read(number: int) -> None:
    assert parse_memory(format_bytes(number)) == number
    if number <= (2**63 - 1) // 1000:
        assert parse_cpu(format_cpu(number)) == number


_SCALES = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "k": Fraction(1000),
    "Mi": Fraction(1 << 20),
    "e2": Fraction(100),
    "E-2": Fraction(1, 100),
}


@given(st.integers(0, 10**6), st.text("0123456789", max_size=6), st.sampled_from(sorted(_SCALES)))
def test_arithmetic_is_exact(whole: int, part: str, suffix: str) -> None:
    exact = Fraction(f"{whole}.{part or 0}") * _SCALES[suffix] * 1000
    expected = -(-exact.numerator // exact.denominator)
    assert parse_cpu(f"{whole}.{part}{suffix}") == expected
