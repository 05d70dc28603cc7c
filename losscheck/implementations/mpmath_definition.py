"""The definition of any loss in mpmath, at as many decimal digits as asked for: the yardstick people reach for first."""

from losscheck.core.loss import EVERY_LOSS, implementation


@implementation(EVERY_LOSS, "mpmath", source="mpmath, the definition at --digits decimal digits", backends=("mpmath",))
def definition(formula, logit, target, **params):
    """The loss's formula or gradient, given as the first argument, at the working precision of the backend."""
    return formula(logit, target, **params)
