"""A case file that holds today: what an implementation does over the usual range, measured, and written down as a case."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from losscheck.callables.loading import is_spec
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Effect
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.core.verdict import CaseRow, Verdict
from losscheck.gating.deviations import broken_deviation, largest_deviation, unstated
from losscheck.gating.judge import Session, judge_case
from losscheck.gating.load import LoadedCase, case_of
from losscheck.gating.measured import Measured, asked_of, measure
from losscheck.measure.remembered import remembered

__all__ = ["Written", "case_text", "importable", "rounded_up", "slug_of"]

DTYPE = "float32"
WIDTHS = (100, 50, 30, 20, 15, 10, 5)  # logits from -W to W: the widest of them in which a limit says something has the limits
# A result that is further off has less than half of its bits: to allow that would be no limit, and is recorded instead.
LOOSEST = 2.0 ** (FORMATS[DTYPE].precision / 2)
FARTHEST = 0.5  # of an own formula from the definition: a limit on one that is further off says nothing about the others


@dataclass(frozen=True)
class Written:
    """The text of a case file, and whether some of its cases ask for a record, which there is none of yet."""

    text: str
    recorded: bool


def case_text(spec: str, loss: str, calling: Mapping[str, Any], params: Mapping[str, float], path: Path, command: str) -> Written:
    """The text of a case file about an implementation; its limits are measured, and it has been judged once.

    Args:
        spec: ``file.py:name`` below the current folder, ``package.module:name``, or the name of an implementation.
        calling: how a callable is called, as ``callable`` of a case; ``params``: parameters of the loss.
        path: where the text is going to be, for the messages about it.
        command: what asked for it, for the first line.

    Raises:
        UserError: when nothing can be measured, or when what was measured does not hold a second time.
    """
    plain: dict[str, Any] = {"name": slug_of(spec), "loss": loss, "implementations": [importable(spec)]}
    if calling:
        plain["callable"] = dict(calling)
    if params:
        plain["params"] = dict(params)
    with remembered(own=True):  # a limit is found by halving, at the same points; what was found is judged anew
        cases = list(_cases(plain))
    for case in cases:
        for row in judge_case(LoadedCase(case_of(case), path, 2), Session(update=True)):
            if row.verdict not in (Verdict.PASS, Verdict.SKIPPED):
                raise _does_not_hold(row)
    lines = [line for case in cases for line in _lines(case)]
    head = f"# Written by `{command}`: what was measured, rounded up. Tighten what is too loose."
    return Written("\n".join([head, "cases:", *lines, ""]), any(case["expect"].get("recorded") for case in cases))


def _cases(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Limits in the widest range where there are any that say something, for each quantity; where that is not all, the effects, and of
    what harms training a record."""
    ends = {"low": -WIDTHS[0], "high": WIDTHS[0]}

    @functools.cache  # loss and gradient together: a callable that reduces takes a call for every logit
    def judged(width: int) -> list[Measured]:
        return _measured({**plain, "range": {"low": -width, "high": width}, "expect": {"recorded": True}})

    quantities = list(dict.fromkeys(measured.quantity for measured in judged(WIDTHS[0])))
    widths: dict[int, dict[str, _Limits]] = {}
    for quantity in quantities:
        width, limits = _widest(plain, quantity, judged)
        if limits:
            widths.setdefault(width, {})[quantity] = limits
    for width, limited in widths.items():
        allowed = {outcome for limits in limited.values() for outcome in limits.outcomes}
        outcomes = [outcome.value for outcome in sorted(allowed, key=lambda outcome: outcome.severity)]
        expect: dict[str, Any] = {"max_ulp": {quantity: limits.max_ulp for quantity, limits in limited.items()}}
        if deviating := [limits.max_deviation for limits in limited.values() if limits.max_deviation]:
            expect["max_deviation"] = max(deviating)
        yield _named(
            plain,
            "" if len(widths) == 1 else f"-{'-'.join(limited)}",
            quantities=list(limited),
            range={"low": -width, "high": width},
            expect={**expect, **({"outcomes": outcomes} if outcomes else {})},
        )
    if lacking := [quantity for quantity in quantities if quantity not in widths.get(WIDTHS[0], {})]:
        effects = [measured.effect.effect for measured in judged(WIDTHS[0]) if measured.effect]
        worst = min(effects, key=lambda effect: effect.severity, default=Effect.POISONS)
        if not worst.harmful:
            about = "no limit on single floats would say anything here: what training feels does"
            yield _named(plain, "-effects", about=about, quantities=lacking, range=ends, expect={"effects": [worst.value]})
            return
        about = "no limit would say anything here: `losscheck gate --update-baseline` records what may not become worse"
        yield _named(plain, "-recorded", about=about, quantities=lacking, range=ends, expect={"recorded": True})


def _named(plain: dict[str, Any], suffix: str, about: str = "", **more: Any) -> dict[str, Any]:
    rest = {key: value for key, value in plain.items() if key != "name"}
    return {"name": plain["name"] + suffix, **({"about": about} if about else {}), **rest, **more}


@dataclass(frozen=True)
class _Limits:
    """The smallest readable limit of a quantity over a range, and the outcomes that occur there and are allowed; the same of the
    deviation of an own formula, 0 where none has to be allowed."""

    max_ulp: float
    outcomes: frozenset[Outcome]
    max_deviation: float = 0.0


def _widest(plain: dict[str, Any], quantity: str, judged_in: Callable[[int], list[Measured]]) -> tuple[int, _Limits | None]:
    for width in WIDTHS:
        case = {**plain, "quantities": [quantity], "range": {"low": -width, "high": width}}
        judged = [measured for measured in judged_in(width) if measured.quantity == quantity]
        # Its ends say it: a formula strays in the tails.
        if any(unstated(measured) and not abs(largest_deviation(measured, 8)[0]) <= FARTHEST for measured in judged):
            continue
        if limits := _limits(judged, case):
            return width, replace(limits, max_deviation=_deviation(judged, case, limits))
    return 0, None


def importable(spec: str) -> str:
    """The callable by the name under which a case can import it from the current folder.

    Raises:
        UserError: for a file that lies elsewhere, or has no name that Python could import.
    """
    home, _, name = spec.rpartition(":")
    if not home.endswith(".py"):
        return spec
    try:
        parts = Path(home).resolve().relative_to(Path.cwd()).with_suffix("").parts
    except ValueError:
        parts = ()
    if not parts or not all(part.isidentifier() for part in parts):
        raise UserError(
            f"{home} cannot be imported from here, and a case runs only what can be imported",
            "start the gate in the folder of that file, or give package.module:name",
        )
    return f"{'.'.join(parts)}:{name}"


def rounded_up(ulp: float) -> float:
    """The next number of two digits: 5.13 -> 5.2, 23.21 -> 24, 0.5004 -> 0.51."""
    if not ulp:
        return 0.5  # as good as any rounding can be
    exact = Decimal(ulp)
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), rounding=ROUND_CEILING))


def _limits(judged: Sequence[Measured], case: dict[str, Any]) -> _Limits | None:
    """None where the limit would be beyond LOOSEST; ``judged``: what was measured of the case without one."""
    outcomes = frozenset(outcome for measured in judged for outcome, count in measured.counts.items() if count and outcome.failed)
    if not outcomes:
        limit = rounded_up(max(measured.max_ulp for measured in judged))
        return _Limits(limit, outcomes) if limit <= LOOSEST else None
    # Among failures that are allowed the largest |ulp| is theirs: what the others need is found by halving.
    candidates = list(_readable(LOOSEST))
    first, last = 0, len(candidates)
    while first < last:
        middle = (first + last) // 2
        if any(measured.counts.get(Outcome.INACCURATE) for measured in _measured({**case, "expect": {"max_ulp": candidates[middle]}})):
            first = middle + 1
        else:
            last = middle
    return _Limits(candidates[first], outcomes) if first < len(candidates) else None


def _deviation(judged: Sequence[Measured], case: dict[str, Any], limits: _Limits) -> float:
    """The deviation that has to be allowed beside the limits, rounded up; 0 where they hold without."""
    allowed = {"outcomes": [outcome.value for outcome in limits.outcomes]} if limits.outcomes else {}
    limited = case_of({**case, "expect": {"max_ulp": limits.max_ulp, **allowed}})
    deviating = [measured for measured in judged if broken_deviation(replace(measured, case=limited))[0]]
    sizes = [abs(largest_deviation(measured)[0]) for measured in deviating]
    return max((rounded_up(size) if math.isfinite(size) else math.inf for size in sizes), default=0.0)


def _readable(end: float) -> Iterator[float]:
    """1, 1.5, 2, 3, 5, 8, 10, 15 ... below an end."""
    for exponent in range(20):
        for digits in (1.0, 1.5, 2.0, 3.0, 5.0, 8.0):
            if digits * 10**exponent < end:
                yield digits * 10**exponent


def _measured(plain: dict[str, Any]) -> list[Measured]:
    case = case_of(plain)
    judged = [measured for measured in measure(case, asked_of(case)) if not measured.missing]
    if reason := next((measured.failure for measured in judged if measured.failure), "" if judged else "its framework is not here"):
        raise UserError(f"{plain['implementations'][0]} could not be measured: {reason}", "mend that first; `losscheck compare` shows it")
    return judged


def _does_not_hold(row: CaseRow) -> UserError:
    return UserError(
        f"what was measured of {row.implementation} did not hold a second time ({row.reason})",
        "nothing was written; is it random?",
    )


def slug_of(spec: str) -> str:
    """A name for the case: 'FocalLoss' of 'blog.py:FocalLoss' is focal-loss."""
    name = spec.rpartition(":")[2] if is_spec(spec) else spec
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-") or "case"


def _lines(case: dict[str, Any]) -> Iterator[str]:
    for number, (key, value) in enumerate(case.items()):
        yield f"  {'  ' if number else '- '}{key}: {_yaml(value)}"


def _yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]*", value) and value.lower() not in _NOT_PLAIN:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.15g}" if float(f"{value:.15g}") == value else repr(value)
    return json.dumps(value, ensure_ascii=False)


_NOT_PLAIN = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
