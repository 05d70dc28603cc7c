"""The compiled judge of neighbouring floats by a polynomial. Imported only when millions of points are asked for.

Nothing here depends on a formula: what it knows of one are the rows of a table (see pieces.py). Compiled once for a machine.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from losscheck.filter.compiling import bits_of_float32, float32_of_bits, kept
from losscheck.filter.size_kernels import HALF, INFINITY, MANTISSA, ROUNDED, counted, edge_margin, tallied

__all__ = ["crossing", "exact_at", "judge"]

TILE = 2048  # floats that are sound together or looked at one by one; their sizes stay in the first-level cache


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


@kept
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


@kept
def outcomes(values, size, code, zero, sign, bounds, of):
    """The outcomes of a tile whose exact values are normal, or subnormal, and of one sign: what lies nearer to one than 0 does is of
    its sign, ``ok`` or ``inaccurate``. 0 is lost, or flushed. What lies near the edge of a bucket or of a limit, or beyond 0, is -1.

    Args:
        zero: the outcome of a 0; sign: of the exact values.
        bounds: sizes from which on 0 is as near; below which is ok; above which is inaccurate; and the :func:`edge_margin`.
        of: the codes of ok, inaccurate, inf and nan.
    Returns: the least and the greatest outcome.
    """
    nearest, below, beyond, margin = bounds
    ok, inaccurate, infinite, nan = np.int32(of[0]), np.int32(of[1]), np.int32(of[2]), np.int32(of[3])
    unknown, zero, nothing, beyond_all = np.int32(-1), np.int32(zero), np.float32(0.0), np.float32(math.inf)
    floor, width, infinity = np.int32(HALF - 1 - margin), np.int32(2 * margin), np.int32(INFINITY)
    least, greatest = np.int32(127), np.int32(-1)
    for i in range(size.size):
        bits, value = size[i], values[i] * sign
        told = inaccurate if bits > beyond else (ok if bits < below else unknown)
        told = told if bits < nearest else unknown
        told = zero if value == nothing else told
        told = unknown if np.int32(np.int32(max(bits, floor) + margin) & np.int32(MANTISSA)) < width else told
        told = infinite if value == beyond_all else told
        told = nan if value != value else told
        size[i] = min(bits, infinity)
        code[i] = np.int8(told)
        least, greatest = min(least, told), max(greatest, told)
    return least, greatest


@kept
def plain_outcomes(size, code, bounds, of):
    """The same where the greatest size is below ``nearest``: nothing is 0, infinite or NaN."""
    _, below, beyond, margin = bounds
    ok, inaccurate, unknown = np.int32(of[0]), np.int32(of[1]), np.int32(-1)
    floor, width = np.int32(HALF - 1 - margin), np.int32(2 * margin)
    least, greatest = np.int32(127), np.int32(-1)
    for i in range(size.size):
        bits = size[i]
        told = inaccurate if bits > beyond else (ok if bits < below else unknown)
        told = unknown if np.int32(np.int32(max(bits, floor) + margin) & np.int32(MANTISSA)) < width else told
        code[i] = np.int8(told)
        least, greatest = min(least, told), max(greatest, told)
    return least, greatest


@kept
def looked(values, size, code, top, zero, of, max_ulp, slack, zero_away, sign):
    """The outcomes of a tile as far as its piece tells without a second thought; the least, -1 where some stay open, and the greatest."""
    margin = edge_margin(slack)
    if zero < 0 or margin < 0:
        for i in range(code.size):
            code[i] = np.int8(-1)
        return np.int32(-1), np.int32(-1)
    nearest = bits_of_float32(np.float32((zero_away - slack) * (1 - 2 * ROUNDED)))
    below = bits_of_float32(np.float32((max_ulp - slack) * (1 - 2 * ROUNDED)))
    beyond = bits_of_float32(np.float32((max_ulp + slack) * (1 + 2 * ROUNDED)))
    bounds = nearest, below, beyond, margin
    return plain_outcomes(size, code, bounds, of) if top < nearest else outcomes(values, size, code, zero, sign, bounds, of)


@kept
def listed(code, at, positions, count):
    """The positions, counted from ``at``, of what is open in a tile; how many there are now."""
    for i in range(code.size):
        if code[i] < 0:
            positions[count] = at + i
            count += 1
    return count


@kept
def add_range(ranges, count, begin, end):
    """Add to the rows of [begin, end), as one with the last where they touch; how many there are now."""
    if count and ranges[count - 1, 1] == begin:
        ranges[count - 1, 1] = end
        return count
    ranges[count, 0], ranges[count, 1] = begin, end
    return count + 1


@kept
def judge(values, size, code, offset, first, table, by_exponent, ranges, open_ranges, positions, found, profile, of, max_ulp, whole):
    """Distances of values from the polynomials of one stretch, and the outcomes of those that are not sound tile by tile.

    Args:
        values: of the floats from ``offset`` in the stretch on, whose ordinals begin at ``first``.
        size, code: |ulp| as the bits of float32, filled; the outcomes of what is not plainly ok, filled.
        table: of the stretch, see :class:`losscheck.filter.pieces.PieceTable`.
        by_exponent: the histogram of all but the open ranges, updated.
        ranges: [begin, end) rows of what has codes; open_ranges: of the tiles among them in which some are still open; positions: of
            these.
        found: the greatest |ulp|, the greatest error and the exact range, and the least and the greatest code; updated.
        profile: the first ordinal of each cell; by cell the greatest |ulp|, the greatest error, and the least code; updated.
        of: the codes of ok, inaccurate, inf and nan.
        whole: False where errors alone are asked for.
    Returns: how many rows of ranges and of open ranges, and how many positions.
    """
    cells, tops, errors, codes = profile
    n, ranged, opened, count = values.size, 0, 0, 0
    row = np.searchsorted(table.starts, offset, "right") - 1
    cell = np.searchsorted(cells, first, "right") - 1
    while row < table.degrees.size and table.starts[row] < offset + n:
        begin, last = max(table.starts[row] - offset, 0), min(table.starts[row + 1] - offset, n)
        found[2], found[3] = min(found[2], table.lowest[row]), max(found[3], table.highest[row])
        spread, slack, limit, inverse = table.spreads[row], table.slacks[row], table.limits[row], table.inverses[row]
        while begin < last:
            while cells[cell + 1] <= first + begin:
                cell += 1
            end = min(begin + TILE, last, cells[cell + 1] - first)
            s = (2.0 * (offset + begin) + 1.0) * table.step * 0.5 - 1.0
            part = size[begin:end]
            bits = distances(values[begin:end], part, table.coefficients[row], table.degrees[row], inverse, s, table.step)
            top = float(float32_of_bits(bits))
            error = top / inverse
            error = error if error == error else math.inf
            if limit >= 0.0:
                found[1], errors[cell] = max(found[1], error), max(errors[cell], error)
            else:  # beyond the range of the dtype an infinity is right, and no error: nothing is known of all these at once
                found[1] = math.inf
            if whole:
                most = top * (1 + ROUNDED) * spread + slack
                sound = most < limit and (spread == 1.0 or most < 0.5)
                if sound and counted(part, bits, slack, by_exponent):
                    found[0], tops[cell] = max(found[0], top), max(tops[cell], top)
                else:
                    ranged = add_range(ranges, ranged, begin, end)
                    zero_away = min(abs(table.lowest[row]), abs(table.highest[row])) * inverse
                    sign = np.float32(1.0) if table.lowest[row] > 0.0 else np.float32(-1.0)
                    where = values[begin:end], part, code[begin:end]
                    least, greatest = looked(*where, bits, table.zeros[row], of, max_ulp, slack, zero_away, sign)
                    if least < 0:
                        count = listed(code[begin:end], begin, positions, count)
                        opened = add_range(open_ranges, opened, begin, end)
                    else:
                        bits = min(bits, np.int32(INFINITY))
                        tallied(part, bits, by_exponent)
                        top = float(float32_of_bits(bits))
                        found[0], tops[cell] = max(found[0], top), max(tops[cell], top)
                        found[4], found[5], codes[cell] = min(found[4], least), max(found[5], greatest), min(codes[cell], least)
            begin = end
        row += 1
    return ranged, opened, count


@kept
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


@kept
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
