# SPDX-License-Identifier: Apache-2.0
"""The cffi extension `podfast._native._core`: libpodfast compiled in, called in API mode. setup.py adds sources and
include paths.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef((HERE / "podfast.h.cffi").read_text())
ffibuilder.set_source(
    "podfast._native._core",
    '#include "podfast.h"',
    sources=sorted(str(path) for path in (HERE.parent / "core").glob("*.c")),
    include_dirs=[str(HERE.parent / "include"), str(HERE.parent / "core")],
)
