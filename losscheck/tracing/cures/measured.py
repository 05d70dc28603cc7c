"""How good a term is: its loss and its gradient, as PyTorch computes them, against exact values on a grid of logits."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.exact import Exact, Kind
from losscheck.oracle.refine import Term as Point
from losscheck.oracle.refine import exact_value
from losscheck.tracing.cures.evaluate import UnknownTermError, evaluated, formula_of
from losscheck.tracing.cures.terms import Term

__all__ = ["FREE", "Grid", "Measured", "Truth", "grid_logits", "measure", "overlap", "prove_equal", "truth_on"]

FREE = 2.0  # ulp that nobody is blamed for
SMALL = (0.0, 1e-6, 1e-3, 17.0, 20.0, 88.0, 90.0, 104.0)


def grid_logits(high: float = 100.0) -> list[float]:
    """Some 280 logits of [-high, high]: evenly spread, denser about 0, and where the kernels change."""
    wide = [-high + high * n / 80 for n in range(161)]
    near = [-high / 5 + high / 5 * n / 60 for n in range(121)]
    marks = [sign * logit for logit in SMALL for sign in (-1.0, 1.0)]
    return sorted({0.0, *wide, *near, *marks})


@dataclass(frozen=True)
class Grid:
    """Logits and targets, all pairs, in a dtype."""

    dtype: Format
    logits: tuple[float, ...]
    targets: tuple[float, ...]

    @classmethod
    def of(cls, dtype: str, targets: Sequence[float], logits: Sequence[float] | None = None) -> Grid:
        chosen = FORMATS[dtype]
        rounded = sorted({chosen.round(logit) for logit in (grid_logits() if logits is None else logits)})
        pairs = [(logit, chosen.round(target)) for target in targets for logit in rounded]
        return cls(chosen, tuple(logit for logit, _ in pairs), tuple(target for _, target in pairs))

    def tensors(self) -> tuple[Any, Any]:
        import torch

        dtype = getattr(torch, self.dtype.name)
        return tuple(torch.tensor(values, dtype=torch.float64).to(dtype) for values in (self.logits, self.targets))


@dataclass(frozen=True)
class Truth:
    """Exact values on a grid, as numpy arrays ready to be compared with.

    Attributes:
        rounded: the one float of the dtype; NaN where the oracle did not decide.
        high, low: the exact value as a sum of two float64; 0 where it is infinite.
        unit: the ulp of the exact value.
    """

    rounded: Any
    high: Any
    low: Any
    unit: Any

    def errors(self, values: Any) -> Any:
        """|value - exact| in ulp; infinite where a value is NaN or infinite and should not be; 0 where nothing is known."""
        import numpy as np

        with np.errstate(all="ignore"):
            errors = np.abs((values - self.high) - self.low) / self.unit
        errors = np.where(np.isfinite(values) & np.isfinite(self.rounded), errors, np.inf)
        errors = np.where(values == self.rounded, np.minimum(np.nan_to_num(errors, nan=0.0, posinf=0.0), 0.5), errors)
        return np.where(np.isnan(self.rounded), 0.0, errors)


@dataclass(frozen=True)
class Measured:
    """Errors of loss and gradient in ulp, as numpy arrays over the grid."""

    loss: Any
    gradient: Any
    precision: int

    @property
    def score(self) -> float:
        """Bits lost over all points and both quantities, NaN and infinities twice the word; smaller is better."""
        import numpy as np

        total = 0.0
        for errors in (self.loss, self.gradient):
            bits = np.log2(1 + np.maximum(np.where(np.isinf(errors), 0.0, errors) - FREE, 0.0))
            total += float(np.where(np.isinf(errors), 2.0 * self.precision, bits).sum())
        return total

    def worst(self) -> tuple[float, float]:
        """The largest error of loss and gradient in ulp; infinite where a number was not one."""
        return float(self.loss.max(initial=0.0)), float(self.gradient.max(initial=0.0))


@functools.lru_cache(maxsize=32)
def truth_on(grid: Grid, root: Term) -> tuple[Truth, Truth]:
    """Loss and gradient of a term in exact arithmetic.

    Raises:
        UnknownTermError: for an op that has no exact definition here.
    """
    formula = formula_of(root)
    known: dict[tuple[float, float, bool], Exact] = {}
    found = []
    for differentiate in (False, True):
        exacts = []
        for logit, target in zip(grid.logits, grid.targets, strict=True):
            key = (logit, target, differentiate)
            if key not in known:
                known[key] = _exact(formula, logit, target, grid.dtype, differentiate)
            exacts.append(known[key])
        found.append(_truth(exacts, grid.dtype))
    return found[0], found[1]


def _exact(formula: Any, logit: float, target: float, dtype: Format, differentiate: bool) -> Exact:
    try:
        return exact_value(formula, [Point(logit, target)], {}, dtype, differentiate=differentiate, printable=False)
    except UnknownTermError:
        raise
    except (ArithmeticError, ValueError, TypeError):
        return Exact(Kind.UNDECIDED, math.nan)  # undefined here in exact arithmetic too


def _truth(exacts: Sequence[Exact], dtype: Format) -> Truth:
    import numpy as np

    high, low, unit = [], [], []
    for exact in exacts:
        mantissa, exponent = exact.middle if exact.kind is Kind.FINITE else (0, 0)
        first = FORMATS["float64"].round_dyadic(mantissa, exponent)
        first = first if math.isfinite(first) else 0.0
        rest_mantissa, rest_exponent = _less(mantissa, exponent, first)
        high.append(first)
        low.append(FORMATS["float64"].round_dyadic(rest_mantissa, rest_exponent))
        unit.append(_power_of_two(dtype.ulp_exponent(exact.magnitude)))
    return Truth(np.array([exact.rounded for exact in exacts]), np.array(high), np.array(low), np.array(unit))


def _power_of_two(exponent: int) -> float:
    """As a float64; of a value beyond all floats the ulp may be too."""
    return math.ldexp(1.0, exponent) if exponent <= FORMATS["float64"].emax else math.inf


def _less(mantissa: int, exponent: int, value: float) -> tuple[int, int]:
    """mantissa * 2^exponent - value, exactly; nothing where the exponents are too far apart to matter."""
    numerator, denominator = value.as_integer_ratio()
    other = 1 - denominator.bit_length()
    if not numerator or abs(other - exponent) > 4096:
        return 0, 0
    base = min(exponent, other)
    return (mantissa << (exponent - base)) - (numerator << (other - base)), base


def measure(grid: Grid, root: Term, truth: tuple[Truth, Truth]) -> Measured | None:
    """The errors of a term; None where PyTorch cannot run it, in this dtype or at all."""
    import torch

    logits, targets = grid.tensors()
    logits.requires_grad_()
    try:
        loss = evaluated(root, logits, targets)
        if not isinstance(loss, torch.Tensor) or not loss.is_floating_point():
            return None
        loss = loss.expand(logits.shape)
        (gradient,) = torch.autograd.grad(loss.sum(), logits, allow_unused=True) if loss.requires_grad else (None,)
    except (RuntimeError, TypeError, ValueError, UnknownTermError):
        return None
    gradient = torch.zeros_like(logits) if gradient is None else gradient
    values = [tensor.detach().double().numpy() for tensor in (loss, gradient)]
    return Measured(truth[0].errors(values[0]), truth[1].errors(values[1]), grid.dtype.precision)


def prove_equal(a: Term, b: Term, targets: Sequence[float], logits: Sequence[float]) -> bool:
    """Are two terms one number, in balls of 400 bits, at every pair? Undefined or unknown is no proof; equal limits are."""
    formulas = formula_of(a), formula_of(b)
    for target in targets:
        for logit in logits:
            values = []
            for formula in formulas:
                try:
                    values.append(_exact(formula, logit, target, FORMATS["float64"], False))
                except UnknownTermError:
                    return False
            first, second = values
            if first.kind is Kind.UNDECIDED:
                continue  # the original is undefined there: nothing to be equal to
            if first.kind is not second.kind:
                return False
            if first.kind is Kind.FINITE and not overlap(first, second):
                return False
            if first.kind is Kind.INFINITE and first.rounded != second.rounded:
                return False
    return True


def overlap(first: Exact, second: Exact) -> bool:
    """Do two enclosures of 70 bits and more agree to 2^-60 of their size?"""
    a, b = first, second
    if not a.middle[0] or not b.middle[0]:
        return (a.magnitude < -2000 and b.magnitude < -2000) or a.middle[0] == b.middle[0]
    scale = max(a.magnitude, b.magnitude)
    if abs(a.magnitude - b.magnitude) > 1:
        return False
    return abs(_scaled(a, scale) - _scaled(b, scale)) <= 2**20


def _scaled(exact: Exact, magnitude: int) -> int:
    """The middle in units of 2^(magnitude - 80)."""
    mantissa, exponent = exact.middle
    shift = exponent - (magnitude - 80)
    return mantissa << shift if shift >= 0 else mantissa >> -shift
