"""What the floats of a block do to training, in the pass that judged them: by one answer for all of them where there is one."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from losscheck.core.effect import effect_rules
from losscheck.filter.classify import UNDECIDED
from losscheck.filter.codegen import Expression, ExpressionOperations, LoopBody, compile_loop
from losscheck.filter.ranges import RANGES, Beside, Interval
from losscheck.filter.stretches import Stretch
from losscheck.measure.effect_stream import EFFECT, SOUND, Effects
from losscheck.measure.engine import Stream
from losscheck.measure.judge import OUTCOMES, PieceClassifier, found_nothing
from losscheck.measure.loops import FEW, bits_of
from losscheck.measure.reference import OK, Judged
from losscheck.measure.summary import Summary
from losscheck.measure.totals import Totals, bits_of_float, merged
from losscheck.points.grid import CELLS

__all__ = ["BlockEffects"]

Parts = list[tuple[int, int, Stretch]]  # of a block, [begin, end) and what covers it


class BlockEffects:
    """The effects of a scan.

    Of each quantity it needs the largest error and the exact range of the definition; where the claim is the definition, these
    are by-products of judging it.
    """

    def __init__(
        self, effects: Effects, streams: Mapping[str, Stream], judges: Mapping[str, PieceClassifier], cells: Any, block: int
    ) -> None:
        import numpy as np

        from losscheck.filter import block_kernels, polynomial_kernels
        from losscheck.filter.kernels import aligned

        self.effects, self.streams, self.judges, self.cells, self.block = effects, streams, judges, cells, block
        self.kernels, self.polynomials = block_kernels, polynomial_kernels
        self.code, self.size = aligned(block, np.int8), aligned(block, np.int32)
        self.by_claim = {name: effects.definition(name) == stream.claim for name, stream in streams.items()}
        self.sizes = {name: judge.size if self.by_claim[name] else aligned(block, np.int32) for name, judge in judges.items()}
        self.exact, self.bound, self.every = np.empty(block), np.empty(block), np.arange(block)
        self.error_of = {name: np.empty(block, np.float32) for name in streams}
        self.units = {"loss": effects.scale.loss_at_zero, "grad": effects.scale.steepest}
        self._asked: list[float] = []
        self._answers = Interval(0.0, 1.0), Interval(0.0, 1.0)

    def begin(self) -> None:
        """Forget the scan before."""
        import numpy as np

        self.totals = Totals(EFFECT, None, self.cells, self.block)
        self.errors = {name: judge.errors if self.by_claim[name] else np.full(CELLS, -1.0) for name, judge in self.judges.items()}
        self.looked_at, self._asked = 0, []
        self.taken: list[tuple[int, int]] = []

    # What no polynomial covers ---------------------------------------------------------------------------------------

    def take(self, begin: int, end: int, judged: Judged) -> None:
        """The effects of a part of the block, judged elsewhere."""
        self._add_errors(judged.errors)
        self.code[begin:end], self.size[begin:end] = judged.codes, bits_of(judged.ulps)
        self.taken.append((begin, end))

    def outputs(self, begin: int, end: int) -> list[Any]:
        """What the compiled formulas fill."""
        import numpy as np

        errors = [error[begin:end] for error in self.error_of.values()]
        return [self.code[begin:end], self.size[begin:end].view(np.float32), *errors]

    def take_compiled(self, logits: Any, results: Mapping[str, Any], begin: int, end: int, again: Sequence[Any]) -> None:
        """What the compiled formulas filled; what was not known of a float when its effect was judged is known now.

        Args:
            logits, results: of the part; again: the floats, counted from ``begin``, whose outcomes the oracle has settled since.
        """
        import numpy as np

        code, size = self.code[begin:end], self.size[begin:end]
        errors = {name: error[begin:end] for name, error in self.error_of.items()}
        open_ = np.unique(np.concatenate([*again, np.flatnonzero(code == UNDECIDED)])).astype(np.int64)
        if len(open_):
            for error in errors.values():
                error[open_] = 0.0
            xs, target = logits[open_].astype(np.float64), self._target
            values = {name: result[open_].astype(np.float64) for name, result in results.items()}
            codes = {name: Judged(self.judges[name].code[begin:end][open_], None) for name in values}
            exact = {name: stream.reference.filter(np, self.effects.definition(name), xs, target) for name, stream in self.streams.items()}
            judged = self.effects.judge(np, xs, target, values, codes, exact)
            code[open_], size[open_] = judged.codes, bits_of(judged.ulps)
            self._add_errors(judged.errors)
        self._add_errors({name: float(error.max()) for name, error in errors.items()})
        self.taken.append((begin, end))

    # What polynomials cover ------------------------------------------------------------------------------------------

    def add(self, first: int, logits: Any, results: Mapping[str, Any], covered: Mapping[str, Parts]) -> None:
        """Judge and count a block whose outcomes are known.

        Args:
            covered: of each quantity the parts of the block that its definition's polynomials cover.
        """
        found = {name: self._found(name, first, results[name], parts) for name, parts in covered.items()}
        if_sound, if_failed = self._answer(found)
        n, top = len(logits), bits_of_float(max(float(found[name][1]) / self.units[name] for name in found) * (1 + 2.0**-50))
        failing = [judge.codes for judge in self.judges.values() if judge.codes is not None]
        code, least = None, SOUND
        if not (if_sound.certain and if_failed.certain):
            for begin, end in _common(covered):
                self._judge(first, logits, results, begin, end, covered)
            code, least = self.code[:n], -1
        elif failing or self.taken or if_sound.low != SOUND:
            code, least = self.code[:n], -1
            for begin, end in _common(covered):
                self.kernels.fill(self.code[begin:end], int(if_sound.low))
                for codes in failing:
                    self.kernels.mark_failed(codes[begin:end], UNDECIDED, int(if_failed.low), self.code[begin:end])
        size = Sizes(self, first, n, covered)
        self._count(first, n, code, size, top, covered)
        if code is not None:
            least, _, highest = self.kernels.profiled(first, code, self.size[:0], self.cells, self.totals.tops, self.totals.codes)
            top = max([top, highest, *(int(self.size[begin:end].max()) for begin, end in self.taken)])
        self.totals.add(first, size, code, top, least, results)
        self.taken = []

    def summary(self) -> Summary:
        import numpy as np

        totals = self.totals
        for name, errors in self.errors.items():
            totals.tops = np.maximum(totals.tops, np.where(errors < 0, -1.0, errors / self.units[name]))
            self._add_errors({name: max(0.0, float(errors.max()))})
        return totals.summary()

    def _found(self, name: str, first: int, values: Any, parts: Parts) -> Any:
        """The largest error of a quantity in a block and the exact range of its definition, as :func:`found_nothing` has them."""
        if self.by_claim[name]:
            return self.judges[name].found
        judge, found, errors = self.judges[name], found_nothing(), self.errors[name]
        profile = self.cells, errors, errors, judge.totals.codes
        for begin, end, stretch in parts:
            where = first + begin - stretch.first, first + begin, stretch.table
            outputs = judge.totals.by_exponent, *judge.rows, judge.positions, found, profile
            sizes = self.sizes[name][begin:end]
            self.polynomials.judge(values[begin:end], sizes, judge.code[begin:end], *where, *outputs, OUTCOMES, 0.0, False)
        return found

    def _answer(self, found: Mapping[str, Any]) -> tuple[Interval, Interval]:
        """The effects of all floats of a block where no outcome failed, and where one did: the rules asked of ranges, widened to
        powers of two so that few are ever asked."""
        numbers = [number for f in found.values() for number in f.tolist()[1:4]]
        # The error, the low and the high end of each quantity; most blocks lie within what was asked of the block before.
        within = (self._asked[n] <= x if n % 3 == 1 else x <= self._asked[n] for n, x in enumerate(numbers))
        if not (self._asked and all(within)):
            self._asked = [_outward(x, up=n % 3 != 1) for n, x in enumerate(numbers)]
            sides: dict[str, tuple[Beside, Interval] | tuple[None, None]] = {"loss": (None, None), "grad": (None, None)}
            for n, name in enumerate(found):
                error, low, high = self._asked[3 * n : 3 * n + 3]
                exact = Interval(low, high) if low <= high else Interval(0.0, 0.0)
                sides[name] = Beside(exact, error), exact
            answers = [self._rules(sides, failed) for failed in (False, True)]
            sound, failed = (answer if isinstance(answer, Interval) else Interval(answer, answer) for answer in answers)
            self._answers = sound, failed
        return self._answers

    def _rules(self, sides: Mapping[str, tuple[Any, Any]], failed: bool) -> Any:
        return effect_rules(RANGES, *sides["loss"], *sides["grad"], failed=failed, scale=self.effects.scale)

    def _judge(self, first: int, logits: Any, results: Mapping[str, Any], begin: int, end: int, covered: Mapping[str, Parts]) -> None:
        """A part of the block, float by float, against the polynomials' values of the definition."""
        import numpy as np

        self.looked_at += end - begin
        xs = logits[begin:end].astype(np.float64)
        values = {name: result[begin:end].astype(np.float64) for name, result in results.items()}
        judged = {}
        right = {}
        for name, judge in self.judges.items():
            for at, last, stretch in covered[name]:
                where = first + at - stretch.first, stretch.table
                self.polynomials.exact_at(self.every[: last - at], *where, self.exact[at:last], self.bound[at:last])
            known = self.exact[begin:end].copy(), self.bound[begin:end].copy()
            right[name] = judge.stream.reference.values(np, self.effects.definition(name), xs, self._target, known)
            judged[name] = judge.codes[begin:end] if judge.codes is not None else np.full(end - begin, OK, np.int8)
        if self.looked_at <= FEW:
            exact = {name: (value, np.zeros(end - begin)) for name, value in right.items()}
            found = self.effects.judge(np, xs, self._target, values, {name: Judged(codes, None) for name, codes in judged.items()}, exact)
            self.code[begin:end], self.size[begin:end] = found.codes, bits_of(found.ulps)
            self._add_errors(found.errors)
        else:
            self._loop(xs, *values.values(), *right.values(), *judged.values(), *self.outputs(begin, end))
            self._add_errors({name: float(error[begin:end].max()) for name, error in self.error_of.items()})
        self.taken.append((begin, end))

    @functools.cached_property
    def _loop(self) -> Any:
        """The rules compiled: logits, values, exact values and outcomes in; codes, sizes and errors out."""
        code = LoopBody()
        names = list(self.streams)
        inputs = ["logit", *names, *(f"exact_{name}" for name in names), *(f"outcome_{name}" for name in names)]
        made = {name: Expression(code, name) for name in inputs}
        failed = functools.reduce(lambda a, b: a | b, (made[f"outcome_{name}"] < UNDECIDED for name in names))
        values, exact = {name: made[name] for name in names}, {name: made[f"exact_{name}"] for name in names}
        effect, size, errors = self.effects.rules(ExpressionOperations(code), made["logit"], values, exact, failed)
        outputs = {"effect_code": effect.name, "effect_size": f"narrowed({size.name})"}
        outputs |= {f"{name}_error": errors[name].name for name in names}
        return compile_loop(code, inputs, outputs, contract=False)

    def _count(self, first: int, n: int, code: Any, size: Any, top: int, covered: Mapping[str, Parts]) -> None:
        """The histogram, and the profile of what was looked at."""
        totals = self.totals
        for begin, end in self.taken:
            totals.looked(first + begin, self.code[begin:end], self.size[begin:end])
        rest = _without(_common(covered), self.taken)
        if top < bits_of_float(0.5):
            totals.by_exponent[0, 0] += sum(end - begin for begin, end in rest)
        else:
            for begin, end in rest:
                totals.histogram_of(size()[begin:end], totals.by_exponent)

    @property
    def _target(self) -> float:
        return next(iter(self.streams.values())).target

    def _add_errors(self, errors: Mapping[str, float]) -> None:
        total = self.totals.total
        total.loss_error = max(total.loss_error, errors.get("loss", 0.0))
        total.grad_error = max(total.grad_error, errors.get("grad", 0.0))


class Sizes:
    """The size of each effect of a block, the bits of float32: the larger error in units of the scale; made when first asked for."""

    def __init__(self, effects: BlockEffects, first: int, n: int, covered: Mapping[str, Parts]) -> None:
        self.effects, self.first, self.n, self.covered = effects, first, n, covered
        self.made: Any = None

    def __call__(self) -> Any:
        if self.made is None:
            self.made = self._make()
        return self.made

    def _make(self) -> Any:
        effects = self.effects
        size, kept = effects.size[: self.n], [(begin, end, effects.size[begin:end].copy()) for begin, end in effects.taken]
        size[:] = 0
        for name, parts in self.covered.items():
            for begin, end, stretch in parts:
                where = self.first + begin - stretch.first, stretch.table
                effects.kernels.in_units(effects.sizes[name][begin:end], *where, 1.0 / effects.units[name], size[begin:end])
        for begin, end, own in kept:
            size[begin:end] = own
        return size


def _outward(x: float, up: bool) -> float:
    """A power of two (or 0) at least, or at most, as large."""
    if x == 0 or not math.isfinite(x):
        return x
    mantissa, exponent = math.frexp(abs(x))
    larger = up == (x > 0)
    if mantissa == 0.5:
        return x
    return math.copysign(math.ldexp(1.0, exponent if larger else exponent - 1), x)


def _common(covered: Mapping[str, Parts]) -> list[tuple[int, int]]:
    """The parts of a block that polynomials of every quantity cover: the same for each, however they are cut."""
    return merged([(begin, end) for begin, end, _ in next(iter(covered.values()))])


def _without(ranges: list[tuple[int, int]], taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [part for part in ranges if part not in taken]
