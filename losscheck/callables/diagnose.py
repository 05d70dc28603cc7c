"""Which convention makes a callable differ from a loss's definition: alpha swapped, a factor, an eps, a clamp, hard targets.

A callable has no formula of its own, so that one that computes something else is millions of ulp wrong. Here its values at a few
well-conditioned logits, in float64 where it runs there, are compared with the definition changed in every way that is known
(conventions.py, solved.py), simplest first. What agrees with all of them, and with values held back that it was not found with, is
named; what does not is not said. What already agrees with the definition needs no explanation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from losscheck.callables.adapt import Adapted
from losscheck.callables.confirm import cures_that_work, in_dtypes
from losscheck.callables.conventions import AS_IT_IS, GUARDS, Adjustment, Convention, conventions_of
from losscheck.callables.fit import Fit
from losscheck.callables.partly import unexplained
from losscheck.callables.plain import NO_GUARD
from losscheck.callables.samples import sample
from losscheck.callables.slopes import slope_words
from losscheck.callables.soft import soft_words
from losscheck.callables.solved import scaled, solved
from losscheck.core.call_spec import DEFAULT_CALL, TARGETS_FIRST
from losscheck.core.dtypes import Format
from losscheck.core.loss import Implementation, Loss

__all__ = ["NOTHING", "Diagnosis", "diagnose", "explained", "told"]


@dataclass(frozen=True)
class Diagnosis:
    """A sentence that explains how the values differ from the definition, "" for none.

    Attributes:
        restated: the parameters of which it says no more than that their values are others.
        changes: how many changes of the definition it tells; another reading of the logit counts as two, for it is the less likely.
    """

    sentence: str = ""
    restated: tuple[str, ...] = ()
    changes: int = 0


NOTHING = Diagnosis()


@dataclass(frozen=True)
class ExplainedCallable:
    """The callable that is explained, on its backend, as a loss, and the dtypes in which it is judged."""

    loss: Loss
    adapted: Adapted
    backend: str
    dtypes: tuple[Format, ...] = ()


def diagnose(loss: Loss, implementation: Implementation, params: Mapping[str, float], dtypes: Sequence[Format] = ()) -> Diagnosis:
    """What explains a callable's values; nothing when they do not differ, or nothing is known of them.

    The definition is the callable's own formula where ``--formula`` gave one. What is said holds in each of ``dtypes`` too, or the
    sentence names those in which it does not.
    """
    adapted = implementation.function
    assert isinstance(adapted, Adapted)
    backend = implementation.backends[0]
    everywhere = sample(adapted, backend)
    samples = everywhere.hard() if loss.hard_targets else everywhere
    if not samples.ordinary:
        return NOTHING
    subject = ExplainedCallable(loss, adapted, backend, tuple(dtypes))
    fit = Fit(implementation.formula or loss.formula, params, samples)
    if not fit.holds(AS_IT_IS):
        found = _explained(subject, fit, guarded=True) or _other_order(subject, fit)
        return found or Diagnosis(unexplained(fit))
    diagnosis = _told(subject, fit, fit.with_guard(AS_IT_IS))
    if not diagnosis.sentence and loss.hard_targets and (words := soft_words(fit, everywhere, loss)):
        return Diagnosis(words)
    return diagnosis


def explained(
    fit: Fit, loss: Loss, adapted: Adapted, backend: str, *, guarded: bool = True, dtypes: Sequence[Format] = ()
) -> Diagnosis | None:
    """The simplest change of the definition that agrees with the samples and was confirmed at those held back; ``guarded`` ones,
    which are many, are tried as well."""
    return _explained(ExplainedCallable(loss, adapted, backend, tuple(dtypes)), fit, guarded)


def told(fit: Fit, loss: Loss, adapted: Adapted, backend: str, convention: Convention, dtypes: Sequence[Format] = ()) -> Diagnosis:
    """A convention that holds, in words; NOTHING for the definition itself, when the gradient is its too."""
    return _told(ExplainedCallable(loss, adapted, backend, tuple(dtypes)), fit, convention)


def _explained(subject: ExplainedCallable, fit: Fit, guarded: bool) -> Diagnosis | None:
    convention = next(filter(fit.holds, _candidates(fit, subject, guarded)), None)
    if convention is None:
        return None
    return _told(subject, fit, convention if convention.guard != NO_GUARD else fit.with_guard(convention))


def _other_order(subject: ExplainedCallable, fit: Fit) -> Diagnosis | None:
    """Its arguments the other way round, where it then agrees with the definition."""
    adapted = subject.adapted
    if adapted.call_spec.call != DEFAULT_CALL:
        return None
    cure = Adjustment(call=TARGETS_FIRST)
    if not (words := cures_that_work(adapted, subject.backend, fit, replace(AS_IT_IS, cures=(cure,)), subject.loss)):
        return None
    return Diagnosis(f"it looks like the targets come first in its call; {words}.", changes=1)


def _candidates(fit: Fit, subject: ExplainedCallable, guarded: bool) -> Iterator[Convention]:
    """Every change there is, the simplest first."""
    loss, adapted = subject.loss, subject.adapted
    known = list(conventions_of(loss, adapted.constants(), fit.params, adapted.call_spec.input))
    yield from known
    derived = list(solved(fit, loss))
    yield from derived
    for base in (AS_IT_IS, *known):
        yield from scaled(fit, base, loss, adapted.constants())
    for guard in GUARDS if guarded else ():
        for convention in (AS_IT_IS, *known, *derived):
            yield replace(convention, guard=guard, changes=convention.changes + 1)


def _told(subject: ExplainedCallable, fit: Fit, convention: Convention) -> Diagnosis:
    """In words: what it is, what makes both agree, in which dtypes it is otherwise, and what its gradient is."""
    slopes = slope_words(fit, convention)
    parts = [*([convention.says] if convention.says != AS_IT_IS.says else []), *([convention.guard.words] if convention.guard.kind else [])]
    if not parts:
        return Diagnosis(slopes, changes=1) if slopes else NOTHING
    advice = [cures_that_work(subject.adapted, subject.backend, fit, convention, subject.loss) or convention.advice]
    advice.append(in_dtypes(subject.adapted, subject.backend, fit, convention, subject.dtypes))
    sentence = "; ".join([f"it looks like {', and '.join(parts)}", *filter(None, advice)]) + "."
    restated = convention.restated if convention.guard == NO_GUARD else ()
    return Diagnosis(f"{sentence} {slopes}".strip(), restated, max(convention.changes, 1))
