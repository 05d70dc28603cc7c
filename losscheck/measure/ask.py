"""From names and numbers, as a command line or a caller gives them, to a request: the one place that checks and builds it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from losscheck.backends import backend_named, parse_device, parse_mode
from losscheck.callables.loading import is_spec
from losscheck.callables.selection import Selection, select
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FLOAT32, Format, format_named
from losscheck.core.errors import UserError, nearest
from losscheck.core.loss import Loss
from losscheck.core.request import DEFAULT_MAX_ULP, Request
from losscheck.core.which_points import LAYOUTS, REDUCTION_NAMES, SPACINGS, Dumped, Listed, Points, exact_text
from losscheck.oracle import arithmetic
from losscheck.points.listed import pair

__all__ = ["Asked", "ask", "parameters"]

T = TypeVar("T")

# What people call them -> what they are.
_QUANTITIES = {"loss": ("loss",), "value": ("loss",), "grad": ("grad",), "gradient": ("grad",), "both": ("loss", "grad")}
_DEVICES = {"gpu": "cuda", "nvidia": "cuda"}


@dataclass(frozen=True)
class Asked:
    """A request, and what its names mean.

    Attributes:
        every_loss: was no loss named, so that one which cannot take a target is left out and not an error?
        notes: what was left out, in words.
        recognised: which losses callables were found to be, in words, where nobody said it.
    """

    request: Request
    selection: Selection
    every_loss: bool
    notes: tuple[str, ...] = ()
    recognised: tuple[str, ...] = ()

    def taking(self, targets: Sequence[float]) -> Asked:
        """The part about losses that take all of the targets. One that was named must; of all losses, others go on without it."""
        taking, refusals = [], []
        for loss in self.selection.losses:
            try:
                for target in targets:
                    loss.check_target(target)
                taking.append(loss)
            except UserError as refusal:
                refusals.append(refusal)
        if refusals and not (self.every_loss and taking):
            raise refusals[0]
        notes = tuple(f"left out: {refusal.problem} ({refusal.cure})" for refusal in refusals)
        request = replace(self.request, losses=tuple(loss.name for loss in taking))
        return replace(self, request=request, selection=self.selection.taking(taking), notes=self.notes + notes)

    def remarks(self) -> tuple[str, ...]:
        """What is said in words about callables of the user's, after they were judged."""
        if not any(implementation.own for implementation in self.selection.implementations):
            return ()
        from losscheck.callables.notes import notes_on

        return (*self.recognised, *notes_on(self.request, self.selection))

    def autocast_notes(self) -> tuple[str, ...]:
        """Which autocast changes nothing, in words."""
        notes = []
        for mode in self.request.modes:
            kind, _, narrow = mode.partition(":")
            if kind == "autocast" and narrow not in self.request.dtypes:
                given = " and ".join(self.request.dtypes)
                notes.append(f"{mode} leaves {given} logits as they are; add --dtype {narrow} for logits as a layer returns them there")
        return tuple(notes)

    def command_line(self, always: Collection[str] = (), fail_on: str | None = None) -> str:
        """The command that asks the same, and fails on the same."""
        words = self.request.command_line(always, () if not self.every_loss else tuple(registry.losses()))
        return words if fail_on is None else f"{words} {shlex.join(['--fail-on', fail_on])}"


def ask(
    points: Points,
    *,
    loss: Sequence[str] = (),
    impl: Sequence[str] = (),
    backend: Sequence[str] = (),
    dtype: Sequence[str] = ("float32",),
    device: Sequence[str] = ("cpu",),
    mode: Sequence[str] = ("eager",),
    quantity: Sequence[str] = ("both",),
    params: Mapping[str, str | float] | None = None,
    oracle: str = "flint",
    digits: int = 50,
    max_ulp: float | None = None,
    call_spec: CallSpec = PLAIN_CALL,
) -> Asked:
    """A request of options as they were given, each checked, and what it selects.

    A dump whose files are not read yet has no targets and maybe no dtype: :meth:`Asked.taking` checks those later.

    Raises:
        UserError: for a name there is none of, a number out of range, a selection that matches nothing.
    """
    dtypes = _each(dtype, lambda name: format_named(name).name)
    points, targets = _checked_points(points, [format_named(name) for name in dtypes])
    request = Request(
        losses=_each(loss or _own_losses(call_spec, impl), lambda name: _loss_name(name, call_spec)),
        points=points,
        impl=tuple(impl),
        backends=_each(backend, lambda name: backend_named(name.lower()).name),
        dtypes=dtypes,
        devices=_each(device, _device),
        modes=_each(mode, parse_mode),
        quantities=_quantities(quantity),
        oracle=oracle,
        digits=_whole("digits", digits, 2, 5000),
        max_ulp=_limit(max_ulp),
        call_spec=call_spec,
    )
    arithmetic(oracle, 64, FLOAT32)
    asked = Asked(request, _selection(request), not request.losses).taking(targets)
    return replace(asked, request=replace(asked.request, params=parameters(params or {}, asked.selection.losses)))


def _one_of(what: str, name: str, known: Iterable[str]) -> str:
    """A name that must be one of a few.

    Raises:
        UserError: with what is known.
    """
    known = tuple(known)
    if name not in known:
        raise UserError(f"unknown {what} {name!r}", nearest(name, known))
    return name


def _quantities(names: Sequence[str]) -> tuple[str, ...]:
    """loss, grad or both, under any of their names, the loss first.

    Raises:
        UserError: for another name.
    """
    meant: set[str] = set()
    for name in names:
        if name.lower() not in _QUANTITIES:
            raise UserError(f"unknown quantity {name!r}", "it is loss or grad, d loss / d logit, or both")
        meant |= set(_QUANTITIES[name.lower()])
    return tuple(quantity for quantity in ("loss", "grad") if quantity in meant)


def _selection(request: Request) -> Selection:
    """What is selected; without a loss named, of every loss that has an implementation among it."""
    if request.losses:
        selection = select(request)
    else:
        every = tuple(registry.losses())
        if own := next(filter(is_spec, request.impl), None):
            raise UserError(
                f"no --loss says what {own} should compute",
                f"add --loss {', '.join(every)}; or --formula program, which judges it by what its own lines say in exact arithmetic",
            )
        selection = select(replace(request, losses=every))
    return selection.taking(loss for loss in selection.losses if selection.of(loss))


def _each(values: Sequence[str], read: Callable[[str], T]) -> tuple[T, ...]:
    """Each once, in the order in which it was first named."""
    return tuple(dict.fromkeys(read(value) for value in values))


def _loss_name(name: str, call_spec: CallSpec) -> str:
    own = name == call_spec.formula or (call_spec.by_program and is_spec(name))
    return name if own else registry.loss_named(name).name


def _own_losses(call_spec: CallSpec, impl: Sequence[str]) -> list[str]:
    """Where none is named: that of the formula, or what each callable's own program says."""
    if call_spec.by_program:
        return [name for name in impl if is_spec(name)]
    return [call_spec.formula] if call_spec.formula else []


def _device(text: str) -> str:
    kind, colon, number = text.lower().partition(":")
    if kind in _DEVICES:
        raise UserError(f"unknown device {text!r}", f"write --device {_DEVICES[kind]}{colon}{number}")
    return parse_device(text.lower())


def _limit(max_ulp: float | None) -> float:
    if max_ulp is None:
        return DEFAULT_MAX_ULP
    if not max_ulp >= 0:
        raise UserError(f"--max-ulp {max_ulp} is not a limit", "give a number of at least 0")
    return float(max_ulp)


def _whole(option: str, number: int, least: int, most: float = math.inf) -> int:
    if not least <= number <= most:
        raise UserError(f"--{option} {number} is out of range", f"give at least {least}{f' and at most {most}' if most < math.inf else ''}")
    return number


def _checked_points(points: Points, dtypes: Sequence[Format]) -> tuple[Points, list[float]]:
    """The points in one spelling, and their targets as far as they are known: those that were given, in every dtype."""
    if isinstance(points, Dumped):
        _one_of("reduction", points.reduction, REDUCTION_NAMES)
        return points, []
    if isinstance(points, Listed):
        _one_of("reduction", points.reduction, REDUCTION_NAMES)
        points = replace(points, logits=_split(points.logits), targets=_split(points.targets))
        targets = [target for dtype in dtypes for target in pair(points.logits, points.targets, dtype).targets]
        _check_shape(points)
        return points, targets
    _one_of("spacing", points.spacing, SPACINGS)
    _one_of("layout", points.layout, LAYOUTS)
    points = replace(points, targets=_split(points.targets), low=exact_text(points.low), high=exact_text(points.high))
    for dtype in dtypes:
        for end in (points.low, points.high):
            dtype.parse(end, "range")
    return points, [dtype.parse(text, "target") for dtype in dtypes for text in points.targets]


def _split(values: Sequence[str | float]) -> tuple[str, ...]:
    """Numbers as text; one text may hold several, with commas."""
    return tuple(part.strip() for value in values for part in exact_text(value).split(","))


def _check_shape(points: Listed) -> None:
    if any(size < 1 for size in points.shape):
        raise UserError(f"--shape {','.join(map(str, points.shape))} is not a shape", "write sizes with commas, for example --shape 2,1")
    if points.shape and math.prod(points.shape) != len(points.logits):
        text = ",".join(map(str, points.shape))
        what = f"--shape {text} holds {math.prod(points.shape)} points, but {len(points.logits)} logits were given"
        raise UserError(what, "make them agree")


def parameters(given: Mapping[str, str | float], losses: Sequence[Loss]) -> dict[str, float]:
    """Parameters as numbers; each must belong to one of the losses at least, and be in its range."""
    known = {parameter.name: parameter for loss in losses for parameter in loss.parameters}
    params: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise UserError(f"no parameter {name!r} in {', '.join(loss.name for loss in losses)}", nearest(name, known))
        params[name] = known[name].read(str(value)) if value is None or isinstance(value, str) else float(value)
    for loss in losses:
        for parameter in loss.parameters:
            if parameter.name in params:
                parameter.check(params[parameter.name])
    return params
