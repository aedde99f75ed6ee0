# SPDX-License-Identifier: Apache-2.0
"""What the model and the fields table say to a document: which fields there are, and of what type.

msgspec says the same faster, and stops at the first mistake. So this runs only when msgspec has refused a document: it
tells every mistake, leaves out what has no effect, and hands back data that msgspec takes, so that the values that are
right can be checked, too.
"""

from __future__ import annotations

from typing import Any

from msgspec import NODEFAULT, inspect

from podfast.spec import fields, model
from podfast.spec.problems import Path, Report, dotted, shown, suggestion
from podfast.spec.quantity import Bytes, Millicores, parse_cpu, parse_memory

__all__ = ["clean"]

_PARSERS = {Millicores: parse_cpu, Bytes: parse_memory}
_BAD = object()


def clean(report: Report, tree: dict[str, Any]) -> Any:
    """The document without what is wrong or has no effect, and with a stand-in for what must be there."""
    return _struct(report, inspect.type_info(model.Document), tree, ())


def _value(report: Report, kind: Any, value: Any, path: Path) -> Any:
    """The value if it is of the type `kind`, cleaned; `_BAD` if it is not, which has then been told."""
    if isinstance(kind, inspect.StructType):
        return (
            _struct(report, kind, value, path) if isinstance(value, dict) else _wrong(report, "a mapping", value, path)
        )
    if isinstance(kind, inspect.VarTupleType):
        return _list(report, kind, value, path) if isinstance(value, list) else _wrong(report, "a list", value, path)
    if isinstance(kind, inspect.DictType):
        return _map(report, kind, value, path) if isinstance(value, dict) else _wrong(report, "a mapping", value, path)
    if isinstance(kind, inspect.UnionType):
        return _value(report, kind.types[0], value, path)
    if isinstance(kind, inspect.CustomType):
        return _quantity(report, kind, value, path)
    if isinstance(kind, inspect.LiteralType):
        return _word(report, kind, value, path)
    if isinstance(kind, inspect.BoolType):
        return value if isinstance(value, bool) else _wrong(report, "true or false", value, path)
    if isinstance(kind, inspect.IntType):
        if isinstance(value, float) and value.is_integer():
            return int(value)
        fits = isinstance(value, int) and not isinstance(value, bool)
        return value if fits else _wrong(report, "a whole number", value, path)
    return value if isinstance(value, str) else _wrong(report, "a string", value, path)


def _struct(report: Report, kind: Any, value: dict[str, Any], path: Path) -> dict[str, Any]:
    known = {field.encode_name: field for field in kind.fields}
    result: dict[str, Any] = {}
    for key, item in value.items():
        if report.full:
            break
        field = known.get(key)
        here = (*path, key)
        if field is None:
            _other(report, kind.cls.__name__, known, key, item, here)
        elif item is not None:
            cleaned = _value(report, field.type, item, here)
            if cleaned is not _BAD:
                result[key] = cleaned
            else:
                report.breaks(here)
    for key, field in known.items():
        if key not in result and field.default is NODEFAULT and field.default_factory is NODEFAULT:
            here = (*path, key)
            if value.get(key) is None:
                report.add(here, f"{dotted(here)} is missing")
            report.breaks(here)
            result[key] = _stand_in(field.type)
    return result


def _other(report: Report, kind: str, known: dict[str, Any], key: str, item: Any, path: Path) -> None:
    """A field that the model does not have: of Kubernetes, or of nobody."""
    others = fields.OTHERS.get(kind, {})
    fate = others.get(key)
    if fate is None and kind == "ResourceList" and ("/" in key or key.startswith("hugepages-")):
        fate = others["ephemeral-storage"]
    if fate is None:
        report.add(path, f'unknown field "{dotted(path)}"{suggestion(key, [*known, *others])}')
        return
    asks_nothing = item is None or item == [] or any(item == same and type(item) is type(same) for same in fate.neutral)
    if fate.refused and not asks_nothing:
        report.about(path, fate.reason)


def _list(report: Report, kind: Any, value: list[Any], path: Path) -> list[Any]:
    result = []
    for index, item in enumerate(value):
        if report.full:
            break
        here = (*path, index)
        cleaned = _value(report, kind.item_type, item, here)
        if cleaned is _BAD:
            report.breaks(here)
            cleaned = _stand_in(kind.item_type)
        result.append(cleaned)
    return result


def _map(report: Report, kind: Any, value: dict[str, Any], path: Path) -> dict[str, Any]:
    result = {}
    for key, item in value.items():
        if report.full:
            break
        # A name without a value has the empty one, as in Kubernetes.
        cleaned = "" if item is None else _value(report, kind.value_type, item, (*path, key))
        if cleaned is not _BAD:
            result[key] = cleaned
    return result


def _quantity(report: Report, kind: Any, value: Any, path: Path) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return _wrong(report, "a quantity, such as 500m or 64Mi", value, path)
    try:
        _PARSERS[kind.cls](value)
    except ValueError as error:
        word = f'"{shown(value)}"' if isinstance(value, str) else repr(value)
        report.add(path, f"{dotted(path)}: {word} {error}")
        return _BAD
    return value


def _word(report: Report, kind: Any, value: Any, path: Path) -> Any:
    if not isinstance(value, str):
        return _wrong(report, "a string", value, path)
    if value not in kind.values:
        words = ", ".join(word or '""' for word in kind.values)
        choice = f"one of {words}" if len(kind.values) > 1 else words
        hint = suggestion(value, filter(None, kind.values))
        report.about(path, f'must be {choice}, not "{shown(value)}"{hint}')
        return _BAD
    return value


def _wrong(report: Report, wanted: str, value: Any, path: Path) -> Any:
    """Say that the value is of another type, and how it may have come to be."""
    hint = ""
    if wanted == "a string" and isinstance(value, (bool, int, float)):
        hint = " (put it in quotes)"
    elif wanted == "a list":
        hint = ' (begin each item with "- ")'
    elif isinstance(value, str) and _would_be(wanted, value):
        hint = " (leave out the quotes)"
    report.about(path, f"must be {wanted}, not {_described(value)}{hint}")
    return _BAD


def _would_be(wanted: str, text: str) -> bool:
    """Whether a text would be what is wanted if it were written without quotes."""
    if wanted == "true or false":
        return text.lower() in ("true", "false")
    return wanted == "a whole number" and text.isdecimal()


def _described(value: Any) -> str:
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        text = repr(value) if isinstance(value, float) or abs(value) < 1 << 80 else "of more than 20 digits"
        return f"the number {text}"
    if isinstance(value, str):
        return f'the string "{shown(value)}"'
    return "a list" if isinstance(value, list) else "a mapping"


def _stand_in(kind: Any) -> Any:
    """Something of the type `kind`; what is wrong with it is never told."""
    if isinstance(kind, inspect.StructType):
        required = (field for field in kind.fields if field.default is NODEFAULT and field.default_factory is NODEFAULT)
        return {field.encode_name: _stand_in(field.type) for field in required}
    if isinstance(kind, inspect.VarTupleType):
        return []
    if isinstance(kind, inspect.LiteralType):
        return kind.values[0]
    return 1 if isinstance(kind, inspect.IntType) else "x"
