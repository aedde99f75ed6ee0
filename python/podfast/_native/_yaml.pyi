# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from types import ModuleType
from typing import Any, final

def place(value: int) -> tuple[int, int]: ...

class Stop(Exception): ...

@final
class Reader:
    documents: list[tuple[Any, int, int]]
    marks: dict[int, Any]
    problems: list[tuple[tuple[str | int | None, ...], str, int, int]]
    def __init__(self, *, nodes: int, weight: int, depth: int) -> None: ...
    def read(self, get_event: Callable[[], Any], events: ModuleType) -> None: ...
