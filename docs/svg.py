"""A drawing as SVG text: what the scripts that make this folder's pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, GREY, PAPER = "#1f2328", "#6e7781", "#ffffff"
SANS = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Drawing:
    """Shapes in the order in which they are drawn, on white paper.

    Args:
        width, height: in pixels.
        title: what the picture shows, for those who cannot see it.
        paper: the background's colour.
    """

    def __init__(self, width: int, height: int, title: str, paper: str = PAPER) -> None:
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="6" fill="{paper}"/>',
        ]

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        *,
        fill: str,
        stroke: str = "none",
        rx: int = 0,
    ) -> None:
        """A rectangle, from its upper left corner."""
        self._lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{rx}" fill="{fill}" '
            f'stroke="{stroke}"/>'
        )

    def circle(self, x: float, y: float, r: float, *, fill: str, stroke: str = INK) -> None:
        """A circle around a centre."""
        self._lines.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="{fill}" stroke="{stroke}"/>'
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        *,
        stroke: str = INK,
        width: float = 1.5,
        arrow: bool = False,
        dash: str = "",
    ) -> None:
        """Straight lines through points; an arrow's head is at the last."""
        joined = " ".join(f"{x:g},{y:g}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._lines.append(
            f'<polyline points="{joined}" fill="none" stroke="{stroke}" '
            f'stroke-width="{width:g}" stroke-linejoin="round"{dashes}/>'
        )
        if arrow:
            self._head(points[-2], points[-1], stroke)

    def _head(self, start: tuple[float, float], end: tuple[float, float], fill: str) -> None:
        (x0, y0), (x, y) = start, end
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        dx, dy = (x - x0) / length, (y - y0) / length
        corners = [(x, y)]
        corners += [(x - 8 * dx + 4 * s * dy, y - 8 * dy - 4 * s * dx) for s in (1, -1)]
        joined = " ".join(f"{a:g},{b:g}" for a, b in corners)
        self._lines.append(f'<polygon points="{joined}" fill="{fill}"/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 13,
        fill: str = INK,
        anchor: str = "middle",
        font: str = SANS,
        weight: str = "normal",
        style: str = "",
    ) -> None:
        """Text whose baseline is at y."""
        more = f' style="{style}"' if style else ""
        bold = f' font-weight="{weight}"' if weight != "normal" else ""
        self._lines.append(
            f'<text x="{x:g}" y="{y:g}" font-family="{font}" font-size="{size:g}" '
            f'text-anchor="{anchor}" fill="{fill}"{bold}{more} xml:space="preserve">'
            f"{escape(words)}</text>"
        )

    def render(self) -> str:
        """The file's text."""
        return "\n".join([*self._lines, "</svg>", ""])
