# SPDX-License-Identifier: Apache-2.0
"""The pods of this machine, as their run directories tell: read without a lock, while pods come and go.

A run directory is written by its owner only, by atomic replacement or before anybody can see it. Still every read has a
limit and is checked, and a pod that vanishes while it is being read is simply not there.
"""

import os
from typing import Any

import msgspec

from podfast.errors import NotFound, PodfastError

# Identity and undo records are small; a status repeats names and messages of what may be a manifest of 3 MiB.
POD_LIMIT = 1 << 20
STATUS_LIMIT = 8 << 20

_ID_LENGTH = 64
_HEX = frozenset("0123456789abcdef")  # compiling a pattern costs a millisecond of every command


class PodRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One pod. `document` is the Kubernetes Pod its owner published last: metadata, status and podfast's own part."""

    name: str
    namespace: str
    uid: str
    id: str
    life: str = "embedded"
    engine_pid: int = 0
    boot_id: str = ""
    created: int = 0  # unix nanoseconds
    directory: str = ""
    document: dict[str, Any] = {}

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def status(self) -> dict[str, Any]:
        """The PodStatus; empty until the owner has published one."""
        status = self.document.get("status")
        return status if isinstance(status, dict) else {}

    @property
    def own(self) -> dict[str, Any]:
        """What podfast publishes beyond Kubernetes: process ids and the like."""
        own = self.document.get("podfast")
        return own if isinstance(own, dict) else {}

    @property
    def containers(self) -> tuple[str, ...]:
        """Names in the order of the manifest where the status tells it."""
        statuses = self.status.get("containerStatuses")
        if not isinstance(statuses, list):
            return ()
        return tuple(str(one["name"]) for one in statuses if isinstance(one, dict) and "name" in one)


def pods(runroot: str) -> list[PodRecord]:
    """Every pod there is, oldest first."""
    try:
        entries = os.listdir(f"{runroot}/pods")
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise PodfastError(
            f"the pods under {runroot} belong to another user (run this as that user, or set --runroot)"
        ) from error
    found = [
        record
        for entry in entries
        if len(entry) == _ID_LENGTH and _HEX.issuperset(entry) and (record := read(runroot, entry))
    ]
    return sorted(found, key=lambda record: (record.created, record.id))


def read(runroot: str, pod_id: str) -> PodRecord | None:
    """One pod, or None when it is not there (any more), or not readable as a pod."""
    directory = f"{runroot}/pods/{pod_id}"
    head = _read(f"{directory}/pod", POD_LIMIT)
    if head is None:
        return None
    try:
        record = msgspec.json.decode(head.split(b"\n", 1)[0], type=PodRecord)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
    if record.id != pod_id:
        return None
    return msgspec.structs.replace(record, directory=directory, document=_document(f"{directory}/status.json"))


def _document(path: str) -> dict[str, Any]:
    text = _read(path, STATUS_LIMIT)
    if text is None:
        return {}
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _read(path: str, limit: int) -> bytes | None:
    """A small file in one go; None when it is missing or too big. Never waits, whatever the path names."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError, OSError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        if size > limit:
            return None
        chunks = []
        while block := os.read(descriptor, max(4096, size + 1)):
            chunks.append(block)
            limit -= len(block)
            if limit < 0:
                return None
        return b"".join(chunks)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def find(runroot: str, token: str, *, namespace: str | None = None) -> PodRecord:
    """The one pod that `token` means: `name`, `namespace/name`, `pod/name`, an id or any unique prefix of one.

    A name wins over an id. Without `namespace` the pods of all namespaces are looked at.
    """
    return choose(pods(runroot), token, namespace=namespace)


def choose(known: list[PodRecord], token: str, *, namespace: str | None = None) -> PodRecord:
    name = token
    for kind in ("pod/", "pods/", "po/"):
        name = name.removeprefix(kind)
    within, _, bare = name.rpartition("/")
    wanted = within or namespace
    inside = [record for record in known if wanted is None or record.namespace == wanted]
    matches = [record for record in inside if record.name == bare]
    if not matches and not within and bare and _HEX.issuperset(bare):
        matches = [record for record in inside if record.id.startswith(bare)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(f"{record.namespace}/{record.name} ({record.short_id})" for record in matches)
        raise PodfastError(f'"{token}" means more than one pod: {listed}')
    place = f' in namespace "{wanted}"' if wanted else ""
    raise NotFound(f'no pod "{token}"{place}{_nearest(name, known)}')


def _nearest(name: str, known: list[PodRecord]) -> str:
    import difflib

    close = difflib.get_close_matches(name, sorted({record.name for record in known}), n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
