# SPDX-License-Identifier: Apache-2.0
"""Pods and containers as rows of a table, worded as `kubectl get pods` words them."""

from collections.abc import Iterator
from typing import Any

from podfast.cli.terminal import age, since
from podfast.node import PodRecord

POD_HEADERS = ("NAME", "READY", "STATUS", "RESTARTS", "AGE")
POD_WIDE_HEADERS = ("IP", "POD ID")
CONTAINER_HEADERS = ("CONTAINER", "POD", "NAMESPACE", "IMAGE", "STATE", "RESTARTS", "AGE", "PID", "POD ID")


def pod_row(record: PodRecord, now: float) -> tuple[str, ...]:
    statuses = list(_statuses(record))
    total = len(statuses) or len(_spec_containers(record))
    ready = sum(1 for status in statuses if status.get("ready") is True)
    restarts = sum(_count(status.get("restartCount")) for status in statuses)
    born = record.created / 1e9
    return (record.name, f"{ready}/{total}", pod_status(record), str(restarts), age(now - born))


def pod_wide(record: PodRecord) -> tuple[str, ...]:
    return (str(record.status.get("podIP") or "<none>"), record.short_id)


def pod_status(record: PodRecord) -> str:
    """The STATUS column: the phase, or the reason of the container that keeps the pod from it."""
    word = str(record.status.get("reason") or record.status.get("phase") or "Pending")
    running = False
    # kubectl looks at the containers from the last to the first; the first one that has a reason wins.
    for status in reversed(list(_statuses(record))):
        state = _dict(status.get("state"))
        if "running" in state:
            running = True
            continue
        reason = container_state(status)
        if reason not in ("Unknown",):
            word = reason
    if word == "Completed" and running:
        word = "Running" if all(status.get("ready") for status in _statuses(record) if _running(status)) else "NotReady"
    return "Terminating" if _dict(record.document.get("metadata")).get("deletionTimestamp") else word


def container_rows(record: PodRecord, now: float) -> Iterator[tuple[str, ...]]:
    pids = _pids(record)
    for status in _statuses(record):
        state = _dict(status.get("state"))
        started = _dict(state.get("running")).get("startedAt") or _dict(state.get("terminated")).get("startedAt")
        name = str(status.get("name"))
        yield (
            name,
            record.name,
            record.namespace,
            str(status.get("image") or "<none>"),
            container_state(status),
            str(_count(status.get("restartCount"))),
            since(started, now) if started else age(now - record.created / 1e9),
            str(pids.get(name) or "-"),
            record.short_id,
        )


def container_state(status: dict[str, Any]) -> str:
    """One word: Running, or why it waits or ended."""
    state = _dict(status.get("state"))
    if "running" in state:
        return "Running"
    if "terminated" in state:
        terminated = _dict(state["terminated"])
        if reason := terminated.get("reason"):
            return str(reason)
        signal = _count(terminated.get("signal"))
        return f"Signal:{signal}" if signal else f"ExitCode:{_count(terminated.get('exitCode'))}"
    return str(_dict(state.get("waiting")).get("reason") or "Unknown")


def document(record: PodRecord) -> dict[str, Any]:
    """The Pod as Kubernetes would print it, without what is podfast's own."""
    metadata = {"name": record.name, "namespace": record.namespace, "uid": record.uid}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | _dict(record.document.get("metadata")),
        "spec": _dict(record.document.get("spec")),
        "status": record.status,
    }


def _statuses(record: PodRecord) -> Iterator[dict[str, Any]]:
    statuses = record.status.get("containerStatuses")
    for status in statuses if isinstance(statuses, list) else ():
        if isinstance(status, dict):
            yield status


def _spec_containers(record: PodRecord) -> list[Any]:
    containers = _dict(record.document.get("spec")).get("containers")
    return containers if isinstance(containers, list) else []


def _pids(record: PodRecord) -> dict[str, Any]:
    return _dict(record.own.get("pids"))


def _running(status: dict[str, Any]) -> bool:
    return "running" in _dict(status.get("state"))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
