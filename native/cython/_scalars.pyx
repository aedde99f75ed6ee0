# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, auto_pickle=False, autotestdict=False, boundscheck=False, wraparound=False
"""Scalars as Kubernetes reads them, go-yaml v2's rules and then JSON, and what must be done to text before."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr

cdef dict _CONSTANTS = {}
for _word in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"):
    _CONSTANTS[_word] = True
for _word in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"):
    _CONSTANTS[_word] = False
for _word in ("~", "null", "Null", "NULL"):
    _CONSTANTS[_word] = None
for _word in (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"):
    _CONSTANTS[_word] = float("inf")
for _word in ("-.inf", "-.Inf", "-.INF"):
    _CONSTANTS[_word] = float("-inf")
for _word in (".nan", ".NaN", ".NAN"):
    _CONSTANTS[_word] = float("nan")

cdef const char *_ESCAPES = b"\"\\/ntrbf0"
cdef const char *_ESCAPED = b"\"\\/\n\t\r\b\f\0"
cdef const char *_HEX = b"0123456789abcdef"


def resolve(str text not None):
    """What a plain scalar means to Kubernetes: None, bool, int, float or str. Whole floats are ints, as in JSON."""
    return _resolve(text)


def key_text(value):
    """A key as JSON must have it, a string; the value is what `resolve` made of a key's text, and not None."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _short_float(value)


def control_character(bytes text not None):
    """The offset of the first character in UTF-8 `text` that YAML does not allow, or -1."""
    cdef const unsigned char *at = text
    cdef Py_ssize_t size = len(text)
    cdef Py_ssize_t i = 0
    cdef unsigned char c, d
    while i < size:
        c = at[i]
        if c < 0x20:
            if c != 0x09 and c != 0x0A and c != 0x0D:
                return i
        elif c >= 0x7F:
            if c == 0x7F:
                return i
            if c == 0xC2 and i + 1 < size:
                d = at[i + 1]
                if d < 0xA0 and d != 0x85:
                    return i
            elif c == 0xEF and i + 2 < size:
                d = at[i + 1]
                if (d == 0xBF and at[i + 2] >= 0xBE) or (d == 0xBB and at[i + 2] == 0xBF):
                    return i
        i += 1
    return -1


def unescape(bytes text not None):
    r"""What a text in double quotes stands for. ValueError for the escapes that few use: those are left to others."""
    cdef const char *at = PyBytes_AS_STRING(text)
    cdef Py_ssize_t start = 0, end = len(text), length = 0, digits
    # No escape is shorter than its character is in UTF-8.
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, end)
    cdef char *out = PyBytes_AS_STRING(buffer)
    cdef const char *simple
    while start < end:
        if at[start] != b"\\":
            out[length] = at[start]
            length += 1
            start += 1
            continue
        if start + 1 >= end:
            raise ValueError("half an escape")
        digits = _digits(at[start + 1])
        if digits:
            length += _encode(_character(at, start + 2, digits, end), out + length)
            start += 2 + digits
            continue
        simple = <const char *>memchr(_ESCAPES, at[start + 1], 9)
        if simple == NULL:
            raise ValueError("an escape that few use")
        out[length] = _ESCAPED[simple - _ESCAPES]
        length += 1
        start += 2
    return PyUnicode_DecodeUTF8(out, length, NULL)


cdef inline Py_ssize_t _digits(char c) noexcept:
    """How many digits a numeric escape has; 0 for others."""
    return 4 if c == b"u" else 2 if c == b"x" else 8 if c == b"U" else 0


cdef long _character(const char *at, Py_ssize_t start, Py_ssize_t digits, Py_ssize_t end) except -1:
    cdef long value = 0
    cdef int digit
    cdef Py_ssize_t pos
    if start + digits > end:
        raise ValueError("half an escape")
    for pos in range(start, start + digits):
        digit = _digit(<Py_UCS4><unsigned char>at[pos])
        if digit < 0:
            raise ValueError("not a number")
        value = value * 16 + digit
    if 0xD800 <= value < 0xE000 or value > 0x10FFFF:
        raise ValueError("not a character")
    return value


cdef Py_ssize_t _encode(long value, char *out) noexcept:
    """Write a character in UTF-8; returns its length."""
    if value < 0x80:
        out[0] = <char>value
        return 1
    if value < 0x800:
        out[0] = <char>(0xC0 | (value >> 6))
        out[1] = <char>(0x80 | (value & 0x3F))
        return 2
    if value < 0x10000:
        out[0] = <char>(0xE0 | (value >> 12))
        out[1] = <char>(0x80 | ((value >> 6) & 0x3F))
        out[2] = <char>(0x80 | (value & 0x3F))
        return 3
    out[0] = <char>(0xF0 | (value >> 18))
    out[1] = <char>(0x80 | ((value >> 12) & 0x3F))
    out[2] = <char>(0x80 | ((value >> 6) & 0x3F))
    out[3] = <char>(0x80 | (value & 0x3F))
    return 4


def join_surrogates(bytes text not None):
    r"""JSON writes a character beyond 16 bits as two escapes, `\ud83d\ude00`; YAML has one for it, `\U0001f600`."""
    cdef const char *at = text
    cdef Py_ssize_t size = len(text)
    cdef Py_ssize_t i = 0, end = 0, k
    cdef long high, low
    cdef bint found = False
    cdef bytearray result = bytearray(size)
    cdef char *out = result
    while i < size:
        high = _escape(at, i, size)
        low = _escape(at, i + 6, size) if 0xD800 <= high < 0xDC00 else -1
        if 0xDC00 <= low < 0xE000:
            high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            out[end] = b"\\"
            out[end + 1] = b"U"
            for k in range(8):
                out[end + 2 + k] = _HEX[(high >> (28 - 4 * k)) & 15]
            end += 10
            i += 12
            found = True
            continue
        # An escaped backslash does not begin another escape.
        for k in range(2 if at[i] == b"\\" and i + 1 < size else 1):
            out[end] = at[i]
            end += 1
            i += 1
    return bytes(result[:end]) if found else text


cdef long _escape(const char *at, Py_ssize_t i, Py_ssize_t size) noexcept:
    """The number in the escape `\\uXXXX` at `i`, or -1."""
    cdef long value = 0
    cdef int digit
    cdef Py_ssize_t k
    if i + 6 > size or at[i] != b"\\" or at[i + 1] != b"u":
        return -1
    for k in range(i + 2, i + 6):
        digit = _digit(<Py_UCS4><unsigned char>at[k])
        if digit < 0:
            return -1
        value = value * 16 + digit
    return value


cdef object _resolve(str text):
    cdef Py_ssize_t size = len(text)
    cdef Py_UCS4 c
    if size == 0:
        return None
    c = text[0]
    if c in u"yYnNtTfFoO~":
        return _CONSTANTS.get(text, text) if size <= 5 else text
    if c == u".":
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        return _float(text, text)
    if c == u"+" or c == u"-" or u"0" <= c <= u"9":
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        return _number(text)
    return text


cdef object _number(str text):
    if len(text) > 1000:
        return text
    # Most of what begins with a digit is no number (1.2.3, 80/tcp, 5s): one look at the letters tells.
    cdef Py_UCS4 c
    for c in text:
        if not (u"0" <= c <= u"9") and c not in u"+-._xXoObBaAcCdDeEfF":
            return text
    cdef str plain = text.replace("_", "")
    cdef object value = _integer(plain)
    return _float(plain, text) if value is None else value


cdef object _integer(str plain):
    """As Go's ParseInt and ParseUint with base 0 in 64 bits; None when it is no such integer."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size = len(plain)
    cdef int base = 10
    cdef bint negative = False, signed = False
    cdef Py_UCS4 c
    cdef int digit
    if size and (plain[0] == u"-" or plain[0] == u"+"):
        signed = True
        negative = plain[0] == u"-"
        at = 1
    if size - at > 70 or size == at:
        return None
    if plain[at] == u"0" and size - at > 1:
        c = plain[at + 1]
        if c == u"x" or c == u"X":
            base = 16
        elif c == u"b" or c == u"B":
            base = 2
        elif c == u"o" or c == u"O":
            base = 8
        if base != 10:
            at += 2
        else:
            base = 8
            at += 1
        if at == size:
            return None
    for c in plain[at:]:
        digit = _digit(c)
        if digit < 0 or digit >= base:
            return None
    cdef object value = int(plain[at:], base)
    if negative:
        value = -value
    if value < -0x8000000000000000 or value > (0x7FFFFFFFFFFFFFFF if signed else 0xFFFFFFFFFFFFFFFF):
        return None
    return value


cdef inline int _digit(Py_UCS4 c) noexcept:
    if u"0" <= c <= u"9":
        return <int>c - 48
    if u"a" <= c <= u"f":
        return <int>c - 87
    if u"A" <= c <= u"F":
        return <int>c - 55
    return -1


cdef object _float(str plain, str text):
    """`plain` as a decimal number with a point or an exponent; when it is none, `text` is a string."""
    cdef Py_ssize_t at = 0, size = len(plain), whole = 0, part = 0, power = 0
    if at < size and (plain[at] == u"-" or plain[at] == u"+"):
        at += 1
    while at < size and u"0" <= plain[at] <= u"9":
        at += 1
        whole += 1
    if at < size and plain[at] == u".":
        at += 1
        while at < size and u"0" <= plain[at] <= u"9":
            at += 1
            part += 1
    if whole + part == 0:
        return text
    if at < size and (plain[at] == u"e" or plain[at] == u"E"):
        at += 1
        if at < size and (plain[at] == u"-" or plain[at] == u"+"):
            at += 1
        while at < size and u"0" <= plain[at] <= u"9":
            at += 1
            power += 1
        if power == 0:
            return text
    if at != size:
        return text
    cdef double value = float(plain)
    if value > 1.7976931348623157e308 or value < -1.7976931348623157e308:
        return text
    # JSON writes such a number without point and exponent, and so it fits where an integer is wanted.
    if -1e21 < value < 1e21 and value == <double>(<long long>value if -9e18 < value < 9e18 else value):
        if -9e18 < value < 9e18:
            return <long long>value
        return int(value)
    return value


cdef str _short_float(double value):
    """The shortest text that is the same number in 32 bits: how Kubernetes makes a key of a float."""
    cdef int digits
    cdef float narrow = <float>value
    cdef str text = ""
    if value != value:
        return ".nan"
    if value > 3.5e38 or value < -3.5e38:
        return ".inf" if value > 0 else "-.inf"
    for digits in range(1, 10):
        text = f"{narrow:.{digits}g}"
        if <float>float(text) == narrow:
            break
    return text
