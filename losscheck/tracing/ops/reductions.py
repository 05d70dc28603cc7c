"""Sums, means, extremes, norms and softmax: lists of elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from losscheck.tracing.ops.selection import absolute
from losscheck.tracing.ops.table import along, reduction

# Above this many classes every logarithm of softmax is taken against the whole sum, not against its own element.
SMALL = 64


def fold(function: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


def total(m: Any, values: list[Any]) -> Any:
    return fold(m.add, values) if values else m.number(0)


@reduction("sum", "nansum")
def sum_of(m: Any, x: list[Any]) -> Any:
    return m.number(x[0]) if len(x) == 1 else total(m, x)


@reduction("mean")
def mean(m: Any, x: list[Any]) -> Any:
    return m.div(total(m, x), m.number(len(x))) if x else m.number(math.nan)


@reduction("prod")
def prod(m: Any, x: list[Any]) -> Any:
    return fold(m.mul, x) if x else m.number(1)


@reduction("amax")
def amax(m: Any, x: list[Any]) -> Any:
    return fold(m.maximum, x)


@reduction("amin")
def amin(m: Any, x: list[Any]) -> Any:
    return fold(m.minimum, x)


@reduction("any", x="bool")
def any_of(m: Any, x: list[Any]) -> bool:
    return any(m.truth(value) for value in x)


@reduction("all", x="bool")
def all_of(m: Any, x: list[Any]) -> bool:
    return all(m.truth(value) for value in x)


@reduction("count_nonzero", x="bool")
def count_nonzero(m: Any, x: list[Any]) -> Any:
    return m.number(sum(m.truth(value) for value in x))


@reduction("var")
def var(m: Any, x: list[Any], correction: float | None) -> Any:
    middle = mean(m, x)
    squares = [m.mul(distance, distance) for distance in (m.sub(value, middle) for value in x)]
    return m.div(total(m, squares), m.number(max(len(x) - (1 if correction is None else correction), 0)))


@reduction("std")
def std(m: Any, x: list[Any], correction: float | None) -> Any:
    return m.sqrt(var(m, x, correction))


def norm_of(m: Any, values: list[Any], order: float) -> Any:
    sizes = [absolute(m, value) for value in values]
    if order == math.inf:
        return fold(m.maximum, sizes)
    if order == 1:
        return total(m, sizes)
    if order == 2:
        return m.sqrt(total(m, [m.mul(value, value) for value in values]))
    return m.power(total(m, [m.power(size, m.number(order)) for size in sizes]), m.number(1 / order))


@reduction("norm", p=2)
def norm(m: Any, x: list[Any], p: float | None) -> Any:
    return norm_of(m, x, 2 if p is None else p)


@reduction("linalg_vector_norm")
def linalg_vector_norm(m: Any, x: list[Any], ord: float) -> Any:  # noqa: A002
    return norm_of(m, x, ord)


@reduction("logsumexp", dim=[1])
def logsumexp(m: Any, x: list[Any]) -> Any:
    """Exponents of balls are unbounded: no maximum has to be taken out."""
    return m.log(total(m, [m.exp(value) for value in x]))


@along("cumsum", dim=1)
def cumsum(m: Any, x: list[Any]) -> list[Any]:
    return _running(m.add, x)


@along("cumprod", dim=1)
def cumprod(m: Any, x: list[Any]) -> list[Any]:
    return _running(m.mul, x)


@along("logcumsumexp", dim=1)
def logcumsumexp(m: Any, x: list[Any]) -> list[Any]:
    return [m.log(value) for value in _running(m.add, [m.exp(value) for value in x])]


def _running(function: Callable[[Any, Any], Any], values: list[Any]) -> list[Any]:
    results = values[:1]
    for value in values[1:]:
        results.append(function(results[-1], value))
    return results


@along("_log_softmax", dim=1, half_to_float=False)
def log_softmax(m: Any, x: list[Any]) -> list[Any]:
    """-log1p(sum of e^(x_j - x_i) over the others): nothing cancels, whichever element is the largest."""
    if len(x) > SMALL:
        everything = logsumexp(m, x)
        return [m.sub(value, everything) for value in x]
    return [_log_share(m, x, index) for index in range(len(x))]


def _log_share(m: Any, x: list[Any], index: int) -> Any:
    others = [m.exp(m.sub(value, x[index])) for place, value in enumerate(x) if place != index]
    return m.neg(m.log1p(total(m, others)))


@along("_softmax", dim=1, half_to_float=False)
def softmax(m: Any, x: list[Any]) -> list[Any]:
    return [m.exp(value) for value in log_softmax(m, x)]
