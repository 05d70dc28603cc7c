"""What the names of a callable's arguments tell: which comes first, and what it requires beside logits and targets."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from losscheck.callables.loading import Own
from losscheck.core.call_spec import CallSpec
from losscheck.core.literals import ONES, Value

__all__ = ["completed", "named_places", "probabilities_by_name", "required", "targets_come_first"]

TARGETS = ("y_true", "target", "targets", "label", "labels", "gt", "truth", "ground_truth", "gt_heatmap")
LOGITS = ("y_pred", "input", "inputs", "logit", "logits", "pred", "preds", "output", "outputs", "prediction", "predictions", "y_hat")
PROBABILITIES = ("p", "prob", "probs", "proba", "probability", "probabilities", "y_prob", "pred_prob", "heatmap")
# What people require beside them, and the value that changes nothing: of counts 1, of weights as many ones as there are logits.
REQUIRED: dict[str, Value] = {
    **dict.fromkeys(("avg_factor", "num_boxes", "num_pos", "num_positives", "num_masks", "normalizer", "num_instances"), 1.0),
    **dict.fromkeys(("mask", "weight", "weights", "sample_weight", "valid_mask", "loss_mask"), ONES),
    "reduction": "none",
    "alpha": 0.25,
    "gamma": 2.0,
}


def completed(own: Own, call_spec: CallSpec) -> CallSpec:
    """With values for what it requires, where the name is known."""
    missing = tuple((name, REQUIRED[name]) for name in required(own.target, call_spec) if name in REQUIRED)
    return replace(call_spec, keywords=call_spec.keywords + missing)


def targets_come_first(target: Any) -> bool:
    """Are its first two arguments named like (y_true, y_pred)?"""
    names = [parameter.name.lower() for parameter in _parameters(_called(target))]
    return len(names) > 1 and names[0] in TARGETS and names[1] in LOGITS


def probabilities_by_name(target: Any) -> bool:
    """Is one of its first two arguments named like a probability?"""
    return any(parameter.name.lower() in PROBABILITIES for parameter in _parameters(_called(target))[:2])


def named_places(target: Any) -> tuple[str, str]:
    """The names of its arguments for logits and targets, where they show by their names and are not simply the first two; else "", ""."""
    names = [parameter.name for parameter in _parameters(_called(target))]
    logits, targets = (next((name for name in names if name.lower() in known), "") for known in (LOGITS, TARGETS))
    return (logits, targets) if logits and targets and {logits, targets} != set(names[:2]) else ("", "")


def _called(target: Any) -> Any:
    """What gets the logits: of a class the method that is called."""
    if not inspect.isclass(target):
        return target
    return next((vars(base)[name] for base in target.__mro__ for name in ("forward", "call", "__call__") if name in vars(base)), target)


def required(target: Any, call_spec: CallSpec) -> list[str]:
    """Its arguments without a default that the call does not give."""
    parameters = _parameters(target)
    positional = 0 if inspect.isclass(target) else sum(not argument.name for argument in call_spec.arguments())
    given = {name for name, _ in call_spec.keywords} | {argument.name for argument in call_spec.arguments()}
    return [
        parameter.name
        for number, parameter in enumerate(parameters)
        if number >= positional and parameter.default is parameter.empty and parameter.name not in given
    ]


def _parameters(target: Any) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter for parameter in parameters if parameter.kind in kinds and parameter.name != "self"]
