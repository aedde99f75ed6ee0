# SPDX-License-Identifier: Apache-2.0
"""How long a container that ended waits before it is started again: the kubelet's rule.

The kubelet keeps a wait for each container (kuberuntime_manager.go, `doBackOff`; client-go's `flowcontrol.Backoff`). A
container without one is restarted at once and given the first wait; one that has a wait is restarted when that long has
passed since it ended, and then its wait is doubled up to the longest. A container that ended more than 10 minutes after
its last restart has lost its wait. So a program that crashes at once is restarted after 0, 10, 20, 40, 80, 160, 300,
300 … seconds. Exit codes play no part: with `Always`, success backs off, too. Nor does it matter whether the program
ran at all: a start that failed is an end.
"""

from __future__ import annotations

from podfast.lifecycle.model import BACK_OFF_RESET, ContainerState, Rules


def wait_after_exit(container: ContainerState, now: float) -> float:
    """Seconds between the end of a container, which is now, and its restart; 0 for at once."""
    if now - container.back_off_since > BACK_OFF_RESET:
        return 0.0
    return container.back_off


def after_restart(wait: float, rules: Rules) -> float:
    """The next wait of a container that is restarted now after it has waited for `wait`."""
    if wait <= 0.0:
        return min(rules.back_off_initial, rules.back_off_max)
    return min(2.0 * wait, rules.back_off_max)


def text(seconds: float) -> str:
    """A duration as Go prints it, which is how the kubelet does: 10s, 1m20s, 1h0m0s, 1.5s, 50ms."""
    if seconds < 1.0:
        return f"{seconds * 1000:.10g}ms" if seconds > 0.0 else "0s"
    minutes, rest = divmod(seconds, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:.10g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail
