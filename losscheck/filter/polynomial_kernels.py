"""The compiled judge of neighbouring floats by a polynomial. Imported only when millions of points are asked for.

Nothing here depends on a formula: what it knows of one are the rows of a table (see stretches.py). Compiled once for a machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["above", "above_of", "crossing", "exact_at", "fill", "in_units", "judge", "mark_failed", "outcomes", "profiled"]

TILE = 2048  # floats that are sound together or looked at one by one; their sizes stay in the first-level cache
ROUNDED = 2.0**-23  # a size is the float32 nearest to a float64


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Kept on disk where a folder can be written; products and sums may be rounded as one, which the bounds cover."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for it
        return njit(**options)(function)


@intrinsic
def bits_of_float32(typing_context: Any, value: Any) -> Any:
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def float32_of_bits(typing_context: Any, bits: Any) -> Any:
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.FloatType())


@njit(inline="always")
def horner_4(c, s):
    return (((c[4] * s + c[3]) * s + c[2]) * s + c[1]) * s + c[0]


@njit(inline="always")
def horner_8(c, s):
    return (((((((c[8] * s + c[7]) * s + c[6]) * s + c[5]) * s + c[4]) * s + c[3]) * s + c[2]) * s + c[1]) * s + c[0]


@njit(inline="always")
def horner_10(c, s):
    return (horner_8(c[2:], s) * s + c[1]) * s + c[0]


@njit(inline="always")
def bits_of_distance(value, exact):
    return bits_of_float32(np.float32(abs(value - exact)))


@compiled
def distances(values, size, c, degree, inverse, s, step):
    """The bits of |value - exact| in ulp as float32; returns the greatest."""
    top = np.int32(0)
    if degree <= 4:
        for i in range(values.size):
            size[i] = bits_of_distance(np.float64(values[i]) * inverse, horner_4(c, s + i * step))
            top = max(top, size[i])
    elif degree <= 8:
        for i in range(values.size):
            size[i] = bits_of_distance(np.float64(values[i]) * inverse, horner_8(c, s + i * step))
            top = max(top, size[i])
    else:
        for i in range(values.size):
            size[i] = bits_of_distance(np.float64(values[i]) * inverse, horner_10(c, s + i * step))
            top = max(top, size[i])
    return top


@compiled
def count_between(size, low, high, low_next, high_next):
    """How many sizes reach each of four numbers."""
    a = b = c = d = np.int32(0)
    for i in range(size.size):
        bits = size[i]
        a += np.int32(bits >= low)
        b += np.int32(bits >= high)
        c += np.int32(bits >= low_next)
        d += np.int32(bits >= high_next)
    return a, b, c, d


@compiled
def counted(size, top, slack, bucket_of):
    """Add the sizes of a tile to a histogram; False, and nothing added, where one lies too near to an edge to be told."""
    n = size.size
    reach = top * (1 + ROUNDED) + slack
    edge, bucket, above = 0.5, 1, n
    counts = np.zeros(bucket_of.size + 2, np.int32)
    while edge <= reach:
        if bucket + 2 >= bucket_of.size:
            return False
        lows = bits_of_float32(np.float32(edge * (1 - ROUNDED) - slack)), bits_of_float32(np.float32(2 * edge * (1 - ROUNDED) - slack))
        highs = bits_of_float32(np.float32(edge * (1 + ROUNDED) + slack)), bits_of_float32(np.float32(2 * edge * (1 + ROUNDED) + slack))
        a, b, c, d = count_between(size, lows[0], highs[0], lows[1], highs[1])
        if a != b or c != d:
            return False
        counts[bucket - 1] += above - a
        counts[bucket] += a - c
        above, edge, bucket = c, 4 * edge, bucket + 2
    counts[bucket - 1] += above
    for k in range(bucket):
        bucket_of[k] += counts[k]
    return True


@compiled
def judge(values, size, offset, first, table, histogram, tiles, found, cells, tops, errors, whole):
    """Distances of values from the polynomials of one stretch, and which tiles need a second look.

    Args:
        values, size: of the floats from ``offset`` in the stretch on, whose ordinals begin at ``first``; what comes out in size is
            |ulp| as the bits of float32.
        table: of the stretch, see :class:`losscheck.filter.stretches.Table`; histogram: of what is sound.
        tiles: [begin, end] rows, filled; found: the greatest |ulp| of what is sound, the greatest error and the exact range, updated.
        cells: the first ordinal of each cell of the profile; tops, errors: by cell, updated.
        whole: False where errors alone are asked for.
    Returns: how many rows of tiles.
    """
    n, seen = values.size, 0
    row = np.searchsorted(table.starts, offset, "right") - 1
    cell = np.searchsorted(cells, first, "right") - 1
    while row < table.degrees.size and table.starts[row] < offset + n:
        begin, last = max(table.starts[row] - offset, 0), min(table.starts[row + 1] - offset, n)
        found[2], found[3] = min(found[2], table.lowest[row]), max(found[3], table.highest[row])
        while begin < last:
            while cells[cell + 1] <= first + begin:
                cell += 1
            end = min(begin + TILE, last, cells[cell + 1] - first)
            s = (2.0 * (offset + begin) + 1.0) * table.step * 0.5 - 1.0
            part = size[begin:end]
            bits = distances(values[begin:end], part, table.coefficients[row], table.degrees[row], table.inverses[row], s, table.step)
            top, spread, slack = float(float32_of_bits(bits)), table.spreads[row], table.slacks[row]
            error = top / table.inverses[row]
            error = error if error == error else math.inf
            if table.limits[row] >= 0.0:
                found[1], errors[cell] = max(found[1], error), max(errors[cell], error)
            else:  # beyond the range of the dtype an infinity is right, and no error: nothing is known of all these at once
                found[1] = math.inf
            if whole:
                most = top * (1 + ROUNDED) * spread + slack
                sound = most < table.limits[row] and (spread == 1.0 or most < 0.5)
                if sound and counted(part, top, slack, histogram):
                    found[0], tops[cell] = max(found[0], top), max(tops[cell], top)
                elif seen and tiles[seen - 1, 1] == begin:
                    tiles[seen - 1, 1] = end
                else:
                    tiles[seen, 0], tiles[seen, 1] = begin, end
                    seen += 1
            begin = end
        row += 1
    return seen


@compiled
def outcomes(values, size, code, offset, table, outcome_of, max_ulp, open_at):
    """The outcomes of floats of a stretch that are not sound together, as far as its pieces tell without a second thought.

    In a piece whose exact values are normal, or subnormal, and of one sign, what lies nearer to one than 0 does is of its sign:
    ``ok`` or ``inaccurate``. 0 is lost, or flushed. What lies near the edge of a bucket or of a limit, or beyond 0, stays open.

    Args:
        outcome_of: the codes of ok, inaccurate, inf and nan.
        open_at: the positions of what stays open, filled; returns how many.
    """
    # Narrow integers throughout: as many more fit a vector.
    ok, inaccurate, unknown = np.int8(outcome_of[0]), np.int8(outcome_of[1]), np.int8(-1)
    infinite, nan, beyond_all = np.int8(outcome_of[2]), np.int8(outcome_of[3]), np.float32(math.inf)
    row = np.searchsorted(table.starts, offset, "right") - 1
    begin, n, count = 0, values.size, 0
    infinity = np.int32(0x7F800000)
    while begin < n:
        end = min(table.starts[row + 1] - offset, n)
        part, of, out = size[begin:end], values[begin:end], code[begin:end]
        slack, sign = table.slacks[row], np.float32(1.0) if table.lowest[row] > 0.0 else np.float32(-1.0)
        zero_away = min(abs(table.lowest[row]), abs(table.highest[row])) * table.inverses[row] - slack
        nearest = bits_of_float32(np.float32(zero_away * (1 - 2 * ROUNDED)))
        below = bits_of_float32(np.float32((max_ulp - slack) * (1 - 2 * ROUNDED)))
        beyond = bits_of_float32(np.float32((max_ulp + slack) * (1 + 2 * ROUNDED)))
        margin = np.int32(2 + math.ceil((ROUNDED + 2 * slack) / ROUNDED)) if slack < 2.0**-12 else np.int32(0)
        if table.zeros[row] < 0 or margin == 0:
            for i in range(part.size):
                open_at[count] = begin + i
                count += 1
        else:
            zero, some_open, nothing = np.int8(table.zeros[row]), np.int8(0), np.float32(0.0)
            mantissa, width = np.int32(0x7FFFFF), np.int32(2 * margin)
            for i in range(part.size):
                bits, value = part[i], of[i] * sign
                told = inaccurate if bits > beyond else (ok if bits < below else unknown)
                told = told if bits < nearest else unknown
                told = zero if value == nothing else told
                told = unknown if np.int32(np.int32(bits + margin) & mantissa) < width else told
                told = infinite if value == beyond_all else told
                told = nan if value != value else told
                part[i] = bits if bits < infinity else infinity
                out[i] = told
                some_open |= told
            if some_open < 0:
                for i in range(part.size):
                    if out[i] < 0:
                        open_at[count] = begin + i
                        count += 1
        begin, row = end, row + 1
    return count


@compiled
def exact_at(positions, offset, table, exact, bound):
    """The polynomials' values at some floats, counted from ``offset`` in a stretch on and rising, and relative bounds.

    In what rounds to 0 anyway, and is hardly known beside its bound, a number whose bound of 1 covers it stands for it.
    """
    row = 0
    for k in range(positions.size):
        at = offset + positions[k]
        while table.starts[row + 1] <= at:
            row += 1
        q, least = horner_10(table.coefficients[row], (2.0 * at + 1.0) * table.step * 0.5 - 1.0), 2 * table.slacks[row]
        size = abs(q)
        if size >= least:
            bound[k] = table.slacks[row] / size * (1 + 2.0**-50)
        else:
            bound[k] = 1.0 if max(abs(table.lowest[row]), abs(table.highest[row])) * table.inverses[row] <= 0.5 else math.inf
        exact[k] = math.copysign(max(size, least) / table.inverses[row], q)


@compiled
def crossing(c, length, rising, threshold, margin):
    """Of the floats of a stretch on which a polynomial is monotone: where it comes within ``margin`` of a threshold, and leaves."""
    sign = 1.0 if rising else -1.0
    ends = np.zeros(2, np.int64)
    for side in range(2):
        target = sign * threshold + (margin if side else -margin)
        low, high = 0, length
        while low < high:
            middle = (low + high) // 2
            value = sign * horner_10(c, (2.0 * middle + 1.0) / length - 1.0)
            if value > target or (side == 0 and value == target):
                high = middle
            else:
                low = middle + 1
        ends[side] = low
    return ends[0], ends[1]


@compiled
def above(size, floor, positions):
    """The positions of sizes greater than ``floor``; one more than there is room for where there are too many."""
    count = 0
    for begin in range(0, size.size, 512):
        part = size[begin : begin + 512]
        top = np.int32(-1)
        for i in range(part.size):
            top = max(top, part[i])
        if top > floor:
            for i in range(part.size):
                if part[i] > floor:
                    if count == positions.size:
                        return count + 1
                    positions[count] = begin + i
                    count += 1
    return count


@compiled
def above_of(code, least, size, floor, positions):
    """The same of those with one code alone."""
    count = 0
    for i in range(size.size):
        if size[i] > floor and code[i] == least:
            if count == positions.size:
                return count + 1
            positions[count] = i
            count += 1
    return count


@compiled
def in_units(size, offset, table, factor, out):
    """Raise ``out`` (bits of float32) to the sizes as errors, times a factor."""
    row = np.searchsorted(table.starts, offset, "right") - 1
    begin, n = 0, size.size
    while begin < n:
        end = min(table.starts[row + 1] - offset, n)
        scale = factor / table.inverses[row]
        part, of = size[begin:end], out[begin:end]
        for i in range(part.size):
            of[i] = max(of[i], bits_of_float32(np.float32(float32_of_bits(part[i]) * scale)))
        begin, row = end, row + 1


@compiled
def profiled(first, code, size, cells, tops, codes):
    """Raise the profile, by cell, by the codes and sizes of the floats from an ordinal on; the greatest and the least of them."""
    least, greatest, highest = np.int8(127), np.int8(-1), np.int32(-1)
    cell = np.searchsorted(cells, first, "right") - 1
    begin, n = 0, code.size
    while begin < n:
        end = min(cells[cell + 1] - first, n)
        low, high, top = np.int8(127), np.int8(-1), np.int32(-1)
        part, of = code[begin:end], size[begin:end]
        for i in range(part.size):
            low = part[i] if part[i] < low else low
            high = part[i] if part[i] > high else high
        for i in range(of.size):
            top = of[i] if of[i] > top else top
        if part.size:
            codes[cell] = min(codes[cell], low)
        if of.size:
            tops[cell] = max(tops[cell], float(float32_of_bits(top)))
        least, greatest, highest = min(least, low), max(greatest, high), max(highest, top)
        begin, cell = end, cell + 1
    return least, greatest, highest


@compiled
def fill(out, code):
    for i in range(out.size):
        out[i] = code


@compiled
def mark_failed(code, undecided, if_failed, out):
    """Set what has an outcome that failed."""
    limit, marked = np.int8(undecided), np.int8(if_failed)
    for i in range(out.size):
        out[i] = marked if code[i] < limit else out[i]
