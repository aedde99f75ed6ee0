# SPDX-License-Identifier: Apache-2.0
"""References → images that are here."""

from __future__ import annotations

import re

from podfast.errors import ImageError, NotFound

from . import reference as references
from .model import Image
from .store import Record, Store

_ID = re.compile(r"[0-9a-f]{6,64}")


def stored(reference: str, *, root: str) -> Image:
    """The imported image that a Pod means by `reference`. Raises ImageError (InvalidImageName, ErrImagePull)."""
    store = Store(root)
    for name in references.candidates(reference):
        record = store.find(name)
        if record is not None:
            return store.image(record)
    raise ImageError(
        f"image {reference!r} is not in the store, and podfast does not pull from registries yet: "
        f"import a root file system with `podfast import rootfs.tar {reference}`, or use `image: host`",
        reference=reference,
    )


def find(name: str, *, root: str) -> Image:
    """An image by its name, its id, or a unique beginning of that. Raises NotFound, ImageError (InvalidImageName)."""
    store = Store(root)
    names = references.candidates(name)
    records = store.records()
    for full in names:
        for record in records:
            if record.reference == full:
                return store.image(record)
    matching = {record.id: record for record in records if _ID.fullmatch(name) and record.id.startswith(name)}
    if len(matching) == 1:
        return store.image(*matching.values())
    raise NotFound(f"image {name!r}: " + ("more than one id begins so" if matching else "not in the store"))


def list_images(*, root: str) -> tuple[Record, ...]:
    """The images of the store, by name."""
    return Store(root).records()


def sweep(*, root: str) -> None:
    """Removes what killed imports left in the store."""
    Store(root).sweep()
