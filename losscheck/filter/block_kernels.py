"""What is done with the floats of a block whatever the formula: decoded; their sizes and codes counted, profiled and searched.

A size is |ulp| as the bits of a float32, a code an int8. numba widens what it adds to 64 bits unless told otherwise each time:
narrow numbers, as many more of which fit a vector, are what most of these loops are about.
"""

from __future__ import annotations

import math

import numpy as np

from losscheck.filter.compiling import bits_of_float32, float32_of_bits, kept

__all__ = [
    "HALF",
    "INFINITY",
    "MANTISSA",
    "ROUNDED",
    "counted",
    "decode",
    "edge_margin",
    "extremes",
    "fill",
    "histogram_of",
    "in_units",
    "mark_failed",
    "profiled",
    "runs_of",
    "tallied",
    "worst_of",
]

ROUNDED = 2.0**-23  # a size is the float32 nearest to a float64
HALF, INFINITY, MANTISSA = 0x3F000000, 0x7F800000, 0x7FFFFF  # the bits of 1/2 and of infinity; those of a float32 below its exponent
PASSES = 3  # over a tile, for two buckets each, that count as fast as one by one


@kept
def decode(ordinal, x):
    """The float32 numbers from an ordinal on."""
    bits = x.view(np.int32)
    negative = min(max(-ordinal, 0), bits.size)  # -1 is the ordinal of -0
    below, above = bits[:negative], bits[negative:]
    first, zero = np.int32((-1 - ordinal) | -2147483648), np.int32(ordinal + negative)
    for i in range(below.size):
        below[i] = np.int32(first - np.int32(i))
    for i in range(above.size):
        above[i] = np.int32(zero + np.int32(i))


@kept
def edge_margin(slack):
    """How far, in bits, a size may lie from a power of two from 1/2 on and be on its other side; -1 where that is no small number.

    Below 1/2 a float32 is 2^-25 from the next, a quarter of ROUNDED: its own rounding is half of that.
    """
    return np.int32(3 + math.ceil(4 * slack / ROUNDED)) if slack < 2.0**-12 else np.int32(-1)


@kept
def count_two(size, margin, first, second):
    """How many sizes reach each of two numbers, and by how little one misses being ``margin`` below a power of two from 1/2 on."""
    a = b = np.int32(0)
    floor, least = np.int32(HALF - 1 - margin), np.int32(MANTISSA)
    for i in range(size.size):
        bits = size[i]
        a = np.int32(a + np.int32(bits >= first))
        b = np.int32(b + np.int32(bits >= second))
        apart = np.int32(np.int32(max(bits, floor) + margin) & np.int32(MANTISSA))
        least = min(apart, least)
    return a, b, least


@kept
def counted(size, top, slack, by_exponent):
    """Add the sizes of a tile to a histogram; False, and nothing added, where one lies too near to an edge to be told.

    Args:
        top: the greatest of them; slack: what each may be off by, in ulp.
    """
    margin = edge_margin(slack)
    if margin < 0 or top >= INFINITY - margin:
        return False
    if top < HALF - margin:
        by_exponent[0, 0] += size.size
        return True
    edge, more = np.int32(HALF), size.size
    a, b, least = count_two(size, margin, edge, np.int32(edge + (1 << 23)))
    if least < 2 * margin:
        return False
    if top >= HALF + (2 * PASSES << 23):
        histogram_of(size, by_exponent)
        return True
    while True:
        exponent = edge >> 23
        by_exponent[0, exponent - 1] += more - a
        by_exponent[0, exponent] += a - b
        more, edge = b, np.int32(edge + (2 << 23))
        if b == 0:
            return True
        a, b, least = count_two(size, margin, edge, np.int32(edge + (1 << 23)))


@kept
def histogram_of(size, by_exponent):
    """Count sizes by the exponent of float32; four rows in turn: one would wait for its own last store."""
    whole = size.size & ~3
    for i in range(0, whole, 4):
        by_exponent[0, (size[i] >> 23) & 255] += 1
        by_exponent[1, (size[i + 1] >> 23) & 255] += 1
        by_exponent[2, (size[i + 2] >> 23) & 255] += 1
        by_exponent[3, (size[i + 3] >> 23) & 255] += 1
    for i in range(whole, size.size):
        by_exponent[0, (size[i] >> 23) & 255] += 1


@kept
def tallied(size, top, by_exponent):
    """The same for sizes of a tile with a known greatest: sixteen counters of eight bits in two words count the highest exponents, so that
    the loop vectorises; what lies below, which is rare, is counted one by one."""
    if top >= INFINITY or top < HALF:
        histogram_of(size, by_exponent)
        return
    lowest = (top >> 23) - 15
    base, below = np.int32(8 * lowest), np.int64(0)
    for begin in range(0, size.size, 255):
        part = size[begin : begin + 255]
        low, high = np.uint64(0), np.uint64(0)
        for i in range(part.size):
            shift = np.int32(np.int32(np.int32(part[i] >> 20) & np.int32(-8)) - base)
            low = np.uint64(low + (np.uint64(1) << np.uint64(shift & 63) if (shift >= 0) & (shift < 64) else np.uint64(0)))
            high = np.uint64(high + (np.uint64(1) << np.uint64(shift & 63) if shift >= 64 else np.uint64(0)))
        told = np.int64(0)
        for k in range(8):
            a, b = np.int64((low >> np.uint64(8 * k)) & np.uint64(255)), np.int64((high >> np.uint64(8 * k)) & np.uint64(255))
            by_exponent[0, lowest + k] += a
            by_exponent[0, lowest + 8 + k] += b
            told += a + b
        below += part.size - told
    if below:
        edge = np.int32(lowest << 23)
        for i in range(size.size):
            if size[i] < edge:
                by_exponent[0, size[i] >> 23] += 1


@kept
def extremes(code):
    """The least and the greatest code."""
    low, high = np.int8(127), np.int8(-1)
    for i in range(code.size):
        low = code[i] if code[i] < low else low
        high = code[i] if code[i] > high else high
    return low, high


@kept
def greatest(size):
    """The greatest size; -1 of none."""
    top = np.int32(-1)
    for i in range(size.size):
        top = size[i] if size[i] > top else top
    return top


@kept
def greatest_of(size, code, wanted):
    """The greatest size of those with one code; -1 of none."""
    top, code_wanted = np.int32(-1), np.int8(wanted)
    for i in range(size.size):
        bits = size[i] if code[i] == code_wanted else np.int32(-1)
        top = max(top, bits)
    return top


@kept
def profiled(first, code, size, cells, tops, codes):
    """Raise the profile, by cell, by the codes and sizes of the floats from an ordinal on; the least and the greatest code, and the
    greatest size. Of no sizes at all the codes alone count."""
    least, most, highest = np.int8(127), np.int8(-1), np.int32(-1)
    cell = np.searchsorted(cells, first, "right") - 1
    begin, n = 0, code.size
    while begin < n:
        end = min(cells[cell + 1] - first, n)
        if end > begin:
            low, high = extremes(code[begin:end])
            codes[cell] = min(codes[cell], low)
            least, most = min(least, low), max(most, high)
            if size.size:
                top = greatest(size[begin:end])
                tops[cell] = max(tops[cell], float(float32_of_bits(top)))
                highest = max(highest, top)
        begin, cell = end, cell + 1
    return least, most, highest


@kept
def runs_of(code, start, counts, kept, segments, count):
    """Count codes, and write where the runs of the kept ones are as rows: code, first and last ordinal, floats; the rows then."""
    before, began = code[0], 0
    for begin in range(0, code.size, 64):
        part = code[begin : begin + 64]
        changes, same = np.int8(0), np.int8(before)
        for i in range(part.size):
            changes = np.int8(changes | np.int8(part[i] ^ same))
        if changes != 0:
            for i in range(part.size):
                c = part[i]
                if c != before:
                    at = begin + i
                    counts[before] += at - began
                    if kept[before]:
                        row = segments[count]
                        row[0], row[1], row[2], row[3] = before, start + began, start + at - 1, at - began
                        count += 1
                    before, began = c, at
    counts[before] += code.size - began
    if kept[before]:
        row = segments[count]
        row[0], row[1], row[2], row[3] = before, start + began, start + code.size - 1, code.size - began
        count += 1
    return count


@kept
def worst_of(size, code, wanted, floor, positions):
    """The positions of the greatest sizes above ``floor``, ties by position, as many as there is room for; how many there are.

    Args:
        wanted: the code that counts, -1 where all do.

    Of each chunk the greatest is found first; then chunks are searched in the order of these, until what is left cannot be among them.
    """
    most, chunk, count = positions.size, 512, 0
    tops = np.empty((size.size + chunk - 1) // chunk, np.int32)
    for k in range(tops.size):
        part = size[k * chunk : (k + 1) * chunk]
        tops[k] = greatest(part) if wanted < 0 else greatest_of(part, code[k * chunk : (k + 1) * chunk], wanted)
    while True:
        best = np.argmax(tops)
        if tops[best] <= floor or (count == most and tops[best] < size[positions[most - 1]]):
            return count
        begin = best * chunk
        if count == most and tops[best] == size[positions[most - 1]] and begin > positions[most - 1]:
            return count  # the first of equal chunks comes first
        tops[best] = -1
        for i in range(begin, min(begin + chunk, size.size)):
            if size[i] > floor and (wanted < 0 or code[i] == wanted):
                at = count
                while at > 0 and (size[i] > size[positions[at - 1]] or (size[i] == size[positions[at - 1]] and i < positions[at - 1])):
                    at -= 1
                if at < most:
                    count = min(count + 1, most)
                    for k in range(count - 1, at, -1):
                        positions[k] = positions[k - 1]
                    positions[at] = i


@kept
def in_units(size, offset, table, factor, out):
    """Raise ``out`` (bits of float32) to the sizes as errors, times a factor; ``table`` and ``offset`` as in polynomial_kernels."""
    row = np.searchsorted(table.starts, offset, "right") - 1
    begin, n = 0, size.size
    while begin < n:
        end = min(table.starts[row + 1] - offset, n)
        scale = factor / table.inverses[row]
        part, of = size[begin:end], out[begin:end]
        for i in range(part.size):
            of[i] = max(of[i], bits_of_float32(np.float32(float32_of_bits(part[i]) * scale)))
        begin, row = end, row + 1


@kept
def fill(out, code):
    for i in range(out.size):
        out[i] = code


@kept
def mark_failed(code, undecided, if_failed, out):
    """Set what has an outcome that failed."""
    limit, marked = np.int8(undecided), np.int8(if_failed)
    for i in range(out.size):
        out[i] = marked if code[i] < limit else out[i]
