"""Sizes counted by the power of two that they reach: the histogram of a sweep. A size is |ulp| as the bits of a float32.

numba widens what it adds to 64 bits unless told otherwise each time: narrow numbers, as many more of which fit a vector, are what
these loops are about.
"""

from __future__ import annotations

import math

import numpy as np

from losscheck.filter.compiling import kept

__all__ = ["HALF", "INFINITY", "MANTISSA", "ROUNDED", "counted", "edge_margin", "histogram_of", "tallied"]

ROUNDED = 2.0**-23  # a size is the float32 nearest to a float64
HALF, INFINITY, MANTISSA = 0x3F000000, 0x7F800000, 0x7FFFFF  # the bits of 1/2 and of infinity; those of a float32 below its exponent
PASSES = 3  # over a tile, for two buckets each, that count as fast as one by one


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
