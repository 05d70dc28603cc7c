"""Guards left out: no identities. What they compute is another loss."""

from __future__ import annotations

from losscheck.tracing.cures.terms import Term

__all__ = ["without_clamp", "without_eps"]

GUARD = 0.05  # a bound further inside [0, 1] is no guard against its ends


def without_clamp(q: Term) -> Term | None:
    """clamp(p, 1e-4, 1 - 1e-4) -> p: another meaning. Of max(x, 0) the bound is the meaning, and it stays."""
    if q.op not in ("clamp", "clamp_min", "clamp_max") or not all(_is_guard(bound) for bound in q.args[1:]):
        return None
    return q.args[0]


def _is_guard(bound: Term) -> bool:
    """A number just inside the ends of [0, 1], which keeps a probability from them."""
    return bound.op == "constant" and (0 < bound.value <= GUARD or 1 - GUARD <= bound.value < 1)


def without_eps(q: Term) -> Term | None:
    """y + eps -> y: another meaning"""
    if q.op == "add":
        for a, b in (q.args[:2], q.args[1::-1]):
            if b.op == "constant" and 0 < abs(b.value) < 1e-3:
                return a
    return None
