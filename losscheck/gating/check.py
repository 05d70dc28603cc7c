"""What must hold between the values of a case, and between a case and the losses there are. No framework is loaded."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from losscheck.backends import backend_named, parse_device, parse_mode
from losscheck.callables.loading import is_registered, is_spec
from losscheck.core import registry
from losscheck.core.dtypes import FLOAT64, FORMATS
from losscheck.core.effect import Effect
from losscheck.core.errors import UserError, nearest
from losscheck.core.loss import Implementation, Loss
from losscheck.gating.case import Case
from losscheck.gating.fields import DTYPES, MOST_POINTS, QUANTITIES
from losscheck.points.listed import check_domain, pair

__all__ = ["Complaint", "problems_of"]

# A path in the case and what is wrong there.
Complaint = tuple[tuple[str | int, ...], str]

_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def problems_of(case: Case, imports: bool = True) -> list[Complaint]:
    """Everything that is wrong with a case whose single values are right; ``imports`` false refuses own callables."""
    try:
        loss = _loss(case)
    except UserError as error:
        return [(("loss",), str(error))]
    complaints = [*_selection(case, loss, imports), *_params(case, loss), *_domain(case, loss), *_budgets(case), *_expectations(case)]
    return [*complaints, *_twice(case)]


def _loss(case: Case) -> Loss:
    """What the values of a case are held against; of callables that are judged by their own lines, what is known before these are read."""
    if not case.by_program:
        return registry.loss_named(case.loss)
    from losscheck.callables.program_loss import unread_loss

    return unread_loss(case.loss)


def _selection(case: Case, loss: Loss, imports: bool) -> Iterator[Complaint]:
    for n, name in enumerate(case.implementations):
        if case.by_program and not is_spec(name):
            yield ("implementations", n), f"{name!r} is no callable: `loss: program` judges package.module:function by its own lines"
        elif not is_spec(name):
            try:
                registry.registered([loss], [name], ())
            except UserError as error:
                yield ("implementations", n), str(error)
        elif not _CALLABLE.fullmatch(name) and not is_registered(name):
            yield ("implementations", n), f"{name!r} is not of the form package.module:function: a case runs only what can be imported"
        elif not imports:
            yield ("implementations", n), f"{name} would be imported, which --no-import forbids"
    for n, backend in enumerate(case.backends):
        yield from _asking(("backends", n), lambda name=backend: backend_named(name))
    for n, mode in enumerate(case.modes):
        yield from _asking(("modes", n), lambda name=mode: parse_mode(name))
    if case.callable and not any(map(is_spec, case.implementations)):
        yield ("callable",), "says how to call a callable, and no implementation is one: name package.module:function"
    yield from _asking(("callable",), case.call_spec)
    for n, device in enumerate(case.devices):
        yield from _asking(("devices", n), lambda name=device: parse_device(name))


def _asking(path: tuple[str | int, ...], ask: Any) -> Iterator[Complaint]:
    try:
        ask()
    except UserError as error:
        yield path, str(error)


def _params(case: Case, loss: Loss) -> Iterator[Complaint]:
    known = {parameter.name: parameter for parameter in loss.parameters}
    for name, text in case.params.items():
        if name not in known:
            yield ("params", name, "[key]"), f"{loss.name} has no parameter {name!r}: {nearest(name, known)}"
        else:
            yield from _asking(("params", name), lambda parameter=known[name], value=text: parameter.check(parameter.read(value)))


def _domain(case: Case, loss: Loss) -> Iterator[Complaint]:
    given = [name for name in ("points", "range", "exhaustive") if getattr(case, name) is not None]
    if len(given) != 1:
        what = "none is" if not given else f"{' and '.join(given)} are"
        yield (given[-1:] and (given[-1],)) or (), f"needs exactly one of points, range and exhaustive, but {what} given"
        return
    if case.points:
        yield from _points(case, loss)
        return
    over = case.range or case.exhaustive
    assert over is not None
    if case.reduction != "none":
        yield ("reduction",), "a range is judged element by element: give points, or leave the reduction out"
    for name in case.dtypes:
        dtype = FORMATS[name]
        if case.exhaustive and dtype.bits > 32:
            yield ("dtypes",), f"{name} has 2^64 floats, which nobody can judge: give a range"
        try:
            low, high = dtype.parse(over.low, "low"), dtype.parse(over.high, "high")
        except UserError as error:
            yield (given[0],), str(error)
            continue
        if not low <= high:
            yield (given[0], "low"), f"the range from {over.low} to {over.high} is empty"
        for n, text in enumerate(over.targets):
            yield from _asking((given[0], "targets", n), lambda value=text, dtype=dtype: loss.check_target(dtype.parse(value, "target")))


def _points(case: Case, loss: Loss) -> Iterator[Complaint]:
    points = case.points
    assert points is not None
    logits, size = points.logits, math.prod(points.shape)
    if size > MOST_POINTS:
        yield ("points", "shape"), f"holds more than {MOST_POINTS} points: give a smaller one"
        return
    if points.shape and len(logits) not in (1, size):
        yield ("points", "shape"), f"holds {size} points, but {len(logits)} logits are given: make them agree, or give a single one"
        return
    if points.shape and case.reduction == "none":
        yield ("points", "shape"), "matters only for a reduction: name one, or leave the shape out"
    if len(points.targets) not in (1, max(len(logits), size if points.shape else 0)):
        yield ("points", "targets"), f"has {len(points.targets)} values for {len(logits)} logits: give one for all, or one for each"
        return
    for name in case.dtypes:
        try:
            check_domain(pair(logits, points.targets if len(points.targets) == len(logits) else points.targets[:1], FORMATS[name]), loss)
        except UserError as error:
            yield ("points",), str(error)
            return


def _budgets(case: Case) -> Iterator[Complaint]:
    if case.by_program and case.expect.max_deviation is not None:
        yield ("expect", "max_deviation"), "gates nothing: of `loss: program` the own formula is the definition"
    yield from _limits(case)
    if len(set(case.expect.outcomes) - {"ok"}) == 6:
        yield ("expect", "outcomes"), "allows every outcome, which gates nothing: leave out those that are not expected"
    if case.expect.effects:
        yield from _effects(case)
    known = case.known_failure
    if known and any(case.expect.allows_effect(Effect(name)) for name in known.effects if case.expect.effects):
        yield ("known_failure", "effects"), "names an effect that `expect` allows: it cannot fail with that"
    if known and set(known.outcomes) & set(case.expect.outcomes):
        yield ("known_failure", "outcomes"), "names an outcome that `expect` allows: it cannot fail with that"
    if known and case.expect.recorded:
        yield ("expect", "recorded"), "a known failure has no baseline to keep: delete one of the two"


def _effects(case: Case) -> Iterator[Complaint]:
    """Effects that nobody can judge, or that judge less than it seems."""
    if case.reduction != "none":
        yield ("expect", "effects"), "are judged element by element: leave the reduction out"
    if case.expect.limits_floats:
        return
    ends = case.points.logits if case.points else [end for over in (case.range, case.exhaustive) if over for end in (over.low, over.high)]
    if not all(math.isfinite(FLOAT64.parse(end)) for end in ends):
        yield ("expect", "effects"), "say nothing of infinite and NaN logits: give finite ones, or add `outcomes` or `max_ulp`"


def _limits(case: Case) -> Iterator[Complaint]:
    for outer, inner in case.expect.max_ulp.items():
        for name, limit in inner.items():
            # "" is for all: it is no step of the path, and a complaint about it points at the value itself.
            path, keys = ("expect", "max_ulp", *filter(None, (outer, name))), tuple(filter(None, (outer, name)))
            dtypes, quantities = ([key for key in keys if key in names] for names in (DTYPES, QUANTITIES))
            if len(dtypes) > 1 or len(quantities) > 1:
                yield path, f"limits {name} within {outer}: write a dtype within a quantity, or a quantity within a dtype"
                continue
            for key in keys:
                if key not in (*case.dtypes, *case.quantities):
                    where = "dtypes" if key in DTYPES else "quantities"
                    yield path, f"limits {key}, which this case does not judge: add it to {where}, or delete it here"
            for dtype in dtypes or case.dtypes:
                loosest = 2.0 ** (FORMATS[dtype].precision - 1)
                if not limit < loosest:
                    yield path, f"{limit:g} ulp gates nothing in {dtype}: a result of 0 is within {loosest:g} ulp of every number"
                    break


def _expectations(case: Case) -> Iterator[Complaint]:
    expect, points = case.expect, case.points
    several = not points or len(set(points.logits)) > 1
    results = 1 if case.reduction != "none" or points is None else len(points.logits)
    if expect.value:
        if points is None:
            yield ("expect", "value"), "a printed value belongs to points, not to a range"
        elif len(case.quantities) > 1:
            yield ("expect", "value"), "of the loss or of the gradient? Name one of them: quantities: [loss]"
        elif wrong := [n for n, text in enumerate(expect.value) if not _printable(text)]:
            yield ("expect", "value", wrong[0]), "is printed to digits that no float has: write it as a float prints it"
        elif len(expect.value) not in (1, results) or (case.reduction != "none" and case.quantities == ["grad"]):
            yield ("expect", "value"), f"has {len(expect.value)} values for {results} results"
    if expect.monotone and (not several or case.reduction != "none"):
        yield ("expect", "monotone"), "needs several logits and no reduction"
    if (expect.symmetric or expect.non_negative) and "loss" not in case.quantities:
        yield ("expect",), "non_negative and symmetric are claims about the loss: add it to quantities"
    if expect.symmetric and case.reduction != "none":
        yield ("expect", "symmetric"), "is judged element by element: leave the reduction out"
    if "devices" in expect.equal_bits and len(case.devices) < 2:
        yield ("expect", "equal_bits"), "there is one device only, which is equal to itself: name another one"
    if "implementations" in expect.equal_bits and not _share_a_backend(case):
        yield ("expect", "equal_bits"), "no two implementations run on the same backend: name another one, or compare backends too"
    if "backends" in expect.equal_bits and all(len(_backends(case, implementation)) < 2 for implementation in _matching(case)):
        yield ("expect", "equal_bits"), "every implementation runs on one backend only, which is equal to itself"


def _printable(text: str) -> bool:
    """Is the last digit of a printed value one that a float can have? 10^-999999999 as a fraction would fill the memory."""
    if "x" in text.lower() or not math.isfinite(FLOAT64.parse(text)):
        return True
    exponent = Decimal(text.strip()).as_tuple().exponent
    return isinstance(exponent, int) and -1100 <= exponent <= 308


def _matching(case: Case) -> Sequence[Implementation | str]:
    names = [name for name in case.implementations if not is_spec(name)]
    try:
        ours = registry.registered([_loss(case)], names, ()) if names else []
    except UserError:
        return ["", ""]  # said already, at the name itself
    return [*ours, *(name for name in case.implementations if is_spec(name))]


def _share_a_backend(case: Case) -> bool:
    """Are there two implementations to compare on one backend, or on any when backends are compared too?"""
    backends = [_backends(case, implementation) for implementation in _matching(case)]
    if "backends" in case.expect.equal_bits:
        return len(backends) > 1
    return any(a & b for a, b in itertools.combinations(backends, 2))


def _backends(case: Case, implementation: Implementation | str) -> set[str]:
    runs_on = {"torch", "numpy"} if isinstance(implementation, str) else set(implementation.backends)
    return runs_on & set(case.backends) if case.backends else runs_on


def _twice(case: Case) -> Iterator[Complaint]:
    for name in ("implementations", "backends", "dtypes", "devices", "modes", "quantities"):
        values = getattr(case, name)
        for n, value in enumerate(values):
            if value in values[:n]:
                yield (name, n), f"{value} is named twice"
