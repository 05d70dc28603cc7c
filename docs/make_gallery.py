"""Measures docs/gallery/README.md: ``python docs/make_gallery.py > docs/gallery/README.md``. A test holds the page to what is measured.

Each file of the gallery is one loss as people write it; what `losscheck check` finds of it is its answer.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import losscheck
from losscheck.core.effect import EFFECTS
from losscheck.core.ranking import Advice, RankedRow
from losscheck.renderers.effects import effect_sentence, rough

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
DTYPE = "float32"
INTRODUCTION = """\
# Ten losses as people write them

Each is right as algebra, and each breaks training in {dtype} on logits from -100 to 100. What is below the code is what
`losscheck check` answers, without being told which loss it is: what it does, why, and what to write. The words are explained in the
[glossary](../glossary.md).

| the loss | {dtype} | from |
|---|---|---|
"""
END = """
Measured, not written: `python docs/make_gallery.py > docs/gallery/README.md`. A test measures it again: words, names, places and code must
be the same, figures may differ as far as another processor's last bits go.
"""


def main(check: Callable[..., losscheck.Report] = losscheck.check) -> Iterator[str]:
    """The page, in pieces: the worst first."""
    os.chdir(ROOT)
    answers = sorted((answer(path, check) for path in GALLERY.glob("*.py")), key=badness)
    yield INTRODUCTION.format(dtype=DTYPE)
    for path, row in answers:
        yield f"| [{title(path)}](#{path.stem.replace('_', '-')}) | **{word(row)}** | {where(row)} |\n"
    for path, row in answers:
        yield from section(path, row)
    yield END


def answer(path: Path, check: Callable[..., losscheck.Report]) -> tuple[Path, RankedRow]:
    """What is found of the last function or class of a file."""
    relative = path.relative_to(ROOT)
    (row,) = check(f"{relative}:{name(path)}", dtype=DTYPE).ranking
    return relative, row


def name(path: Path) -> str:
    """The last function or class: what the file is about."""
    definitions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return definitions[-1].name


def title(path: Path) -> str:
    """The first line of the docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0].rstrip(".")


def section(path: Path, row: RankedRow) -> Iterator[str]:
    """The code, the command, and the answer."""
    code = path.read_text().partition('"""\n\n')[2].strip()
    yield f"\n## {path.stem.replace('_', '-')}\n\n{title(path)}.\n\n```python\n{code}\n```\n\n"
    yield f"`losscheck check {row.implementation}`: {row.recognised}\n\n- **{word(row)}**: {where(row)}\n"
    advice = row.advice or Advice()
    if row.note:
        yield f"- **{'note' if advice.why else 'why'}**: {row.note}\n"
    if advice.why:
        yield f"- **why**: {advice.why} ({Path(advice.place).name})\n"
    if advice.diff and advice.before and advice.after:
        yield f"- **write**, judged {ulp(advice.after)}, instead of {ulp(advice.before)}{meaning(row, advice)}:\n\n```diff\n"
        yield from (f"{line}\n" for line in advice.diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))
        yield "```\n"


def meaning(row: RankedRow, advice: Advice) -> str:
    """Does what to write compute something else, or still something else than the definition?"""
    if advice.changes_meaning:
        return "; the guard is left out"
    if advice.hard_targets_only:
        return "; for targets 0 and 1: at soft ones it is something else"
    left = advice.after_effect
    return f"; it mends the rounding alone, and still {left.effect.value} by its own formula" if left and left.effect.harmful else ""


def ulp(errors: tuple[float, float]) -> str:
    """'1.45 ulp in the loss and 1.3 in the gradient'."""
    loss, gradient = (rough(error) for error in errors)
    return f"{loss} and {gradient}" if loss == "inf" else f"{loss} ulp in the loss and {gradient} in the gradient"


def word(row: RankedRow) -> str:
    assert row.effect is not None
    return row.effect.effect.value


def where(row: RankedRow) -> str:
    """What comes out where what is right, at the worst target."""
    assert row.effect is not None
    return effect_sentence(row.effect, row.low, row.high, DTYPE, row.max_ulp, row.spans)


def badness(answer: tuple[Path, RankedRow]) -> tuple[int, str, str]:
    """The worst effect first, then by loss and name: an order that no last bit changes."""
    path, row = answer
    assert row.effect is not None
    return EFFECTS.index(row.effect.effect), row.loss, path.stem


if __name__ == "__main__":
    sys.stdout.writelines(main())
