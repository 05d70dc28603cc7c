"""The one home of hypothesis strategies, and of the seeded samples that need no shrinking.

Floats are drawn uniformly over the ordinals of their format: every exponent, subnormals included, is equally likely.
"""

import math
from fractions import Fraction

from hypothesis import strategies as st

from losscheck.core.dtypes import FORMATS

__all__ = [
    "between",
    "dyadics",
    "finite_floats",
    "floats",
    "formats",
    "logits",
    "losses",
    "params",
    "points",
    "sample_floats",
    "sample_params",
    "sample_target",
    "targets",
]


def formats():
    """One of the four formats."""
    return st.sampled_from(list(FORMATS.values()))


def between(dtype, low, high):
    """A float of the format from ``low`` to ``high``, uniform over the ordinals."""
    return st.integers(dtype.ordinal(low), dtype.ordinal(high)).map(dtype.from_ordinal)


def finite_floats(dtype):
    """Any finite float of the format, both zeros and the subnormals included."""
    return between(dtype, -dtype.largest, dtype.largest)


def floats(dtype):
    """Any float of the format: finite, infinite or NaN."""
    return between(dtype, -math.inf, math.inf) | st.just(math.nan)


def dyadics(dtype, bits=160):
    """A real mantissa * 2^exponent with up to ``bits`` bits, of a size the format can hold or just cannot."""
    mantissas = st.one_of(st.integers(1, 2**bits), st.integers(0, bits).map(lambda n: (1 << n) + 1), st.integers(1, 2**12))
    magnitudes = st.integers(dtype.least_exponent - 3, dtype.emax + 2)
    signs = st.sampled_from([1, -1])
    return st.builds(lambda m, magnitude, sign: (sign * m, magnitude - m.bit_length()), mantissas, magnitudes, signs)


def losses():
    """Any registered loss."""
    from losscheck.core import registry

    return st.sampled_from(list(registry.losses().values()))


def logits(dtype):
    """Any finite logit; one in two of a size that training meets."""
    return finite_floats(dtype) | between(dtype, -dtype.round(120.0), dtype.round(120.0))


def targets(loss, dtype):
    """A target of the loss's domain: 0 and 1 often, soft ones where the loss takes them."""
    hard = st.sampled_from([0.0, 1.0])
    if loss.hard_targets:
        return hard
    return hard | st.sampled_from(sorted({dtype.round(target) for target in loss.targets})) | between(dtype, 0.0, 1.0)


def params(loss, dtype):
    """Every parameter of the loss: its default, an end of its range, or anything up to 8, as a float of the dtype."""
    return st.fixed_dictionaries({parameter.name: _parameter(parameter, dtype) for parameter in loss.parameters})


def _parameter(each, dtype):
    if each.words:
        return st.sampled_from([float(value) for value in range(len(each.words))])
    high = min(each.high, max(8.0, each.low + 4.0))
    typical = st.sampled_from([each.default, each.low, *(value for value in (1.0, 2.0) if each.low <= value <= high)])
    return typical.map(dtype.round) | st.floats(each.low, high).map(dtype.round)


@st.composite
def points(draw):
    """A loss, a format, and a logit, a target and parameters of both: what an exact value is asked for."""
    loss, dtype = draw(losses()), draw(formats())
    return loss, dtype, draw(logits(dtype)), draw(targets(loss, dtype)), draw(params(loss, dtype))


def sample_floats(dtype, count, rng):
    """``count`` finite floats, one from each of as many equal runs of ordinals: no range is left out by chance."""
    low, high = dtype.ordinal(-dtype.largest), dtype.ordinal(dtype.largest)
    width = Fraction(high - low + 1, count)
    return [dtype.from_ordinal(low + rng.randrange(math.ceil(n * width), math.ceil((n + 1) * width))) for n in range(count)]


def sample_target(loss, dtype, rng):
    """0 or 1, or as often a soft target where the loss takes one."""
    if loss.hard_targets or rng.random() < 0.5:
        return float(rng.randrange(2))
    return dtype.round(rng.choice([rng.random(), 2.0 ** -rng.randrange(1, 20), rng.choice(loss.targets)]))


def sample_params(loss, dtype, rng):
    """The defaults as often as values up to 4 or so, which are no powers of two and hence hard for `power`."""
    if rng.random() < 0.5:
        return loss.resolve({}, dtype)
    return loss.resolve({parameter.name: _sampled(parameter, rng) for parameter in loss.parameters}, dtype)


def _sampled(parameter, rng):
    if parameter.words:
        return float(rng.randrange(len(parameter.words)))
    return rng.uniform(parameter.low, min(parameter.high, max(4.0, parameter.low + 2.0)))
