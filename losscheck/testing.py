"""For the test suites of people who write losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losscheck.core.report import Report
    from losscheck.gating.case import Case

__all__ = ["assert_accurate", "check_batch"]


def assert_accurate(
    fn: str | Callable[..., Any],
    *,
    loss: str,
    max_ulp: float | Mapping[str, float] | None = None,
    dtypes: Sequence[str] = ("float32",),
    quantities: Sequence[str] = ("loss", "grad"),
    range: tuple[float | str, float | str] = (-100.0, 100.0),
    targets: Sequence[float | str] = (),
    points: int = 1000,
    params: Mapping[str, float] | None = None,
    allow: Sequence[str] = (),
    effects: Sequence[str] = (),
    device: str = "cpu",
    **more: Any,
) -> None:
    """Fail unless a loss of yours is within ``max_ulp`` of the exact value at every logit of a range, and never lost, NaN or inf.

    The landmarks of the loss are always among the points, and every float of a 16-bit dtype is. It is the gate on one case::

        def test_my_bce():
            assert_accurate(my_bce, loss="bce", max_ulp=4, dtypes=["float32", "bfloat16"])

    Args:
        fn: a function of logits and targets, a class that builds one, or a spec or name as of --impl.
        loss: the definition; ``program``: what ``fn``'s own lines say in exact arithmetic.
        max_ulp: one limit, or one for each dtype; 8 by default, and none of its own beside ``effects``.
        range: the ends of the logits, both included.
        targets: by default the loss's own, such as 0, 0.5 and 1.
        params: parameters of the definition, such as ``{"gamma": 1.5}``.
        allow: outcomes that are allowed beside ``ok``, such as ``flushed``.
        effects: what the worst point may do to training, such as ``tails`` (and all that is milder). Without ``max_ulp`` and
            ``allow`` the effects alone judge.
        more: how it is called, as of :func:`losscheck.compare` (``keywords``, ``call``, ``input``, ``pick``, ``axes``), and
            ``monotone``, ``non_negative``, ``symmetric``, ``max_deviation`` as in the ``expect`` of a case.

    Raises:
        AssertionError: with the worst point, what came out and what is exact there, and what explains it.
        UserError: for an unknown name, and values out of range.
    """
    from losscheck.api.arguments import specs_of
    from losscheck.core.verdict import Verdict
    from losscheck.gating.case import CaseCallable, Expect
    from losscheck.gating.judge import Session, judge_case
    from losscheck.gating.load import LoadedCase, case_of

    (spec,) = specs_of(fn)
    dtypes, quantities, targets, allow, effects = map(_several, (dtypes, quantities, targets, allow, effects))
    limits: dict[str, Any] = {"effects": list(effects)} if effects else {}
    if max_ulp is not None or allow or not effects:
        limits |= {"max_ulp": 8.0 if max_ulp is None else max_ulp, "outcomes": ["ok", *allow]}
    given: dict[str, Any] = {"": {}, "callable": {}, "expect": limits}
    for name, value in more.items():
        # What is no part of either is refused as an unknown key of the case.
        given["callable" if name in CaseCallable.model_fields else "expect" if name in Expect.model_fields else ""][name] = value
    case = case_of(
        {
            "name": spec,
            "loss": loss,
            "implementations": [spec],
            "dtypes": list(dtypes),
            "quantities": list(quantities),
            "devices": [device],
            "params": dict(params or {}),
            "range": {"low": range[0], "high": range[1], "count": points, **({"targets": list(targets)} if targets else {})},
            "expect": given["expect"],
            **({"callable": given["callable"]} if given["callable"] else {}),
            **given[""],
        }
    )
    loaded, session = LoadedCase(case, Path("assert_accurate"), 1), Session()
    rows = judge_case(loaded, session)
    bad = sorted((row for row in rows if row.verdict is not Verdict.PASS), key=lambda row: row.badness)
    if bad or not rows:
        raise AssertionError(_failure(spec, case, bad, session.notes_on(loaded)))


def check_batch(loss_fn: str | Callable[..., Any], logits: Any, targets: Any, *, loss: str = "", **more: Any) -> Report:
    """Which element of a batch does a loss of yours fail on? For a training loop, where ``isfinite`` fails::

        if not torch.isfinite(loss):
            losscheck.testing.check_batch(my_loss, logits, targets)
            raise RuntimeError("the loss is right: what made the logits?")

    Args:
        loss_fn: as ``fn`` of :func:`assert_accurate`.
        logits, targets: tensors or arrays in memory, of one shape; they are not changed, and their dtype is the one judged.
        loss: by default it is recognised, with its parameters and how it wants to be called; what is none that is known here is judged
            by what its own lines say in exact arithmetic.
        more: as of :func:`losscheck.compare`: ``params``, ``keywords``, ``input``, ``max_ulp`` ...

    Returns:
        The report, where no element harms training.

    Raises:
        AssertionError: where one does (from ``misstates`` on), with the text of ``losscheck compare --tensors``: the element, what
            came out and what is right, the effect and why.
        UserError: when it cannot be called, or is no loss that is known and not of PyTorch.
    """
    from losscheck.api.compare import compare
    from losscheck.api.exact import render

    report = compare(loss_fn, tensors=(_detached(logits), _detached(targets)), loss=loss or (), **more)
    if any(row.effect and row.effect.effect.harmful for row in report.tensors):
        alone = "" if report.trace else _in_python(loss_fn, report)
        raise AssertionError("\n" + render(report, width=100) + alone)
    return report


def _in_python(loss_fn: str | Callable[..., Any], report: Report) -> str:
    """Of a callable that no command line can name, what shows which line it is in this process."""
    findings = sorted((row.effect for row in report.tensors if row.effect), key=lambda finding: finding.effect.severity)
    name = getattr(loss_fn, "__name__", "loss_fn")
    worst = next((finding for finding in findings if finding.logit is not None and math.isfinite(finding.logit)), None)
    if worst is None or not callable(loss_fn):
        return ""
    shown = name if name.isidentifier() else "loss_fn"
    return f"\nwhich line, and what to write: print(losscheck.trace({shown}, {worst.logit!r}, {worst.target!r}).explain())"


def _detached(tensor: Any) -> Any:
    """Of a tensor that a training loop holds, its values on the CPU."""
    return tensor.detach().cpu() if hasattr(tensor, "detach") else tensor


def _several(value: Any) -> Any:
    """One name for a list of one: a text is not taken apart into its letters."""
    return [value] if isinstance(value, str | int | float) else value


def _failure(spec: str, case: Case, bad: Sequence[Any], remarks: Sequence[str]) -> str:
    from losscheck.renderers.verdicts import worst_point_text

    if not bad:
        return f"{spec}: nothing could be judged"
    what = "what its own lines say" if case.by_program else case.loss
    lines = [f"{spec} does not compute {what} as asked: {len(bad)} of its figures break a limit"]
    for row in bad[:5]:
        lines += ["", f"{row.dtype} {row.device} {row.quantity}: {row.reason}", *([worst_point_text(row)] if row.worst else [])]
    if trace := next((row.trace for row in bad if row.trace), ""):
        lines += ["", f"which line, and what to write: {trace}"]
    return "\n".join([*lines, *(["", *remarks] if remarks else [])])
