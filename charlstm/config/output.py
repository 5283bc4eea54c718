"""How many texts a command writes, and what stands around them."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import Range, Section, option

SAMPLES = Range(1, 4096)


@dataclass(frozen=True)
class OutputConfig(Section):
    """What is written beside the generated text."""

    no_prompt: bool = option(
        False, "Leave the prompt out of the output.", group="Output", negatable=False
    )
    samples: int | None = option(
        None,
        "Samples, generated side by side.",
        group="Output",
        within=SAMPLES,
        short="-n",
        shown_default="1",
    )
    separator: str | None = option(
        None,
        "What follows each text of -n N.",
        group="Output",
        shown_default="a newline, or on a terminal a heading before each",
    )
