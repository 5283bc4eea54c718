"""How a new run is started, beside the fields of its configuration."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import Section, option


@dataclass(frozen=True)
class StartConfig(Section):
    """A new run's name, and where its configuration starts from."""

    name: str | None = option(
        None, "The run's name.", group="What to train", shown_default="from the first text's"
    )
    recipe: str | None = option(
        None,
        "Start from known settings: tutorial, keras, char-rnn, torch-rnn, stacked50, "
        "stacked128. Any option overrides its recipe.",
        group="What to train",
        metavar="NAME",
    )
    size: str | None = option(
        None,
        "The model's size: 128, 256, 512 or 1,024 units.",
        group="Model",
        metavar="tiny|small|medium|large",
        shown_default="chosen automatically",
    )
