"""The worked example in the documentation is what the code computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_worked_example_is_true() -> None:
    spec = importlib.util.spec_from_file_location("make_equations", DOCS / "make_equations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, _, written = (
        (DOCS / "explanation" / "equations.md")
        .read_text("utf-8")
        .partition("<!-- made by make_equations.py -->\n")
    )
    # Numbers are shown to five places, and must be the same in every one of them.
    assert written == module.worked_example()
