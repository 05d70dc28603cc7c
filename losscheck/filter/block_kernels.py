"""What is done with the floats of a block whatever the formula: decoded; their sizes and codes profiled, searched and changed.

A size is |ulp| as the bits of a float32, a code an int8.
"""

from __future__ import annotations

import numpy as np

from losscheck.filter.compiling import bits_of_float32, float32_of_bits, kept

__all__ = ["decode", "fill", "in_units", "mark_failed", "profiled", "runs_of", "worst_of"]


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
