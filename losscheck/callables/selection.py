"""Which implementations are meant: those registered whose names match, and callables of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation, Loss

__all__ = ["loss_of", "select"]


def loss_of(name: str, call_spec: CallSpec = PLAIN_CALL) -> Loss:
    """The loss of that name; that of the call spec's own formula has its spec for a name.

    Raises:
        UserError: with the nearest known names.
    """
    if name and name == call_spec.formula:
        from losscheck.callables.formulas import own_loss

        return own_loss(call_spec)
    return registry.loss_named(name)


def select(
    chosen: Iterable[Loss], patterns: Sequence[str], backends: Sequence[str] = (), call_spec: CallSpec = PLAIN_CALL
) -> list[Implementation]:
    """The implementations of the chosen losses whose names match any glob and that run on any of the backends.

    A pattern with a colon names a callable of the user's, which is called as the call spec says and comes first.

    Raises:
        UserError: when a pattern matches nothing, so that a spelling mistake is not an empty success; when a callable
            cannot be loaded or called.
    """
    chosen = list(chosen)
    own = _own(chosen, [pattern for pattern in patterns if ":" in pattern], backends, call_spec)
    patterns = [pattern for pattern in patterns if ":" not in pattern]
    return own + registry.registered(chosen, patterns, backends) if patterns or not own else own


def _own(chosen: Sequence[Loss], specs: Sequence[str], backends: Sequence[str], call_spec: CallSpec) -> list[Implementation]:
    if not specs:
        if call_spec != PLAIN_CALL:
            raise UserError(
                "--kw, --call, --input, --pick, --axes and --formula are for a callable of your own, and no --impl names one",
                "add for example --impl path/to/file.py:function",
            )
        return []
    from losscheck.callables.implementation import own_implementation

    return [own_implementation(spec, loss, call_spec, tuple(backends)) for loss in chosen for spec in dict.fromkeys(specs)]
