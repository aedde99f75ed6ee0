# SPDX-License-Identifier: Apache-2.0
"""Everything that podfast raises on purpose.

    PodfastError
    ├─ SpecError                   a mistake in a manifest; all of them at once, each with its place
    ├─ ImageError                  an image cannot be had
    ├─ StartError                  a container did not start
    ├─ SystemFailure               a system call failed
    ├─ NotFound                    no pod, container or image of that name
    ├─ Conflict                    the name is in use
    ├─ WaitTimeout (TimeoutError)  a wait ran out
    └─ Unsupported                 this host lacks something that the pod needs

`str()` of each is what a person should read. Failures of the system have an `OSError` as their `__cause__`.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "Conflict",
    "ImageError",
    "NotFound",
    "PodfastError",
    "Problem",
    "SpecError",
    "StartError",
    "SystemFailure",
    "Unsupported",
    "WaitTimeout",
]


class PodfastError(Exception):
    """The root of the tree: catch it to catch everything that podfast raises on purpose."""


class Problem:
    """One mistake in a manifest. Lines and columns count from 1; both are 0 where there is no text to point into."""

    # Written out: every command imports this module, and `dataclasses` would cost more than all the rest of it.
    __slots__ = ("column", "line", "message", "path", "source")

    def __init__(self, message: str, path: str = "", line: int = 0, column: int = 0, source: str = "") -> None:
        self.message = message
        self.path = path
        self.line = line
        self.column = column
        self.source = source

    def _key(self) -> tuple[str, int, int, str, str]:
        return (self.source, self.line, self.column, self.path, self.message)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Problem({self.message!r}, {self.path!r}, {self.line}, {self.column}, {self.source!r})"

    def __str__(self) -> str:
        place = self.source
        if self.line:
            place = f"{place or '<text>'}:{self.line}:{self.column}"
        return f"{place}: {self.message}" if place else self.message


class SpecError(PodfastError):
    """A manifest has mistakes. One gets it before anything has been made, with every mistake that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class ImageError(PodfastError):
    """An image cannot be had: its name is wrong, it is not there, or its content is refused.

    `reason` is Kubernetes' word: ErrImagePull, InvalidImageName, ErrImageNeverPull or ImageInspectError.
    """

    def __init__(self, message: str, *, reference: str = "", reason: str = "ErrImagePull") -> None:
        super().__init__(message)
        self.reference = reference
        self.reason = reason


class StartError(PodfastError):
    """A container did not start.

    `stage` names the step, `errno` what the kernel said (0 when it said nothing), `exit_code` what a shell would
    report (126 not executable, 127 not found, 128 anything else) and `reason` what Kubernetes would.
    """

    def __init__(
        self,
        message: str,
        *,
        container: str = "",
        stage: str = "",
        errno: int = 0,
        exit_code: int = 128,
        reason: str = "StartError",
    ) -> None:
        super().__init__(message)
        self.container = container
        self.stage = stage
        self.errno = errno
        self.exit_code = exit_code
        self.reason = reason


class SystemFailure(PodfastError):
    """A system call failed: `operation` on `object` with `errno`; `remedy` says what may help, when that is known."""

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        object: str = "",  # noqa: A002
        errno: int = 0,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.object = object
        self.errno = errno
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.remedy})" if self.remedy else message


class NotFound(PodfastError):
    """What was asked for (a pod, a container, an image) is not there, or is gone by now."""


class Conflict(PodfastError):
    """A name is in use; `owner` says whose it is, when that is known."""

    def __init__(self, message: str, *, owner: str = "") -> None:
        super().__init__(message)
        self.owner = owner


class WaitTimeout(PodfastError, TimeoutError):
    """A wait ran out before what was waited for came true. Nothing has been stopped."""


class Unsupported(PodfastError):
    """This host lacks something that the pod needs; `remedy` says how to get it, when that is known."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.remedy})" if self.remedy else message
