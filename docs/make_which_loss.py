"""Measures docs/which-loss.md: ``python docs/make_which_loss.py > docs/which-loss.md``. A test holds the page to what is measured.

Every implementation that ships and runs on PyTorch or numpy, judged and ranked as by `losscheck check --loss NAME --dtype ...`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import losscheck
from losscheck.core import registry
from losscheck.core.effect import Effect
from losscheck.core.explanations import CODE
from losscheck.core.loss import Loss
from losscheck.core.ranking import RankedRow
from losscheck.renderers.effects import effect_sentence

DTYPES = ("float32", "float16", "bfloat16")
QUESTIONS = {
    "bce": "Which BCE?",
    "weighted-focal": "Which focal loss?",
    "soft-focal": "Which focal loss for soft targets?",
    "centernet-heatmap": "Which heatmap loss?",
    "poly1-bce": "Which poly-1 loss?",
    "quality-focal": "Which quality focal loss?",
    "varifocal": "Which varifocal loss?",
    "asymmetric": "Which asymmetric loss?",
}
OURS = ("stable", "naive", "mpmath")  # the model answer and the controls: nobody has them in a library

INTRODUCTION = """\
# Which BCE, which focal loss, which heatmap loss should I use?

**Use the code below its question.** It takes logits, has one term of one sign for each class and no probability in between, and harms
nothing in {dtypes}, at any logit from -100 to 100. What others publish, beside it:

"""
HOW = """
The words are those of `losscheck check`, worst last, explained in the [glossary](glossary.md): `sound` and `tails` are harmless, from
`misstates` on training is touched. "By its own formula" means that the formula itself is at fault and its floats are right. In the
tables, each cell is the worst of loss and gradient over the loss's own targets; the 16-bit dtypes at every float that they have.

Measured, not written: `python docs/make_which_loss.py > docs/which-loss.md`. A test measures it again: words and names must be the same,
figures may differ as far as another processor's last bits go.
"""

Standing = dict[str, dict[str, RankedRow]]  # implementation -> dtype -> row


def main(check: Callable[..., losscheck.Report] = losscheck.check) -> Iterator[str]:
    """The page, in pieces."""
    losses = registry.losses()
    order = [name for name in QUESTIONS if name in losses] + [name for name in losses if name not in QUESTIONS]
    measured = {name: standing_of(losses[name], check) for name in order}
    yield INTRODUCTION.format(dtypes=", ".join(DTYPES))
    yield "| the code to use | published, harmless in float32 | of these also in 16 bits | published, harmful in float32 |\n"
    yield "|---|---|---|---|\n"
    yield from (answer(losses[name], measured[name]) for name in order)
    yield HOW
    for name in order:
        yield from section(losses[name], measured[name])


def standing_of(loss: Loss, check: Callable[..., losscheck.Report]) -> Standing:
    """Each implementation in each dtype, the best in float32 first; of a backend, PyTorch's row where there is one."""
    rows = check(loss=loss.name, dtype=DTYPES).ranking
    standing: Standing = {}
    for row in sorted(rows, key=by_effect):
        of_dtype = standing.setdefault(row.implementation, {})
        if row.given_dtype not in of_dtype or "torch" in row.backends:
            of_dtype[row.given_dtype] = row
    return dict(sorted(standing.items(), key=lambda pair: by_effect(pair[1][DTYPES[0]])))


def by_effect(row: RankedRow) -> tuple[int, str]:
    """An order that no last bit changes: by effect, then by name."""
    assert row.effect is not None, row.reason
    return -row.effect.effect.severity, row.implementation


def answer(loss: Loss, standing: Standing) -> str:
    """One line: what is harmless where, of what people have."""
    published = [name for name in standing if name not in OURS]
    harmless = [name for name in published if not standing[name][DTYPES[0]].harmful]
    everywhere = [name for name in harmless if not any(row.harmful for row in standing[name].values())]
    harmful = [name for name in published if name not in harmless]
    return f"| [{question(loss)}](#{anchor(loss)}) | {named(harmless)} | {named(everywhere)} | {named(harmful)} |\n"


def named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def question(loss: Loss) -> str:
    return QUESTIONS.get(loss.name, f"Which {loss.name}?")


def anchor(loss: Loss) -> str:
    return question(loss).lower().rstrip("?").replace(" ", "-")


def section(loss: Loss, standing: Standing) -> Iterator[str]:
    """One loss: what to write, and a table of all there is."""
    yield f"\n## {question(loss)}\n\n{loss.title[0].upper()}{loss.title[1:]}: `{loss.definition}`.\n\n"
    if loss.name in CODE:
        yield f"Use, in PyTorch:\n\n```python\n{CODE[loss.name]}```\n\n"
    harmless = [name for name, rows in standing.items() if not any(row.harmful for row in rows.values())]
    yield f"Harmless in {', '.join(DTYPES)}: {named(harmless)}.\n\n"
    yield f"| implementation | {' | '.join(DTYPES)} |\n|---|{'---|' * len(DTYPES)}\n"
    for name, rows in standing.items():
        yield f"| `{name}` | {' | '.join(words(rows[dtype]) if dtype in rows else '-' for dtype in DTYPES)} |\n"


def words(row: RankedRow) -> str:
    """'**dead**: gradient 0 where 1 is right, logits above 16.64, target 0'."""
    assert row.effect is not None
    effect = row.effect.effect
    if effect is Effect.SOUND:
        return effect.value
    name = f"**{effect.value}**" if effect.harmful else effect.value
    return f"{name}: {effect_sentence(row.effect, row.low, row.high, row.given_dtype, row.max_ulp, row.spans)}"


if __name__ == "__main__":
    sys.stdout.writelines(main())
