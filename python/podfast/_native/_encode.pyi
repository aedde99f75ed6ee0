# SPDX-License-Identifier: Apache-2.0
from typing import Any

def encode(plan: Any, abi: int) -> bytes: ...
