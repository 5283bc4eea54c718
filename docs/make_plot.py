"""A plot of runs: `python docs/make_plot.py OUT.svg RUN [RUN ...]`.

Draws training and validation loss in nats per character, from each run's `metrics.jsonl`, by epoch;
by step where a run has evaluations within an epoch. A run is its folder; `LABEL=FOLDER` names it in
the legend. Standard library only.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from svg import GREY, Drawing

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 736, 60, 360
COLOURS = ("#2563eb", "#dc2626", "#16a34a", "#9333ea", "#ea580c")

Curve = list[tuple[float, float]]


def evaluations(run: Path) -> list[dict[str, float]]:
    """A run's evaluations, in order.

    Raises:
        SystemExit: there is none.
    """
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["val_nats"] is not None]
    return records or sys.exit(f"{run} has no evaluation to draw.")


def curves_of(records: list[dict[str, float]], unit: str) -> tuple[Curve, Curve]:
    """Training and validation loss, over `unit`: epoch or step."""
    train = [(r[unit], r["train_nats"]) for r in records if r["train_nats"] is not None]
    return train, [(r[unit], r["val_nats"]) for r in records]


def plot(evaluated: dict[str, list[dict[str, float]]]) -> str:
    """The picture of some runs' evaluations, by their labels."""
    # Evaluations within an epoch can be told apart by their step only.
    whole = all(len({r["epoch"] for r in found}) == len(found) for found in evaluated.values())
    unit = "epoch" if whole else "step"
    runs = {label: curves_of(found, unit) for label, found in evaluated.items()}
    points = [point for curves in runs.values() for curve in curves for point in curve]
    most = max(x for x, _ in points)
    low = math.floor(min(y for _, y in points) * 5) / 5
    high = math.ceil(max(y for _, y in points) * 5) / 5
    high = high if high > low else low + 0.2

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * point[0] / most
        return round(x, 1), round(BOTTOM - (BOTTOM - TOP) * (point[1] - low) / (high - low), 1)

    d = Drawing(WIDTH, HEIGHT, f"Training and validation loss by {unit}: " + ", ".join(runs))
    step = 0.2 * max(1, math.ceil((high - low) / 0.2 / 8))
    for n in range(round((high - low) / step) + 1):
        y = place((0, low + n * step))[1]
        d.line([(LEFT, y), (RIGHT, y)], stroke="#d0d7de", width=1)
        d.text(LEFT - 8, y + 4, f"{low + n * step:.1f}", size=12, fill=GREY, anchor="end")
    every = next(n * 10**k for k in range(12) for n in (1, 2, 5) if n * 10**k >= most / 10)
    for x in range(0, math.floor(most) + 1, every):
        d.text(place((x, low))[0], BOTTOM + 18, f"{x:,}", size=12, fill=GREY)
    d.text((LEFT + RIGHT) / 2, BOTTOM + 40, f"{unit}s", fill=GREY)
    d.text(LEFT - 40, TOP - 36, "nats per character", fill=GREY, anchor="start")
    left: float = LEFT - 40
    for colour, (label, curves) in zip(COLOURS, runs.items(), strict=False):
        for curve, dash, name in zip(curves, ("5 4", ""), ("training", "validation"), strict=True):
            if not curve:
                continue
            d.line([place(point) for point in curve], stroke=colour, width=2, dash=dash)
            d.line([(left, TOP - 20), (left + 26, TOP - 20)], stroke=colour, width=2, dash=dash)
            words = f"{label}, {name}" if label else name
            d.text(left + 32, TOP - 16, words, size=12, anchor="start")
            left += 48 + 6.5 * len(words)
        best = min(curves[1], key=lambda point: point[1])
        d.circle(*place(best), 4, fill=colour, stroke=colour)
    return d.render()


def main(arguments: list[str]) -> None:
    """Write the picture."""
    if len(arguments) < 2 or not arguments[0].endswith(".svg"):
        sys.exit(__doc__)
    runs = {}
    for argument in arguments[1 : len(COLOURS) + 1]:
        label, equals, folder = argument.partition("=")
        runs[label if equals else ""] = evaluations(Path(folder if equals else argument))
    Path(arguments[0]).write_text(plot(runs), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
