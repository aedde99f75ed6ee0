# SPDX-License-Identifier: Apache-2.0
"""Image references → unpacked root file systems.

    model         what is handed on: Image, Bind, ImageConfig, Identity
    host          `image: host`; skeleton and links make its files
    catalog       what is in the store; reference reads names
    importing     a tar archive or directory → the store; unpack runs the confined program, pack feeds it a directory
    store         the files on disk
    users         names of users → numbers

A warm `ensure(["host"])` imports only model and host.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import host
from .model import Bind, Identity, Image, ImageConfig

if TYPE_CHECKING:
    from .catalog import find, list_images as list, sweep  # noqa: A004
    from .importing import import_rootfs
    from .store import Record
    from .users import lookup_user

__all__ = [
    "Bind",
    "Identity",
    "Image",
    "ImageConfig",
    "Record",
    "ensure",
    "find",
    "import_rootfs",
    "list",
    "lookup_user",
    "sweep",
]

_LAZY = {
    "Record": ("store", "Record"),
    "find": ("catalog", "find"),
    "import_rootfs": ("importing", "import_rootfs"),
    "list": ("catalog", "list_images"),
    "lookup_user": ("users", "lookup_user"),
    "sweep": ("catalog", "sweep"),
}


def ensure(references: Iterable[str], *, root: str) -> dict[str, Image]:
    """The images of a Pod, by the references it uses, all of them here and unpacked.

    Raises ImageError (InvalidImageName, ErrImagePull), SystemFailure where the store cannot be written.
    """
    found: dict[str, Image] = {}
    for reference in references:
        if reference in found:
            continue
        if reference == "host":
            found[reference] = host.image(root)
        else:
            from .catalog import stored

            found[reference] = stored(reference, root=root)
    return found


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    value = globals()[name] = getattr(import_module(f".{module}", __name__), attribute)
    return value
