# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, auto_pickle=False, autotestdict=False, boundscheck=False, wraparound=False
"""YAML events → plain data, with the place of every key.

One loop over the events of PyYAML's C parser builds dicts, lists and scalars. Scalars mean what they mean to Kubernetes:
YAML 1.1 as go-yaml v2 reads it, then JSON. Mistakes that do not stop the reading are collected; those that do are too.
"""

cimport cython

from podfast._native._scalars import key_text, resolve

cdef extern from *:
    """
    #define PLACE_SHIFT 24
    """
    enum: PLACE_SHIFT

cdef Py_ssize_t _MOST_DOCUMENTS = 100

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


class Stop(Exception):
    """Reading cannot go on; the last problem of the reader says why."""


@cython.final
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
            return resolve(text) if event.implicit[0] else text
        if tag in _TEXT_TAGS:
            return text
        wanted = _TAGGED.get(tag)
        if wanted is None:
            self._problem(event, f"the tag {_shown(tag)} is not supported")
            return text
        value = resolve(text)
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
        return key_text(value)

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
