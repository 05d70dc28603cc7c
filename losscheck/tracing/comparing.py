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
# What is off by more than LIMIT ulp is more than so many floats from the rounded exact value, across a binade too, where floats lie
# twice as far apart.
NEAR = int(LIMIT) // 2 - 1


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
    off = bad = at = off_before = 0
    worst = 0.0
    for start in range(0, flat.numel(), BLOCK):
        values, exact = flat[start : start + BLOCK], beside[start : start + BLOCK]
        if not off_before:  # where a block is off the next one often is: it is not asked first whether it is
            # Floats of one sign lie as far apart as their bits. Of two signs the difference is large, or wraps.
            floats = rounded[: len(values)].copy_(exact).view(bits).sub_(values.view(bits))
            least, greatest = floats.aminmax()
            if least.item() >= -NEAR and greatest.item() <= NEAR:
                continue
        errors, most, specials = room.errors_of(values, exact)
        off_before = int((errors > room.limit).count_nonzero())
        off += off_before
        bad += specials
        if off_before and most > worst:
            worst, at = most, start
    if worst:
        at += int(room.errors_of(flat[at : at + BLOCK], beside[at : at + BLOCK])[0].argmax())
    return Compared(off, bad, worst / room.limit * LIMIT, at)


class _Room:
    """Where the errors of a block are computed; ``limit`` is LIMIT in their unit, which is a power of two times the ulp."""

    def __init__(self, size: int, dtype: Format) -> None:
        import torch

        self.dtype = dtype
        self.errors, self.scales = torch.empty(size, dtype=torch.float64), torch.empty(size, dtype=torch.int64)
        self.limit = LIMIT * 2.0 ** (2 - dtype.precision)

    def errors_of(self, values: Any, exact: Any) -> tuple[Any, float, int]:
        """|values - exact| over half of 2^(the exponent of exact): infinite where a NaN or an infinity stands for a number, 0 where it is
        right or float64 knows none; the largest; and how many are infinite."""
        import torch

        # The exponent's bits, all of them turned over, are those of 2 / 2^exponent.
        scales = torch.bitwise_and(exact.view(torch.int64), EXPONENT_BITS, out=self.scales[: len(values)]).bitwise_xor_(EXPONENT_BITS)
        scale = scales.view(torch.float64).clamp_(max=2.0 ** (1 - self.dtype.emin))
        errors = self.errors[: len(values)].copy_(values).sub_(exact).mul_(scale).abs_()
        if (most := errors.max().item()) < math.inf:
            return errors, most, 0
        special = (~(errors < math.inf)).nonzero().squeeze(1)
        values, exact = values[special], exact[special]
        rounds_to_number = exact.abs() < self.dtype.largest * (1 + 2.0**-self.dtype.precision)
        bad = ~values.isfinite() & rounds_to_number
        errors[special] = torch.where(bad, math.inf, 0.0).to(errors.dtype)
        return errors, errors.max().item(), int(bad.sum())
