# SPDX-License-Identifier: Apache-2.0
"""Unix nanoseconds → RFC 3339, as Kubernetes' `metav1.Time` prints it: UTC, whole seconds, cut and not rounded."""

from __future__ import annotations

import time
from functools import lru_cache


def rfc3339(wall: int) -> str:
    """The text of a time; "" for 0, which is never."""
    return _text(wall // 1_000_000_000) if wall else ""


# One status tells few seconds many times.
@lru_cache(maxsize=512)
def _text(seconds: int) -> str:
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
