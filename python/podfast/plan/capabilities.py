# SPDX-License-Identifier: Apache-2.0
"""Linux capabilities: numbers (capability.h), the default nine, and what a security context makes of them."""

from __future__ import annotations

from collections.abc import Iterable

from podfast.errors import Unsupported
from podfast.spec.model import SecurityContext

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
NUMBERS = {name: number for number, name in enumerate(_NAMES.split())}
DEFAULT = ("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL")


def mask(security: SecurityContext, available: int) -> int:
    """The bounding and permitted set, as bits: no more than `available`, which is what podfast has itself.

    Raises Unsupported for a capability that is asked for by name and not available; ALL and privileged take what
    there is.
    """
    if security.privileged:
        return available
    add, drop = security.capabilities.add, security.capabilities.drop
    bits = 0 if "ALL" in drop else _bits(DEFAULT) & available
    if "ALL" in add:
        bits = available
    wanted = _bits(name for name in add if name != "ALL")
    if wanted & ~available:
        lacking = sorted(name for name in add if name != "ALL" and not available >> NUMBERS[name] & 1)
        raise Unsupported(f"capability {', '.join(lacking)} cannot be added: podfast does not have it itself")
    return (bits | wanted) & ~_bits(name for name in drop if name != "ALL")


def _bits(names: Iterable[str]) -> int:
    return sum(1 << NUMBERS[name] for name in set(names))
