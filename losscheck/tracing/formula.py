"""The recorded program as a formula over our arithmetics: a callable's own exact formula, read off what it does.

Casts are the identity, constants are as the kernels hold them, thresholds inside kernels are rounding and no part of it; the branches
that the user wrote (a clamp, a `where`, a comparison) are. The gradient is that of the recorded backward pass, so that a detached factor
and a backward pass of the user's own are what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.core.loss import Formula
from losscheck.tracing.own.evaluating import evaluated
from losscheck.tracing.own.reading import NoProgramError, Program, read

__all__ = ["Programs", "derived_formula", "derived_gradient"]

# Targets between 0 and 1 at which a program has to be one and the same to be read for all of them.
SOFT = (0.3, 0.7)


class Programs:
    """The programs of a callable by target, recorded when one is first asked for.

    Args:
        function: ``function(logits, targets)`` on tensors of one element.
        confirm: is called with each program and its target before it is used; it raises NoProgramError to refuse it.
    """

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        dtype: Format,
        confirm: Callable[[Program, float], None] = lambda program, target: None,
    ) -> None:
        self.function, self.dtype, self.confirm = function, dtype, confirm
        self._known: dict[float, Program | NoProgramError] = {}
        self._any: Program | NoProgramError | None = None

    def at(self, target: float) -> Program:
        """The program at a target.

        Raises:
            NoProgramError: when it is none with an exact expression.
        """
        if target not in self._known:
            try:
                program = self._read(target)
                self.confirm(program, target)
                self._known[target] = program
            except NoProgramError as error:
                self._known[target] = error
        return _given(self._known[target])

    def between(self) -> Program:
        """The program at every target between 0 and 1, in terms of the target.

        Raises:
            NoProgramError: when there is no one such program.
        """
        if self._any is None:
            try:
                self._any = read(self.function, self.dtype, [self.dtype.round(target) for target in SOFT], symbolic=True)
                for target in SOFT:
                    self.confirm(self._any.at(self.dtype.round(target)), self.dtype.round(target))
            except NoProgramError as error:
                self._any = error
        return _given(self._any)

    def _read(self, target: float) -> Program:
        if 0 < target < 1:
            try:
                return self.between().at(target)
            except NoProgramError:
                pass  # one for each target there may be all the same
        return read(self.function, self.dtype, [target])


def _given(program: Program | NoProgramError) -> Program:
    if isinstance(program, NoProgramError):
        raise program
    return program


def derived_formula(programs: Programs, fallback: Formula | None = None) -> Formula:
    """``formula(m, logit, target, **params)`` of one element of the loss.

    Args:
        fallback: is used at targets at which there is no program.

    Raises (when the formula is evaluated):
        NoProgramError: without a fallback, where there is no program.
    """
    return _Derived(programs, "loss", fallback)


def derived_gradient(programs: Programs, fallback: Formula | None = None) -> Formula:
    """The same of the slope that the backward pass computes."""
    return _Derived(programs, "gradient", fallback)


class _Derived:
    def __init__(self, programs: Programs, quantity: str, fallback: Formula | None) -> None:
        self.programs, self.quantity, self.fallback = programs, quantity, fallback

    def __call__(self, m: Any, logit: Any, target: Any, **params: Any) -> Any:
        try:
            program = self._program(m, target)
        except NoProgramError:
            if self.fallback is None:
                raise
            return self.fallback(m, logit, target, **params)
        return evaluated(program.loss if self.quantity == "loss" else program.gradient, m, logit, target)

    def _program(self, m: Any, target: Any) -> Program:
        """An array of targets, of which the filter asks, has the program in terms of the target."""
        for end in (0.0, 1.0):
            if target == end:
                return self._of(self.programs.at(end))
        try:
            value = m.as_float(target)
        except (TypeError, ValueError, RuntimeError):
            return self._of(self.programs.between())
        return self._of(self.programs.at(value))

    def _of(self, program: Program) -> Program:
        if self.quantity == "gradient" and program.no_gradient is not None:
            raise program.no_gradient
        return program
