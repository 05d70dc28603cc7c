"""How far the elements of a tensor are from float64, in ulp of its own format, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from losscheck.core.dtypes import Format
from losscheck.tracing.errors import LIMIT

__all__ = ["Compared", "compared"]

# Elements at a time: what is computed of them stays in the second-level cache, and PyTorch starts no threads for so few.
BLOCK = 2**15
EXPONENT_BITS = 0x7FF0000000000000


@dataclass(frozen=True)
class Compared:
    """Of a tensor beside float64.

    Attributes:
        off: elements off by more than the limit of ulp, those included that are NaN or infinite where float64 is neither (``bad``).
        worst, at: where any is off, the largest |ulp|, infinite for a bad one, and the flat position of the first such element.
    """

    off: int = 0
    bad: int = 0
    worst: float = 0.0
    at: int = 0


def compared(tensor: Any, wide: Any, dtype: Format) -> Compared:
    """A tensor of a format narrower than float64 beside ``wide``. Where float64 has no number itself, nothing is said."""
    import torch

    flat, beside = tensor.detach().reshape(-1), wide.detach().reshape(-1)
    bits = torch.int32 if dtype.bits == 32 else torch.int16
    rounded, room = torch.empty(min(flat.numel(), BLOCK), dtype=tensor.dtype), _Room(min(flat.numel(), BLOCK), dtype)
    off = bad = at = 0
    worst = 0.0
    for start in range(0, flat.numel(), BLOCK):
        values, exact = flat[start : start + BLOCK], beside[start : start + BLOCK]
        # Floats of one sign lie as far apart as their bits. Of two signs they wrap to a large number, and of two zeros to the least.
        floats = rounded[: len(values)].copy_(exact).view(bits).sub_(values.view(bits)).abs_()
        if floats.max().item() <= LIMIT:
            continue
        errors, most, specials = room.ulp(values, exact)
        off += int((errors > LIMIT).count_nonzero())
        bad += specials
        if most > worst:
            worst, at = most, start
    if worst:
        at += int(room.ulp(flat[at : at + BLOCK], beside[at : at + BLOCK])[0].argmax())
    return Compared(off, bad, worst, at)


class _Room:
    """Where the errors of a block are computed."""

    def __init__(self, size: int, dtype: Format) -> None:
        import torch

        self.dtype = dtype
        self.errors, self.units = torch.empty(size, dtype=torch.float64), torch.empty(size, dtype=torch.int64)

    def ulp(self, values: Any, exact: Any) -> tuple[Any, float, int]:
        """|values - exact| in ulp: infinite where a NaN or an infinity stands for a number, 0 where it is right or float64 knows none;
        the largest; and how many are infinite."""
        import torch

        # 2^(the exponent) of each number is read off its bits.
        units = torch.bitwise_and(exact.view(torch.int64), EXPONENT_BITS, out=self.units[: len(values)]).view(torch.float64)
        units.mul_(2.0 ** (1 - self.dtype.precision)).clamp_(min=math.ldexp(1.0, self.dtype.least_exponent))
        errors = self.errors[: len(values)].copy_(values).sub_(exact).div_(units).abs_()
        if (most := errors.max().item()) < math.inf:
            return errors, most, 0
        rounds_to_number = exact.abs() < self.dtype.largest * (1 + 2.0**-self.dtype.precision)
        finite = values.isfinite()
        bad = ~finite & rounds_to_number
        known = exact.isfinite() & (finite | rounds_to_number)
        errors = torch.where(bad, math.inf, torch.where(known, errors, 0.0))
        return errors, errors.max().item(), int(bad.sum())
