"""What the names of a request mean: losses, implementations registered under matching names, and callables of the user's.

A selection is made once for a command and then looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from losscheck.callables.loading import is_spec
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation, Loss
from losscheck.core.request import Request

__all__ = ["Selection", "loss_of", "select"]


@dataclass(frozen=True)
class Selection:
    """The losses of a request, and the implementations that are asked about, in the order of the report."""

    losses: tuple[Loss, ...]
    implementations: tuple[Implementation, ...]

    def of(self, loss: Loss) -> tuple[Implementation, ...]:
        """The implementations of one loss."""
        return tuple(implementation for implementation in self.implementations if implementation.loss == loss.name)

    def taking(self, losses: Iterable[Loss]) -> Selection:
        """The part of it that is about some of its losses."""
        return replace(self, losses=tuple(losses))

    def definitions(self) -> dict[str, str]:
        """The definition of each loss, as text, by its name."""
        return {loss.name: loss.definition for loss in self.losses}


def select(request: Request) -> Selection:
    """The implementations of the losses whose names match any glob and that run on any of the backends.

    A pattern with a colon names a callable of the user's, which is called as the call spec says and comes first.

    Raises:
        UserError: for an unknown loss; when a pattern matches nothing, so that a spelling mistake is not an empty success;
            when a callable cannot be loaded or called.
    """
    losses = [loss_of(name, request.call_spec) for name in request.losses]
    own = _own(losses, [pattern for pattern in request.impl if ":" in pattern], request.backends, request.call_spec)
    patterns = [pattern for pattern in request.impl if ":" not in pattern]
    registered = registry.registered(losses, patterns, request.backends) if patterns or not own else []
    return Selection(tuple(losses), (*own, *registered))


def loss_of(name: str, call_spec: CallSpec = PLAIN_CALL) -> Loss:
    """The loss of that name; that of the call spec's own formula has its spec for a name, that of a program the callable's.

    Raises:
        UserError: with the nearest known names.
    """
    if name and name == call_spec.formula:
        from losscheck.callables.formulas import own_loss

        return own_loss(call_spec)
    if call_spec.by_program and is_spec(name):
        from losscheck.callables.program_loss import program_loss

        return program_loss(name, call_spec.of(name))
    return registry.loss_named(name)


def _own(losses: Sequence[Loss], specs: Sequence[str], backends: Sequence[str], call_spec: CallSpec) -> list[Implementation]:
    if not specs:
        if call_spec != PLAIN_CALL:
            raise UserError(
                "--kw, --call, --input, --pick, --axes and --formula are for a callable of your own, and no --impl names one",
                "add for example --impl path/to/file.py:function",
            )
        return []
    from losscheck.callables.implementation import own_implementation

    call_spec.check_names(specs)
    return [
        own_implementation(spec, loss, call_spec.of(spec), tuple(backends))
        for loss in losses
        for spec in dict.fromkeys(specs)
        # What the program of one says is no loss of another.
        if spec == loss.name or not (call_spec.by_program and is_spec(loss.name))
    ]
