"""The diagrams: `python docs/make_diagrams.py` writes them to `docs/images/`.

`lstm-unrolled.svg` shows three time steps of a network, `lstm-cell.svg` the gates of one cell. The
equations are in `explanation/equations.md`. Standard library only.
"""

from __future__ import annotations

from pathlib import Path

from svg import GREY, INK, Drawing

IMAGES = Path(__file__).resolve().parent / "images"
BLUE, ORANGE, GREEN, PURPLE, LIGHT = "#dbeafe", "#ffedd5", "#dcfce7", "#f3e8ff", "#f6f8fa"


def unrolled() -> str:
    """Three steps of a one-layer network that reads `the` and predicts `he `."""
    d = Drawing(760, 400, "An LSTM unrolled over three characters: it reads t, h, e and predicts")
    d.text(24, 34, "One network, three time steps", size=16, anchor="start", weight="bold")
    rows = (
        (300, "one-hot row", LIGHT),
        (225, "LSTM cell", BLUE),
        (150, "softmax", ORANGE),
    )
    for y, name, _ in rows:
        d.text(24, y + 27, name, anchor="start", fill=GREY)
    d.text(24, 372, "character read", anchor="start", fill=GREY)
    d.text(24, 100, "next character", anchor="start", fill=GREY)
    d.text(24, 118, "predicted", anchor="start", fill=GREY)
    for step, (read, predicted) in enumerate(zip("the", "he_", strict=True)):
        x = 190 + 190 * step
        middle = x + 60
        d.text(middle, 374, f"‘{read}’", size=16)
        d.line([(middle, 358), (middle, 346)], arrow=True)
        for (y, _, fill), label in zip(rows, (f"x{step + 1}", "", f"p{step + 1}"), strict=True):
            d.rect(x, y, 120, 44, fill=fill, stroke=INK, rx=6)
            d.text(middle, y + 27, label or f"c{step + 1}, h{step + 1}")
        d.line([(middle, 300), (middle, 271)], arrow=True)
        d.line([(middle, 225), (middle, 196)], arrow=True)
        d.line([(middle, 150), (middle, 126)], arrow=True)
        d.text(middle, 114, f"‘{predicted}’" if predicted != "_" else "‘ ’ (space)", size=16)
        # The state moves from step to step: c along the upper line, h along the lower.
        d.line([(x - 70, 238), (x, 238)], arrow=True)
        d.line([(x - 70, 256), (x, 256)], arrow=True)
        d.text(x - 36, 233, f"c{step}", size=11, fill=GREY)
        d.text(x - 36, 270, f"h{step}", size=11, fill=GREY)
    d.line([(690, 238), (736, 238)], arrow=True)
    d.line([(690, 256), (736, 256)], arrow=True)
    d.text(
        24, 60, "All three columns share the same weights. The state (c, h) carries what was read.",
        anchor="start", fill=GREY,
    )  # fmt: skip
    return d.render()


def cell() -> str:
    """The gates of one LSTM cell."""
    d = Drawing(760, 420, "The gates of an LSTM cell")
    d.text(24, 34, "Inside one LSTM cell", size=16, anchor="start", weight="bold")
    d.rect(110, 60, 560, 280, fill=LIGHT, stroke=GREY, rx=14)
    # The cell state's line.
    top = 110
    d.line([(30, top), (226, top)], arrow=True)
    d.text(64, top - 8, "c", size=15)
    d.line([(254, top), (376, top)], arrow=True)
    d.line([(404, top), (730, top)], arrow=True)
    d.text(700, top - 8, "c′", size=15)
    for x, sign in ((240, "×"), (390, "+")):
        d.circle(x, top, 14, fill="#ffffff")
        d.text(x, top + 6, sign, size=18)
    # What the gates read: x and h, along the bottom.
    bottom = 310
    d.line([(30, bottom), (540, bottom)])
    d.text(64, bottom - 8, "h", size=15)
    d.line([(160, 400), (160, bottom)])
    d.text(176, 395, "x", size=15, anchor="start")
    d.circle(160, bottom, 3, fill=INK)
    gates = (
        (240, "f", "forget gate", "σ", GREEN),
        (340, "i", "input gate", "σ", GREEN),
        (440, "g", "candidate", "tanh", PURPLE),
        (540, "o", "output gate", "σ", GREEN),
    )
    for x, name, meaning, function, fill in gates:
        d.line([(x, bottom), (x, 274)], arrow=True)
        d.rect(x - 34, 234, 68, 38, fill=fill, stroke=INK, rx=6)
        d.text(x, 258, f"{name} = {function}", size=13)
        d.text(x, 330, meaning, size=11, fill=GREY)
    d.line([(240, 234), (240, 125)], arrow=True)
    # i times g, added to the state.
    d.circle(390, 180, 14, fill="#ffffff")
    d.text(390, 186, "×", size=18)
    d.line([(340, 234), (340, 180), (375, 180)], arrow=True)
    d.line([(440, 234), (440, 180), (405, 180)], arrow=True)
    d.line([(390, 166), (390, 125)], arrow=True)
    # The output: o times tanh of the new state.
    d.circle(600, top, 3, fill=INK)
    d.line([(600, top), (600, 134)], arrow=True)
    d.rect(570, 134, 60, 30, fill=PURPLE, stroke=INK, rx=15)
    d.text(600, 154, "tanh")
    d.line([(600, 164), (600, 196)], arrow=True)
    d.circle(600, 210, 14, fill="#ffffff")
    d.text(600, 216, "×", size=18)
    d.line([(540, 234), (540, 210), (585, 210)], arrow=True)
    d.line([(614, 210), (730, 210)], arrow=True)
    d.text(700, 202, "h′", size=15)
    d.text(230, 376, "c′ = f·c + i·g      h′ = o·tanh(c′)      σ: from 0 (closed) to 1 (open)",
           anchor="start", size=13)  # fmt: skip
    return d.render()


DIAGRAMS = {"lstm-unrolled.svg": unrolled, "lstm-cell.svg": cell}

if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (IMAGES / name).write_text(draw(), "utf-8")
