"""A callable of the user's as an implementation of a loss: on which framework, in which shape, with which formula."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from losscheck.backends import backend_named
from losscheck.errors import UserError
from losscheck.loss import Implementation, Loss, Published
from losscheck.own.adapt import Adapted
from losscheck.own.callables import Own, load
from losscheck.own.manner import Manner
from losscheck.own.wiring import Wiring

__all__ = ["own_implementation"]

# Shapes that a callable which refuses flat logits is tried with, when --axes does not say one.
USUAL_AXES = ("", "N,C", "B,C,H,W")

_IMPLEMENTATIONS: dict[tuple[str, str, str, str, tuple[str, ...]], Implementation] = {}


def own_implementation(spec: str, loss: Loss, wiring: Wiring, backends: tuple[str, ...] = ()) -> Implementation:
    """A callable as an implementation of a loss, on the first of torch and numpy that it accepts; made once.

    Raises:
        UserError: when it cannot be loaded, built or called so, or only other backends are wanted.
    """
    own = load(spec)
    # The file, because a relative path names another one in another folder; repr, because 1 and True are one key and two keywords.
    key = (own.file, spec, loss.name, repr(wiring), backends)
    if key not in _IMPLEMENTATIONS:
        _IMPLEMENTATIONS[key] = _implementation(own, wiring, loss, backends)
    return _IMPLEMENTATIONS[key]


def _implementation(own: Own, wiring: Wiring, loss: Loss, backends: tuple[str, ...]) -> Implementation:
    from losscheck.own.formulas import own_formula
    from losscheck.own.remarks import short

    backend, adapted = _accepted(own, wiring, backends)
    manner = adapted.manner(*_like(backend))
    formula = own_formula(wiring, loss) if wiring.formula and wiring.formula != loss.name else None
    return Implementation(
        loss=loss.name,
        name=own.spec,
        function=adapted,
        source=own.place,
        backends=(backend,),
        formula=formula,
        published=_published(adapted, manner, loss),
        note="; ".join(short(manner)),
        module=own.file or own.spec,
        own=True,
    )


def _published(adapted: Adapted, manner: Manner, loss: Loss) -> Published | None:
    if manner.reduction:
        return Published(adapted.whole, manner.reduction)
    # Elements reduced by us would be a number that it never returned.
    return Published(adapted.unknown, loss.reduction) if manner.reduces else None


def _accepted(own: Own, wiring: Wiring, backends: tuple[str, ...]) -> tuple[str, Adapted]:
    """torch when it takes tensors of some shape, else numpy when it takes arrays; when neither, its rows tell what it raises."""
    wanted = [each for each in ("torch", "numpy") if not backends or each in backends]
    if not wanted:
        raise UserError(f"{own.spec} runs on torch or numpy, not on {' or '.join(backends)}", "leave --backend away")
    first = Adapted(own, wiring)
    here = [each for each in wanted if not backend_named(each).why_unavailable("cpu")]
    for backend in here:
        for axes in [wiring.axes] if wiring.axes else USUAL_AXES:
            adapted = Adapted(own, replace(wiring, axes=axes)) if axes != wiring.axes else first
            if not adapted.manner(*_like(backend)).failure:
                return backend, adapted
    return here[0] if here else wanted[0], first


def _like(backend: str) -> tuple[Any, Any]:
    """The framework, and an array of the dtype in which a callable is tried out."""
    xp = importlib.import_module(backend)
    return xp, xp.zeros(1, dtype=xp.float32)
