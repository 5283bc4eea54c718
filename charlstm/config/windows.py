"""How the training text is cut into windows."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import COUNT, FRACTION, Range, Section, option


@dataclass(frozen=True)
class WindowConfig(Section):
    """How the training text is cut into windows."""

    maxlen: int = option(
        32,
        "Characters in a window: how far gradients flow back.",
        group="Windows",
        within=COUNT,
        chosen=True,
    )
    batch_size: int = option(32, "Windows in a batch.", group="Windows", within=COUNT, chosen=True)
    stateless: bool = option(
        False,
        "Start each window from a zero state, windows shuffled. Otherwise the batch is "
        "parallel streams whose state is carried from window to window.",
        group="Windows",
    )
    grow: float = option(
        0.0,
        "Fraction of the run with shorter windows: quarters of a window at first, then halves, "
        "then whole ones (a window-length curriculum).",
        group="Windows",
        within=Range(0, 1),
        chosen=True,
    )
    reset: float = option(
        0.0,
        "Fraction of windows that a stream begins from a zero state: trains predictions from "
        "short contexts (streams only).",
        group="Windows",
        within=FRACTION,
        chosen=True,
    )
    step: int = option(
        3,
        "Characters from one window's start to the next (--stateless only).",
        group="Windows",
        within=COUNT,
    )
    targets: str = option(
        "all",
        "Learn to predict at every position of a window, or after its last only.",
        group="Windows",
        choices=("all", "last"),
    )
