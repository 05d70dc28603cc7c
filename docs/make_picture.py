"""Draws docs/bce.svg: ``python docs/make_picture.py > docs/bce.svg``. A test draws it again.

What two ways to write binary cross entropy in PyTorch return at target 0, loss and gradient, as `losscheck compare` measures them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import losscheck
from losscheck.core.dtypes import FORMATS

GOOD, BAD = "torch-bce-with-logits", "torch-sigmoid-bceloss"
LOW, HIGH = 10.0, 24.0
LOGITS = [LOW + n / 8 for n in range(int(8 * (HIGH - LOW)) + 1)]
WIDTH, HEIGHT = 300, 150  # of a panel; pixels
LEFT, TOP, GAP = 44, 64, 64
STYLE = """\
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 14px }
  .axis { stroke: #8c959f; fill: none }
  .good { stroke: #1a7f37 } .bad { stroke: #cf222e } text.good { fill: #1a7f37; stroke: none } text.bad { fill: #cf222e; stroke: none }
  polyline { fill: none; stroke-width: 2.5 }
  .back { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .back { fill: #0d1117 } .axis { stroke: #6e7681 }
    .good { stroke: #3fb950 } .bad { stroke: #ff7b72 } text.good { fill: #3fb950 } text.bad { fill: #ff7b72 }
  }"""


def main() -> Iterator[str]:
    """The picture, in pieces."""
    rows = losscheck.compare(loss="bce", impl=(GOOD, BAD), backend="torch", logit=LOGITS, target=0.0).rows
    curves = {
        (row.implementation, row.quantity): [float(point.value) for point in rows if same(point, row) and point.value is not None]
        for row in rows
    }
    width, height = 2 * WIDTH + LEFT + GAP + 16, TOP + HEIGHT + 48
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
    yield f"<title>Loss and gradient of {GOOD} and of {BAD} at target 0, logits {LOW:g} to {HIGH:g}, {FORMATS['float32'].name}</title>\n"
    yield f'<style>\n{STYLE}\n</style>\n<rect class="back" width="{width}" height="{height}" rx="6"/>\n'
    yield text(LEFT, 22, "A confidently wrong prediction: target 0, logit 10 to 24, float32", "title")
    yield text(LEFT, 42, "binary_cross_entropy_with_logits", "good") + text(LEFT + WIDTH + GAP, 42, "sigmoid, then BCELoss", "bad")
    yield from panel(LEFT, "loss", {name: curves[name, "loss"] for name in (BAD, GOOD)}, (0, 50, 100))
    yield from panel(LEFT + WIDTH + GAP, "gradient", {name: curves[name, "grad"] for name in (BAD, GOOD)}, (0, 0.5, 1))
    yield "</svg>\n"


def same(a: losscheck.PointRow, b: losscheck.PointRow) -> bool:
    return (a.implementation, a.quantity) == (b.implementation, b.quantity)


def panel(left: float, quantity: str, curves: dict[str, list[float]], ticks: Sequence[float]) -> Iterator[str]:
    """One quantity over the logit; the vertical axis ends a tenth beyond the ticks."""
    top = ticks[-1] * 1.1
    bottom = TOP + HEIGHT

    def across(logit: float) -> float:
        return left + (logit - LOW) / (HIGH - LOW) * WIDTH

    def up(value: float) -> float:
        return bottom - value / top * HEIGHT

    yield f'<path class="axis" d="M{left},{TOP} V{bottom} H{left + WIDTH}"/>\n'
    yield from (text(left - 6, up(tick) + 4, f"{tick:g}", anchor="end") for tick in ticks)
    yield from (text(across(logit), bottom + 18, f"{logit:g}", anchor="middle") for logit in (10, 12, 14, 16, 18, 20, 22, 24))
    yield text(left + WIDTH / 2, bottom + 36, f"{quantity} by logit", anchor="middle")
    for name, values in curves.items():
        points = " ".join(f"{across(logit):.1f},{up(value):.1f}" for logit, value in zip(LOGITS, values, strict=True))
        yield f'<polyline class="{"good" if name == GOOD else "bad"}" points="{points}"/>\n'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:.1f}" text-anchor="{anchor}"{name}>{words}</text>\n'


if __name__ == "__main__":
    sys.stdout.writelines(main())
