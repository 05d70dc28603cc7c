"""Which elements of a batch a callable fails on: each decided by the filter on its cured terms, or run exactly.

The terms are those over the logit and the target that the callable sums up. What they compute is compared with the float64 run, with
proved bounds, of the terms that cure them: where the original would lose in float64 too, the cured one does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.filter.classify import CODE, CODES, UNDECIDED, Limits, decide_arrays
from losscheck.filter.pairs import filter_pairs, part
from losscheck.tracing.cures.evaluate import UnknownTermError, evaluated, formula_of, supported
from losscheck.tracing.cures.patterns import negated
from losscheck.tracing.cures.remedy import CLASSES, terms_of
from losscheck.tracing.cures.rewriting import rewritten
from losscheck.tracing.cures.search import find_cure
from losscheck.tracing.cures.terms import Term, subterms, term
from losscheck.tracing.errors import LIMIT
from losscheck.tracing.judging import outcomes_of

__all__ = ["Verdicts", "verdicts_on"]

# Different (logit, target) pairs that are run exactly where the filter does not decide: some seconds of work.
MOST_EXACT = 4096
TOGETHER = 512  # pairs of one exact run
QUANTITIES = ("loss", "grad")
# Twice, because a number that Python took out of the call (`x.max().item()`) is seen by its being another one. No two are alike.
SAMPLES = ((2.0, -3.0, 0.5, 1.0), (0.75, 1.5, -1.25, -2.5))
FLAT = (4,)
# Their kernels floor a logarithm and divide by a constant: their own exact definitions say so, the formulas of the filter do not.
KERNELS = frozenset({"binary_cross_entropy"})


@dataclass(frozen=True)
class Verdicts:
    """By element, as arrays; ``loss`` of one number where the elements depend on each other and have one loss together.

    Attributes:
        loss, grad: codes of outcomes (``losscheck.filter.classify.CODES``).
        error: how far loss and gradient together are from exact, absolutely; infinite where they are no numbers.
        asked: how many pairs were run exactly.
    """

    loss: Any
    grad: Any
    error: Any
    asked: int

    @property
    def failing(self) -> Any:
        """The flat positions of the failing elements, severest first, then the largest error, then in their order."""
        import numpy as np

        # One loss of all of them says nothing of an element.
        code = np.minimum(self.loss, self.grad) if len(self.loss) == len(self.grad) else self.grad
        places = np.flatnonzero(code < UNDECIDED)
        return places[np.lexsort((places, -self.error[places], code[places]))]

    def counts(self) -> dict[str, dict[Outcome, int]]:
        """By quantity, how many elements have which outcome."""
        import numpy as np

        return {
            name: {CODES[code]: int(count) for code, count in zip(*np.unique(getattr(self, name), return_counts=True), strict=True)}
            for name in QUANTITIES
        }


def verdicts_on(
    function: Callable[[Any, Any], Any], logits: Any, targets: Any, dtype: Format, shape: Sequence[int] = ()
) -> Verdicts | None:
    """Judge every element.

    Args:
        function: f(logits, targets) on torch tensors of the shape, or of one axis where it takes none of that many.
        logits, targets: float arrays of one axis, of numbers of the dtype.
        shape: of the batch, where it is not of one axis.

    Returns:
        None where the callable is no sum of terms that are known, each of one element: its elements may depend on each other.
    """
    import numpy as np

    roots = _separate_terms(function, dtype, shape)
    if not roots or not all(map(supported, roots)):
        return None
    pairs, where = np.unique(np.stack([logits, targets], axis=1).astype(np.float64), axis=0, return_inverse=True)
    where = where.reshape(-1)
    soft = bool(((targets > 0) & (targets < 1)).any())
    try:
        judged = [_judged(root, pairs[:, 0], pairs[:, 1], dtype, soft) for root in roots]
    except (UnknownTermError, RuntimeError, TypeError, ValueError, UserError):
        return None
    loss, grad = (np.minimum.reduce([verdict[0][name] for verdict in judged]) for name in QUANTITIES)
    return Verdicts(loss[where], grad[where], sum(verdict[1] for verdict in judged)[where], sum(verdict[2] for verdict in judged))


def _separate_terms(function: Callable[[Any, Any], Any], dtype: Format, shape: Sequence[int]) -> list[Term]:
    """The terms that a callable sums up; none where they are not of one element each, or other ones at other logits."""
    for sample in dict.fromkeys((_small(shape), FLAT)):
        calls = [terms_of(function, dtype.name, sample, logits) for logits in SAMPLES]
        if calls[0] is not None:
            terms = [[root.term for root in extracted.roots] if extracted and extracted.separate else [] for extracted in calls]
            return terms[0] if all(several == terms[0] for several in terms) else []
    return []


def _small(shape: Sequence[int]) -> tuple[int, ...]:
    """As many axes, of two elements each: axes that were of one size still are."""
    if sum(size > 1 for size in shape) < 2:
        return tuple(FLAT[0] if size > 1 else 1 for size in shape) or FLAT
    return tuple(min(size, 2) for size in shape)


def _judged(root: Term, logits: Any, targets: Any, dtype: Format, soft: bool) -> tuple[dict[str, Any], Any, int]:
    """Codes by quantity, absolute errors, and how many pairs were run exactly, of one term."""
    import numpy as np

    values = dict(zip(QUANTITIES, _computed(root, logits, targets, dtype), strict=True))
    cure = None if _kernels(root) else find_cure(root, "float64", CLASSES, soft=soft)
    formula = formula_of(rewritten(cure.after if cure else root, _of_one_sign))
    limits = Limits.of(dtype, LIMIT)
    codes, error = {}, np.zeros(len(logits))
    for name in QUANTITIES:
        exact, bound = np.full(len(logits), np.nan), np.full(len(logits), np.inf)
        if not _kernels(root):
            exact, bound = _filtered(formula, logits, targets, dtype, name == "grad")
        with np.errstate(all="ignore"):
            code, _ = decide_arrays(np, values[name], exact, bound, limits)
            distance = np.abs(values[name] - exact)
        codes[name] = np.where(np.isinf(bound), UNDECIDED, code).astype(np.int8)
        error += np.where(np.isfinite(values[name]), np.nan_to_num(distance, nan=0.0), np.inf)
    return codes, error, _asked(root, logits, targets, codes, dtype)


def _of_one_sign(part: Term) -> Term | None:
    """expm1(logsigmoid(y)) is -sigmoid(-y): good kernels, and a difference to the filter."""
    if part.op == "expm1" and part.args[0].op == "log_sigmoid_forward":
        return term("neg", term("sigmoid", negated(part.args[0].args[0])))
    return None


def _kernels(root: Term) -> bool:
    return any(part.op in KERNELS for part in subterms(root))


def _computed(root: Term, logits: Any, targets: Any, dtype: Format) -> tuple[Any, Any]:
    """Loss and gradient of the term as PyTorch computes them, as float64 arrays."""
    import torch

    kind = getattr(torch, dtype.name)
    x, z = torch.from_numpy(logits).to(kind).requires_grad_(), torch.from_numpy(targets).to(kind)
    loss = evaluated(root, x, z).expand(x.shape)
    (gradient,) = torch.autograd.grad(loss.sum(), x, allow_unused=True) if loss.requires_grad else (None,)
    gradient = torch.zeros_like(x) if gradient is None else gradient
    return loss.detach().double().numpy(), gradient.double().numpy()


def _filtered(formula: Any, logits: Any, targets: Any, dtype: Format, differentiate: bool) -> tuple[Any, Any]:
    """Values and bounds; where a formula asks about the logit the elements are parted by the answer."""
    import numpy as np

    value, bound = filter_pairs(formula, logits, targets, part(targets), {}, dtype, differentiate)
    rest = np.flatnonzero(np.isinf(bound))
    if len(rest):
        value[rest], bound[rest] = filter_pairs(formula, logits[rest], targets[rest], [(None, None)], {}, dtype, differentiate)
    return value, bound


def _asked(root: Term, logits: Any, targets: Any, codes: dict[str, Any], dtype: Format) -> int:
    """Decide exactly what is left open, evenly chosen where that is too much; returns how many pairs there were."""
    import numpy as np
    import torch

    kind = getattr(torch, dtype.name)
    open_places = np.flatnonzero((codes["loss"] == UNDECIDED) | (codes["grad"] == UNDECIDED))
    if len(open_places) > MOST_EXACT:
        open_places = open_places[np.linspace(0, len(open_places) - 1, MOST_EXACT).astype(int)]
    for start in range(0, len(open_places), TOGETHER):
        places = open_places[start : start + TOGETHER]
        x, z = (torch.from_numpy(values[places]).to(kind) for values in (logits, targets))
        for quantity in outcomes_of(lambda x, z: evaluated(root, x, z).expand(x.shape), x, z):
            codes[quantity.name][places[quantity.index]] = CODE[quantity.outcome]
    return len(open_places)
