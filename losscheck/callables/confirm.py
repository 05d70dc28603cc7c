"""What is tried before a sentence is printed: the options that it advises, and the dtypes in which the code is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from losscheck.callables.adapt import Adapted
from losscheck.callables.conventions import AS_IT_IS, Adjustment, Convention, Definition
from losscheck.callables.fit import Fit
from losscheck.callables.refusal import OwnCallError
from losscheck.callables.samples import Sample, sample, sample_in
from losscheck.core.call_spec import CallSpec
from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.errors import UserError
from losscheck.core.loss import Loss
from losscheck.core.registry import word_of

__all__ = ["cures_that_work", "in_dtypes"]

NEAR = 2.0  # ordinary logits up to which every dtype has digits of 1 - p


def cures_that_work(adapted: Adapted, backend: str, fit: Fit, convention: Convention, loss: Loss) -> str:
    """'--param alpha=0.75 or --kw alpha=0.75 makes both agree', of the options that do; "" for none."""
    working: list[Adjustment] = []
    for cure in convention.cures:
        # Of two calls that serve, the likelier: a product of logit and label does not mind their order.
        if not (cure.call and any(other.call for other in working)) and _works(adapted, backend, fit, convention, cure, loss):
            working.append(cure)
    return f"{' or '.join(map(_words, working))} makes both agree" if working else ""


def _works(adapted: Adapted, backend: str, fit: Fit, convention: Convention, cure: Adjustment, loss: Loss) -> bool:
    """Does the callable, called so, agree with the definition with such parameters, but for a guard that is told beside it?"""
    try:
        params = {**fit.params, **(loss.resolve(dict(cure.params), FLOAT64) if cure.params else {})}
        params = {**fit.params, **{name: params[name] for name in cure.params}}
        changed = Adapted(adapted.own, _called(adapted.call_spec, cure))
        samples = sample(changed, backend) if changed.call_spec != adapted.call_spec else fit.samples
    except (UserError, OwnCallError):
        return False
    cured = Fit(fit.formula, params, samples.hard() if loss.hard_targets else samples)
    return cured.holds(replace(AS_IT_IS, guard=convention.guard))


def _called(call_spec: CallSpec, cure: Adjustment) -> CallSpec:
    keywords = tuple({**dict(call_spec.keywords), **cure.keywords}.items()) if cure.keywords else call_spec.keywords
    return replace(call_spec, keywords=keywords, input=cure.input or call_spec.input, call=cure.call or call_spec.call)


def _words(cure: Adjustment) -> str:
    words = [f"--param {name}={word_of(name, value) or f'{value:g}'}" for name, value in cure.params.items()]
    words += [f"--kw {name}={value:g}" for name, value in cure.keywords.items()]
    words += [f"--input {cure.input}"] if cure.input else []
    words += [f"--call '{cure.call}'"] if cure.call else []
    return " ".join(words)


def in_dtypes(adapted: Adapted, backend: str, fit: Fit, convention: Convention, dtypes: Sequence[Format]) -> str:
    """What is otherwise in the dtypes in which the code is judged; "" where what was found in the samples' dtype holds in all of them."""
    other, gone = [], []
    for dtype in dtypes:
        if dtype is fit.samples.precision.dtype:
            continue
        points = _telling(adapted, backend, convention, dtype)
        exact = Definition(fit.formula, {name: dtype.round(value) for name, value in fit.params.items()}, convention.guard)
        ways = (exact, replace(exact, naive=dtype))
        if not all(_agrees(point, dtype, *(convention.change(way, point.logit, point.target) for way in ways)) for point in points):
            other.append(dtype.name)
        elif convention.guard.kind == "clamp" and dtype.round(1 - convention.guard.size) == 1 and any(map(_infinite, points)):
            gone.append(dtype.name)
    words = _upper_bound(convention, dtypes)
    words += [f"not so in {' and '.join(other)}"] if other else []
    words += [f"in {' and '.join(gone)} 1 - {convention.guard.size:g} rounds to 1, and that side of the clamp is gone"] if gone else []
    return "; ".join(words)


def _upper_bound(convention: Convention, dtypes: Sequence[Format]) -> list[str]:
    """What 1 - size of a clamp is in a dtype, where that is neither it nor 1."""
    told = []
    for dtype in dtypes:
        size, held = convention.guard.size, 1 - dtype.round(1 - convention.guard.size)
        if convention.guard.kind == "clamp" and held and not math.isclose(held, size, rel_tol=1e-2):
            told.append(f"in {dtype.name} 1 - {size:g} is 1 - {held:.3g}, which is reached at logit {-math.log(held):.4g}")
    return told


def _telling(adapted: Adapted, backend: str, convention: Convention, dtype: Format) -> list[Sample]:
    """Values of a dtype where 1 - p has a digit left, or none at all: between, rounding explains anything, and so it does where p is
    subnormal, beside which exp(-x) overflows."""
    saturated, subnormal = (dtype.precision + 1) * math.log(2), -math.log(dtype.smallest_normal)
    nothing = -math.log(dtype.smallest_subnormal)

    def tells(logit: float) -> bool:
        return abs(logit) <= NEAR or (abs(logit) > saturated and not subnormal <= abs(logit) <= nothing + 1)

    return [point for point in sample_in(adapted, backend, dtype) if tells(point.logit) and convention.where(point.logit, point.target)]


def _infinite(point: Sample) -> bool:
    return math.isinf(point.value)


def _agrees(point: Sample, dtype: Format, exact: float, naive: float) -> bool:
    """Is a value of a dtype what a changed definition has, exactly or by logarithms of rounded probabilities?"""
    if not math.isfinite(naive) and not math.isfinite(point.value):
        return True
    tolerance = 64 * 2.0**-dtype.precision
    return any(abs(point.value - right) <= tolerance * (abs(right) + 1e-2) for right in (exact, naive))
