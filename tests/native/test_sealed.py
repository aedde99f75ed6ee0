# SPDX-License-Identifier: Apache-2.0
"""Programs that a container can see through /proc are copies that nobody can write to (CVE-2019-5736)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from podfast import _native


@pytest.mark.makes
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a mount namespace")
def test_the_programs_of_a_pod_run_from_sealed_copies() -> None:
    launcher = _native.make_launcher(())
    try:
        for name, copy in (("shim", launcher.shim), ("pause", launcher.pause), ("init", launcher.init)):
            path = f"/proc/self/fd/{copy}"
            assert Path(path).read_bytes() == Path(_native.binary(f"podfast-{name}")).read_bytes()
            assert os.fstatvfs(copy).f_flag & os.ST_RDONLY
            for flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
                with pytest.raises(OSError) as caught:
                    os.open(path, flags)
                assert caught.value.errno == errno.EROFS
    finally:
        for descriptor in launcher:
            if descriptor >= 0:
                os.close(descriptor)
