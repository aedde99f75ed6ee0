# SPDX-License-Identifier: Apache-2.0
"""Names of files for texts that are not ours to choose: an image's reference, a pod's name, the state of the host."""

from __future__ import annotations

_PRIME = 0x1000000000000000000000000000000000000000163
_OFFSET = 0xDD268DBCAAC550362D98C384C4E576CCC8B1536847B6BBB31023B4C8CAEE0535
_MASK = (1 << 256) - 1


def fingerprint(data: bytes) -> str:
    """FNV-1a of 256 bits as 64 hex digits.

    Importing hashlib costs more than many a command. Nothing is trusted because of this value: who reads a file under
    it compares what the file says of itself.
    """
    value = _OFFSET
    for byte in data:
        value = (value ^ byte) * _PRIME & _MASK
    return f"{value:064x}"
