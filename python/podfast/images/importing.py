# SPDX-License-Identifier: Apache-2.0
"""`podfast import`: a root file system, as a tar archive or a directory, becomes an image of the store."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence

from podfast.errors import ImageError

from . import reference as references
from .model import Image, ImageConfig
from .store import Record, Store
from .unpack import Unpacked, unpack

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}

STANDARD_INPUT = "-"


def import_rootfs(
    source: str | os.PathLike[str],
    name: str,
    *,
    root: str,
    entrypoint: Sequence[str] = (),
    cmd: Sequence[str] = (),
    env: Sequence[str] = (),
    user: str = "",
    workdir: str = "",
) -> Image:
    """Imports a tar archive (plain or gzip; "-" is standard input) or a directory under `name`.

    The same input gives the same id. A name that is in use gets the new image. Raises ImageError, SystemFailure.
    """
    full = references.for_import(name)
    config = ImageConfig(entrypoint=tuple(entrypoint), cmd=tuple(cmd), env=tuple(env), working_dir=workdir, user=user)
    _check(config, full)
    store = Store(root)
    store.sweep()
    with store.workspace() as work:
        unpacked = _unpack(os.fspath(source), work.fd, root)
        record = Record(
            reference=full,
            id=_image_id(config, unpacked.sha256),
            layers=(unpacked.sha256,),
            config=config,
            created=time.time_ns(),
            size=unpacked.bytes,
        )
        store.publish(work, unpacked.sha256, record)
    return store.image(record)


def _unpack(source: str, target: int, root: str) -> Unpacked:
    if source == STANDARD_INPUT:
        return unpack(0, target, what="standard input")
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ImageError(f"{source}: {error.strerror}") from error
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            return unpack(fd, target, what=source)
    finally:
        os.close(fd)
    return _unpack_directory(source, target, root)


def _unpack_directory(source: str, target: int, root: str) -> Unpacked:
    from .pack import pack

    own = os.stat(root)
    try:
        return unpack(lambda out: pack(source, out, without=(own.st_dev, own.st_ino)), target, what=source)
    except OSError as error:
        raise ImageError(f"{source}: {error.filename or ''}: {error.strerror}") from error


def _check(config: ImageConfig, name: str) -> None:
    texts = (*config.entrypoint, *config.cmd, *config.env, config.working_dir, config.user)
    if any("\0" in text for text in texts):
        raise ImageError("a NUL byte in the image's config", reference=name)
    for variable in config.env:
        if variable.partition("=")[1] == "" or variable.startswith("="):
            raise ImageError(f"environment variable {variable!r} is not of the form NAME=VALUE", reference=name)
    if config.working_dir and not config.working_dir.startswith("/"):
        raise ImageError(f"working directory {config.working_dir!r} is not absolute", reference=name)


def _image_id(config: ImageConfig, diff_id: str) -> str:
    """The digest of the OCI image config that says the same. It has no date, so that equal inputs have equal ids."""
    machine = os.uname().machine
    runtime = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": list(config.env),
        "User": config.user,
        "WorkingDir": config.working_dir,
    }
    document = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {key: value for key, value in runtime.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
