# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, auto_pickle=False, autotestdict=False, boundscheck=False, wraparound=False, cdivision=True
"""The YAML and JSON that people write, read in one pass over the bytes, ten times as fast as by events.

This reads a part of YAML: one document of block mappings and lists, flow collections, plain and quoted scalars on one line,
literal blocks, comments. Whatever else it meets, and every mistake, makes it decline (`scan` returns None), and the text is
then read by events, which tells the mistakes. So it must never accept what events read differently; the tests hold the two
against each other.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp, memcpy

from _bytes cimport LONGEST_KEY, MISTAKE, is_blank, is_inner, is_safe, key_end, quote_end

from podfast._native._scalars import key_text, resolve, unescape

cdef extern from *:
    """
    #define PLACE_SHIFT 24
    """
    enum: PLACE_SHIFT


class Decline(Exception):
    """This text is for the event reader."""


class TooMuch(Exception):
    """A limit is passed, and all is well before: (message, line, column). The event reader would say the same, later."""


def scan(bytes text not None, *, Py_ssize_t nodes, Py_ssize_t depth):
    """`(value, line, column, marks)` of a text without control characters, as `_yaml.Reader` has them, or None.

    Raises TooMuch when the text has more nodes than `nodes`, or nests deeper than `depth`.
    """
    cdef Scanner scanner = Scanner(text, nodes, depth)
    try:
        return scanner.document()
    except Decline:
        return None


@cython.final
@cython.internal
cdef class Scanner:
    cdef bytes text
    cdef const char *at
    cdef Py_ssize_t size, pos, line, line_start
    # How many characters stand on this line before `counted`: UTF-8 makes columns other than byte counts.
    cdef Py_ssize_t counted, characters
    cdef Py_ssize_t nodes, most_nodes, most_depth
    cdef bint begun
    cdef dict marks

    def __cinit__(self, bytes text, Py_ssize_t nodes, Py_ssize_t depth):
        self.text = text
        self.at = PyBytes_AS_STRING(text)
        self.size = len(text)
        self.most_nodes = nodes
        self.most_depth = depth
        self.marks = {}

    cdef tuple document(self):
        # These break lines, too, and are counted otherwise.
        for other in (b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"):
            if other in self.text:
                raise Decline
        self.next_token()
        if self.pos == self.line_start and self.starts(b"---\n"):
            self.pos += 3
            self.next_token()
        self.begun = True
        self.refuse_marker()
        if self.pos >= self.size:
            raise Decline
        line, column = self.line + 1, self.column() + 1
        value = self.block(-1, 0)
        if self.pos < self.size:
            raise Decline
        return value, line, column, self.marks

    # Where the scanner stands.

    cdef inline Py_ssize_t column(self) noexcept:
        """In bytes: only spaces and dashes stand before the tokens whose column matters."""
        return self.pos - self.line_start

    cdef inline bint starts(self, bytes word):
        cdef Py_ssize_t length = len(word)
        return self.size - self.pos >= length and memcmp(self.at + self.pos, PyBytes_AS_STRING(word), length) == 0

    cdef inline bint blank(self, Py_ssize_t pos) noexcept:
        """Whether white space, or nothing more, stands there."""
        return is_blank(self.at, self.size, pos)

    cdef object place(self, Py_ssize_t pos):
        """Line and column of a position on this line, both from 1, in one number."""
        if self.counted < self.line_start or self.counted > pos:
            self.counted = self.line_start
            self.characters = 0
        while self.counted < pos:
            self.characters += (<unsigned char>self.at[self.counted] & 0xC0) != 0x80
            self.counted += 1
        return ((self.line + 1) << PLACE_SHIFT) | (self.characters + 1)

    cdef tuple here(self):
        place = self.place(self.pos)
        return place >> PLACE_SHIFT, place & ((1 << PLACE_SHIFT) - 1)

    cdef inline void break_line(self) noexcept:
        self.pos += 1
        self.line += 1
        self.line_start = self.pos

    cdef int refuse_marker(self) except -1:
        """A document ends here, or another begins."""
        if self.begun and self.pos == self.line_start and (self.starts(b"---") or self.starts(b"...")):
            raise Decline
        return 0

    cdef int next_token(self) except -1:
        """Go on to the first character, on this line or below, that is no space and no comment."""
        cdef Py_ssize_t before
        cdef const char *end
        while self.pos < self.size:
            before = self.pos
            while self.pos < self.size and self.at[self.pos] == b" ":
                self.pos += 1
            if self.pos >= self.size:
                return 0
            if self.at[self.pos] == b"\n":
                self.break_line()
            elif self.at[self.pos] == b"#" and (self.pos > before or self.pos == self.line_start):
                end = <const char *>memchr(self.at + self.pos, b"\n", self.size - self.pos)
                self.pos = end - self.at if end != NULL else self.size
            elif self.at[self.pos] == b"\t":
                raise Decline
            else:
                return self.refuse_marker()
        return 0

    cdef int end_line(self, Py_ssize_t parent) except -1:
        """After a scalar or a flow collection: its line ends, and what follows does not continue it."""
        cdef Py_ssize_t line = self.line
        self.next_token()
        if self.pos < self.size and (self.line == line or self.column() > parent):
            raise Decline
        return 0

    cdef int count(self) except -1:
        self.nodes += 1
        if self.nodes > self.most_nodes:
            raise TooMuch(f"more than {self.most_nodes} keys and values", *self.here())
        return 0

    cdef int enter(self, Py_ssize_t depth) except -1:
        self.count()
        if depth > self.most_depth:
            raise TooMuch(f"nested more than {self.most_depth} deep", *self.here())
        return 0

    cdef inline str decode(self, Py_ssize_t start, Py_ssize_t end):
        return PyUnicode_DecodeUTF8(self.at + start, end - start, NULL)

    # Block style. `parent` is the column of the collection around, `depth` how many there are.

    cdef object block(self, Py_ssize_t parent, Py_ssize_t depth):
        """The node that begins here; leaves at the first token after it."""
        cdef char c = self.at[self.pos]
        if c == b"-" and self.blank(self.pos + 1):
            return self.sequence(self.column(), depth + 1)
        if c != b"[" and c != b"{" and c != b"|" and self.key_end() >= 0:
            return self.mapping(self.column(), depth + 1)
        return self.inline_value(parent, depth)

    cdef list sequence(self, Py_ssize_t column, Py_ssize_t depth):
        cdef list items = []
        cdef list places = []
        cdef Py_ssize_t line
        cdef object after
        self.enter(depth)
        self.marks[id(items)] = places
        while self.pos < self.size and self.column() == column:
            if self.at[self.pos] != b"-" or not self.blank(self.pos + 1):
                break
            self.pos += 1
            after = self.place(self.pos)
            line = self.line
            self.next_token()
            if self.pos >= self.size or (self.line != line and self.column() <= column):
                self.count()
                places.append(after)
                items.append(None)
            else:
                places.append(self.place(self.pos))
                items.append(self.block(column, depth))
        if self.pos < self.size and self.column() > column:
            raise Decline
        return items

    cdef dict mapping(self, Py_ssize_t column, Py_ssize_t depth):
        cdef dict items = {}
        cdef dict places = {}
        cdef Py_ssize_t line
        cdef object place
        cdef str key
        self.enter(depth)
        self.marks[id(items)] = places
        while self.pos < self.size and self.column() == column:
            place = self.place(self.pos)
            key = self.key()
            if key in items:
                raise Decline
            places[key] = place
            line = self.line
            self.next_token()
            if self.pos < self.size and self.line == line:
                items[key] = self.inline_value(column, depth)
            elif self.pos < self.size and self.column() > column:
                items[key] = self.block(column, depth)
            elif self.pos < self.size and self.column() == column and self.at[self.pos] == b"-" and self.blank(self.pos + 1):
                items[key] = self.sequence(column, depth + 1)
            else:
                self.count()
                items[key] = None
        if self.pos < self.size and self.column() > column:
            raise Decline
        return items

    cdef Py_ssize_t key_end(self) except -2:
        """Where the colon stands of the key that begins here; -1 when none does."""
        cdef Py_ssize_t end = key_end(self.at, self.size, self.pos)
        if end == MISTAKE:
            raise Decline
        return end

    cdef str key(self):
        """The key that must begin here; leaves after its colon."""
        cdef Py_ssize_t end = self.key_end()
        cdef Py_ssize_t last = end
        cdef str text
        if end < 0 or end - self.pos > LONGEST_KEY:
            raise Decline
        self.count()
        if self.at[self.pos] == b'"' or self.at[self.pos] == b"'":
            text = self.quoted()
        else:
            while self.at[last - 1] == b" ":
                last -= 1
            text = self.plain_key(self.pos, last)
        self.pos = end + 1
        return text

    cdef str plain_key(self, Py_ssize_t start, Py_ssize_t end):
        cdef str text = self.decode(start, end)
        cdef object value = resolve(text)
        if value is None or text == "<<":
            raise Decline
        return key_text(value)

    cdef object inline_value(self, Py_ssize_t parent, Py_ssize_t depth):
        """The scalar or flow collection that begins here."""
        cdef char c = self.at[self.pos]
        cdef object value
        if c == b"|":
            self.count()
            return self.literal(parent)
        if c == b'"' or c == b"'":
            self.count()
            value = self.quoted()
        elif c == b"[" or c == b"{":
            value = self.flow(depth)
        else:
            self.count()
            value = self.plain()
        self.end_line(parent)
        return value

    cdef object plain(self):
        """A plain scalar on one line."""
        cdef Py_ssize_t start = self.pos
        cdef Py_ssize_t end
        if self.key_end() >= 0:
            raise Decline
        end = start
        while end < self.size and self.at[end] != b"\n":
            if self.at[end] == b"#" and self.at[end - 1] == b" ":
                break
            end += 1
        while self.at[end - 1] == b" ":
            end -= 1
        self.pos = end
        return resolve(self.decode(start, end))

    cdef str literal(self, Py_ssize_t parent):
        """A literal block, `|`, whose first line tells its indentation."""
        cdef char chomp = 0
        cdef Py_ssize_t start, first, indent = 0
        self.pos += 1
        if self.pos < self.size and (self.at[self.pos] == b"-" or self.at[self.pos] == b"+"):
            chomp = self.at[self.pos]
            self.pos += 1
        if self.pos >= self.size or self.at[self.pos] != b"\n":
            raise Decline
        self.break_line()
        start = first = self.pos
        while first < self.size and self.at[first] == b"\n":
            first += 1
        while first + indent < self.size and self.at[first + indent] == b" ":
            indent += 1
        if indent == 0 or indent <= parent or first + indent >= self.size:
            raise Decline
        if self.at[first + indent] == b"\n" or self.at[first + indent] == b"\t":
            raise Decline
        text = self.lines(indent)
        self.next_token()
        if self.pos < self.size and self.column() > parent:
            raise Decline
        if chomp == b"+":
            return text
        stripped = text.rstrip("\n")
        return stripped if chomp == b"-" else stripped + "\n"

    cdef str lines(self, Py_ssize_t indent):
        """The lines from here on that are indented by `indent` or empty, without the indentation."""
        cdef bytes buffer = PyBytes_FromStringAndSize(NULL, self.size - self.pos)
        cdef char *out = PyBytes_AS_STRING(buffer)
        cdef Py_ssize_t length = 0, skip, end
        cdef const char *found
        while self.pos < self.size:
            skip = 0
            while skip < indent and self.pos + skip < self.size and self.at[self.pos + skip] == b" ":
                skip += 1
            if self.pos + skip >= self.size:
                break
            if skip < indent and self.at[self.pos + skip] != b"\n":
                if self.at[self.pos + skip] == b"\t":
                    raise Decline
                break
            found = <const char *>memchr(self.at + self.pos + skip, b"\n", self.size - self.pos - skip)
            if found == NULL:
                raise Decline
            end = found - self.at
            memcpy(out + length, self.at + self.pos + skip, end + 1 - self.pos - skip)
            length += end + 1 - self.pos - skip
            self.pos = end
            self.break_line()
        return PyUnicode_DecodeUTF8(out, length, NULL)

    # Flow style, which JSON is, too.

    cdef int flow_space(self) except -1:
        cdef char c
        while self.pos < self.size:
            c = self.at[self.pos]
            if c == b"\n":
                self.break_line()
                self.refuse_marker()
            elif c == b" " or c == b"\t":
                self.pos += 1
            else:
                return 0
        raise Decline

    cdef object flow(self, Py_ssize_t depth):
        """The node that begins here, in a flow collection or as one; leaves right after it."""
        cdef char c = self.at[self.pos]
        if c == b"{":
            return self.flow_mapping(depth + 1)
        if c == b"[":
            return self.flow_sequence(depth + 1)
        self.count()
        if c == b'"' or c == b"'":
            return self.quoted()
        cdef Py_ssize_t start = self.pos
        return resolve(self.decode(start, self.flow_plain()))

    cdef list flow_sequence(self, Py_ssize_t depth):
        cdef list items = []
        cdef list places = []
        self.enter(depth)
        self.marks[id(items)] = places
        self.pos += 1
        self.flow_space()
        if self.at[self.pos] == b"]":
            self.pos += 1
            return items
        while True:
            places.append(self.place(self.pos))
            items.append(self.flow(depth))
            if self.more(b"]"):
                return items

    cdef dict flow_mapping(self, Py_ssize_t depth):
        cdef dict items = {}
        cdef dict places = {}
        cdef object place
        cdef str key
        self.enter(depth)
        self.marks[id(items)] = places
        self.pos += 1
        self.flow_space()
        if self.at[self.pos] == b"}":
            self.pos += 1
            return items
        while True:
            place = self.place(self.pos)
            key = self.flow_key()
            if key in items:
                raise Decline
            places[key] = place
            self.flow_space()
            items[key] = self.flow(depth)
            if self.more(b"}"):
                return items

    cdef bint more(self, char close) except -1:
        """Whether the collection ends here; else goes on to its next item."""
        self.flow_space()
        if self.at[self.pos] == close:
            self.pos += 1
            return True
        if self.at[self.pos] != b",":
            raise Decline
        self.pos += 1
        self.flow_space()
        return False

    cdef str flow_key(self):
        cdef Py_ssize_t start = self.pos
        cdef bint quoted = self.at[start] == b'"' or self.at[start] == b"'"
        cdef str text
        self.count()
        text = self.quoted() if quoted else self.plain_key(start, self.flow_plain())
        while self.pos < self.size and self.at[self.pos] == b" ":
            self.pos += 1
        if self.pos >= self.size or self.at[self.pos] != b":" or self.pos - start > LONGEST_KEY:
            raise Decline
        self.pos += 1
        if not quoted and not self.blank(self.pos):
            raise Decline
        return text

    cdef Py_ssize_t flow_plain(self) except -1:
        """Go over a plain scalar of plain characters; returns where it ends."""
        cdef char c = self.at[self.pos]
        cdef Py_ssize_t end = self.pos
        if not is_safe(<unsigned char>c) or c == b"%" or (
            c == b"-" and not (self.pos + 1 < self.size and is_safe(<unsigned char>self.at[self.pos + 1]))
        ):
            raise Decline
        while self.pos < self.size:
            c = self.at[self.pos]
            if is_inner(<unsigned char>c) or (c == b":" and self.inner_colon()):
                self.pos += 1
                end = self.pos
            elif c == b" ":
                self.pos += 1
            elif c == b"," or c == b"]" or c == b"}" or c == b"\n" or (c == b":" and self.blank(self.pos + 1)):
                self.pos = end
                return end
            else:
                raise Decline
        raise Decline

    cdef inline bint inner_colon(self) noexcept:
        """Whether the colon here is part of a plain scalar: `a:b` and `a::b` are one word."""
        cdef Py_ssize_t after = self.pos + 1
        return after < self.size and (is_inner(<unsigned char>self.at[after]) or self.at[after] == b":")

    # Quoted scalars, on one line.

    cdef Py_ssize_t quote_end(self, Py_ssize_t pos) except -1:
        """Where the quote closes that opens at `pos`."""
        cdef Py_ssize_t end = quote_end(self.at, self.size, pos)
        if end < 0:
            raise Decline
        return end

    cdef str quoted(self):
        """The quoted scalar that begins here; leaves after its closing quote."""
        cdef Py_ssize_t start = self.pos + 1
        cdef Py_ssize_t end = self.quote_end(self.pos)
        cdef char quote = self.at[self.pos]
        self.pos = end + 1
        if quote == b"'":
            return self.decode(start, end).replace("''", "'")
        if memchr(self.at + start, b"\\", end - start) == NULL:
            return self.decode(start, end)
        try:
            return unescape(self.text[start:end])
        except ValueError:
            raise Decline from None
