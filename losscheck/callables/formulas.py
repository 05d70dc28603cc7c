"""The exact formula of a user's own: the truth about their callable, and a loss where none was named.

``formula(m, logit, target, **params)`` over the arithmetic ``m``, as in losscheck/losses/. A parameter of it that ``--kw`` gives is
what the callable is called with; one that the loss has is the loss's; any other keeps its default.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from losscheck.callables.loading import Own, load
from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.refusal import describe_error
from losscheck.core.call_spec import CallSpec
from losscheck.core.dtypes import FLOAT64
from losscheck.core.errors import UserError
from losscheck.core.loss import Formula, Loss, Parameter, logistic_landmarks

__all__ = ["own_formula", "own_loss"]

TRIAL = ((-2.0, 0.0), (-2.0, 1.0), (0.5, 0.0), (0.5, 1.0))


def own_loss(call_spec: CallSpec) -> Loss:
    """The loss that ``--formula`` defines when no ``--loss`` was named; its gradient by differentiation.

    Raises:
        UserError: when the formula cannot be loaded or evaluated.
    """
    return _loss(load(call_spec.formula), call_spec)


def own_formula(call_spec: CallSpec, loss: Loss) -> Formula:
    """The same formula as that of an implementation of a named loss, whose parameters it takes by name.

    Raises:
        UserError: when the formula cannot be loaded or evaluated.
    """
    return _formula(load(call_spec.formula), call_spec, tuple((parameter.name, parameter.default) for parameter in loss.parameters))


@functools.cache
def _loss(own: Own, call_spec: CallSpec) -> Loss:
    formula = _guarded(own)
    given = dict(call_spec.keywords)
    parameters = []
    for parameter in _parameters(own):
        default = given.get(parameter.name, parameter.default)
        if not isinstance(default, int | float):
            raise UserError(
                f"{own.spec}: its parameter {parameter.name} has no value", f"give it with --kw {parameter.name}=1 or a default"
            )
        parameters.append(Parameter(parameter.name, float(default), -math.inf, math.inf, f"of {own.spec}"))

    from losscheck.oracle.dual import derivative

    loss = Loss(
        name=own.spec,
        title=f"the formula of {own.spec}",
        definition=_in_words(own),
        formula=formula,
        gradient=derivative(formula),
        parameters=tuple(parameters),
        targets=(0.0, 1.0),
        reduction="mean",
        landmarks=logistic_landmarks,
        source=own.place,
    )
    _try(own, formula, {parameter.name: parameter.default for parameter in parameters})
    return loss


@functools.cache
def _formula(own: Own, call_spec: CallSpec, parameters: tuple[tuple[str, float], ...]) -> Formula:
    inner, given, defaults = _guarded(own), dict(call_spec.keywords), dict(parameters)
    names = [parameter.name for parameter in _parameters(own)]
    for parameter in _parameters(own):
        if (
            parameter.default is parameter.empty
            and parameter.name not in defaults
            and not isinstance(given.get(parameter.name), int | float)
        ):
            raise UserError(
                f"{own.spec}: its parameter {parameter.name} has no value", f"give it with --kw {parameter.name}=1 or a default"
            )

    def formula(m: Any, logit: Any, target: Any, **params: Any) -> Any:
        chosen = {name: value for name, value in params.items() if name in names}
        numbers = {name: m.number(float(given[name])) for name in names if isinstance(given.get(name), int | float)}
        return inner(m, logit, target, **{**chosen, **numbers})

    _try(own, formula, defaults)
    return formula


def _parameters(own: Own) -> list[inspect.Parameter]:
    """What the formula takes beside the arithmetic, the logit and the target."""
    try:
        parameters = list(inspect.signature(own.target).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) < 3:
        raise UserError(
            f"{own.spec} is no formula", "write def formula(m, logit, target, *, gamma=2.0): and return m.softplus(...), for example"
        )
    return [parameter for parameter in parameters[3:] if parameter.kind is not parameter.VAR_KEYWORD]


def _guarded(own: Own) -> Callable[..., Any]:
    """The formula, with whatever it raises turned into a message; what the arithmetics signal with passes."""

    @functools.wraps(own.target)
    def formula(m: Any, logit: Any, target: Any, **params: Any) -> Any:
        try:
            with stdout_to_stderr():
                return own.target(m, logit, target, **params)
        except (ArithmeticError, UserError):
            raise
        except Exception as error:
            from losscheck.filter.running_error import NoFilterError, RunningErrorArithmetic

            if isinstance(m, RunningErrorArithmetic) or isinstance(getattr(m, "base", None), RunningErrorArithmetic):
                # The filter knows fewer operations; the oracle then decides every point.
                raise NoFilterError(str(error)) from error
            known = [name for name in dir(m) if not name.startswith("_") and callable(getattr(m, name))]
            raise UserError(
                f"--formula {own.spec} cannot be evaluated: {describe_error(error, own.file)}", f"m has {', '.join(known)}"
            ) from None

    return formula


def _try(own: Own, formula: Formula, params: Mapping[str, float]) -> None:
    """Evaluate it once at ordinary points: a mistake is told before anything else runs."""
    from losscheck.oracle import arithmetic
    from losscheck.oracle.refine import Term, exact_value

    for point in TRIAL:
        try:
            m = arithmetic("flint", 64, FLOAT64)
            result = formula(m, *(m.number(value) for value in point), **{name: m.number(value) for name, value in params.items()})
            if result is None or isinstance(result, float | bool | str):
                what = "None" if result is None else f"the {type(result).__name__} {result!r}"
                raise UserError(
                    f"--formula {own.spec} returned {what} ({own.place})",
                    "return the formula, written with m.exp, m.log1p, m.softplus ...; Python's math rounds to float64 and is not exact",
                )
            exact_value(formula, [Term(*point)], params, FLOAT64)
        except ArithmeticError as error:
            raise UserError(
                f"--formula {own.spec} cannot be evaluated: {describe_error(error, own.file)}", "see docs/own.md for what m offers"
            ) from None


def _in_words(own: Own) -> str:
    """What stands for the definition in a table: the first line of its docstring, or what it returns."""
    if text := inspect.getdoc(own.target):
        return text.splitlines()[0]
    try:
        lines = [line.strip() for line in inspect.getsource(own.target).splitlines()]
    except (OSError, TypeError):
        lines = []
    returned = [line.removeprefix("return ") for line in lines if line.startswith("return ")]
    return returned[-1] if returned else own.spec
