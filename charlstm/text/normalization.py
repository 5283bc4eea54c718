"""Line endings and case of a text, as in training."""

from __future__ import annotations

from charlstm.config import TextConfig


def normalize(text: str, config: TextConfig) -> str:
    """A text with line endings and case converted as for training with this configuration.

    Case is folded as by `charlstm.text.code_points.fold_case`: the length does not change.
    """
    if not config.keep_newlines and "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if config.lowercase:
        lowered = {ord(c): c.lower() for c in set(text)}
        text = text.translate({point: low for point, low in lowered.items() if len(low) == 1})
    return text
