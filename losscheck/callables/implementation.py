"""A callable of the user's as an implementation of a loss: on which framework, in which shape, with which formula."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from losscheck.backends import backend_named
from losscheck.callables.adapt import Adapted
from losscheck.callables.apart import FRAMEWORKS
from losscheck.callables.arguments import completed, targets_come_first
from losscheck.callables.frameworks import RUNS, choose_keras_backend, uses
from losscheck.callables.loading import Own, load
from losscheck.callables.probe import Probe
from losscheck.core.call_spec import DEFAULT_CALL, TARGETS_FIRST, CallSpec
from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation, Loss, OwnFormulas, Published

if TYPE_CHECKING:
    from losscheck.callables.program import OwnProgram

__all__ = ["FORMED", "FromProgram", "accepted", "own_implementation"]

# Shapes that a callable which refuses flat logits is tried with, when --axes does not say one.
USUAL_AXES = ("", "N,C", "B,C,H,W")

# The forms that a callable which refuses floats is tried with.
_FORMS = (
    ("{logits}", "{targets:long}"),
    ("{logits}", "{targets:bool}"),
    ("{logits:pair}", "{targets:long}"),
    ("{logits:pair}", "{targets:onehot}"),
    ("{logits}", "{targets:signs}"),
)
FORMED = {
    DEFAULT_CALL: [f"{logits}, {targets}" for logits, targets in _FORMS],
    TARGETS_FIRST: [f"{targets}, {logits}" for logits, targets in _FORMS],
}

_IMPLEMENTATIONS: dict[tuple[str, int, str, str, str, tuple[str, ...]], Implementation] = {}


def own_implementation(spec: str, loss: Loss, call_spec: CallSpec, backends: tuple[str, ...] = ()) -> Implementation:
    """A callable as an implementation of a loss, on the first framework that it uses and accepts; made once.

    Raises:
        UserError: when it cannot be loaded, built or called so, or only other backends are wanted.
    """
    choose_keras_backend(backends)
    own = load(spec, elsewhere=True if set(backends) & set(FRAMEWORKS) else None)
    # The file, because a relative path names another one in another folder; repr, because 1 and True are one key and two keywords.
    # The object, because a worker of a cluster may get the same file again, changed since.
    call_spec = in_named_order(own, call_spec, loss)
    key = (own.file, id(own.target), spec, loss.name, repr(call_spec), backends)
    if key not in _IMPLEMENTATIONS:
        _IMPLEMENTATIONS[key] = _implementation(own, call_spec, loss, backends)
    return _IMPLEMENTATIONS[key]


def in_named_order(own: Own, call_spec: CallSpec, loss: Loss) -> CallSpec:
    """With the targets first where its arguments are named so, unless its values are those of the loss with the logits first."""
    if call_spec.call != DEFAULT_CALL or not targets_come_first(own.target):
        return call_spec
    first = replace(call_spec, call=TARGETS_FIRST)
    return call_spec if _is_loss(own, call_spec, loss) and not _is_loss(own, first, loss) else first


def _is_loss(own: Own, call_spec: CallSpec, loss: Loss) -> bool:
    from losscheck.callables.conventions import AS_IT_IS
    from losscheck.callables.fit import Fit
    from losscheck.callables.samples import sample

    try:
        backend, adapted = accepted(own, call_spec, ())
    except UserError:
        return False
    samples = sample(adapted, backend)
    return bool(samples.ordinary) and Fit(loss.formula, loss.resolve({}, FLOAT64), samples).holds(AS_IT_IS)


def _implementation(own: Own, call_spec: CallSpec, loss: Loss, backends: tuple[str, ...]) -> Implementation:
    from losscheck.callables.formulas import own_formula

    backend, adapted = accepted(own, call_spec, backends)
    probe = adapted.tried(backend)
    stated = call_spec.formula and not call_spec.by_program
    formula = own_formula(call_spec, loss) if stated and call_spec.formula != loss.name else None
    derived = backend == "torch" and not stated and loss.name != own.spec and not probe.failure
    return Implementation(
        loss=loss.name,
        name=own.spec,
        function=adapted,
        source=own.place,
        backends=(backend,),
        gradient=adapted if call_spec.objective else None,
        formula=formula,
        published=_published(adapted, probe, loss),
        note="; ".join(probe.oddities()),
        module=own.file or own.spec,
        own=True,
        derive=FromProgram(adapted, loss) if derived else None,
    )


@dataclass(frozen=True)
class FromProgram:
    """The formulas of a callable as its program has them; the recorder is loaded when the first is asked for."""

    adapted: Adapted
    loss: Loss

    def __call__(self, dtype: Format) -> OwnFormulas:
        return self.program(dtype)

    @functools.cached_property
    def program(self) -> OwnProgram:
        from losscheck.callables.program import OwnProgram

        return OwnProgram(self.adapted, self.loss)


def _published(adapted: Adapted, probe: Probe, loss: Loss) -> Published | None:
    if probe.reduction:
        return Published(adapted.whole, probe.reduction)
    # Elements reduced by us would be a number that it never returned.
    return Published(adapted.unknown, loss.reduction) if probe.reduces else None


def accepted(own: Own, call_spec: CallSpec, backends: tuple[str, ...]) -> tuple[str, Adapted]:
    """The first of the frameworks it uses whose arrays it takes in some shape; of one that shows none, torch and then numpy.

    When it takes none, its rows tell what it raises.
    """
    # An objective is handed numpy arrays by the libraries that call it.
    wanted = ["numpy"] if call_spec.objective else _wanted(own, backends)
    if not wanted:
        raise UserError(
            f"{own.spec} runs on {', '.join(RUNS[:-1])} or {RUNS[-1]}, not on {' or '.join(backends)}",
            "leave --backend away, or name one of these",
        )
    call_spec = completed(own, call_spec)
    first = Adapted(own, call_spec)
    here = [backend for backend in wanted if not backend_named(backend).why_unavailable("cpu")]
    for backend in here:
        for axes in [call_spec.axes] if call_spec.axes else USUAL_AXES:
            adapted = Adapted(own, replace(call_spec, axes=axes)) if axes != call_spec.axes else first
            if not adapted.tried(backend).failure:
                return backend, adapted
        if call_spec.call in FORMED:
            # What refuses floats often wants whole numbers for its targets.
            for call in FORMED[call_spec.call]:
                adapted = Adapted(own, replace(call_spec, call=call))
                if not adapted.tried(backend).failure:
                    return backend, adapted
    return here[0] if here else wanted[0], first


def _wanted(own: Own, backends: tuple[str, ...]) -> list[str]:
    """The backends to try, in order. Where a framework shows, no other is tried: what it did with foreign arrays would tell nothing."""
    if backends:
        return [backend for backend in backends if backend in RUNS]
    used = uses(own.target)
    return list(used if set(used) - {"numpy"} else dict.fromkeys((*used, "torch", "numpy")))
