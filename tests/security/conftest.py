# SPDX-License-Identifier: Apache-2.0
"""Hostile images for these tests, beside what tests of pods have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podfast.images import import_rootfs
from tests.pod.conftest import Manifest, World, store, world

__all__ = ["store", "world"]

USR: dict[str, Any] = {"name": "usr", "hostPath": {"path": "/usr", "type": "Directory"}}

Hostile = Callable[..., Manifest]


@pytest.fixture
def hostile(world: World, tmp_path: Path) -> Hostile:
    """Imports a root file system of links and files; returns a container of it, with the host's /usr for a shell."""

    def make(script: str, links: dict[str, str], files: dict[str, str] | None = None, **config: Any) -> Manifest:
        top = tmp_path / "rootfs"
        for name in ("usr", "etc", "tmp"):
            (top / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (top / name).symlink_to(f"usr/{name}")
        for name, text in (files or {}).items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        for name, target in links.items():
            (top / name).symlink_to(target)
        name = f"localhost/hostile-{os.urandom(4).hex()}:1"
        import_rootfs(str(top), name, root=world.roots.root, **config)
        mounts = [{"name": "usr", "mountPath": "/usr", "readOnly": True}]
        return {"name": "c0", "image": name, "command": ["sh", "-c", script], "volumeMounts": mounts}

    return make
