# SPDX-License-Identifier: Apache-2.0
"""The published form: one Kubernetes Pod in JSON, with what is podfast's own beside it under `podfast`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from podfast.lifecycle import PodState
from podfast.spec.quantity import Bytes, Millicores, format_bytes, format_cpu
from podfast.status.model import Facts, Metadata, Own, PodDocument, PodStatus
from podfast.status.times import rfc3339

if TYPE_CHECKING:
    from podfast.spec.model import Pod, PodSpec

# Empty, and yet they say something.
_MEANT = ("emptyDir",)


class _Document(Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: Metadata
    spec: Raw
    status: PodStatus
    podfast: Own


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PodDocument)
# The spec of a pod never changes, and it is half of the work.
_specs: dict[int, tuple[PodSpec, Raw]] = {}
_MOST_SPECS = 64


def encode(
    pod: Pod, status: PodStatus, facts: Facts, pids: Mapping[str, int | None] = {}, *, state: PodState | None = None
) -> bytes:
    """The whole Pod. With `state`, a pod that is being stopped has a deletionTimestamp: when its grace period ends."""
    deletion, grace = "", None
    if state is not None and state.stopping:
        deletion, grace = rfc3339(state.stop_at + int(state.grace * 1e9)), int(state.grace)
    metadata = Metadata(
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        uid=facts.uid,
        creation_timestamp=rfc3339(facts.created),
        deletion_timestamp=deletion,
        deletion_grace_period_seconds=grace,
        labels=pod.metadata.labels,
        annotations=pod.metadata.annotations,
    )
    own = Own(facts.id, facts.node, {name: pid for name, pid in pids.items() if pid is not None})
    return _encoder.encode(_Document(pod.api_version, pod.kind, metadata, _spec(pod.spec), status, own))


def decode(data: bytes) -> PodDocument:
    """Read what `encode` wrote. Raises `msgspec.DecodeError`; what a newer podfast has added is passed over."""
    return _decoder.decode(data)


def _spec(spec: PodSpec) -> Raw:
    known = _specs.get(id(spec))
    if known is not None and known[0] is spec:
        return known[1]
    raw = Raw(_encoder.encode(_lean(msgspec.to_builtins(spec, enc_hook=_quantity))))
    if len(_specs) >= _MOST_SPECS:
        _specs.clear()
    # Holding the spec keeps its id from being given to another.
    _specs[id(spec)] = (spec, raw)
    return raw


def _quantity(value: Any) -> str:
    if isinstance(value, Millicores):
        return format_cpu(value)
    if isinstance(value, Bytes):
        return format_bytes(value)
    raise NotImplementedError


def _lean(tree: Any) -> Any:
    """Without what is not set, as Kubernetes prints it."""
    if isinstance(tree, dict):
        lean = {key: _lean(value) for key, value in tree.items() if value is not None}
        return {key: value for key, value in lean.items() if value not in ("", [], {}) or key in _MEANT}
    if isinstance(tree, (list, tuple)):
        return [_lean(value) for value in tree]
    return tree
