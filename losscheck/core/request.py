"""What is asked, as plain data: it goes to other processes, into state files, and back into a command line.

A request names its losses and implementations; :func:`losscheck.callables.selection.select` finds what the names mean.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.dtypes import FLOAT64
from losscheck.core.loss import Implementation
from losscheck.core.registry import word_of
from losscheck.core.which_points import BISECTED, CHOICES, KINDS, Dumped, Listed, Points, Range, exact_text, repeated_option

__all__ = ["DEFAULT_MAX_ULP", "Request", "Subject", "dumped", "listed", "swept"]

# What a careful implementation reaches in float32 and float64 (the stable ones here; see tests/test_stable.py).
DEFAULT_MAX_ULP = 8.0


@dataclass(frozen=True)
class Request:
    """What is asked of which implementations, at which points.

    Attributes:
        losses: their names; that of an exact formula of the user's is its spec.
        points: single ones, a range, or a dump.
        impl: globs, and specs of callables; empty for every implementation.
        backends: empty for every backend.
        modes: how they are run (backends.MODES); a backend that has no such mode is left out.
        quantities: ``loss``, ``grad`` or both.
        params: given parameters; those that a loss does not have are for the others.
        oracle: flint or mpmath.
        digits: decimal digits of the mpmath implementations.
        max_ulp: above this a result is ``inaccurate``.
        call_spec: how callables of the user's are called.
    """

    losses: tuple[str, ...]
    points: Points
    impl: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32",)
    devices: tuple[str, ...] = ("cpu",)
    modes: tuple[str, ...] = ("eager",)
    quantities: tuple[str, ...] = ("loss", "grad")
    params: Mapping[str, float] = field(default_factory=dict)
    oracle: str = "flint"
    digits: int = 50
    max_ulp: float = DEFAULT_MAX_ULP
    call_spec: CallSpec = PLAIN_CALL

    @property
    def reduction(self) -> str:
        return self.points.reduction

    @property
    def shape(self) -> tuple[int, ...]:
        return self.points.shape

    def at(self, **changed: Any) -> Request:
        """The same request with other attributes of its points."""
        return replace(self, points=replace(self.points, **changed))

    def to_json(self) -> dict[str, Any]:
        """Plain text and whole numbers: limits and parameters are in hex, because JSON has no word for infinity and NaN."""
        (kind,) = (name for name, kind in KINDS.items() if type(self.points) is kind)
        points = asdict(self.points)
        if isinstance(self.points, Listed):
            points |= {name: [exact_text(value) for value in points[name]] for name in ("logits", "targets")}
        return {
            **{
                attribute.name: getattr(self, attribute.name)
                for attribute in fields(self)
                if attribute.name not in ("points", "params", "call_spec")
            },
            "points": {"kind": kind, **points},
            "params": {name: float(value).hex() for name, value in self.params.items()},
            "max_ulp": float(self.max_ulp).hex(),
            "call_spec": self.call_spec.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """The inverse of :meth:`to_json`; KeyError, TypeError, ValueError, AttributeError or UserError for anything else."""
        given = {name: _tuples(value) for name, value in data.items()}
        points = {name: _tuples(value) for name, value in data["points"].items()}
        kind = KINDS[points.pop("kind")]
        if kind is Range:
            points.setdefault("ends", BISECTED)  # a file written before there was a choice
        _check_types(kind, points)
        given |= {
            "points": kind(**points),
            "params": {name: float.fromhex(value) for name, value in data["params"].items()},
            "max_ulp": float.fromhex(data["max_ulp"]),
            "call_spec": CallSpec.from_json(data["call_spec"]),
        }
        _check_types(cls, given)
        if kind is Range and not all(points[name] in words for name, words in CHOICES.items()):
            raise ValueError("it names a spacing, a layout or ends that there are not")
        if not {*given["quantities"]} <= {"loss", "grad"}:
            raise ValueError("it names a quantity that there is not")
        return cls(**given)

    def command_line(self, always: Collection[str] = (), every_loss: Collection[str] = ()) -> str:
        """The command that asks the same.

        Args:
            always: options that are written even where they have their default, which the surroundings may have changed.
            every_loss: the names of all losses; a request about all of them names none.
        """
        return shlex.join(["losscheck", *self.points.words(always), *self._words(always, tuple(every_loss))])

    def _words(self, always: Collection[str], every_loss: tuple[str, ...]) -> Iterator[str]:
        plain = Request((), self.points)
        own = any(":" in name for name in self.impl)
        if self.losses != every_loss:
            of_own = {self.call_spec.formula, *(self.impl if self.call_spec.by_program else ())}
            yield from repeated_option("--loss", [name for name in self.losses if name not in of_own])
        yield from repeated_option("--impl", self.impl)
        for name, option in (("backends", "backend"), ("dtypes", "dtype"), ("devices", "device"), ("modes", "mode")):
            if getattr(self, name) != getattr(plain, name) or option in always:
                yield from repeated_option(f"--{option}", getattr(self, name))
        if self.quantities != plain.quantities or "quantity" in always:
            yield from ("--quantity", self.quantities[0] if len(self.quantities) == 1 else "both")
        params = [f"{name}={word_of(name, value) or FLOAT64.shortest(value)}" for name, value in self.params.items()]
        yield from repeated_option("--param", params)
        for name in ("oracle", "digits"):
            if getattr(self, name) != getattr(plain, name) or name in always:
                yield from (f"--{name}", str(getattr(self, name)))
        if self.max_ulp != plain.max_ulp or "max_ulp" in always:
            yield from ("--max-ulp", FLOAT64.shortest(self.max_ulp))
        if own:
            yield from self.call_spec.options()


@dataclass(frozen=True)
class Subject:
    """What is under test: an implementation on a backend and a device, and the mode it is run in."""

    implementation: Implementation
    backend: str
    device: str
    mode: str = "eager"


def listed(
    losses: Collection[str],
    logits: Collection[str | float],
    targets: Collection[str | float] = ("1",),
    *,
    reduction: str = "none",
    shape: Collection[int] = (),
    **asked: Any,
) -> Request:
    """A request at single points; ``asked`` are other attributes of :class:`Request`."""
    return Request(tuple(losses), Listed(tuple(logits), tuple(targets), reduction, tuple(shape)), **asked)


def swept(losses: Collection[str], low: str, high: str, *, targets: Collection[str] = (), **asked: Any) -> Request:
    """A request over a range; ``asked`` are attributes of :class:`Range` and of :class:`Request`."""
    points = {attribute.name: asked.pop(attribute.name) for attribute in fields(Range) if attribute.name in asked}
    return Request(tuple(losses), Range(low, high, tuple(targets), **points), **asked)


def dumped(losses: Collection[str], files: Collection[str] = (), *, reduction: str = "published", **asked: Any) -> Request:
    """A request about a dump; ``asked`` are other attributes of :class:`Request`."""
    return Request(tuple(losses), Dumped(tuple(files), reduction=reduction), **asked)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _check_types(kind: type[Any], given: Mapping[str, Any]) -> None:
    """Refuse what a hand or a fault wrote into a file: each value must be of the type its field is written with."""
    expected = {attribute.name: str(attribute.type) for attribute in fields(kind)}
    if set(given) != set(expected):
        raise ValueError(f"it has the fields {sorted(given)} and not {sorted(expected)}")
    for name, value in given.items():
        written = expected[name]
        plain = {"str": str, "int": int, "bool": bool}.get(written)
        if plain is not None and type(value) is not plain:
            raise TypeError(f"{name} is {value!r}")
        if written.startswith("tuple[") and not isinstance(value, tuple):
            raise TypeError(f"{name} is {value!r}")
        item = {"tuple[str, ...]": str, "tuple[int, ...]": int}.get(written)
        if item is not None and any(type(entry) is not item for entry in value):
            raise TypeError(f"{name} is {value!r}")
