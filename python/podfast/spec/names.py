# SPDX-License-Identifier: Apache-2.0
"""What names and paths may look like: each function returns "" or what is wrong, to follow the field's path.

Sets instead of regular expressions: compiling those would cost more than checking a whole Pod.
"""

from __future__ import annotations

from podfast.spec.problems import shown

__all__ = [
    "absolute_path",
    "environment_name",
    "image",
    "label",
    "label_value",
    "mount_point",
    "normal_path",
    "port_name",
    "qualified_name",
    "subdomain",
    "visible",
]

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_LABEL = _LOWER | {"-"}
_ANY = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_QUALIFIED = _ANY | frozenset("-_.")
_LONGEST_LABEL = 63
_LONGEST_SUBDOMAIN = 253
_LONGEST_PATH = 4095
_LONGEST_IMAGE = 1024
# The kernel's tables stand here: whatever a volume holds, it cannot take their place.
_OURS = ("/dev", "/proc", "/sys")


def label(text: str) -> str:
    """RFC 1123: a-z, 0-9 and -, at most 63."""
    if len(text) > _LONGEST_LABEL:
        return f"must be at most {_LONGEST_LABEL} characters long, not {len(text)}"
    if text and _LABEL.issuperset(text) and text[0] != "-" and text[-1] != "-":
        return ""
    return f'must be of a-z, 0-9 and "-", and begin and end with a letter or digit, not "{shown(text)}"'


def subdomain(text: str) -> str:
    """RFC 1123: labels with dots between them, at most 253."""
    if len(text) > _LONGEST_SUBDOMAIN:
        return f"must be at most {_LONGEST_SUBDOMAIN} characters long, not {len(text)}"
    for part in text.split("."):
        if not part or not _LABEL.issuperset(part) or part[0] == "-" or part[-1] == "-":
            return f'must be of a-z, 0-9, "-" and ".", and begin and end with a letter or digit, not "{shown(text)}"'
    return ""


def qualified_name(text: str) -> str:
    """The key of a label or annotation: an optional subdomain and /, then at most 63 of letters, digits, - _ and ."""
    prefix, slash, name = text.rpartition("/")
    if slash and (wrong := subdomain(prefix)):
        return f"has a prefix that {wrong}"
    if not name or len(name) > _LONGEST_LABEL:
        return f"must have a name of 1 to {_LONGEST_LABEL} characters"
    if _QUALIFIED.issuperset(name) and name[0] in _ANY and name[-1] in _ANY:
        return ""
    return 'must be of letters, digits, "-", "_" and ".", and begin and end with a letter or digit'


def label_value(text: str) -> str:
    """Empty, or like the name of a key."""
    if len(text) > _LONGEST_LABEL:
        return f"must be at most {_LONGEST_LABEL} characters long, not {len(text)}"
    if not text or (_QUALIFIED.issuperset(text) and text[0] in _ANY and text[-1] in _ANY):
        return ""
    return (
        f'must be of letters, digits, "-", "_" and ".", and begin and end with a letter or digit, not "{shown(text)}"'
    )


def environment_name(text: str) -> str:
    """Kubernetes' relaxed rule: anything printable in ASCII but =."""
    if text and text.isascii() and text.isprintable() and "=" not in text:
        return ""
    return 'must be of printable ASCII characters other than "="' if text else "must not be empty"


def port_name(text: str) -> str:
    """An IANA service name (RFC 6335) in lower case."""
    good = len(text) <= 15 and _LABEL.issuperset(text) and not _LETTERS.isdisjoint(text)
    if good and text[0] != "-" and text[-1] != "-" and "--" not in text:
        return ""
    return f'must be at most 15 of a-z, 0-9 and single "-", with a letter, not "{shown(text)}"'


def image(text: str) -> str:
    """What any image reference keeps to; the rest of its grammar is for `podfast.images`."""
    if not text:
        return "must not be empty"
    if len(text) > _LONGEST_IMAGE:
        return f"must be at most {_LONGEST_IMAGE} characters long, not {len(text)}"
    return "" if text.isprintable() and " " not in text else f'must not have spaces in it, not "{shown(text)}"'


def visible(text: str) -> str:
    """No control characters, and short enough for the kernel."""
    if len(text.encode("utf-8", "replace")) > _LONGEST_PATH:
        return f"must be at most {_LONGEST_PATH} bytes long"
    return "" if text.isprintable() else f'must not have control characters in it, not "{shown(text)}"'


def absolute_path(text: str) -> str:
    """A path from the root on, without `..`."""
    if not text.startswith("/"):
        return f'must be an absolute path, not "{shown(text)}"' if text else "must not be empty"
    if ".." in text.split("/"):
        return f'must not have ".." in it, not "{shown(text)}"'
    return visible(text)


def mount_point(text: str) -> str:
    """Where a volume may be mounted."""
    if wrong := absolute_path(text):
        return wrong
    if ":" in text:
        return f'must not have ":" in it, not "{shown(text)}"'
    normal = normal_path(text)
    if normal == "/":
        return "must not be the root directory"
    for ours in _OURS:
        if normal == ours or normal.startswith(f"{ours}/"):
            return f"must not be at or below {ours}, which is always podfast's own"
    return ""


def normal_path(text: str) -> str:
    """An absolute path without empty and `.` steps, so that equal places are equal texts."""
    return "/" + "/".join(step for step in text.split("/") if step not in ("", "."))
