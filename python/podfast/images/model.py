# SPDX-License-Identifier: Apache-2.0
"""What `images` hands on: an unpacked root file system, and the few facts of an image's config that may cross."""

from __future__ import annotations

import msgspec


class Bind(msgspec.Struct, frozen=True):
    """A host directory that is bound read-only into the root, in the order given.

    `source` is an absolute host path, `target` a path relative to the root without a leading slash.
    """

    source: str
    target: str


class ImageConfig(msgspec.Struct, frozen=True):
    """The data of an image's config that a container is started with. Labels and annotations never cross.

    `env` holds "K=V" strings; `stop_signal` is a name such as "SIGTERM" or a number in decimal.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""


class Image(msgspec.Struct, frozen=True):
    """A usable image: `layers` are absolute directories, topmost first; `id` is 64 hex digits."""

    reference: str
    id: str
    layers: tuple[str, ...]
    binds: tuple[Bind, ...] = ()
    config: ImageConfig = ImageConfig()


class Identity(msgspec.Struct, frozen=True):
    """Whom a container's process runs as: numeric ids, supplementary groups, and the home directory of `user`."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"
