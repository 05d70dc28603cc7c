"""What to write instead along the rows of a tensor: the rewrites of rules/rows.py, tried on the user's own source.

No term of one logit is there to be measured. The patched callable itself is: recorded, run exactly, and compared with the exact run of
the original, loss and gradient, at logits of the shape that it was called with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.core.errors import UserError
from losscheck.core.exact import Kind
from losscheck.tracing.cures.measured import FREE, overlap
from losscheck.tracing.cures.patch import Patch, patches
from losscheck.tracing.cures.rows import row_terms
from losscheck.tracing.cures.rules.rows import ROWS
from losscheck.tracing.cures.search import GOOD, WORTHWHILE, Step
from losscheck.tracing.cures.trial import CannotTryError, patched
from losscheck.tracing.judging import outcomes_of
from losscheck.tracing.places import Place
from losscheck.tracing.recording import record
from losscheck.tracing.report import Quantity

__all__ = ["RowCure", "find_row_cure"]

STEPS: tuple[Step, ...] = (ROWS,)
# How far the logits of a row are apart, and what is added to all of them, of the size at which an exponential underflows to 0.
SPREADS = ((1e-4, 0.0), (0.01, 0.0), (0.05, 0.4), (0.15, 0.0), (0.4, -0.3), (0.7, 0.0), (1.5, 0.0))
MOST_ELEMENTS = 64  # of one exact call; of more rows the first are taken
MOST_OPS = 300


@dataclass(frozen=True)
class RowCure:
    """A patch that measures better, and is proved equal wherever the original is defined.

    Attributes:
        places: the expressions that change.
        before, after: the worst |ulp| of losses and of gradients; infinite where a number came out as none.
        points: how many losses and gradients were compared.
    """

    places: tuple[Place, ...]
    patches: tuple[Patch, ...]
    before: tuple[float, float]
    after: tuple[float, float]
    points: int


def find_row_cure(function: Callable[[Any, Any], Any], logits: Any, targets: Any) -> RowCure | None:
    """The cure of a callable on tensors of this shape; None where no rule matches, or the patch is not better at every turn."""
    logits, targets = _few(logits, targets)
    try:
        recording = record(function, logits.clone(), targets.clone(), backward=False)
    except UserError:
        return None
    if recording.error is not None or recording.forward > MOST_OPS:
        return None
    made = tuple(patches(terms := row_terms(recording), STEPS))
    if not made:
        return None
    calls = list(_calls(logits))
    before = [_outcomes(function, call, targets) for call in calls]
    try:
        with patched(made):
            after = [_outcomes(function, call, targets) for call in calls]
    except CannotTryError:
        return None
    pairs = [pair for old, new in zip(before, after, strict=True) for pair in zip(old, new, strict=False)]
    if any(len(old) != len(new) for old, new in zip(before, after, strict=True)) or not all(_equal(*pair) for pair in pairs):
        return None
    changed = tuple(place for place in terms.places if any(place.file == patch.file for patch in made))
    cure = RowCure(changed, made, _worst(old for old, _ in pairs), _worst(new for _, new in pairs), len(pairs))
    return cure if _worthwhile(pairs) else None


def _worthwhile(pairs: Sequence[tuple[Quantity, Quantity]]) -> bool:
    """Is no loss worse by more than a few digits, and are infinities settled for good or most of the lost bits won back?

    A gradient may lose what that of PyTorch's own cross entropy loses: e^(y - logsumexp(y)) - 1 of a saturated row.
    """
    errors = [(old.name, _error(old), _error(new)) for old, new in pairs]
    if any(new > max(old, GOOD) for name, old, new in errors if name == "loss"):
        return False
    settled = any(math.isinf(old) for _, old, _ in errors) and not any(math.isinf(new) for _, _, new in errors)
    lost, left = (sum(map(_bits, quantities)) for quantities in zip(*pairs, strict=True))
    return left < lost if settled else left <= WORTHWHILE * lost and lost > 0


def _few(logits: Any, targets: Any) -> tuple[Any, Any]:
    """As many rows as are run exactly in a moment."""
    row = max(logits.numel() // max(len(logits), 1), 1)
    rows = max(MOST_ELEMENTS // row, 1)
    return (logits[:rows], targets[:rows]) if len(targets) == len(logits) else (logits, targets)


def _calls(logits: Any) -> Iterator[Any]:
    """The logits themselves, and others in their place: no two of a row alike."""
    import torch

    yield logits
    info, places = torch.finfo(logits.dtype), torch.arange(logits.numel(), dtype=torch.float64)
    most = -math.log(info.smallest_normal) - math.log(info.eps)
    for spread, shift in SPREADS:
        yield (most * (spread * torch.sin(1.7 * places**2 + places) + shift)).reshape(logits.shape).to(logits.dtype)


def _outcomes(function: Callable[[Any, Any], Any], logits: Any, targets: Any) -> list[Quantity]:
    try:
        return outcomes_of(function, logits.clone(), targets.clone(), raising=False)
    except UserError:
        return []


def _equal(old: Quantity, new: Quantity) -> bool:
    """Are they one number in balls? Where the original is undefined or undecided there is nothing to be equal to."""
    if old.exact.kind is Kind.UNDECIDED:
        return True
    if old.exact.kind is not new.exact.kind:
        return False
    return overlap(old.exact, new.exact) if old.exact.kind is Kind.FINITE else old.exact.rounded == new.exact.rounded


def _error(quantity: Quantity) -> float:
    return math.inf if quantity.outcome.failed and not math.isfinite(quantity.ulp) else abs(quantity.ulp)


def _worst(quantities: Iterator[Quantity] | Sequence[Quantity]) -> tuple[float, float]:
    errors: dict[str, float] = {"loss": 0.0, "grad": 0.0}
    for quantity in quantities:
        error = _error(quantity)
        errors[quantity.name] = max(errors[quantity.name], 0.0 if math.isnan(error) else error)
    return errors["loss"], errors["grad"]


def _bits(quantity: Quantity) -> float:
    """That are lost; an infinity in place of a number is twice a float32."""
    error = _error(quantity)
    return 48.0 if math.isinf(error) else math.log2(1 + max(error - FREE, 0.0)) if error == error else 0.0
