# SPDX-License-Identifier: Apache-2.0
"""docs/fields.md says of every field what the loader does with it."""

import runpy

from tests.repo.tree import ROOT


def test_the_field_table_is_the_model() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_fields.py"))["render"]()
    assert (ROOT / "docs" / "fields.md").read_text(encoding="utf-8") == made, "run: python docs/make_fields.py"
