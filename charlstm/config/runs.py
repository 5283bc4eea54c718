"""The option of every command that reads or writes runs."""

from __future__ import annotations

from charlstm.config.fields import Section, option, section


@section
class RunsConfig(Section):
    """Where runs are."""

    runs_dir: str | None = option(
        None,
        "Folder of runs.",
        group="Other",
        metavar="FOLDER",
        shown_default="$CHARLSTM_RUNS_DIR, or checkpoints",
    )
