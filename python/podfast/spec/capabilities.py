# SPDX-License-Identifier: Apache-2.0
"""The names of the kernel's capabilities (capabilities(7), Linux 5.9 and later), in the order of their numbers."""

from __future__ import annotations

__all__ = ["ALL", "NAMES", "plain_name"]

ALL = "ALL"

_TEXT = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)

NAMES: tuple[str, ...] = tuple(_TEXT.split())


def plain_name(name: str) -> str:
    """A capability as the model keeps it: in capitals, without `CAP_`."""
    return name.upper().removeprefix("CAP_")
