"""A callable of the user's as an elementwise function: called as its call spec says, with everything it does wrong told.

It gets copies, so that what it changes in place is changed nowhere else. Its result is judged in the dtype it has, whatever that of
the logits is: rounded first, it would be judged for what it is not.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from typing import Any

from losscheck.callables.loading import Own, OwnCallError, describe_error, silence, stdout_to_stderr
from losscheck.callables.probe import Probe, probe_callable, vmap_agrees
from losscheck.core.call_spec import CallSpec, picked
from losscheck.core.dtypes import FORMATS
from losscheck.core.errors import UserError, nearest
from losscheck.core.functional import sigmoid
from losscheck.core.literals import TensorValue, as_given, value_text

__all__ = ["Adapted"]

# Batches of at least this many that have to be taken apart are worth an attempt with vmap.
MANY = 256
SHOWN = 6  # entries of a result that are listed


class Adapted:
    """``function(xp, logit, target, **params)`` of a callable; the loss's parameters are not for it (its keywords are).

    Attributes:
        own: the callable.
        probes: how it behaved when it was tried, by framework, dtype and device.
        vmap_agreed: did torch.func.vmap give the bits of the loop, by the same.
    """

    def __init__(self, own: Own, call_spec: CallSpec) -> None:
        self.own = own
        self.call_spec = call_spec
        self.probes: dict[tuple[str, str, str], Probe] = {}
        self._built: dict[str, Any] = {}
        self.vmap_agreed: dict[tuple[str, str, str], bool] = {}
        self._check_arguments()

    def __call__(self, xp: Any, logit: Any, target: Any, **params: Any) -> Any:
        """One loss for each logit, in their shape.

        Raises:
            OwnCallError: for whatever it raises, and a result that is none.
        """
        probe = self.probe(xp, logit)
        x, z = logit.reshape(-1), target.reshape(-1)
        if probe.detached and getattr(x, "requires_grad", False):
            raise OwnCallError(f"no gradient reaches the logits: they are detached on the way ({self.own.place})")
        if probe.alone:
            return self._one_by_one(xp, x, z).reshape(logit.shape)
        loss = self.result(xp, x, z)
        if _size(loss) != _size(x):
            raise OwnCallError(self.misshapen(loss, x))
        return loss.reshape(logit.shape)

    def misshapen(self, loss: Any, x: Any) -> str:
        """What is wrong with a result of neither one number nor one for each logit."""
        hint = "" if self.call_spec.axes else "; --axes N,C or B,C,H,W lays the logits out as it expects them"
        shapes = [f"[{', '.join(map(str, shape))}]" for shape in (loss.shape, self.call_spec.shape(len(x)))]
        return f"it returned the shape {shapes[0]} for logits of the shape {shapes[1]}{hint} ({self.own.place})"

    def probe(self, xp: Any, logit: Any) -> Probe:
        """How it behaves for such arrays; tried out once."""
        key = _key(xp, logit)
        if key not in self.probes:
            self.probes[key] = probe_callable(self, xp, logit)
        return self.probes[key]

    def result(
        self, xp: Any, x: Any, z: Any, untouched: list[tuple[str, Any, Any]] | None = None, shape: tuple[int, ...] | None = None
    ) -> Any:
        """What it returns for arrays laid out as its call spec says, or in a shape, checked but for its size.

        ``untouched`` collects (name, passed, copy before).

        Raises:
            OwnCallError: as :meth:`__call__`.
        """
        shape = self.call_spec.shape(len(x)) if shape is None else shape
        logits, targets = _copy(x).reshape(shape), _copy(z).reshape(shape)
        if self.call_spec.input == "probabilities":
            logits = xp.sigmoid(logits) if xp.__name__ == "torch" else sigmoid(xp, logits)
        if untouched is not None:
            untouched += [("logits", logits, _copy(logits)), ("targets", targets, _copy(targets))]
        positional, named = self.call_spec.bound(logits, targets)
        function = self._function(xp, x)
        if not self.is_class:
            named |= _handed(self.call_spec.keyword_values())
        try:
            # A compiler cannot follow the redirection, and what it compiles prints nothing.
            with contextlib.nullcontext() if _compiling(xp) else stdout_to_stderr():
                returned = function(*positional, **named)
        except (Exception, SystemExit) as error:
            raise OwnCallError(describe_error(error, self.own.file)) from error
        try:
            result = picked(returned, self.call_spec.pick)
        except LookupError as error:
            raise OwnCallError(f"--pick {self.call_spec.pick}: {error}") from error
        return self._checked(xp, result, x)

    def whole(self, xp: Any, logit: Any, target: Any, **params: Any) -> Any:
        """What it returns for a batch in one call: its own reduction. The batch keeps its shape where the callable takes it."""
        x, z = logit.reshape(-1), target.reshape(-1)
        try:
            result = self.result(xp, x, z, shape=tuple(logit.shape))
        except OwnCallError:
            if logit.ndim == 1:
                raise
            result = self.result(xp, x, z)
        if _size(result) != 1:
            raise OwnCallError(f"it returned the shape {_shape(result.shape)} where one number was expected")
        return result.reshape(())

    def unknown(self, xp: Any, logit: Any, target: Any, **params: Any) -> Any:
        """Instead of :meth:`whole` for one whose reduction is none that is known: no exact number stands beside its own."""
        value = float(self.whole(xp, logit, target))
        raise OwnCallError(
            f"it returned {value:.9g} for the whole batch; its reduction is neither the mean nor the sum of its elements, "
            f"so there is no exact value to put beside it ({self.own.place})"
        )

    def _checked(self, xp: Any, result: Any, x: Any) -> Any:
        torch = xp.__name__ == "torch"
        right = isinstance(result, xp.Tensor) if torch else isinstance(result, xp.ndarray | xp.generic)
        if not right:
            entries = list(result) if isinstance(result, dict) else range(len(result)) if isinstance(result, tuple | list) else []
            some = ", ".join(map(str, entries[:SHOWN])) + (", ..." if len(entries) > SHOWN else "")
            hint = f"; --pick one of {some}" if entries else ""
            want = "a tensor" if torch else "an array"
            raise OwnCallError(f"it returned a {type(result).__name__} and not {want}{hint} ({self.own.place})")
        if _dtype(result) not in FORMATS:
            raise OwnCallError(f"it returned {_dtype(result)} for {_dtype(x)} logits, and a loss is a float ({self.own.place})")
        return result if torch else xp.asarray(result)

    def _one_by_one(self, xp: Any, x: Any, z: Any) -> Any:
        if len(x) >= MANY and not self.loops(xp, x):
            return self.vmapped(xp, x, z)
        return self.looped(xp, x, z)

    def loops(self, xp: Any, like: Any) -> bool:
        """Does every logit of an array such as this take a call of its own, because no batch can be made of them?"""
        if not self.probe(xp, like).alone:
            return False
        if xp.__name__ != "torch":
            return True
        key = _key(xp, like)
        if key not in self.vmap_agreed:
            self.vmap_agreed[key] = vmap_agrees(self, xp, like)
        return not self.vmap_agreed[key]

    def looped(self, xp: Any, x: Any, z: Any) -> Any:
        """Every logit as a batch of one."""
        losses = [self._single(xp, x[n : n + 1], z[n : n + 1]) for n in range(len(x))]
        return xp.stack(losses)

    def vmapped(self, xp: Any, x: Any, z: Any) -> Any:
        """The same in one call of torch.func.vmap."""
        return xp.func.vmap(lambda logit, target: self._single(xp, logit.reshape(1), target.reshape(1)))(x, z)

    def _single(self, xp: Any, x: Any, z: Any) -> Any:
        result = self.result(xp, x, z)
        if _size(result) != 1:
            raise OwnCallError(f"it returned the shape {_shape(result.shape)} for one logit ({self.own.place})")
        return result.reshape(())

    def constants(self) -> dict[str, Any]:
        """Its parameters by name: the keywords given, the constants of the call, else its own defaults."""
        try:
            signature = inspect.signature(self.own.target)
        except (ValueError, TypeError):
            signature = inspect.Signature()
        defaults = {name: parameter.default for name, parameter in signature.parameters.items() if parameter.default is not parameter.empty}
        return {
            **defaults,
            **{argument.name: argument.value for argument in self.call_spec.arguments() if argument.name and not argument.slot},
            **dict(self.call_spec.keywords),
        }

    @property
    def is_class(self) -> bool:
        """Is it a class, built with the keywords and then called?"""
        return inspect.isclass(self.own.target)

    def _function(self, xp: Any, x: Any) -> Any:
        """The callable itself, or an object of the class; a module in the dtype and on the device of the logits."""
        if "" not in self._built:
            self._built[""] = self._build() if self.is_class else self.own.target
        built = self._built[""]
        if xp.__name__ != "torch" or not isinstance(built, xp.nn.Module):
            return built
        key = f"{x.dtype} {x.device}"
        if key not in self._built:
            self._built[key] = copy.deepcopy(built).to(device=x.device, dtype=x.dtype)
        return self._built[key]

    def _build(self) -> Any:
        try:
            with stdout_to_stderr():
                built = self.own.target(**_handed(self.call_spec.keyword_values()))
        except (Exception, SystemExit) as error:
            raise UserError(f"{self.own.spec} cannot be built: {describe_error(error, self.own.file)}", self._how_to_build()) from None
        if not callable(built):
            raise UserError(f"an object of {self.own.spec} cannot be called", "give the class a __call__ or a forward")
        return built

    def _how_to_build(self) -> str:
        """The cure of a class that cannot be built: tensors for its numbers, where that has been tried and does it."""
        tensors = {
            name: TensorValue((float(value),)) if isinstance(value, int | float) and not isinstance(value, bool) else value
            for name, value in self.call_spec.keywords
        }
        try:
            with silence():
                self.own.target(**_handed({name: as_given(value) for name, value in tensors.items()}))
        except (Exception, SystemExit):
            return "--kw gives its arguments"
        words = [f"--kw {name}={value_text(value)}" for name, value in tensors.items() if value != dict(self.call_spec.keywords)[name]]
        return f"it takes a tensor there: {' '.join(words)}" if words else "--kw gives its arguments"

    def _check_arguments(self) -> None:
        """Refuse a keyword that it does not take before anything runs.

        Raises:
            UserError: with the nearest keywords, or what is missing.
        """
        try:
            signature = inspect.signature(self.own.target)
        except (ValueError, TypeError):
            return
        known = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
        for name, _ in self.call_spec.keywords:
            if name not in known and not anything:
                raise UserError(f"{self.own.spec} takes no {name!r}", nearest(name, known))
        positional, named = ([], {}) if self.is_class else self.call_spec.bound(None, None)
        try:
            signature.bind(*positional, **named, **self.call_spec.keyword_values())
        except TypeError as error:
            cure = (
                "--kw gives its arguments"
                if self.is_class
                else "--call and --kw say how to call it, as in --call '{targets}, input={logits}'"
            )
            raise UserError(f"{self.own.spec}{signature} cannot be called so: {error}", cure) from None


def _handed(keywords: dict[str, Any]) -> dict[str, Any]:
    """Keywords as they are handed over: tensors made of what was written ``tensor:2``."""
    if not any(isinstance(value, TensorValue) for value in keywords.values()):
        return keywords
    import torch

    return {name: torch.tensor(list(value)) if isinstance(value, TensorValue) else value for name, value in keywords.items()}


def _key(xp: Any, x: Any) -> tuple[str, str, str]:
    return xp.__name__, str(x.dtype), str(getattr(x, "device", "cpu"))


def _compiling(xp: Any) -> bool:
    return xp.__name__ == "torch" and bool(xp.compiler.is_compiling())


def _copy(x: Any) -> Any:
    return x.clone() if hasattr(x, "clone") else x.copy()


def _size(x: Any) -> int:
    return int(x.numel()) if hasattr(x, "numel") else int(x.size)


def _dtype(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def _shape(shape: Any) -> str:
    return f"[{', '.join(map(str, shape))}]"
