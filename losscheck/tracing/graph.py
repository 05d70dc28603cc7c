"""A trace as a graph: the ops that compute floats, what each took from which other, and the error that flowed on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from losscheck.renderers.flat import number
from losscheck.tracing.errors import LIMIT
from losscheck.tracing.report import Op, Trace
from losscheck.tracing.rows import LOGIT, TARGET

__all__ = ["graph_of"]

MOST = 60  # ops of a graph that a reader can still follow
# They compute nothing that a reader would miss; what they took is taken from where it came.
PASSED = frozenset({"_to_copy", "clone", "copy", "fill", "detach", "neg", "lift_fresh", "ones_like", "zeros_like", "full_like", "expand"})


def graph_of(traced: Trace) -> dict[str, Any]:
    """``nodes`` in the order they ran, the logit and the target first, and ``edges`` from node to node by their numbers.

    A long program is cut down to the ops whose results are off, and those of the causes; the others are passed through.
    """
    shown = _shown(traced)
    sources: dict[int, tuple[int, ...]] = {LOGIT: (LOGIT,), TARGET: (TARGET,)}
    edges: list[tuple[int, int]] = []
    for op in traced.ops:
        taken = tuple(dict.fromkeys(source for producer in op.takes for source in sources.get(producer, ())))
        if op.index in shown:
            edges += [(source, op.index) for source in taken]
            sources[op.index] = (op.index,)
        else:
            sources[op.index] = taken
    used = {node for edge in edges for node in edge}
    order = [*(leaf for leaf in (LOGIT, TARGET) if leaf in used), *sorted(shown)]
    place = {index: position for position, index in enumerate(order)}
    roles = _roles(traced)
    return {
        "nodes": [_leaf(traced, index) if index in (LOGIT, TARGET) else _node(traced.ops[index], roles.get(index, [])) for index in order],
        "edges": [[place[a], place[b]] for a, b in edges],
        "left_out": sum(_counts(op) for op in traced.ops) - len(shown),
    }


def _counts(op: Op) -> bool:
    return bool(op.dtype) and op.kind in ("exact", "taken", "random") and op.name not in PASSED


def _shown(traced: Trace) -> set[int]:
    known = [op for op in traced.ops if _counts(op)]
    roles = _roles(traced)
    if len(known) > MOST:
        known = [op for op in known if op.index in roles or op.total > LIMIT or math.isnan(op.total) or op.event]
    if len(known) > MOST:
        known = [op for op in known if op.index in roles] or known[:MOST]
    return {op.index for op in known}


def _roles(traced: Trace) -> dict[int, list[str]]:
    """What an op is in the causes: 'lost here', 'needed here', 'first infinity', 'first NaN'."""
    words = {"lost": "lost here", "needed": "needed here", "infinite": "first infinity", "undefined": "first NaN"}
    roles: dict[int, list[str]] = {}
    for cause in traced.causes:
        named = [(getattr(cause, name), word) for name, word in words.items()]
        if cause.lost is None and cause.needed is None:
            named.append((cause.blamed, "blamed"))
        for index, word in named:
            if index is not None and word not in roles.setdefault(index, []):
                roles[index].append(word)
    return roles


def _leaf(traced: Trace, leaf: int) -> dict[str, Any]:
    values: Iterable[float] = traced.logits if leaf == LOGIT else traced.targets
    first = next(iter(values), math.nan)
    return {
        "op": None,
        "text": "the logit" if leaf == LOGIT else "the target",
        "line": 0,
        "pass": "forward",
        "dtype": traced.dtype,
        "value": number(first),
        "exact": None,
        "total": 0.0,
        "roles": [],
    }


def _node(op: Op, roles: list[str]) -> dict[str, Any]:
    text = op.place.text or op.name
    return {
        "op": op.index,
        "text": f"{text} [{op.name}]" if op.backward else text,
        "line": op.place.line,
        "pass": "backward" if op.backward else "forward",
        "dtype": op.dtype,
        "value": number(float(op.value)),
        "exact": None if op.exact.kind.name == "UNDECIDED" else op.exact.decimal(),
        "total": number(op.total),
        "roles": roles,
    }
