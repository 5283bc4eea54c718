"""The generated parts of docs/explanation/equations.md are what the code computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_equations", DOCS / "make_equations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (DOCS / "explanation" / "equations.md").read_text("utf-8")
    # Numbers are shown to five places, and must be the same in every one of them.
    assert page == module.with_sections(page), "run `make docs`"
