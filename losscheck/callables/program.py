"""The own formula of a torch callable of the user's: read off its recorded program, and used only once its values have confirmed it.

Before a program serves as a formula it is evaluated exactly at logits that nobody chose it by, in [-4.75, 4.25], where even a naive
`1 - sigmoid(x)` keeps its digits, and compared with what the callable returns there in float64: the program recorded in float64 to
2^-40, that of the dtype judged to 2^10 of its units, or to 1/16 in 16 bits, whose constants may differ by that. A program that is not
confirmed, or that differs between logits, is no formula: the callable is then judged by the loss's definition, and the report says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from losscheck.callables.adapt import Adapted
from losscheck.callables.printed import silence
from losscheck.callables.refusal import OwnCallError
from losscheck.callables.samples import HELD_ORDINARY
from losscheck.core.dtypes import FLOAT64, Format
from losscheck.core.loss import Loss, OwnFormulas
from losscheck.oracle.refine import Term, exact_value
from losscheck.tracing.formula import Programs, derived_formula, derived_gradient
from losscheck.tracing.own.reading import Hindrance, NoProgramError, Program

__all__ = ["OwnProgram"]

TIGHT = 2.0**-40  # of float64, at the held-back logits
UNITS, NARROW = 2.0**10, 2.0**-4
LEAST = 3  # finite values that have to agree


@dataclass(frozen=True)
class Returned:
    """What a callable returned at the held-back logits: losses, and slopes where they came back."""

    loss: list[float]
    gradient: list[float] | None


class OwnProgram:
    """The formulas of a callable as an implementation of a loss, by the dtype of the logits; each is read when it is first asked for.

    Attributes:
        reasons: by dtype and target, why there is no formula there.
    """

    def __init__(self, adapted: Adapted, loss: Loss) -> None:
        self.adapted, self.loss = adapted, loss
        self.reasons: dict[tuple[str, float], NoProgramError] = {}
        self._formulas: dict[str, OwnFormulas] = {}
        self._programs: dict[str, Programs] = {}

    def __call__(self, dtype: Format) -> OwnFormulas:
        if dtype.name not in self._formulas:
            self._formulas[dtype.name] = self._derived(dtype)
        return self._formulas[dtype.name]

    def programs(self, dtype: Format) -> Programs:
        """The recorded programs for logits of a dtype, by target."""
        if dtype.name not in self._programs:
            self._programs[dtype.name] = Programs(self._one, dtype, lambda program, target: self._confirm(dtype, program, target))
        return self._programs[dtype.name]

    def _derived(self, dtype: Format) -> OwnFormulas:
        programs, gradient, any_loss = self.programs(dtype), False, False
        with silence():
            for target in dict.fromkeys(map(dtype.round, self.loss.targets)):
                try:
                    program = programs.at(target)
                except NoProgramError as error:
                    self.reasons[dtype.name, target] = error
                    continue
                any_loss, gradient = True, gradient or program.no_gradient is None
                if program.no_gradient is not None and program.no_gradient.hindrance is not Hindrance.NO_GRADIENT:
                    self.reasons[dtype.name, target] = program.no_gradient
        return OwnFormulas(
            derived_formula(programs, self.loss.formula) if any_loss else None,
            derived_gradient(programs, self.loss.gradient) if gradient else None,
        )

    def _one(self, logits: Any, targets: Any) -> Any:
        """One element as the callable is called; what it raises is raised as it is."""
        import torch

        try:
            return self.adapted.result(torch, logits, targets).reshape(-1)
        except OwnCallError as error:
            raise (error.__cause__ or TypeError(str(error))) from None

    # Is it what the callable computes? ----------------------------------------------------------------------------

    def _confirm(self, dtype: Format, program: Program, target: float) -> None:
        wide = self._returned(FLOAT64, target)
        returned = wide or self._returned(dtype, target)
        if returned is None:
            raise NoProgramError(Hindrance.NOT_CONFIRMED)
        if dtype is FLOAT64:
            close = TIGHT
        else:
            close = NARROW if dtype.bits == 16 else UNITS * 2.0**-dtype.precision
            if wide is not None:
                self.programs(FLOAT64).at(target if target in (0.0, 1.0) else FLOAT64.round(target))
        self._check(returned.loss, program, False, target, close)
        if program.no_gradient is None and returned.gradient is not None:
            self._check(returned.gradient, program, True, target, close)

    def _check(self, values: list[float], program: Program, gradient: bool, target: float, close: float) -> None:
        from losscheck.tracing.own.evaluating import evaluated

        tree = program.gradient if gradient else program.loss
        exact = [
            exact_value(lambda m, x, z, **_: evaluated(tree, m, x, z), [Term(logit, target)], {}, FLOAT64, printable=False).rounded
            for logit in HELD_ORDINARY
        ]
        scale = max((abs(right) for right in exact if right == right), default=0.0)
        finite = [(value, right) for value, right in zip(values, exact, strict=True) if abs(value) < float("inf")]
        # Beside a zero of the loss or the gradient nothing is known to a share of itself.
        agree = all(abs(value - right) <= close * (abs(right) + scale / 64) for value, right in finite)
        if len(finite) < LEAST or not agree:
            raise NoProgramError(Hindrance.NOT_CONFIRMED)

    def _returned(self, dtype: Format, target: float) -> Returned | None:
        """Losses and slopes at the held-back logits in a dtype, each by itself; None when the callable refuses it."""
        import torch

        losses, slopes = [], []
        kind = getattr(torch, dtype.name)
        try:
            with torch.enable_grad():
                for logit in HELD_ORDINARY:
                    x = torch.tensor([logit], dtype=kind, requires_grad=True)
                    loss = self._one(x, torch.tensor([target], dtype=kind))
                    losses.append(float(loss.detach().sum()))
                    if loss.requires_grad:
                        slope = torch.autograd.grad(loss.sum(), x, allow_unused=True)[0]
                        slopes += [] if slope is None else [float(slope)]
        except Exception:
            return None
        return Returned(losses, slopes if len(slopes) == len(losses) else None)
