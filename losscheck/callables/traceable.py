"""What can be traced: a callable of the user's as its call spec says, or a registered implementation that runs on torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.frameworks import uses
from losscheck.callables.implementation import accepted
from losscheck.callables.loading import is_spec, load
from losscheck.callables.refusal import OwnCallError
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import Format
from losscheck.core.errors import UserError, nearest
from losscheck.core.loss import Implementation

__all__ = ["Traceable", "traceable"]


@dataclass(frozen=True)
class Traceable:
    """f(logits, targets) on torch tensors of one axis, or of the shape that the callable expects.

    Attributes:
        name: as it was asked for, with the arguments that were filled in.
        soft: does it take targets between 0 and 1? None where that is not known.
    """

    name: str
    function: Callable[[Any, Any], Any]
    soft: bool | None = None


def traceable(
    what: str, dtype: Format, *, loss: str = "", params: Mapping[str, float] | None = None, call_spec: CallSpec = PLAIN_CALL
) -> Traceable:
    """What a name or a spec means.

    Raises:
        UserError: for an unknown name, one of several losses, one that does not run on torch, and a spec that cannot be loaded.
    """
    if is_spec(what):
        if params:
            raise UserError("--param is for implementations that losscheck brings", "--kw gives the arguments of a callable of your own")
        own = load(what)
        if (used := uses(own.target)) and "torch" not in used and used != ("numpy",):
            raise UserError(f"{what} runs on {used[0]}, and only PyTorch can be traced", "losscheck check judges it all the same")
        given = call_spec.of(what)
        adapted = accepted(own, given, ("torch",))[1]
        soft = registry.loss_named(loss).soft_targets if loss else None
        return Traceable(what + _completed(given, adapted), _function(adapted), soft)
    if call_spec != PLAIN_CALL:
        raise UserError(
            f"--kw, --call, --input, --pick and --axes are for a callable of your own, and {what!r} names none", "leave them away"
        )
    implementation = _registered(what, loss)
    of = registry.loss_named(implementation.loss)
    values = of.resolve(dict(params or {}), dtype)
    return Traceable(what, lambda logits, targets: _run(implementation, logits, targets, values), not of.hard_targets)


def _completed(given: CallSpec, adapted: Adapted) -> str:
    """' (gamma=2)': what it requires and nobody gave, as it was given."""
    added = [f"{name}={value}" for name, value in adapted.call_spec.keywords if name not in dict(given.keywords)]
    return f" ({', '.join(added)})" if added else ""


def _function(adapted: Adapted) -> Callable[[Any, Any], Any]:
    """The callable on torch tensors; what it raises is raised as it is."""
    import torch

    def function(logits: Any, targets: Any) -> Any:
        try:
            if logits.dim() == 1:
                return adapted.result(torch, logits, targets)
            return adapted.result(torch, logits.reshape(-1), targets.reshape(-1), shape=tuple(logits.shape))
        except OwnCallError as error:
            raise (error.__cause__ or TypeError(str(error))) from None

    # What it is, compiled or scripted, is told by the recorder.
    function.__wrapped__ = adapted.own.target  # type: ignore[attr-defined]
    return function


def _run(implementation: Implementation, logits: Any, targets: Any, values: Mapping[str, float]) -> Any:
    import torch

    return implementation.function(torch, logits, targets, **values)


def _registered(name: str, loss: str) -> Implementation:
    if loss:
        registry.loss_named(loss)
    named = [implementation for implementation in registry.implementations() if implementation.name == name]
    if not named:
        known = {implementation.name for implementation in registry.implementations() if "torch" in implementation.backends}
        raise UserError(f"there is no implementation {name!r}", f"{nearest(name, known)}; your own is path/to/file.py:function")
    chosen = [implementation for implementation in named if loss in ("", implementation.loss)]
    if not chosen:
        raise UserError(f"{name} does not compute {loss}", f"it computes {', '.join(implementation.loss for implementation in named)}")
    if len(chosen) > 1:
        raise UserError(
            f"{name} is there for {len(chosen)} losses", f"add --loss, one of {', '.join(implementation.loss for implementation in chosen)}"
        )
    if "torch" not in chosen[0].backends:
        raise UserError(f"{name} runs on {', '.join(chosen[0].backends)}, and only PyTorch can be traced", "name one that runs on torch")
    return chosen[0]
