# SPDX-License-Identifier: Apache-2.0
"""The files of this repository, wherever it came from: a clone or an sdist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "podfast"
_MADE = {"build", "dist", "target", "bin", "__pycache__"}  # by builds and tools; their caches begin with a dot


def files(*suffixes: str) -> Iterator[Path]:
    """Every file with one of the suffixes, in a stable order."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in _MADE and not _is_foreign(Path(folder, name)))
        for name in sorted(names):
            if name.endswith(suffixes):
                yield Path(folder, name)


def _is_foreign(folder: Path) -> bool:
    hidden = folder.name.startswith(".") and folder.name != ".ci"
    return hidden or folder.name.endswith(".egg-info") or (folder / "pyvenv.cfg").exists()


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))
