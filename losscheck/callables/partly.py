"""What a callable is in part, where no known change of a definition explains all of it: right for one class, or right but for a little."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from losscheck.callables.conventions import AS_IT_IS
from losscheck.callables.fit import Fit
from losscheck.callables.samples import Sample

__all__ = ["nearly_words", "of_one_class", "one_class_words", "unexplained"]

CLASSES = (0.0, 1.0)
NEARLY = 1e-3  # a relative distance below which a value is the definition's but for some constant


def of_one_class(fits: Iterable[Fit]) -> Fit | None:
    """The first fit that is right at every sample of one class."""
    return next((fit for fit in fits if one_class_words(fit)), None)


def one_class_words(fit: Fit) -> str:
    """'for target 1 it is the definition; ...' where the samples of one class say so, and those of the other do not; else ""."""
    right = [target for target in CLASSES if _is_right_at(fit, target)]
    if len(right) != 1:
        return ""
    (target,) = right
    worst = _worst(fit, fit.samples.at(1 - target).ordinary)
    if worst is None:
        return ""
    return (
        f"for target {target:g} it is the definition; at target {1 - target:g} it computes something else: {worst.value:.6g} at logit "
        f"{worst.logit:g}, where the definition has {fit.of(AS_IT_IS, worst):.6g}, and no known convention explains it."
    )


def _is_right_at(fit: Fit, target: float) -> bool:
    """Zeros beside zeros say nothing."""
    only = Fit(fit.formula, fit.params, fit.samples.at(target))
    return any(point.value for point in only.samples.ordinary) and only.holds(AS_IT_IS)


def nearly_words(fit: Fit) -> str:
    """'it is the definition to within 4e-07 of itself ...' where all ordinary samples say so; else ""."""
    distances = list(itertools.takewhile(lambda distance: distance <= NEARLY, _distances(fit)))  # NaN is not near
    if not distances or len(distances) < len(fit.samples.ordinary) + len(fit.samples.held_ordinary):
        return ""
    return (
        f"it is the definition to within {max(distances):.1g} of itself at logits from -4.75 to 5, and no known convention explains the "
        "rest."
    )


def _distances(fit: Fit) -> Iterator[float]:
    for point in (*fit.samples.ordinary, *fit.samples.held_ordinary):
        right = fit.of(AS_IT_IS, point)
        yield abs(point.value - right) / (abs(right) or 1.0)


def unexplained(fit: Fit) -> str:
    """What can be said of values that nothing known explains: the part that is right, and the point furthest off, in figures."""
    if words := nearly_words(fit) or one_class_words(fit):
        return words
    worst = _worst(fit, fit.samples.ordinary)
    assert worst is not None
    hard = Fit(fit.formula, fit.params, fit.samples.hard())
    what = "it treats soft targets in a way of its own" if hard.holds(AS_IT_IS) else "it computes something else"
    return (
        f"{what}: {worst.value:.6g} at logit {worst.logit:g}, target {worst.target:g}, where the definition has "
        f"{fit.of(AS_IT_IS, worst):.6g}, and no known convention explains it; --formula file.py:function states its own formula."
    )


def _worst(fit: Fit, points: Iterable[Sample]) -> Sample | None:
    return max(points, key=lambda point: abs(point.value - fit.of(AS_IT_IS, point)), default=None)
