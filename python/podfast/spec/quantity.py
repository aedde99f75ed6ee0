# SPDX-License-Identifier: Apache-2.0
"""Kubernetes quantities, such as `500m`, `64Mi` and `1e3`: the whole grammar of `k8s.io/apimachinery`'s `Quantity`.

    quantity = [+-] (digits [. [digits]] | . digits) suffix
    suffix   = "" | n | u | m | k | M | G | T | P | E | Ki | Mi | Gi | Ti | Pi | Ei | (e|E) [+-] digits

CPU is rounded up to whole thousandths, as in Kubernetes. A fraction of a byte is refused (Kubernetes warns): whoever
writes `64m` of memory means `64Mi`. Numbers are exact: no floats on the way.
"""

from __future__ import annotations

__all__ = ["Bytes", "Millicores", "format_bytes", "format_cpu", "parse_cpu", "parse_memory"]

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DIGITS = frozenset("0123456789")
# No quantity is larger than this in Kubernetes (2^63 - 1 units); longer texts are refused before any arithmetic.
_LARGEST = (1 << 63) - 1
_LONGEST = 64
_GRAMMAR = "is not a quantity (examples: 500m, 0.5, 64Mi, 1e9)"


class Millicores(int):
    """Thousandths of a CPU core."""

    __slots__ = ()


class Bytes(int):
    """A number of bytes."""

    __slots__ = ()


def parse_cpu(value: str | float) -> Millicores:
    """Thousandths of a core, rounded up; raises ValueError with what is wrong."""
    return Millicores(_parse(value, scale=3))


def parse_memory(value: str | float) -> Bytes:
    """Bytes; raises ValueError with what is wrong."""
    return Bytes(_parse(value, scale=0, whole=True))


def format_cpu(millicores: int) -> str:
    """The canonical form, which parses to the same number."""
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def format_bytes(count: int) -> str:
    """The canonical form, which parses to the same number."""
    for suffix, shift in reversed(_BINARY.items()):
        if count and not count & ((1 << shift) - 1):
            return f"{count >> shift}{suffix}"
    return str(count)


def _parse(value: str | float, *, scale: int, whole: bool = False) -> int:
    """`value` times ten to the power of `scale`, rounded up."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > _LONGEST:
        raise ValueError(f"is not a quantity: longer than {_LONGEST} characters")
    number, places, suffix = _split(text)
    shift = _BINARY.get(suffix)
    if shift is not None:
        number, exponent = number << shift, scale - places
    else:
        exponent = scale - places + _exponent(suffix)
    result: int
    if exponent >= 0:
        result = number * 10 ** min(exponent, _LONGEST)
    else:
        # An exponent far below what the text can hold still leaves the smallest unit: Kubernetes rounds up, too.
        divisor: int = 10 ** min(-exponent, 4 * _LONGEST)
        if whole and number % divisor:
            raise ValueError("is not a whole number of bytes (m means thousandths; Mi is mebibytes)")
        result = -(-number // divisor)
    if number < 0:
        raise ValueError("must not be negative")
    if result > _LARGEST:
        raise ValueError("is too large: Kubernetes' largest is 2^63-1")
    return result


def _split(text: str) -> tuple[int, int, str]:
    """The digits as one whole number, how many of them stood after the point, and the suffix."""
    start = 1 if text[:1] in ("+", "-") else 0
    end = start
    point = -1
    while end < len(text) and (text[end] in _DIGITS or (text[end] == "." and point < 0)):
        if text[end] == ".":
            point = end
        end += 1
    digits = text[start:end].replace(".", "")
    if not digits:
        raise ValueError(_GRAMMAR)
    number = int(digits)
    places = end - point - 1 if point >= 0 else 0
    return -number if text[0] == "-" else number, places, text[end:]


def _exponent(suffix: str) -> int:
    exponent = _DECIMAL.get(suffix)
    if exponent is not None:
        return exponent
    digits = suffix[2:] if suffix[1:2] in ("+", "-") else suffix[1:]
    if suffix[:1] not in ("e", "E") or not digits or not _DIGITS.issuperset(digits):
        raise ValueError(_GRAMMAR)
    return int(suffix[1:])
