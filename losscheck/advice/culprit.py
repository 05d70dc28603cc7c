"""Why an element of a batch harms, and what to write instead: for callables of the user's, one call traced at that element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from losscheck.advice.why import advice_on
from losscheck.core.batch_rows import TensorRow
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import EffectFinding
from losscheck.core.which_points import Listed
from losscheck.measure.ask import Asked
from losscheck.measure.compare import compare

__all__ = ["advised"]


def advised(rows: Sequence[TensorRow], asked: Asked) -> list[TensorRow]:
    """The rows, the first of each callable of the user's that harms with its advice."""
    own = {(implementation.loss, implementation.name): implementation for implementation in asked.selection.implementations}
    soft = {loss.name: loss.soft_targets for loss in asked.selection.losses}
    told: set[tuple[str, str]] = set()
    result = []
    for row in rows:
        key = (row.loss, row.implementation)
        if row.effect and row.effect.effect.harmful and row.backend == "torch" and own[key].own and key not in told:
            told.add(key)
            row = replace(row, advice=advice_on(row, own[key], soft=soft[row.loss], again=partial(_there, row, asked)))
        result.append(row)
    return result


def _there(row: TensorRow, asked: Asked) -> EffectFinding | None:
    """What the implementation of a row does now at the element that showed its effect."""
    finding = row.effect
    assert finding is not None and finding.logit is not None and finding.target is not None
    shortest = FORMATS[row.given_dtype].shortest
    request = replace(
        asked.request,
        points=Listed((shortest(finding.logit),), (shortest(finding.target),)),
        losses=(row.loss,),
        impl=(row.implementation,),
        backends=(row.backend,),
        dtypes=(row.given_dtype,),
        quantities=("loss", "grad"),
    )
    return next((point.effect for point in compare(request) if point.effect), None)
