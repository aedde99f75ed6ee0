# SPDX-License-Identifier: Apache-2.0
"""From a source (text, bytes, a path, plain data) to a checked Pod."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from msgspec import ValidationError

from podfast.spec import checks, options
from podfast.spec.complete import complete
from podfast.spec.model import Document, Pod, decode
from podfast.spec.problems import Report, dotted, shown
from podfast.spec.source import Content, read

__all__ = ["load"]

# Kinds that hold a pod's template: people expect that they run.
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet", "ReplicationController")


def load(source: str | bytes | os.PathLike[str] | Mapping[str, Any], *, source_name: str | None = None) -> Pod:
    """Read one v1 Pod: YAML or JSON text, a path, or plain data.

    A str with a line break in it, or with `{` in front, is text; any other str is a path. `source_name` is what
    messages call the source; a path names itself. Raises SpecError, which tells every mistake.
    """
    content = read(source, source_name)
    report = Report(source=content.name, marks=content.marks)
    for mistake in content.mistakes:
        message = mistake.message.replace("{path}", f'"{dotted(mistake.path)}"')
        report.add_at(mistake.path, message, mistake.line, mistake.column)
    document = _decode(_find_pod(content, report), report)
    checks.check(document, report)
    chosen = options.parse(document.metadata.annotations, report, ("metadata", "annotations"))
    if report:
        raise report.error()
    return complete(document, chosen)


def _find_pod(content: Content, report: Report) -> dict[str, Any]:
    """The one Pod among the documents; the report stands at its beginning afterwards."""
    pods: list[tuple[dict[str, Any], int, int]] = []
    for value, line, column in content.documents:
        if value is None:
            continue
        report.enter(value, line, column)
        if not isinstance(value, dict):
            what = "a list" if isinstance(value, list) else "a single word"
            report.add((), f'a Pod is a mapping that begins with "apiVersion: v1" and "kind: Pod", not {what}')
            continue
        kind = value.get("kind")
        if isinstance(kind, str) and kind.lower() != "pod":
            report.add(("kind",), _other_kind(kind, value))
            continue
        if pods:
            first = f" (the first begins on line {pods[0][1]})" if pods[0][1] else ""
            report.add((), f"a second Pod{first}: a manifest is one Pod")
        pods.append((value, line, column))
    if not pods:
        if not report:
            report.add((), "the manifest is empty")
        raise report.error()
    report.enter(*pods[0])
    return pods[0][0]


def _other_kind(kind: str, value: dict[str, Any]) -> str:
    if kind in _WORKLOADS:
        metadata = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        target = f"{kind.lower()}/{shown(name) if isinstance(name, str) and name else 'NAME'}"
        return (
            f"a {kind} is not a Pod; --template {target} will run one pod of it and is not supported yet: "
            "until then, make a Pod of its spec.template"
        )
    if kind == "List":
        return "a List is not supported yet: give its one Pod alone"
    return f'kind "{shown(kind)}" is not supported yet: podfast runs a v1 Pod'


def _decode(root: dict[str, Any], report: Report) -> Document:
    """The typed document: by msgspec alone when all is right, else with every mistake told."""
    try:
        return decode(root)
    except ValidationError:
        # Here, because a manifest without mistakes and without an API server's fields never needs it.
        from podfast.spec.shape import clean

        cleaned = clean(report, root)
    try:
        return decode(cleaned)
    except ValidationError as error:
        report.add((), str(error))
        raise report.error() from error
