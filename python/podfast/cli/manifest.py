# SPDX-License-Identifier: Apache-2.0
"""The manifest a command was given, checked, in the namespace the command asked for."""

from __future__ import annotations

import msgspec

from podfast.cli.arguments import Options, UsageError, namespace
from podfast.spec import load as load_spec, names
from podfast.spec.model import Pod

STANDARD_INPUT = "/dev/stdin"
DEFAULT_NAMESPACE = "default"


def load(source: str, options: Options) -> Pod:
    """Reads and checks it. `-` is standard input. A namespace in the manifest must be the one that was asked for."""
    pod = load_spec(STANDARD_INPUT if source == "-" else source)
    wanted = namespace(options)
    if wanted is not None and (wrong := names.label(wanted)):
        raise UsageError(f"the namespace {wrong}")
    if wanted is None or wanted == pod.metadata.namespace:
        return pod
    if pod.metadata.namespace != DEFAULT_NAMESPACE:
        raise UsageError(f'the manifest is for namespace "{pod.metadata.namespace}", not "{wanted}"')
    metadata = msgspec.structs.replace(pod.metadata, namespace=wanted)
    return msgspec.structs.replace(pod, metadata=metadata)
