"""Measures docs/which-loss.md: ``python docs/make_which_loss.py > docs/which-loss.md``. A test holds the page to what is measured.

Every implementation of a loss that runs on PyTorch or numpy, at LOGITS and the loss's own targets, ranked by its worst effect.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import losscheck
from losscheck.core import registry
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.explanations import CODE
from losscheck.core.loss import Loss
from losscheck.core.results import PointRow

# Quarters up to 20, where sigmoids saturate in three of the four dtypes, then whole numbers; 0 and what is beside it.
LOGITS = sorted({0.0, 1e-7, -1e-7, *(n / 4 for n in range(-80, 81)), *range(-100, 101)})
DTYPES = ("float32", "float16", "bfloat16")
QUESTIONS = {"bce": "Which BCE?", "weighted-focal": "Which focal loss?", "centernet-heatmap": "Which heatmap loss?"}

INTRODUCTION = f"""\
# Which BCE, which focal loss, which heatmap loss should I use?

Logits in, one term of one sign for each class; no probability in between. The tables say what each way of writing a loss does to
training at {len(LOGITS)} logits from -100 to 100 and the loss's own targets: its worst effect, and where it is first met on the way
from logit 0. The words are explained in the [glossary](glossary.md): from `misstates` on, training is touched. "By deviation" means
that the formula itself is at fault and its floats are right.

This page is measured, not written: `python docs/make_which_loss.py > docs/which-loss.md`, and a test measures it again.
"""


def main() -> Iterator[str]:
    """The page, in pieces."""
    yield INTRODUCTION
    for name, loss in registry.losses().items():
        yield from section(loss, QUESTIONS.get(name, f"Which {name}?"))


def section(loss: Loss, question: str) -> Iterator[str]:
    """One loss: what to use, and a table of all there is."""
    worst = {dtype: worst_of(loss, dtype) for dtype in DTYPES}
    names = sorted(worst[DTYPES[0]], key=lambda name: (-worst[DTYPES[0]][name].effect.severity, name))
    harmless = [name for name in names if not any(worst[dtype][name].effect.harmful for dtype in DTYPES)]
    yield f"\n## {question}\n\n`{loss.definition}`\n\n"
    yield f"Harmless in {', '.join(DTYPES)}: {', '.join(f'`{name}`' for name in harmless) or 'none of them'}.\n\n"
    if loss.name in CODE:
        yield f"In PyTorch, judged in the same dtypes:\n\n```python\n{CODE[loss.name]}```\n\n"
    yield f"| implementation | {' | '.join(DTYPES)} |\n|---|{'---|' * len(DTYPES)}\n"
    for name in names:
        yield f"| `{name}` | {' | '.join(words(worst[dtype][name]) for dtype in DTYPES)} |\n"


def worst_of(loss: Loss, dtype: str) -> dict[str, EffectFinding]:
    """The worst effect of each implementation, where it is met first on the way from 0."""
    found: dict[str, EffectFinding] = {}
    for target in loss.targets:
        report = losscheck.compare(loss=loss.name, logit=LOGITS, target=target, dtype=dtype, backend=("torch", "numpy"))
        for row in one_backend(report.rows):
            effect, before = row.effect, found.get(row.implementation)
            if effect and (before is None or place(effect) < place(before)):
                found[row.implementation] = effect
    return found


def one_backend(rows: Sequence[PointRow]) -> Iterator[PointRow]:
    """PyTorch's rows of what runs there: they come from automatic differentiation, as in training."""
    on_torch = {row.implementation for row in rows if row.backend == "torch"}
    yield from (row for row in rows if row.backend == "torch" or row.implementation not in on_torch)


def place(effect: EffectFinding) -> tuple[int, float]:
    assert effect.logit is not None
    return effect.effect.severity, abs(effect.logit)


def words(effect: EffectFinding) -> str:
    """'**dead** from 16.75, target 0: gradient 0, right is 1'."""
    if effect.effect is Effect.SOUND:
        return "sound"
    word = f"**{effect.effect.value}**" if effect.effect.harmful else effect.effect.value
    if effect.effect is Effect.TAILS:
        return word
    by = " by deviation" if effect.truth is Truth.DEVIATION else ""
    what = "loss" if effect.quantity == "loss" else "gradient"
    return f"{word}{by} at {effect.logit:g}, target {effect.target:g}: {what} {effect.value:.2g}, right is {effect.exact:.3g}"


if __name__ == "__main__":
    sys.stdout.writelines(main())
