"""A callable of the user's as an elementwise function: called as its call spec says, with everything it does wrong told.

It gets copies, so that what it changes in place is changed nowhere else. Its result is judged in the dtype it has, whatever that of
the logits is: rounded first, it would be judged for what it is not.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from losscheck.backends.arrays import Arrays, array_dtype_name, arrays_of, size
from losscheck.callables import apart
from losscheck.callables.building import built_of, check_arguments, handed
from losscheck.callables.forms import formed
from losscheck.callables.loading import Own
from losscheck.callables.printed import stdout_to_stderr
from losscheck.callables.probe import Probe, probe_callable, vmap_agrees
from losscheck.callables.refusal import OwnCallError, describe_error
from losscheck.core.call_spec import CallSpec, picked
from losscheck.core.dtypes import FLOAT32, FORMATS, Format

__all__ = ["Adapted"]

# Batches of at least this many that have to be taken apart are worth an attempt with vmap.
MANY = 256
SHOWN = 6  # entries of a result that are listed


class Adapted:
    """``function(xp, logit, target, **params)`` of a callable; the loss's parameters are not for it (its keywords are).

    Attributes:
        own: the callable.
        probes: how it behaved when it was tried, by framework, dtype and device.
        compiled: what is done to the callable itself before it is called, for a compiler that does not see through this one.
        vmap_agreed: did the framework's vmap give the bits of the loop, by the same.
    """

    def __init__(self, own: Own, call_spec: CallSpec, compiled: Callable[[Any], Any] | None = None) -> None:
        self.own = own
        self.call_spec = call_spec
        self.compiled = compiled
        self.probes: dict[tuple[str, str, str], Probe] = {}
        self._built: dict[str, Any] = {}
        self.vmap_agreed: dict[tuple[str, str, str], bool] = {}
        check_arguments(own, call_spec, is_class=self.is_class)

    def __call__(self, xp: Any, logit: Any, target: Any, **params: Any) -> Any:
        """One loss for each logit, in their shape.

        Raises:
            OwnCallError: for whatever it raises, and a result that is none.
        """
        arrays, shape = arrays_of(xp), tuple(logit.shape)
        x, z = arrays.reshape(logit, (-1,)), arrays.reshape(target, (-1,))
        if self.probe(xp, logit).alone:
            return arrays.reshape(self._one_by_one(xp, x, z), shape)
        loss = self.result(xp, x, z)
        if size(loss) != size(x):
            raise OwnCallError(self.misshapen(loss, x))
        return arrays.reshape(loss, shape)

    def misshapen(self, loss: Any, x: Any) -> str:
        """What is wrong with a result of neither one number nor one for each logit."""
        hint = "" if self.call_spec.axes else "; --axes N,C or B,C,H,W lays the logits out as it expects them"
        shapes = [_shape(shape) for shape in (loss.shape, self.call_spec.shape(size(x)))]
        return f"it returned the shape {shapes[0]} for logits of the shape {shapes[1]}{hint} ({self.own.place})"

    def probe(self, xp: Any, logit: Any) -> Probe:
        """How it behaves for such arrays; tried out once."""
        backend, dtype, device = _key(xp, logit)
        return self.tried(backend, FORMATS[dtype], device)

    def tried(self, backend: str, dtype: Format = FLOAT32, device: str = "cpu") -> Probe:
        """How it behaves for arrays of a backend; tried out once."""
        key = backend, dtype.name, device
        if key not in self.probes:
            self.probes[key] = self._apart_probe(backend, dtype) if self.is_apart else probe_callable(self, backend, dtype, device)
        return self.probes[key]

    @property
    def is_apart(self) -> bool:
        """Is it called in a process of its own, because what it uses may end the one it is in?"""
        return isinstance(self.own.target, apart.Elsewhere)

    @property
    def detached(self) -> str:
        """Said of one whose gradient does not reach the logits."""
        return f"no gradient reaches the logits: they are detached on the way ({self.own.place})"

    def _apart_probe(self, backend: str, dtype: Format) -> Probe:
        try:
            found: Probe = apart.probe(self.own.spec, self.call_spec, backend, dtype.name)
        except OwnCallError as error:
            return Probe(failure=str(error))
        return found

    def result(
        self, xp: Any, x: Any, z: Any, untouched: list[tuple[str, Any, Any]] | None = None, shape: tuple[int, ...] | None = None
    ) -> Any:
        """What it returns for arrays laid out as its call spec says, or in a shape, checked but for its size.

        ``untouched`` collects (name, passed, copy before).

        Raises:
            OwnCallError: as :meth:`__call__`.
        """
        arrays = arrays_of(xp)
        shape = self.call_spec.shape(size(x)) if shape is None else shape
        logits, targets = (arrays.reshape(arrays.copy(array), shape) for array in (x, z))
        if self.call_spec.input == "probabilities":
            logits = arrays.sigmoid(logits)
        probabilities = self.call_spec.input == "probabilities"
        logits = formed(arrays, logits, self.call_spec.form("logits"), probabilities=probabilities)
        targets = formed(arrays, targets, self.call_spec.form("targets"))
        if untouched is not None:
            untouched += [("logits", logits, arrays.copy(logits)), ("targets", targets, arrays.copy(targets))]
        positional, named = self.call_spec.bound(logits, targets)
        function = self._function(arrays, x)
        if not self.is_class:
            named |= handed(self.call_spec.keyword_values(), arrays, FORMATS[array_dtype_name(x)], x, shape)
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
        return self._checked(arrays, result, x)

    def whole(self, xp: Any, logit: Any, target: Any, **params: Any) -> Any:
        """What it returns for a batch in one call: its own reduction. The batch keeps its shape where the callable takes it."""
        arrays = arrays_of(xp)
        x, z = arrays.reshape(logit, (-1,)), arrays.reshape(target, (-1,))
        try:
            result = self.result(xp, x, z, shape=tuple(logit.shape))
        except OwnCallError:
            if len(logit.shape) == 1:
                raise
            result = self.result(xp, x, z)
        if size(result) != 1:
            raise OwnCallError(f"it returned the shape {_shape(result.shape)} where one number was expected")
        return arrays.reshape(result, ())

    def unknown(self, xp: Any, logit: Any, target: Any, **params: Any) -> Any:
        """Instead of :meth:`whole` for one whose reduction is none that is known: no exact number stands beside its own."""
        value = float(arrays_of(xp).numbers(self.whole(xp, logit, target))[0])
        raise OwnCallError(
            f"it returned {value:.9g} for the whole batch; its reduction is neither the mean nor the sum of its elements, "
            f"so there is no exact value to put beside it ({self.own.place})"
        )

    def _checked(self, arrays: Arrays, result: Any, x: Any) -> Any:
        if not arrays.is_array(result):
            entries = list(result) if isinstance(result, dict) else range(len(result)) if isinstance(result, tuple | list) else []
            some = ", ".join(map(str, entries[:SHOWN])) + (", ..." if len(entries) > SHOWN else "")
            hint = f"; --pick one of {some}" if entries else ""
            raise OwnCallError(f"it returned a {type(result).__name__} and not {arrays.one}{hint} ({self.own.place})")
        if array_dtype_name(result) not in FORMATS:
            raise OwnCallError(
                f"it returned {array_dtype_name(result)} for {array_dtype_name(x)} logits, and a loss is a float ({self.own.place})"
            )
        return arrays.as_array(result)

    def _one_by_one(self, xp: Any, x: Any, z: Any) -> Any:
        if size(x) >= MANY and not self.loops(xp, x):
            return self.vmapped(xp, x, z)
        return self.looped(xp, x, z)

    def loops(self, xp: Any, like: Any) -> bool:
        """Does every logit of an array such as this take a call of its own, because no batch can be made of them?"""
        if not self.probe(xp, like).alone:
            return False
        key = _key(xp, like)
        if key not in self.vmap_agreed:
            self.vmap_agreed[key] = vmap_agrees(self, xp, like)
        return not self.vmap_agreed[key]

    def looped(self, xp: Any, x: Any, z: Any) -> Any:
        """Every logit as a batch of one."""
        arrays = arrays_of(xp)
        return arrays.stack([self._single(xp, *point) for point in zip(arrays.singles(x), arrays.singles(z), strict=True)])

    def vmapped(self, xp: Any, x: Any, z: Any) -> Any:
        """The same in one call of the framework's vmap."""
        arrays = arrays_of(xp)
        mapped = arrays.vmap(lambda logit, target: self._single(xp, arrays.reshape(logit, (1,)), arrays.reshape(target, (1,))))
        assert mapped is not None
        return mapped(x, z)

    def _single(self, xp: Any, x: Any, z: Any) -> Any:
        result = self.result(xp, x, z)
        if size(result) != 1:
            raise OwnCallError(f"it returned the shape {_shape(result.shape)} for one logit ({self.own.place})")
        return arrays_of(xp).reshape(result, ())

    def constants(self) -> dict[str, Any]:
        """Its parameters by name: the keywords given, the constants of the call, else its own defaults, or what an object holds."""
        try:
            signature = inspect.signature(self.own.target)
        except (ValueError, TypeError):
            signature = inspect.Signature()
        defaults = {name: parameter.default for name, parameter in signature.parameters.items() if parameter.default is not parameter.empty}
        return {
            **({} if self.is_class else getattr(self.own.target, "__dict__", {})),
            **defaults,
            **{argument.name: argument.value for argument in self.call_spec.arguments() if argument.name and not argument.slot},
            **dict(self.call_spec.keywords),
        }

    @property
    def is_class(self) -> bool:
        """Is it a class, built with the keywords and then called?"""
        return inspect.isclass(self.own.target) or (isinstance(self.own.target, apart.Elsewhere) and self.own.target.is_class)

    def _function(self, arrays: Arrays, x: Any) -> Any:
        """The callable itself, or an object of the class; a module in the dtype and on the device of the logits."""
        # Torch's modules are built once and moved; nothing else can be.
        at = "" if arrays.backend == "torch" else array_dtype_name(x)
        built = self._kept(
            f"built {arrays.backend} {at}",
            lambda: built_of(self.own, self.call_spec, arrays, FORMATS[at] if at else FLOAT32) if self.is_class else self.own.target,
        )
        return self._kept(f"placed {' '.join(_key(arrays.module(), x))}", lambda: self._compiled(arrays.placed(built, x)))

    def _compiled(self, function: Any) -> Any:
        return function if self.compiled is None else self.compiled(function)

    def _kept(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._built:
            self._built[key] = make()
        return self._built[key]


def _key(xp: Any, x: Any) -> tuple[str, str, str]:
    return arrays_of(xp).backend, array_dtype_name(x), str(x.device) if xp.__name__ == "torch" else "cpu"


def _compiling(xp: Any) -> bool:
    return xp.__name__ == "torch" and bool(xp.compiler.is_compiling())


def _shape(shape: Any) -> str:
    return f"[{', '.join(map(str, shape))}]"
