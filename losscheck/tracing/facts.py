"""An advice as flat, plain values: what `losscheck trace --format json` prints, and what the document of it is made from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from losscheck.core.exact import Exact, Kind
from losscheck.core.report import SCHEMA_VERSION
from losscheck.renderers.flat import number
from losscheck.tracing.cures.remedy import Remedies, Remedy
from losscheck.tracing.errors import LIMIT
from losscheck.tracing.places import Place
from losscheck.tracing.report import Cause, Op, Quantity, Trace

__all__ = ["facts_of", "from_here", "place_facts"]


def facts_of(
    traced: Trace, remedies: Remedies, *, name: str = "", swept: int = 0, here: tuple[float, float] | None = None, all_ops: bool = False
) -> dict[str, Any]:
    """All that is known; ``ops`` are those that matter, or every op with ``all_ops``; the others as of an advice."""
    shown = _mattering(traced)
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "trace",
        "what": name,
        "dtype": traced.dtype,
        "logits": [number(logit) for logit in traced.logits],
        "targets": [number(target) for target in traced.targets],
        "swept": swept,
        "quantities": [_quantity(quantity) for quantity in traced.quantities],
        "causes": [
            {
                "kind": cause.kind.name.lower().replace("_", "-"),
                "means": cause.kind.value,
                **{role: getattr(cause, role) for role in ("lost", "needed", "blamed", "infinite", "undefined")},
                "quantities": [f"{name} {index}" for name, index in cause.quantities],
                "places": _places(traced, cause),
            }
            for cause in traced.causes
        ],
        "deviations": [
            {
                "kind": deviation.kind.name.lower(),
                "means": deviation.kind.value,
                "op": deviation.op,
                "place": _op_place(traced, deviation.op),
            }
            for deviation in traced.deviations
        ],
        "notes": [
            {
                "kind": note.kind.name.lower(),
                "means": note.kind.value,
                "op": note.op,
                "place": place_facts(note.place),
                "detail": note.detail,
            }
            for note in traced.notes
        ],
        "ops_recorded": len(traced.ops),
        "ops": [_op(op) for op in traced.ops if all_ops or op.index in shown],
        "cure": _remedy(remedies.cure),
        "meaning_cure": _remedy(remedies.meaning),
        "cured_here": None if here is None else {"loss_ulp": number(here[0]), "gradient_ulp": number(here[1])},
        "bits": traced.bits,
    }


def from_here(file: str) -> str:
    """The path from here when it lies below."""
    try:
        return Path(file).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file


def _mattering(traced: Trace) -> set[int]:
    """The ops of the causes and of active guards, and those that lose or magnify an error themselves.

    Where no result came out, and so no cause, all at which something happened.
    """
    if not traced.quantities:
        return {op.index for op in traced.ops if op.event is not None}
    roles = {getattr(cause, role) for cause in traced.causes for role in ("lost", "needed", "blamed", "infinite", "undefined")}
    guards = {deviation.op for deviation in traced.deviations}
    happened = {op.index for op in traced.ops if op.dtype and op.event is not None and max(_known(op.own), _known(op.local)) > LIMIT}
    return {index for index in roles | guards | happened if index is not None}


def _known(error: float) -> float:
    return 0.0 if math.isnan(error) else error


def _quantity(quantity: Quantity) -> dict[str, Any]:
    return {
        "quantity": quantity.name,
        "index": quantity.index,
        "value": number(quantity.value),
        "exact": _decimal(quantity.exact),
        "judged_by": _decimal(quantity.judged_by),
        "ulp": number(quantity.ulp),
        "outcome": quantity.outcome.value,
        "dtype": quantity.dtype,
    }


def _op(op: Op) -> dict[str, Any]:
    return {
        "op": op.index,
        "name": op.name,
        "pass": "backward" if op.backward else "forward",
        "place": place_facts(op.place),
        "kind": op.kind,
        "dtype": op.dtype,
        "element": op.element,
        "elements": op.elements,
        "inputs": [number(float(value)) for value in op.inputs],
        "value": number(float(op.value)),
        "exact": _decimal(op.exact),
        **{name: number(getattr(op, name)) for name in ("total", "own", "local")},
        "event": op.event.value if op.event else None,
    }


def place_facts(place: Place) -> dict[str, Any]:
    """Of a place, what a reader needs."""
    return {"file": from_here(place.file), "line": place.line, "text": place.text, "function": place.function}


def _places(traced: Trace, cause: Cause) -> dict[str, Any]:
    places = {role: place_facts(op.place) for role in ("lost", "needed", "blamed") if (op := traced.op(getattr(cause, role)))}
    return {**({"blamed": place_facts(cause.place)} if cause.place.file else {}), **places}


def _op_place(traced: Trace, index: int | None) -> dict[str, Any] | None:
    op = traced.op(index)
    return place_facts(op.place) if op else None


def _decimal(exact: Exact) -> str | None:
    return None if exact.kind is Kind.UNDECIDED else exact.decimal()


def _remedy(remedy: Remedy | None) -> dict[str, Any] | None:
    """``diff`` is empty where there is no patch that was tried; ``expressions`` are in words of the logit x and the target z."""
    if remedy is None:
        return None
    loss, gradient = zip(remedy.before, remedy.after, strict=True)
    return {
        "expressions": [
            {"place": place_facts(rewritten.place), "before": rewritten.before, "after": rewritten.after} for rewritten in remedy.rewritten
        ],
        "diff": "".join(patch.diff(from_here(patch.file).lstrip("/")) for patch in remedy.patches),
        "takes_logits": [name for patch in remedy.patches for name in patch.takes_logits],
        "loss_ulp": {"before": number(loss[0]), "after": number(loss[1])},
        "gradient_ulp": {"before": number(gradient[0]), "after": number(gradient[1])},
        "points": remedy.points,
        "hard_targets_only": remedy.hard,
        "changes_meaning": remedy.meaning,
    }
