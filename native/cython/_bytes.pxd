# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
"""What single bytes mean in YAML, and where quotes and keys end: the part of the scanner without state, all of it inlined."""

cdef enum:
    # Where a key would end that is for the event reader.
    MISTAKE = -2
    # YAML allows 1024 characters for a key that is not marked with a question mark.
    LONGEST_KEY = 1000


cdef inline bint is_safe(unsigned char c) noexcept nogil:
    """Whether a plain scalar in a flow collection may begin with it."""
    return (
        c >= 0x80
        or c"a" <= c <= c"z"
        or c"A" <= c <= c"Z"
        or c"0" <= c <= c"9"
        or c in (c"_", c"-", c".", c"/", c"+", c"%", c"=", c"~", c"(", c")", c"$", c";")
    )


cdef inline bint is_inner(unsigned char c) noexcept nogil:
    """Whether a plain scalar in a flow collection may be made of it, apart from spaces and some colons."""
    return is_safe(c) or c in (c"!", c"<", c">", c"|", c"*", c"&", c"^", c"@", c"\\", c'"', c"'", c"`")


cdef inline bint is_special(unsigned char c) noexcept nogil:
    """Whether no plain scalar begins with it, except with a dash before a word."""
    return (
        c in (c"-", c"?", c":", c",", c"[", c"]", c"{", c"}", c"#", c"&", c"*", c"!", c"|", c">")
        or c in (c"'", c'"', c"%", c"@", c"`", c" ", c"\t", c"\n")
    )


cdef inline bint is_blank(const char *at, Py_ssize_t size, Py_ssize_t pos) noexcept nogil:
    """Whether white space, or nothing more, stands there."""
    return pos >= size or at[pos] == c" " or at[pos] == c"\n"


cdef inline Py_ssize_t quote_end(const char *at, Py_ssize_t size, Py_ssize_t pos) noexcept nogil:
    """Where the quote closes, on this line, that opens at `pos`; -1 when it does not."""
    cdef char quote = at[pos]
    pos += 1
    while pos < size and at[pos] != c"\n":
        if at[pos] == c"\\" and quote == c'"':
            pos += 1
        elif at[pos] == quote:
            if quote == c'"' or pos + 1 >= size or at[pos + 1] != c"'":
                return pos
            pos += 1
        pos += 1
    return -1


cdef inline Py_ssize_t key_end(const char *at, Py_ssize_t size, Py_ssize_t pos) noexcept nogil:
    """Where the colon stands of the key that begins at `pos`; -1 when none does, or MISTAKE."""
    cdef char c = at[pos]
    if c == c'"' or c == c"'":
        pos = quote_end(at, size, pos) + 1
        if pos == 0:
            return MISTAKE
        while pos < size and at[pos] == c" ":
            pos += 1
        return pos if pos < size and at[pos] == c":" and is_blank(at, size, pos + 1) else -1
    if is_special(<unsigned char>c) and (c != c"-" or is_blank(at, size, pos + 1)):
        return MISTAKE
    while pos < size and at[pos] != c"\n":
        c = at[pos]
        if c == c":" and is_blank(at, size, pos + 1):
            return pos
        if c == c"\t":
            return MISTAKE
        if c == c"#" and at[pos - 1] == c" ":
            break
        pos += 1
    return -1
