# SPDX-License-Identifier: Apache-2.0
"""Image references: `[host[:port]/]path[:tag]`, with Docker's rules for what is left out."""

from __future__ import annotations

import re

from podfast.errors import ImageError

HOST = "host"
_TAG = "latest"
_LOCAL = "localhost"
_MAX = 255

# Both parts of the grammar are those of the distribution specification.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def candidates(reference: str) -> tuple[str, ...]:
    """The full names that a reference may mean: a short name is looked for among imports, then as Docker's.

    Raises ImageError (InvalidImageName).
    """
    domain, path, suffix = _split(reference)
    if domain is not None:
        return (f"{domain}/{path}{suffix}",)
    library = path if "/" in path else f"library/{path}"
    return (f"{_LOCAL}/{path}{suffix}", f"docker.io/{library}{suffix}")


def for_import(name: str) -> str:
    """The full name under which an import is kept. Raises ImageError (InvalidImageName)."""
    if name == HOST:
        raise _invalid(name, "the name is taken: it means this machine's own programs")
    full = candidates(name)[0]
    if "@" in full:
        raise _invalid(name, "an import is named by a tag, not by a digest")
    return full


def _split(reference: str) -> tuple[str | None, str, str]:
    if len(reference) > _MAX:
        raise _invalid(reference[:_MAX] + "…", f"longer than {_MAX} characters")
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        hint = "repository names are lower case" if reference != reference.lower() else "expected [host/]path[:tag]"
        raise _invalid(reference, hint)
    domain, path, tag, digest = match.group("domain", "path", "tag", "digest")
    # The first component is a registry only if it looks like one: "team/web" is a path.
    if domain is not None and not ("." in domain or ":" in domain or domain == _LOCAL):
        if domain != domain.lower():
            raise _invalid(reference, "repository names are lower case")
        path, domain = f"{domain}/{path}", None
    return domain, path, f"@{digest}" if digest else f":{tag or _TAG}"


def _invalid(reference: str, why: str) -> ImageError:
    return ImageError(f"invalid image name {reference!r}: {why}", reference=reference, reason="InvalidImageName")
