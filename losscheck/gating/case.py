"""What a case file may say: the model that reads it and from which its JSON Schema is made.

Single values are in fields.py. What needs to know the losses, or more than one value, is in check.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from losscheck.core.call_spec import DEFAULT_CALL, PLAIN_CALL, PROGRAM, CallSpec
from losscheck.core.effect import Effect
from losscheck.gating.fields import (
    AllowedEffect,
    AllowedOutcome,
    Budgets,
    Constant,
    Count,
    DType,
    FailedOutcome,
    Flag,
    HarmfulEffect,
    Limit,
    Link,
    Parameter,
    QuantityName,
    Real,
    Reals,
    Size,
    Text,
    Texts,
)

__all__ = ["Case", "CaseCallable", "CaseExhaustive", "CaseFile", "CasePoints", "CaseRange", "Expect", "KnownFailure"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CasePoints(_Model):
    """Single points: one target for all logits, or one each; rounded once to each dtype."""

    logits: Reals = Field(description="Decimal or hex numbers. A single one fills `shape`.")
    targets: Reals = Field(description="One for all logits, or one for each.")
    shape: list[Size] = Field(default=[], min_length=1, description="The shape of the points for a reduction; default: one axis.")


class CaseRange(_Model):
    """A sample of a range, its ends, its landmarks and their neighbours; every float of a 16-bit dtype."""

    low: Real
    high: Real
    targets: Reals = Field(default=[], description="Default: the loss's own, such as 0, 0.5 and 1.")
    count: Count = Field(default=1000, description="Logits in the sample.")
    spacing: Literal["linear", "ulp", "both"] = Field(default="both", description="Even in value, in floats, or half each.")
    layout: Literal["body", "tail", "both"] = Field(default="body", description="Long tensors, tensors of 3, or both.")


class CaseExhaustive(_Model):
    """Every float between two ends."""

    low: Real = "-inf"
    high: Real = "inf"
    targets: Reals = Field(default=[], description="Default: the loss's own, such as 0, 0.5 and 1.")


class Expect(_Model):
    """What must hold. What is not named is judged all the same: no outcome but `ok`, and no more than 8 ulp.

    With `recorded: true` or `effects`, and neither `max_ulp` nor `outcomes`, the record or the effects alone judge.
    """

    value: Reals = Field(default=[], description="The result, right to the digits printed here: one, or one for each point.")
    max_ulp: Budgets = Field(default={}, description="The largest |ulp|; a number, or one for each dtype or quantity.")
    outcomes: list[AllowedOutcome] = Field(default=["ok"], min_length=1, description="Outcomes that are allowed beside `ok`.")
    effects: list[AllowedEffect] = Field(
        default=[], min_length=1, description="What the worst point may do to training: these effects and all that are milder."
    )
    max_deviation: Limit | None = Field(default=None, description="The largest |deviation| of the own formula from the definition.")
    monotone: Literal["increasing", "decreasing"] | None = Field(default=None, description="In the logit, for each target.")
    non_negative: Flag = Field(default=False, description="The loss is never below 0.")
    symmetric: Flag = Field(default=False, description="f(x, z) and f(-x, 1 - z) have the same bits, gradients with the other sign.")
    equal_bits: list[Literal["implementations", "backends", "devices"]] = Field(
        default=[], min_length=1, description="Results have the same bits across all of these."
    )
    recorded: Flag = Field(default=False, description="No worse than the baseline recorded for this kind of machine.")

    @property
    def limits_floats(self) -> bool:
        """Does it limit outcomes and ulp? Without a word about them the record and the effects do, where they are asked for."""
        return bool(self.model_fields_set & {"max_ulp", "outcomes"}) or not (self.recorded or self.effects)

    @property
    def worst_effect(self) -> Effect:
        """The severest effect that is allowed; without a word about effects, any."""
        return min((Effect(name) for name in self.effects), key=lambda effect: effect.severity, default=Effect.POISONS)

    def allows(self, outcome: str) -> bool:
        return not self.limits_floats or outcome in self.outcomes

    def allows_effect(self, effect: Effect) -> bool:
        return effect.severity >= self.worst_effect.severity

    def limit(self, dtype: str, quantity: str) -> float:
        """The |ulp| allowed of a quantity in a dtype."""
        from losscheck.core.request import DEFAULT_MAX_ULP

        limits: dict[str, dict[str, float]] = dict(self.max_ulp)  # type: ignore[arg-type]
        if not limits:
            # The record needs none. Effects do: what is beyond it, and harms nobody, is `tails` and not `sound`.
            return DEFAULT_MAX_ULP if self.limits_floats or self.effects else math.inf
        # The keys of one level are of one kind, and "" is alone.
        inner = next((limits[key] for key in (quantity, dtype, "") if key in limits), {})
        return next((inner[key] for key in (quantity, dtype, "") if key in inner), DEFAULT_MAX_ULP)


class KnownFailure(_Model):
    """The case fails, and is known to. It becomes a failure of the gate when it starts to hold."""

    reason: Text
    link: Link
    outcomes: list[FailedOutcome] = Field(default=[], min_length=1, description="What it fails with; anything else is a new failure.")
    effects: list[HarmfulEffect] = Field(default=[], min_length=1, description="What it does to training; anything else is a new failure.")


class CaseCallable(_Model):
    """How callables of your own are called; the same as the options of compare."""

    keywords: dict[str, Constant] = Field(default={}, description="Such as {gamma: 1.5, reduction: none}; of a class, when it is built.")
    call: Text = Field(default=DEFAULT_CALL, description="Order and names of the arguments, such as '{targets}, input={logits}'.")
    input: Literal["logits", "probabilities"] = Field(default="logits", description="A sigmoid is put before probabilities.")
    pick: Text | None = Field(default=None, description="Which part of its result: a key, an index or an attribute.")
    axes: Text | None = Field(default=None, description="The shape it insists on, such as 'B,C,H,W'.")


class Case(_Model):
    """One claim about implementations of a loss."""

    name: Text = Field(description="Unique among all case files.")
    about: Text | None = Field(default=None, description="Where the claim comes from.")
    loss: Text = Field(description="Its name; `program`: what the callable's own lines say in exact arithmetic.")
    implementations: Texts = Field(description="Names, globs, or package.module:function.")
    callable: CaseCallable | None = None
    packages: list[Text] = Field(
        default=[], min_length=1, description="Distributions that it needs; where one is not installed, the case is skipped."
    )
    params: dict[str, Parameter] = Field(default={}, description="Parameters of the loss; defaults where none is given.")
    backends: list[Text] = Field(default=[], min_length=1, description="Default: all that an implementation runs on.")
    dtypes: list[DType] = Field(default=["float32"], min_length=1)
    devices: list[Text] = Field(default=["cpu"], min_length=1, description="cpu, cuda, cuda:1.")
    modes: list[Text] = Field(default=["eager"], min_length=1, description="eager, compile, vmap, autocast:bfloat16.")
    quantities: list[QuantityName] = Field(default=["loss", "grad"], min_length=1)
    reduction: Literal["none", "mean", "sum", "normalised", "published"] = "none"
    points: CasePoints | None = None
    range: CaseRange | None = None
    exhaustive: CaseExhaustive | None = None
    expect: Expect = Field(default_factory=Expect)
    known_failure: KnownFailure | None = None

    @property
    def by_program(self) -> bool:
        """Is every callable judged by what its own lines say?"""
        return self.loss == PROGRAM

    def call_spec(self) -> CallSpec:
        """How its callables are called.

        Raises:
            UserError: when that cannot be read.
        """
        formula = PROGRAM if self.by_program else ""
        if self.callable is None:
            return replace(PLAIN_CALL, formula=formula)
        given = self.callable
        keywords = tuple(given.keywords.items())
        return CallSpec(keywords, given.call, given.input, given.pick or "", given.axes or "", formula)


class CaseFile(_Model):
    """Cases of `losscheck gate`."""

    cases: list[Case] = Field(min_length=1)
