# SPDX-License-Identifier: Apache-2.0
"""`$(NAME)` in command, args and env, as the Pod API defines it.

`$(NAME)` stands for the variable's value; when there is no such variable, the text stays as it is. `$$` stands for one
`$`, so `$$(NAME)` is the text `$(NAME)`. Everything else is kept, and what was put in is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podfast.spec.model import EnvVar

__all__ = ["environment", "expand", "expand_all"]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each `$(NAME)` replaced that `variables` knows."""
    at = text.find("$")
    if at < 0:
        return text
    parts = []
    done = 0
    while 0 <= at < len(text) - 1:
        follower = text[at + 1]
        end = at + 2
        replacement = None
        if follower == "$":
            replacement = "$"
        elif follower == "(":
            close = text.find(")", end)
            if close < 0:
                # Nothing after this can close, but `$$` still counts.
                parts.append(text[done:end])
                parts.append(text[end:].replace("$$", "$"))
                return "".join(parts)
            replacement = variables.get(text[end:close])
            end = close + 1
        if replacement is not None:
            parts.append(text[done:at])
            parts.append(replacement)
            done = end
        at = text.find("$", end)
    parts.append(text[done:])
    return "".join(parts)


def expand_all(texts: Iterable[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """A command or its arguments, each expanded."""
    return tuple(expand(text, variables) for text in texts)


def environment(variables: Iterable[EnvVar]) -> dict[str, str]:
    """A Pod's env list, expanded: what the container gets over the image's own, and what command and args see.

    A value may refer to variables that stand before it. As in the kubelet, the image's own variables are never put in.
    """
    declared: dict[str, str] = {}
    for variable in variables:
        declared[variable.name] = expand(variable.value, declared)
    return declared
