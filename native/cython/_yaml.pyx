# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False
"""YAML events → plain data, with the place of every key.

One loop over the events of PyYAML's C parser builds dicts, lists and scalars. Scalars mean what they mean to Kubernetes:
YAML 1.1 as go-yaml v2 reads it, then JSON. Mistakes that do not stop the reading are collected; those that do are too.
"""

cdef extern from *:
    """
    #define PLACE_SHIFT 24
    """
    enum: PLACE_SHIFT

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

cdef Py_ssize_t _MOST_DOCUMENTS = 100
cdef const char *_HEX = b"0123456789abcdef"

cdef str _STANDARD = "tag:yaml.org,2002:"
# What an explicit tag may turn a scalar into; all other tags are refused.
cdef dict _TAGGED = {
    _STANDARD + "int": (int,),
    _STANDARD + "float": (int, float),
    _STANDARD + "bool": (bool,),
    _STANDARD + "null": (type(None),),
    _STANDARD + "timestamp": (str,),
}
cdef frozenset _TEXT_TAGS = frozenset(("!", _STANDARD + "str"))
cdef frozenset _COLLECTION_TAGS = frozenset(("!", _STANDARD + "map", _STANDARD + "seq"))


def resolve(str text not None):
    """What a plain scalar means to Kubernetes: None, bool, int, float or str. Whole floats are ints, as in JSON."""
    return _resolve(text)


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


class Stop(Exception):
    """Reading cannot go on; the last problem of the reader says why."""


cdef class Reader:
    """What a text says, and where.

    `documents` holds `(value, line, column)` for each document; `marks` maps `id()` of each dict to `{key: place}` and of
    each list to `[place, …]`, where a place is what `place()` takes apart; `problems` holds `(path, message, line,
    column)`. Lines and columns count from 1. The same anchor's content is the same object wherever an alias repeats it.
    """
    cdef readonly list documents
    cdef readonly dict marks
    cdef readonly list problems
    cdef list path
    cdef dict anchors
    cdef object get_event
    cdef object scalar_event, alias_event, sequence_event, mapping_event, end_events
    cdef Py_ssize_t nodes, weight, expanded, most_nodes, most_weight, most_depth

    def __init__(self, *, Py_ssize_t nodes, Py_ssize_t weight, Py_ssize_t depth):
        """Read at most `nodes` nodes, nested at most `depth` deep, that aliases expand to at most `weight` bytes."""
        self.documents = []
        self.marks = {}
        self.problems = []
        self.most_nodes = nodes
        self.most_weight = weight
        self.most_depth = depth

    def read(self, get_event, events) -> None:
        """Read the whole stream; `events` is the module that defines the event classes. Raises Stop, and what `get_event` raises."""
        self.get_event = get_event
        self.scalar_event = events.ScalarEvent
        self.alias_event = events.AliasEvent
        self.sequence_event = events.SequenceStartEvent
        self.mapping_event = events.MappingStartEvent
        cdef object document = events.DocumentStartEvent
        cdef object stream_end = events.StreamEndEvent
        cdef object event, kind, mark
        while True:
            event = get_event()
            kind = type(event)
            if kind is document:
                self.path = []
                if len(self.documents) == _MOST_DOCUMENTS:
                    self._stop(event, f"more than {_MOST_DOCUMENTS} documents")
                self.anchors = {}
                event = get_event()
                mark = event.start_mark
                self.documents.append((self._node(event, 0), mark.line + 1, mark.column + 1))
            elif kind is stream_end:
                return

    cdef object _node(self, object event, Py_ssize_t depth):
        cdef object kind = type(event)
        cdef object value, anchor
        cdef Py_ssize_t before, nodes
        if kind is self.alias_event:
            return self._alias(event)
        self._count(event, 1)
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        before = self.expanded
        nodes = self.nodes
        if kind is self.scalar_event:
            self.expanded += 1 + len(event.value)
            value = self._scalar(event)
        else:
            if depth >= self.most_depth:
                self._stop(event, f"nested more than {self.most_depth} deep")
            if event.tag is not None and event.tag not in _COLLECTION_TAGS:
                self._problem(event, f"the tag {_shown(event.tag)} is not supported")
            self.expanded += 1
            value = self._mapping(event, depth + 1) if kind is self.mapping_event else self._sequence(event, depth + 1)
        if anchor is not None:
            self.anchors[anchor] = (value, self.expanded - before, self.nodes - nodes + 1)
        return value

    cdef object _alias(self, object event):
        cdef object found = self.anchors.get(event.anchor, False)
        if found is None:
            self._stop(event, f"the anchor &{_shown(event.anchor)} contains itself")
        if found is False:
            self._stop(event, f"there is no anchor &{_shown(event.anchor)} before this alias")
        self.expanded += found[1]
        self._count(event, found[2])
        if self.expanded > self.most_weight:
            self._stop(event, "aliases make this more than 10 times as large as its text")
        return found[0]

    cdef object _scalar(self, object event):
        cdef object tag = event.tag
        cdef str text = event.value
        cdef object value, wanted
        if tag is None:
            return _resolve(text) if event.implicit[0] else text
        if tag in _TEXT_TAGS:
            return text
        wanted = _TAGGED.get(tag)
        if wanted is None:
            self._problem(event, f"the tag {_shown(tag)} is not supported")
            return text
        value = _resolve(text)
        if type(value) not in wanted:
            self._problem(event, f"{_shown(text)} is not what its tag {_shown(tag)} says")
        return value

    cdef list _sequence(self, object event, Py_ssize_t depth):
        cdef list items = []
        cdef list places = []
        cdef object mark
        cdef Py_ssize_t index = 0
        self.marks[id(items)] = places
        self.path.append(None)
        event = self.get_event()
        # A sequence ends with the first event that does not begin a node.
        while self._begins(event):
            self.path[len(self.path) - 1] = index
            mark = event.start_mark
            places.append(_place(mark))
            items.append(self._node(event, depth))
            index += 1
            event = self.get_event()
        self.path.pop()
        return items

    cdef dict _mapping(self, object event, Py_ssize_t depth):
        cdef dict items = {}
        cdef dict places = {}
        cdef list merges = None
        cdef object key, value
        cdef Py_ssize_t end
        self.marks[id(items)] = places
        self.path.append(None)
        end = len(self.path) - 1
        event = self.get_event()
        while self._begins(event):
            place = event
            if self._is_merge(event):
                self._count(event, 1)
                self.path[end] = "<<"
                if merges is None:
                    merges = []
                merges.append((place, self._node(self.get_event(), depth)))
            else:
                key = self._key(event, depth)
                self.path[end] = key
                value = self._node(self.get_event(), depth)
                if key is not None:
                    if key in items:
                        self._problem(place, f"duplicate key {{path}} (first on line {places[key] >> PLACE_SHIFT})")
                    else:
                        items[key] = value
                        places[key] = _place(place.start_mark)
            event = self.get_event()
        if merges is not None:
            self._merge(items, places, merges)
        self.path.pop()
        return items

    cdef object _key(self, object event, Py_ssize_t depth):
        """The text of a key, or None when the key cannot be one; the problem is told."""
        cdef object value = self._node(event, depth)
        if isinstance(value, str):
            return value
        self.path[len(self.path) - 1] = None
        if isinstance(value, (dict, list)):
            self._problem(event, "a key must be a single word, not a list or a mapping")
            return None
        if value is None:
            self._problem(event, "a key is empty (null)")
            return None
        if value is True or value is False:
            return "true" if value else "false"
        return str(value) if isinstance(value, int) else _short_float(value)

    cdef bint _is_merge(self, object event):
        if type(event) is not self.scalar_event or event.value != "<<":
            return False
        return event.tag == _STANDARD + "merge" or (event.tag is None and event.implicit[0])

    cdef object _merge(self, dict items, dict places, list merges):
        """`<<`: libraries disagree about which value wins, so a key that is set twice is a mistake."""
        cdef object event, value, source, key
        for event, value in merges:
            for source in value if isinstance(value, list) else (value,):
                if not isinstance(source, dict):
                    self.path[len(self.path) - 1] = "<<"
                    self._problem(event, "only mappings can be merged with <<")
                    continue
                for key in source:
                    self.path[len(self.path) - 1] = key
                    if key in items:
                        self._problem(event, "duplicate key {path} (set here, and merged with <<)")
                    else:
                        self._count(event, 1)
                        items[key] = source[key]
                        places[key] = self.marks[id(source)][key]
        return None

    cdef object _count(self, object event, Py_ssize_t more):
        """Count nodes, those that an alias repeats too: what comes after visits each of them."""
        self.nodes += more
        if self.nodes > self.most_nodes:
            self._stop(event, f"more than {self.most_nodes} keys and values")

    cdef bint _begins(self, object event):
        cdef object kind = type(event)
        return (
            kind is self.scalar_event
            or kind is self.mapping_event
            or kind is self.sequence_event
            or kind is self.alias_event
        )

    cdef object _problem(self, object event, str message):
        mark = event.start_mark
        if len(self.problems) < 100:
            self.problems.append((tuple(self.path), message, mark.line + 1, mark.column + 1))

    cdef object _stop(self, object event, str message):
        mark = event.start_mark
        self.problems.append((tuple(self.path), message, mark.line + 1, mark.column + 1))
        raise Stop


cdef inline object _place(object mark):
    cdef Py_ssize_t line = mark.line
    cdef Py_ssize_t column = mark.column
    return ((line + 1) << PLACE_SHIFT) | (column + 1)


def place(value):
    """Line and column of a mark."""
    return value >> PLACE_SHIFT, value & ((1 << PLACE_SHIFT) - 1)


cdef str _shown(object text):
    """A foreign word in a message: short, and nothing in it that a terminal would obey."""
    cdef str short = text if len(text) <= 60 else text[:60] + "…"
    return short if short.isprintable() else ascii(short).strip("'\"")


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
