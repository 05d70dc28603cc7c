"""The process in which callables are called that may end it; see apart.py."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import pickle
from collections.abc import Callable
from typing import Any

from losscheck.backends import Call, Invocation, backend_named
from losscheck.backends.paddle import compiled
from losscheck.callables.adapt import Adapted
from losscheck.callables.apart import Elsewhere
from losscheck.callables.frameworks import uses
from losscheck.callables.loading import load
from losscheck.callables.refusal import OwnCallError, describe_error
from losscheck.core.call_spec import CallSpec
from losscheck.core.dtypes import FORMATS
from losscheck.core.errors import UserError
from losscheck.core.loss import Implementation, Published

__all__ = ["serve"]


def serve() -> None:
    """Answer requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints there must not come between
    answering: dict[str, Callable[..., Any]] = {"load": _load, "probe": _probe, "call": _call}
    while True:
        try:
            kind, *request = pickle.load(requests)
        except EOFError:
            return
        with contextlib.redirect_stderr(io.StringIO()) as printed, contextlib.redirect_stdout(printed):
            try:
                answered, answer = "done", answering[kind](*request)
            except UserError as error:
                answered, answer = "mistaken", (error.problem, error.cure, error.details)
            except Exception as error:
                answered, answer = "refused", _reason(error)
        pickle.dump((answered, answer, printed.getvalue() if kind == "call" else ""), answers)
        answers.flush()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OwnCallError) else describe_error(error)


def _load(spec: str) -> Any:
    own = load(spec, elsewhere=False)
    try:
        signature = _plain(inspect.signature(own.target))
    except (TypeError, ValueError):
        signature = None
    return Elsewhere(spec, signature, inspect.isclass(own.target), uses(own.target)), own.file, own.line


def _plain(signature: inspect.Signature) -> inspect.Signature:
    """With defaults that travel: what is no number or text is named and no more."""
    parameters = []
    for parameter in signature.parameters.values():
        default = parameter.default
        known = default is parameter.empty or default is None or isinstance(default, bool | int | float | str)
        parameters.append(parameter.replace(default=default if known else repr(default), annotation=parameter.empty))
    return inspect.Signature(parameters)


def _probe(spec: str, call_spec: CallSpec, backend: str, dtype: str) -> Any:
    return _adapted(spec, call_spec).tried(backend, FORMATS[dtype])


_ADAPTED: dict[tuple[str, str], Adapted] = {}
_CALLS: dict[tuple[Any, ...], Call] = {}


def _adapted(spec: str, call_spec: CallSpec) -> Adapted:
    key = spec, repr(call_spec)
    if key not in _ADAPTED:
        _ADAPTED[key] = Adapted(load(spec, elsewhere=False), call_spec)
    return _ADAPTED[key]


def _call(
    spec: str,
    call_spec: CallSpec,
    backend: str,
    dtype: str,
    gradient: bool,
    mode: str,
    what: str,
    shape: tuple[int, ...],
    logits: Any,
    targets: Any,
) -> Any:
    key = (spec, repr(call_spec), backend, dtype, gradient, mode, what, shape)
    if key not in _CALLS:
        adapted = _adapted(spec, call_spec)
        if mode == "compile":
            adapted = Adapted(adapted.own, adapted.call_spec, compiled)
            adapted.tried(backend, FORMATS[dtype])
        whole = Published(getattr(adapted, what), "mean") if what in ("whole", "unknown") else None
        implementation = Implementation("", spec, adapted, spec, (backend,), published=whole, own=True)
        of: Any = None  # the loss that it claims to be is asked for nothing here
        invocation = Invocation(of, implementation, {}, FORMATS[dtype], gradient=gradient, mode=mode)
        runs = backend_named(backend)
        reduction = "published" if whole else what
        _CALLS[key] = runs.prepare(invocation) if what == "elements" else runs.prepare_whole(invocation, reduction, shape)
    loss, grad, loss_dtype, grad_dtype = _CALLS[key](logits, targets)
    return loss, grad, loss_dtype.name, grad_dtype.name
