"""The exact value at a point, and reports as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from losscheck.core.errors import UserError, nearest
from losscheck.core.exact import Exact

if TYPE_CHECKING:
    from losscheck.core.report import Report

__all__ = ["exact", "render"]


def exact(
    loss: str,
    *,
    logit: float | str,
    target: float | str = 1.0,
    dtype: str = "float64",
    quantity: str = "loss",
    params: Mapping[str, float | str] | None = None,
    oracle: str = "flint",
) -> Exact:
    """The exact value of a loss's definition, or of its gradient, at a point whose numbers are rounded to the dtype first.

    Returns:
        Its ``rounded`` is the one float of the dtype, ``decimal(n)`` the value to n digits.

    Raises:
        UserError: for an unknown name, and a point or parameters outside the domain.
    """
    from losscheck.api.arguments import common
    from losscheck.core.dtypes import format_named
    from losscheck.core.which_points import Listed
    from losscheck.measure.ask import ask
    from losscheck.measure.reference import definition_of
    from losscheck.oracle.refine import Term, exact_value
    from losscheck.points.listed import pair

    if quantity == "both":
        raise UserError("one value has one quantity", "it is loss or grad, d loss / d logit")
    options = {
        "impl": (), "loss": loss, "dtype": dtype, "device": "cpu", "mode": "eager", "backend": (), "quantity": quantity,
        "params": params, "oracle": oracle, "digits": 50, "max_ulp": None,
    }  # fmt: skip
    asked = ask(Listed((logit,), (target,)), **common(options, {}))
    (of,), (name,) = asked.selection.losses, asked.request.dtypes
    assert isinstance(asked.request.points, Listed)
    form = format_named(name)
    point = pair(asked.request.points.logits, asked.request.points.targets, form).pairs()[0]
    formula, differentiate = definition_of(of, asked.request.quantities[0])
    values = of.resolve(asked.request.params, form)
    return exact_value(formula, [Term(*point)], values, form, oracle=oracle, differentiate=differentiate)


def render(report: Report, format: str = "table", *, width: int = 80, color: bool = False, verbose: bool = False) -> str:
    """A report as text: table, json, csv, markdown, or html for a sweep; of a gate table, json, markdown, junit or github.

    Raises:
        UserError: for another format.
    """
    from losscheck.renderers import FORMATS, GATE_FORMATS, Style
    from losscheck.renderers import render as rendered

    known = GATE_FORMATS if report.command == "gate" else FORMATS
    if format not in known:
        raise UserError(f"unknown format {format!r}", nearest(format, known))
    return rendered(format, replace(report, verbose=report.verbose or verbose), Style(width=width, color=color))
