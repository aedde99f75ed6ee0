# SPDX-License-Identifier: Apache-2.0
"""docs/fields.md says of every field what the loader does with it."""

import runpy

from podfast.spec.model import Options
from tests.repo.tree import ROOT


def test_the_field_table_is_the_model() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_fields.py"))["render"]()
    assert (ROOT / "docs" / "fields.md").read_text(encoding="utf-8") == made, "run: python docs/make_fields.py"


def test_every_option_is_documented() -> None:
    text = (ROOT / "docs" / "annotations.md").read_text(encoding="utf-8")
    for name in Options.__struct_fields__:
        assert f"`podfast.dev/{name.replace('_', '-')}`" in text, name
