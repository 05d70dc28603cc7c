"""The result of many points as a summary that merges: blocks, processes, shards, machines and batches all use this one merge."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from losscheck.filter.classify import BUCKETS, CODES, FAILING, UNDECIDED, buckets
from losscheck.measure.reference import UNASKED, Judged, on_host
from losscheck.points.grid import CELLS

__all__ = ["MOST_SEGMENTS", "WORST", "KeptPoint", "Summary", "joined", "largest", "segments_of", "summarise", "united"]

WORST = 10
# Segments kept for each class: more than half the floats of a 16-bit dtype, whose regions are therefore always complete.
MOST_SEGMENTS = 33000
ROWS = 64  # in which the largest values are looked for


NO_ULP, NO_CODE = [-1.0] * CELLS, [len(CODES)] * CELLS  # the profile of no point


@dataclass(frozen=True)
class KeptPoint:
    """A point by its position (the ordinal of a float, the place of an element), its class's code, its ulp as the filter saw
    it, and what came out; None for what was not asked."""

    position: int
    code: int
    ulp: float
    loss: float | None = None
    grad: float | None = None

    @property
    def size(self) -> float:
        """|ulp|, NaN as infinite."""
        return math.inf if math.isnan(self.ulp) else abs(self.ulp)


@dataclass
class Summary:
    """Counts of a stretch of positions; ``merge`` takes the stretch that follows it.

    Attributes:
        counts: points by code; unasked: ``undecided`` ones among them that the oracle was not asked about.
        histogram: points by bucket of |ulp|; top: the largest |ulp|.
        segments: for each failing code its segments in order, rows of the position of their first and last point and the
            number of points in between that have the code.
        gap: segments closer than this many floats were joined, because there were more than MOST_SEGMENTS of them.
        first: the first point of each failing code.
        worst: the WORST points by |ulp|, or by_severity by code first; ties by position.
        profile_ulp, profile_code: for each of CELLS cells of the range the largest |ulp| and the severest code.
        loss_error, grad_error: of effects, the largest |value - definition|.
        settled: points that the exact oracle had to settle.
        refusal: what was raised at the first point that has no result.
        held: of a sample that was searched, by the side of 0 (1 or -1) how near to it floats hold, without a gap up to the first failing
            one, as a number of floats from 0.
        checked, wrong: points of the stratified sample, and how many of them the filter had misjudged.
    """

    points: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(CODES))
    unasked: int = 0
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    top: float = 0.0
    segments: dict[int, Any] = field(default_factory=dict)
    gap: int = 0
    first: dict[int, KeptPoint] = field(default_factory=dict)
    worst: list[KeptPoint] = field(default_factory=list)
    by_severity: bool = False
    loss_error: float = 0.0
    grad_error: float = 0.0
    profile_ulp: list[float] = field(default_factory=NO_ULP.copy)
    profile_code: list[int] = field(default_factory=NO_CODE.copy)
    settled: int = 0
    checked: int = 0
    wrong: int = 0
    refusal: str = ""
    held: dict[int, int] = field(default_factory=dict)

    def merge(self, after: Summary) -> Summary:
        """This stretch and the one after it. Associative."""
        merged = Summary(
            **{name: getattr(self, name) + getattr(after, name) for name in ("points", "unasked", "settled", "checked", "wrong")},
            counts=_added(self.counts, after.counts),
            histogram=_added(self.histogram, after.histogram),
            top=max(self.top, after.top),
            gap=max(self.gap, after.gap),
            loss_error=max(self.loss_error, after.loss_error),
            grad_error=max(self.grad_error, after.grad_error),
            first=after.first | self.first,
            refusal=self.refusal or after.refusal,
            held=after.held | self.held,
            by_severity=self.by_severity or after.by_severity,
            profile_ulp=_by_cell(max, self.profile_ulp, after.profile_ulp, NO_ULP),
            profile_code=_by_cell(min, self.profile_code, after.profile_code, NO_CODE),
        )
        merged.worst = merged.the_worst([*self.worst, *after.worst])
        merged.add_segments([self.segments, after.segments])
        return merged

    def the_worst(self, kept_points: Sequence[KeptPoint]) -> list[KeptPoint]:
        """The WORST of some points, worst first: the same list whatever the order of merging."""
        return sorted(kept_points, key=lambda point: (point.code if self.by_severity else 0, -point.size, point.position))[:WORST]

    def add_segments(self, following: Sequence[dict[int, Any]]) -> None:
        """Add segments that follow those that are here, and join close ones while there are more than can be kept."""
        import numpy as np

        every: dict[int, list[Any]] = {code: [segments] for code, segments in self.segments.items()}
        for parts in following:
            for code, segments in parts.items():
                every.setdefault(code, []).append(segments)
        self.segments = {code: joined(np.concatenate(every[code]), self.gap) for code in sorted(every)}
        while any(len(segments) > MOST_SEGMENTS for segments in self.segments.values()):
            self.gap = max(1, 2 * self.gap)
            self.segments = {code: joined(segments, self.gap) for code, segments in self.segments.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for a state file."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: getattr(self, name).hex() for name in _FLOATS},
            **({"refusal": self.refusal} if self.refusal else {}),
            **({"held": {str(side): distance for side, distance in self.held.items()}} if self.held else {}),
            "segments": {str(code): segments.tolist() for code, segments in self.segments.items()},
            "first": [_point_to_json(point) for point in self.first.values()],
            "worst": [_point_to_json(point) for point in self.worst],
            "profile_ulp": [ulp.hex() for ulp in self.profile_ulp],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Summary:
        """The inverse of :meth:`to_json`; KeyError, TypeError or ValueError for anything else."""
        plain: dict[str, Any] = {name: data[name] for name in _PLAIN} | {name: float.fromhex(data[name]) for name in _FLOATS}
        return cls(
            **plain,
            refusal=str(data.get("refusal", "")),
            held={int(side): int(distance) for side, distance in data.get("held", {}).items()},
            segments={int(code): _segments_from_json(segments) for code, segments in data["segments"].items()},
            first={point[1]: _point_from_json(point) for point in data["first"]},
            worst=[_point_from_json(point) for point in data["worst"]],
            profile_ulp=[float.fromhex(ulp) for ulp in data["profile_ulp"]],
        )


_FLOATS = ("top", "loss_error", "grad_error")
_PLAIN = ("points", "counts", "unasked", "histogram", "gap", "by_severity", "profile_code", "settled", "checked", "wrong")


def _added(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _point_to_json(point: KeptPoint) -> list[Any]:
    return [point.position, point.code, point.ulp.hex(), *(None if value is None else value.hex() for value in (point.loss, point.grad))]


def _point_from_json(data: list[Any]) -> KeptPoint:
    position, code, ulp, *values = data
    if type(position) is not int or type(code) is not int:
        raise ValueError("a point at what is no whole number")
    return KeptPoint(position, code, float.fromhex(ulp), *(None if value is None else float.fromhex(value) for value in values))


def _segments_from_json(rows: list[list[int]]) -> Any:
    import numpy as np

    if not all(type(number) is int for row in rows for number in row):
        raise ValueError("a segment of what are no whole numbers")
    wide = any(abs(number) >= 2**62 for row in rows for number in row)
    return np.array(rows, object if wide else np.int64).reshape(-1, 3)


def segments_of(first: Any, last: Any) -> Any:
    """Whole segments from arrays of their ends."""
    import numpy as np

    if len(first) and (first[0] < -(2**62) or last[-1] >= 2**62):
        first, last = first.astype(object), last.astype(object)  # the lengths of float64's overflow int64
    return np.stack([first, last, last - first + 1], axis=1)


def joined(segments: Any, gap: int) -> Any:
    """Neighbouring segments, and those with at most ``gap`` floats between them, as one."""
    import numpy as np

    first, last, points = segments.T
    starts = np.flatnonzero(np.append(True, first[1:] - last[:-1] > gap + 1))
    if len(starts) == len(segments):
        return segments
    ends = np.append(starts[1:], len(segments)) - 1
    return np.stack([first[starts], last[ends], np.add.reduceat(points, starts)], axis=1)


def united(segments: Any, gap: int) -> Any:
    """Whole segments in any order, those that overlap or have at most ``gap`` floats between them as one: each float counts once."""
    import numpy as np

    first, last, _ = segments[np.argsort(segments[:, 0], kind="stable")].T
    last = np.maximum.accumulate(last)
    begins = np.append(True, first[1:] - last[:-1] > gap + 1)
    return segments_of(first[begins], last[np.append(begins[1:], True)])


def summarise(
    xp: Any,
    judged: Judged,
    positions: Any,
    results: Sequence[Any],
    *,
    cells: Any = None,
    kept: Collection[int] = FAILING,
    by_severity: bool = False,
) -> Summary:
    """The summary of some points, by numpy or torch.

    Args:
        judged: their codes and signed ulp; positions: where they are, rising (integers).
        results: the losses and the gradients returned, None for not asked.
        cells: the first position of each cell of the profile, and one past the end; without it there is no profile, no
            histogram and no segments.
        kept: the codes whose segments and first points are wanted.
    """
    codes, summary = judged.codes, Summary(points=len(judged.codes), settled=judged.settled, by_severity=by_severity)
    if not len(codes):
        return summary
    size = abs(judged.ulps)
    if math.isnan(float(size.max())):
        size = xp.where(xp.isnan(size), math.inf, size)
    counts = _counts(xp, codes)
    summary.unasked = counts.pop()
    if summary.unasked:
        size = xp.where(codes == UNASKED, -1.0, size)
    summary.counts = counts
    summary.top = max(0.0, float(size.max()))
    summary.loss_error, summary.grad_error = (judged.errors.get(quantity, 0.0) for quantity in ("loss", "grad"))

    def kept_points(where: Any) -> list[KeptPoint]:
        columns = [positions, codes, judged.ulps, *results]
        taken = [[None] * len(where) if column is None else column[where].tolist() for column in columns]
        return [KeptPoint(*row) for row in zip(*taken, strict=True)]

    present = [code for code, count in enumerate(counts) if count]
    summary.first = {code: kept_points(_first(xp, codes == code))[0] for code in present if code in kept}
    greatest = largest(xp, size, WORST)
    if not by_severity:
        summary.worst = summary.the_worst(kept_points(greatest))
    for code in present:
        if by_severity and len(summary.worst) < WORST:
            mine = codes == code
            # Where the greatest of all are of one code, as ``inaccurate`` ones often are, they are the greatest of that.
            where = greatest if bool(mine[greatest].all()) else _largest_of(xp, mine, size)
            summary.worst = summary.the_worst([*summary.worst, *kept_points(where)])
    summary.counts[UNDECIDED] += summary.unasked
    if cells is not None:
        summary.histogram = xp.bincount(buckets(xp, judged.ulps), minlength=BUCKETS).tolist()
        summary.segments = _segments(xp, codes, positions, kept)
        _add_profile(xp, summary, size, codes, positions, cells)
    return summary


def _counts(xp: Any, codes: Any) -> list[int]:
    """How many points have each code, UNASKED included. To count a code among single bytes costs a tenth of bincount."""
    if xp.__name__ == "torch" or codes.itemsize > 1:
        return list(xp.bincount(codes, minlength=UNASKED + 1).tolist())
    low, high = int(codes.min()), int(codes.max())
    return [int(xp.count_nonzero(codes == code)) if low <= code <= high else 0 for code in range(UNASKED + 1)]


def _first(xp: Any, chosen: Any) -> Any:
    """The first position that is chosen, as an array."""
    return xp.where(chosen)[0][:1] if xp.__name__ == "torch" else chosen.argmax().reshape(1)


def _largest_of(xp: Any, chosen: Any, size: Any) -> Any:
    """As :func:`largest`, of the points that are chosen."""
    positions = xp.where(chosen)[0]
    return positions[largest(xp, size[positions], WORST)]


def _by_cell(choose: Any, before: list[Any], after: list[Any], nothing: list[Any]) -> list[Any]:
    """The profile of both; that of a batch is empty."""
    if before == nothing or after == nothing:
        return (after if before == nothing else before).copy()
    return list(map(choose, before, after))


def largest(xp: Any, size: Any, most: int) -> Any:
    """The positions of the ``most`` greatest, ties by position."""
    if len(size) <= most:
        return xp.where(size == size)[0]
    if xp.__name__ == "numpy" and len(size) >= ROWS * ROWS:
        # Nothing below the least of the largest of ``most`` rows is among the largest of all.
        rows = size[: len(size) // ROWS * ROWS].reshape(ROWS, -1).max(axis=1)
        some = xp.where(size >= xp.partition(rows, ROWS - most)[ROWS - most])[0]
        if len(some) < len(size) // 2:
            return some[largest(xp, size[some], most)]
    rank = len(size) - most
    threshold = xp.topk(size, most).values[-1] if xp.__name__ == "torch" else xp.partition(size, rank)[rank]
    above = xp.where(size > threshold)[0]
    # Ties are many (a whole band of lost values).
    return xp.concatenate([above, xp.where(size == threshold)[0][: most - len(above)]])


def _segments(xp: Any, codes: Any, positions: Any, kept: Collection[int]) -> dict[int, Any]:
    """Runs of one code; only their ends leave a device."""
    import numpy as np

    changes = xp.where(codes[1:] != codes[:-1])[0]
    before, after = on_host(positions[changes]), on_host(positions[changes + 1])
    ends = on_host(positions[[0, -1]])
    first, last = np.append(ends[:1], after), np.append(before, ends[1:])
    code_of = np.append(on_host(codes[:1]), on_host(codes[changes + 1]))
    return {int(code): segments_of(first[code_of == code], last[code_of == code]) for code in np.unique(code_of) if code in kept}


def _add_profile(xp: Any, summary: Summary, size: Any, codes: Any, positions: Any, cells: Any) -> None:
    count = len(cells) - 1
    if xp.__name__ == "torch":
        cell = xp.searchsorted(cells, positions, side="right") - 1
        ulp_of = size.new_full((count,), -1.0).scatter_reduce(0, cell, size, "amax")
        code_of = codes.new_full((count,), len(CODES)).scatter_reduce(0, cell, codes, "amin")
    else:
        # The positions rise: a cell is a run of them. An empty one begins where the next begins.
        starts = xp.searchsorted(positions, cells)
        filled = xp.flatnonzero(starts[1:] > starts[:-1])
        ulp_of, code_of = xp.full(count, -1.0), xp.full(count, len(CODES))
        ulp_of[filled] = xp.maximum.reduceat(size, starts[filled])
        code_of[filled] = xp.minimum.reduceat(codes, starts[filled])
    summary.profile_ulp, summary.profile_code = ulp_of.tolist(), code_of.tolist()
