"""Options of starting a run from the weights of another."""

from __future__ import annotations

from charlstm.config.fields import Section, option, section


@section
class FineTuneConfig(Section):
    """The model that a new run starts from."""

    base: str | None = option(
        None,
        "Start from the weights of another run, or of a checkpoint file (fine-tuning). Characters "
        "are matched, so that the texts may have different alphabets; the architecture is that of "
        "RUN.",
        group="Start",
        flag="--from",
        metavar="RUN",
        shown_default="random weights",
    )
    keep_alphabet: bool = option(
        False,
        "With --from: keep the characters of RUN that the new text lacks (default: they are "
        "dropped).",
        group="Start",
        negatable=False,
    )
