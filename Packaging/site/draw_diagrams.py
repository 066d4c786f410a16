"""Draw the diagrams of the documentation: python Packaging/site/draw_diagrams.py

They are SVG files in docs/images, so that no page needs a script to draw them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_LINE = 17


@dataclass(frozen=True)
class Box:
    """A box with centred lines of text; x, y and sizes in pixels."""

    x: int
    y: int
    width: int
    lines: tuple[str, ...]

    @property
    def height(self) -> int:
        return _LINE * len(self.lines) + 18

    def svg(self) -> str:
        top = self.y - self.height / 2
        parts = [
            f'<rect x="{self.x - self.width / 2}" y="{top}" width="{self.width}" '
            f'height="{self.height}" rx="7"/>'
        ]
        for number, line in enumerate(self.lines):
            at = top + 9 + _LINE * (number + 0.75)
            parts.append(f'<text x="{self.x}" y="{at:g}">{escape(line)}</text>')
        return "".join(parts)


@dataclass(frozen=True)
class Arrow:
    """A line through points, with an arrowhead at its end and a text beside its middle."""

    points: tuple[tuple[int, int], ...]
    text: str = ""
    text_at: tuple[int, int] = (0, 0)

    def svg(self) -> str:
        path = " ".join(f"{x},{y}" for x, y in self.points)
        words = "".join(
            f'<text class="small" x="{self.text_at[0]}" y="{self.text_at[1] + 14 * number}">'
            f"{escape(line)}</text>"
            for number, line in enumerate(self.text.split("\n"))
            if line
        )
        return f'<polyline points="{path}" marker-end="url(#head)"/>{words}'


def drawn(title: str, width: int, height: int, parts: list[Box | Arrow]) -> str:
    """An SVG picture on a light card, which is readable on light and dark pages."""
    content = "\n".join(part.svg() for part in parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}" role="img" aria-label="{escape(title)}">
<title>{escape(title)}</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" \
orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#16425b"/></marker></defs>
<style>
rect {{ fill: #e8f1f5; stroke: #16425b; stroke-width: 1.3 }}
.card {{ fill: #fbfdfe; stroke: none }}
polyline {{ fill: none; stroke: #16425b; stroke-width: 1.3 }}
text {{ font: 14px "DejaVu Sans", Verdana, sans-serif; fill: #10212b; text-anchor: middle }}
.small {{ font-size: 12px; fill: #3c5a6b }}
</style>
<rect class="card" width="{width}" height="{height}" rx="8"/>
{content}
</svg>
"""


def a_run() -> str:
    """One run, the same for every user interface."""
    return drawn(
        "A run, the same for every user interface",
        900,
        330,
        [
            Box(110, 60, 190, ("command, page, module,", "script, batch")),
            Box(340, 60, 120, ("RunOptions",)),
            Box(110, 140, 120, ("Volume",)),
            Box(580, 100, 160, ("SegmentOperation",)),
            Box(790, 100, 140, ("judge_input",)),
            Box(790, 190, 170, ("ModelStore,", "Segmenter")),
            Box(560, 190, 190, ("Family: condition,", "reverse step, decode")),
            Box(370, 190, 120, ("label map",)),
            Box(150, 260, 180, ("judge_result,", "Segmentation")),
            Box(400, 285, 120, ("export/",)),
            Box(560, 285, 120, ("mrml/",)),
            Arrow(((205, 60), (278, 60))),
            Arrow(((400, 60), (580, 60), (580, 80))),
            Arrow(((170, 140), (460, 140), (460, 100), (498, 100))),
            Arrow(((660, 100), (718, 100)), "run_here,\nor the worker", (690, 66)),
            Arrow(((790, 118), (790, 162))),
            Arrow(((705, 190), (657, 190))),
            Arrow(((465, 190), (432, 190))),
            Arrow(((310, 190), (150, 190), (150, 232))),
            Arrow(((240, 260), (300, 260), (300, 285), (338, 285)), "files", (316, 304)),
            Arrow(((240, 250), (560, 250), (560, 266)), "scene", (520, 243)),
        ],
    )


def states() -> str:
    """The states of the worker's client."""
    return drawn(
        "States of the worker's client",
        820,
        300,
        [
            Box(80, 150, 100, ("IDLE",)),
            Box(290, 150, 130, ("STARTING",)),
            Box(540, 150, 120, ("RUNNING",)),
            Box(730, 150, 100, ("DONE",)),
            Box(415, 50, 140, ("CANCELLED",)),
            Box(415, 250, 120, ("FAILED",)),
            Arrow(((130, 150), (223, 150)), "start", (176, 143)),
            Arrow(((355, 150), (478, 150)), "volume copied,\nmodel loaded", (417, 128)),
            Arrow(((600, 150), (678, 150))),
            Arrow(((300, 132), (300, 58), (343, 58)), "cancel, close", (349, 95)),
            Arrow(((540, 132), (540, 58), (487, 58)), "cancel, close", (590, 85)),
            Arrow(((300, 168), (300, 242), (353, 242))),
            Arrow(((540, 168), (540, 242), (477, 242))),
            Arrow(((415, 32), (415, 16), (270, 16), (270, 130)), "start", (235, 40)),
            Arrow(((415, 268), (415, 286), (270, 286), (270, 170)), "start", (233, 262)),
            Arrow(((730, 168), (730, 292), (255, 292), (255, 170)), "start", (700, 262)),
        ],
    )


def main() -> None:
    """Write both pictures."""
    for name, picture in (("a-run", a_run()), ("worker-states", states())):
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
