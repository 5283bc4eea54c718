"""Options of windows: how the training text is cut and batched."""

from __future__ import annotations

from charlstm.config.fields import COUNT, FRACTION, Range, Section, option, section


@section
class WindowConfig(Section):
    """Options of windows: how the training text is cut and batched."""

    maxlen: int = option(
        32,
        "Window length in characters: the length of truncated backpropagation through time.",
        group="Windows",
        within=COUNT,
        chosen=True,
    )
    batch_size: int = option(
        32, "Number of windows in a batch.", group="Windows", within=COUNT, chosen=True
    )
    stateless: bool = option(
        False,
        "Shuffle the windows and start each from a zero state. By default, a batch is parallel "
        "streams whose state is carried from window to window.",
        group="Windows",
    )
    grow: float = option(
        0.0,
        "Window-length curriculum: the fraction of the run that trains on chunks of a quarter, "
        "then half of a window. Short chunks train faster at first.",
        group="Windows",
        within=Range(0, 1),
        chosen=True,
    )
    reset: float = option(
        0.0,
        "Probability that a stream starts a window from a zero state, which trains prediction with "
        "little context (without --stateless only).",
        group="Windows",
        within=FRACTION,
        chosen=True,
    )
    replay: float = option(
        0.0,
        "Fraction of the streams of each batch that read --replay-text, against forgetting (with "
        "--from only); rounded to whole streams.",
        group="Windows",
        within=FRACTION,
    )
    step: int = option(
        3,
        "Stride: characters from one window's start to the next (--stateless only).",
        group="Windows",
        within=COUNT,
    )
    targets: str = option(
        "all",
        "Positions with a loss: all of a window, or only its last.",
        group="Windows",
        choices=("all", "last"),
    )
