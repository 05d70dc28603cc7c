"""What stands before a call: keywords that a callable takes, the values handed over for them, an object of a class."""

from __future__ import annotations

import inspect
import math
from typing import Any

from losscheck.backends.arrays import Arrays
from losscheck.callables.loading import Own
from losscheck.callables.printed import silence, stdout_to_stderr
from losscheck.callables.refusal import describe_error
from losscheck.core.call_spec import CallSpec
from losscheck.core.dtypes import FLOAT32, Format
from losscheck.core.errors import UserError, nearest
from losscheck.core.literals import Ones, TensorValue, as_given, value_text

__all__ = ["built_of", "check_arguments", "handed"]


def built_of(own: Own, call_spec: CallSpec, arrays: Arrays, dtype: Format) -> Any:
    """An object of a class, built with the keywords of the call.

    Raises:
        UserError: when it cannot be built, or not be called.
    """
    try:
        with stdout_to_stderr():
            built = own.target(**handed(call_spec.keyword_values(), arrays, dtype))
    except (Exception, SystemExit) as error:
        raise UserError(f"{own.spec} cannot be built: {describe_error(error, own.file)}", _how_to_build(own, call_spec, arrays)) from None
    if not callable(built):
        raise UserError(f"an object of {own.spec} cannot be called", "give the class a __call__ or a forward")
    return built


def _how_to_build(own: Own, call_spec: CallSpec, arrays: Arrays) -> str:
    """The cure of a class that cannot be built: tensors for its numbers, where that has been tried and does it."""
    tensors = {
        name: TensorValue((float(value),)) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in call_spec.keywords
    }
    try:
        with silence():
            own.target(**handed({name: as_given(value) for name, value in tensors.items()}, arrays, FLOAT32))
    except (Exception, SystemExit):
        return "--kw gives its arguments"
    words = [f"--kw {name}={value_text(value)}" for name, value in tensors.items() if value != dict(call_spec.keywords)[name]]
    return f"it takes a tensor there: {' '.join(words)}" if words else "--kw gives its arguments"


def check_arguments(own: Own, call_spec: CallSpec, *, is_class: bool) -> None:
    """Refuse a keyword that it does not take before anything runs.

    Raises:
        UserError: with the nearest keywords, or what is missing.
    """
    try:
        signature = inspect.signature(own.target)
    except (ValueError, TypeError):
        return
    known = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    for name, _ in call_spec.keywords:
        if name not in known and not anything:
            raise UserError(f"{own.spec} takes no {name!r}", nearest(name, known))
    positional, named = ([], {}) if is_class else call_spec.bound(None, None)
    try:
        signature.bind(*positional, **named, **call_spec.keyword_values())
    except TypeError as error:
        how = "--call and --kw say how to call it, as in --call '{targets}, input={logits}'"
        cure = "--kw gives its arguments" if is_class else how
        raise UserError(f"{own.spec}{signature} cannot be called so: {error}", cure) from None


def handed(keywords: dict[str, Any], arrays: Arrays, dtype: Format, x: Any = None, shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """Keywords as they are handed over: tensors made of what was written ``tensor:2``, or ``ones`` in the shape of the logits."""
    device = str(x.device) if arrays.backend == "torch" and x is not None else "cpu"
    made = {name: arrays.make(value, dtype, device) for name, value in keywords.items() if isinstance(value, TensorValue)}
    for name, value in keywords.items():
        if isinstance(value, Ones):
            made[name] = arrays.reshape(arrays.make([1.0] * math.prod(shape), dtype, device), shape)
    return {**keywords, **made}
