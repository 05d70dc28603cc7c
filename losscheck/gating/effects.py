"""What a case allows its worst point to do to training."""

from __future__ import annotations

from collections.abc import Iterator

from losscheck.core.effect import EffectFinding, Truth
from losscheck.core.results import IN_WORDS
from losscheck.gating.measured import Measured
from losscheck.gating.properties import Breach

__all__ = ["broken_effects", "refused_effect"]

_BLAME = {Truth.ROUNDING: "by rounding", Truth.DEVIATION: "by what the formula itself is"}


def refused_effect(measured: Measured) -> EffectFinding | None:
    """The effect of the worst point where the case does not allow it."""
    finding = measured.effect
    return finding if finding and not measured.case.expect.allows_effect(finding.effect) else None


def broken_effects(measured: Measured) -> Iterator[Breach]:
    """The worst effect in words, where it is none of those that the case allows, with the number of such points if they are listed."""
    finding = refused_effect(measured)
    if finding is None:
        return
    assert finding.logit is not None
    assert finding.target is not None
    assert finding.value is not None
    assert finding.exact is not None
    allows, shortest = measured.case.expect.allows_effect, measured.dtype.shortest
    point = f"logit {shortest(finding.logit)}, target {shortest(finding.target)}"
    blame = f", {_BLAME[finding.truth]}" if finding.truth else ""
    value = f"{IN_WORDS[finding.quantity]} {finding.value:.6g} where {finding.exact:.6g} is right{blame}"
    listed = 0 if measured.sweeps else sum(row.effect is not None and not allows(row.effect.effect) for row in measured.rows)
    allowed = f"the case allows no more than `{measured.case.expect.worst_effect.value}`"
    yield Breach(f"`{finding.effect.value}` at {point}: {value}; {finding.effect.words}; {allowed}", listed)
