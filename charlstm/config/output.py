"""Options of the output of `sample` and `fill`."""

from __future__ import annotations

from charlstm.config.fields import Range, Section, option, section

SAMPLES = Range(1, 4096)


@section
class OutputConfig(Section):
    """Options of output: number of samples, prompt and separator."""

    no_prompt: bool = option(
        False, "Do not include the prompt in the output.", group="Output", negatable=False
    )
    samples: int | None = option(
        None,
        "Number of samples, generated in one batch.",
        group="Output",
        within=SAMPLES,
        short="-n",
        shown_default="1",
    )
    separator: str | None = option(
        None,
        "Text after each sample of -n N.",
        group="Output",
        shown_default="a newline; on a terminal, each sample has a heading",
    )
