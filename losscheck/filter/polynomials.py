"""A power series with proved coefficients as a polynomial in float64, of the least degree that serves."""

from __future__ import annotations

from typing import Any

__all__ = ["MOST_DEGREE", "U", "fitted"]

MOST_DEGREE = 10
U = 2.0**-53


def fitted(series: Any, wanted: float) -> tuple[Any, float] | None:
    """Coefficients (MOST_DEGREE + 1 of them) of a polynomial and what it may be off by in [-1, 1], its evaluation by Horner's
    scheme included: the least degree that serves, or None.

    A term that goes leaves its Chebyshev polynomial, 2^(k-1) times smaller, as the error, and the rest to the terms below.
    """
    import numpy as np

    full = len(series.coefficients)
    c = np.zeros(max(full, MOST_DEGREE + 1))
    c[:full] = series.coefficients
    margin = series.rest + sum(series.errors)
    if not margin <= wanted:
        return None
    moved = np.zeros_like(c)
    for k in range(len(c) - 1, 0, -1):
        term = c[k] + moved[k]
        dropped = abs(term) * 2.0 ** (1 - k) * (1 + 2.0**-40) + 2.0**-1074
        if margin + dropped > wanted:
            break
        margin += dropped
        c[k] = 0.0
        moved[k] = 0.0
        moved[:k] += term * _below(k)
    else:
        k = 0
    if k > MOST_DEGREE:
        return None
    # The moved parts are small beside what they are added to; adding them rounds each coefficient once.
    c = (c + moved)[: MOST_DEGREE + 1]
    sizes = np.abs(c)
    margin += float(np.abs(moved).sum()) * 64 * U + float(sizes.sum()) * U
    tails = np.append(np.cumsum(sizes[::-1])[::-1], 0.0)  # |c_k| + |c_(k+1)| + ...
    margin += float((tails[:-1] + tails[1:])[:k].sum()) * U + 2.0**-1060
    return c, margin * (1 + 2.0**-40)


_BELOW: dict[int, Any] = {}


def _below(k: int) -> Any:
    """The coefficients of s^k - 2^(1-k) T_k(s), of degree k - 2."""
    import numpy as np

    if k not in _BELOW:
        chebyshev = np.polynomial.chebyshev.cheb2poly([0] * k + [1])
        _BELOW[k] = -chebyshev[:k] * 2.0 ** (1 - k)
    return _BELOW[k]
