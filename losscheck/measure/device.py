"""The scanner for hundreds of millions of floats on a CUDA device: everything but the last few points stays there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from losscheck.filter.classify import BUCKETS, CODES, buckets
from losscheck.measure.examine import UNDECIDED, Examiner
from losscheck.measure.scan import BlockScanner
from losscheck.measure.summary import WORST, Summary, Worst
from losscheck.points.grid import Grid

__all__ = ["DeviceScanner"]

BLOCK = 2**22  # float64 temporaries of 32 MiB each


class DeviceScanner(BlockScanner):
    """Like its base, by torch operations on the device. ``call`` takes and returns tensors that live there."""

    def __init__(
        self, call: Callable[[Any], tuple[Any, Any]], examiners: Mapping[str, Examiner], grid: Grid, device: str, block: int = BLOCK
    ) -> None:
        super().__init__(call, examiners, grid)
        import torch

        self.device = device
        self.block_size = block
        self.starts = torch.tensor(self.cells, dtype=torch.int64, device=device)

    def scan(self, first: int, last: int) -> dict[str, Summary]:
        total: dict[str, Summary] = {}
        for start in range(first, last + 1, self.block_size):
            count = min(self.block_size, last + 1 - start)
            for quantity, summary in self.block(start, count).items():
                total[quantity] = total[quantity].merge(summary) if quantity in total else summary
        return total

    def block(self, first: int, count: int) -> dict[str, Summary]:
        import torch

        ordinals = torch.arange(first, first + count, dtype=torch.int64, device=self.device)
        logits = self._decode(ordinals)
        results = dict(zip(("loss", "grad"), self.call(logits), strict=True))
        found = {}
        for quantity, examiner in self.examiners.items():
            values = results[quantity].double()
            found[quantity] = self._summary(examiner, ordinals, logits.double(), values)
            chosen = self.to_check(first, count)
            self.compare_with_oracle(found[quantity], examiner, logits[chosen].cpu().numpy(), values[chosen].cpu().numpy())
        return found

    def _decode(self, ordinals: Any) -> Any:
        import torch

        dtype = self.grid.dtype
        bits = torch.where(ordinals < 0, (-1 - ordinals) | (1 << (dtype.bits - 1)), ordinals)
        if dtype.name == "float16":
            return bits.to(torch.int16).view(torch.float16).float()
        if dtype.name == "bfloat16":
            bits = bits << 16
        # Values of 2^31 and more wrap to negative, which are the bits meant.
        return bits.to(torch.int32).view(torch.float32)

    def _summary(self, examiner: Examiner, ordinals: Any, logits: Any, values: Any) -> Summary:
        import torch

        codes, ulps = examiner.filtered(torch, logits, values)
        unsettled = torch.nonzero(codes == UNDECIDED).flatten()
        # All undecided points cross over in one copy each way; one by one each would wait for the device.
        xs, ys = logits[unsettled].cpu().tolist(), values[unsettled].cpu().tolist()
        settled = [examiner.settle(x, y) for x, y in zip(xs, ys, strict=True)]
        if settled:
            codes[unsettled] = torch.tensor([code for code, _ in settled], dtype=codes.dtype, device=self.device)
            ulps[unsettled] = torch.tensor([ulp for _, ulp in settled], dtype=ulps.dtype, device=self.device)
        summary = Summary(points=len(codes), settled=len(settled))
        summary.counts = torch.bincount(codes, minlength=len(CODES)).tolist()
        summary.histogram = torch.bincount(buckets(torch, ulps), minlength=BUCKETS).tolist()
        self._add_runs(summary, codes, ordinals)
        size = torch.where(torch.isnan(ulps), torch.inf, ulps.abs())
        self._add_worst(summary, size, ordinals, values, ulps)
        self._add_profile(summary, size, codes, ordinals)
        return summary

    def _add_runs(self, summary: Summary, codes: Any, ordinals: Any) -> None:
        import torch

        changes = torch.nonzero(codes[1:] != codes[:-1]).flatten() + 1
        starts = torch.cat([changes.new_zeros(1), changes])
        ends = torch.cat([changes - 1, changes.new_full((1,), len(codes) - 1)])
        for code, first, last in zip(codes[starts].tolist(), ordinals[starts].tolist(), ordinals[ends].tolist(), strict=True):
            summary.add_runs(code, [(first, last)])

    def _add_worst(self, summary: Summary, size: Any, ordinals: Any, values: Any, ulps: Any) -> None:
        import torch

        count = min(WORST, len(size))
        threshold = torch.topk(size, count).values[-1]
        # Ties are many (a whole band of lost values): the first of them in the order of ordinals are kept.
        above, ties = torch.nonzero(size > threshold).flatten(), torch.nonzero(size == threshold).flatten()[:count]
        chosen = torch.cat([above, ties])
        found = zip(ordinals[chosen].tolist(), values[chosen].tolist(), ulps[chosen].tolist(), strict=True)
        summary.worst = sorted((Worst(*each) for each in found), key=lambda each: each.key)[:WORST]

    def _add_profile(self, summary: Summary, size: Any, codes: Any, ordinals: Any) -> None:
        import torch

        cell = torch.searchsorted(self.starts, ordinals, right=True) - 1
        count = len(self.cells) - 1
        ulp = torch.full((count,), -1.0, dtype=torch.float64, device=self.device).scatter_reduce(0, cell, size, "amax")
        code = torch.full((count,), len(CODES), dtype=codes.dtype, device=self.device).scatter_reduce(0, cell, codes, "amin")
        summary.profile_ulp, summary.profile_code = ulp.tolist(), code.tolist()
