"""Which options a resumed run may change: those that say so, and no other."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from charlstm.config import SECTIONS, Config
from charlstm.config.fields import flag_of, type_of
from charlstm.errors import ConfigError, RunError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.runs.folder import Run
from charlstm.training.resume import resume_run
from charlstm.training.setup import new_run

FIELDS = [
    (kind, spec)
    for kind in SECTIONS.values()
    for spec in dataclasses.fields(kind)  # type: ignore[arg-type]
]
OTHERS: dict[str, Any] = {"device": "cpu", "kernel": "torch", "encoding": "latin-1", "minutes": 5.0}
"""Another value for options that not every value suits."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch."""
    folder: Path = tmp_path_factory.mktemp("resume")
    (folder / "x.txt").write_text("the sea and the lamp and the stair\n" * 20, "utf-8")
    config = Config().override(
        {"hidden_size": 6, "maxlen": 8, "batch_size": 4, "epochs": 1, "sample_every": 0,
         "kernel": "torch", "precision": "float32", "embedding": 0}
    )  # fmt: skip
    trainer = new_run(
        [str(folder / "x.txt")], config, runs_dir=folder, name="x", notice=lambda _text: None
    )
    list(trainer.train())
    return trainer.run


def another(kind: Any, spec: dataclasses.Field[Any], value: Any) -> Any:
    """A value that the field may have, other than that."""
    if spec.name in OTHERS:
        return OTHERS[spec.name]
    if spec.metadata["choices"]:
        return next(choice for choice in spec.metadata["choices"] if choice != value)
    plain = type_of(kind, spec.name)
    if plain in (bool, str):
        return not value if plain is bool else value + "x"
    if plain is tuple:
        return (*value, "x")
    for candidate in (0.5, 0.25) if plain is float else (1, 2, 3):
        try:
            checked = kind.checked(spec, candidate)
        except ConfigError:
            continue
        if checked != value:
            return checked
    raise AssertionError(spec.name)


@pytest.mark.parametrize(("kind", "spec"), FIELDS, ids=[spec.name for _, spec in FIELDS])
def test_what_a_resumed_run_may_change(
    run: Run, kind: Any, spec: dataclasses.Field[Any], tmp_path: Path
) -> None:
    own = Config.from_json(run_config(run))
    section = next(name for name, each in SECTIONS.items() if each is kind)
    value = another(kind, spec, getattr(getattr(own, section), spec.name))
    # Set by the number of processes that there are, whatever was asked for.
    if spec.name == "processes":
        value = 1
    if spec.metadata["on_resume"]:
        # Of a copy, as the trainer keeps others out of its run.
        copy = Run(Path(shutil.copytree(run.folder, tmp_path / "x")))
        trainer = resume_run(copy, {spec.name: value}, [], notice=lambda _text: None)
        assert getattr(getattr(trainer.config, section), spec.name) == value
    else:
        with pytest.raises(RunError, match=f"{flag_of(spec)} cannot change"):
            resume_run(run, {spec.name: value}, [], notice=lambda _text: None)


def run_config(run: Run) -> Any:
    """What the run's last checkpoint says of its options."""
    return load_checkpoint(run.last).meta["config"]


def test_the_page_on_resuming_lists_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "resume.md").read_text("utf-8")
    paragraph = page.partition("## Change options")[2].partition("##")[0]
    for _, spec in FIELDS:
        if spec.metadata["on_resume"]:
            assert f"`{flag_of(spec)}`" in paragraph
