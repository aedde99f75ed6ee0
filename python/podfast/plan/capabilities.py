# SPDX-License-Identifier: Apache-2.0
"""Linux capabilities: numbers (capability.h), the default nine, and what a security context makes of them."""

from __future__ import annotations

from podfast.spec.model import SecurityContext

NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
            "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
            "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM "
            "BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
        ).split()
    )
}
DEFAULT = ("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL")


def mask(security: SecurityContext, last: int) -> int:
    """The bounding and permitted set, as bits. `last` is the kernel's highest capability number."""
    every = (1 << (last + 1)) - 1
    if security.privileged:
        return every
    add, drop = security.capabilities.add, security.capabilities.drop
    bits = 0 if "ALL" in drop else sum(1 << NUMBERS[name] for name in DEFAULT)
    if "ALL" in add:
        bits = every
    for name in add:
        if name != "ALL":
            bits |= 1 << NUMBERS[name]
    for name in drop:
        if name != "ALL":
            bits &= ~(1 << NUMBERS[name])
    return bits & every
