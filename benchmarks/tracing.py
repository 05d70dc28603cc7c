"""How long a trace takes, and how often the formula that it derives is the hand-written one.

python benchmarks/tracing.py             # trace and verdict of one point, after `import torch`: limit 50 ms up to 60 ops
python benchmarks/tracing.py --batch     # a million elements with float64 beside every op, against the bare call: limit 15
python benchmarks/tracing.py --cures     # the search for a cure: limit 2 s a loss
python benchmarks/tracing.py --formulas  # derived against hand-written, 5000 points an implementation in each of four dtypes (minutes)
python benchmarks/tracing.py --formulas 200
"""

import statistics
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import torch
from test_cures import CURED
from test_trace_batch import SIX
from test_tracing_formula import TORCH, differences, excuse_of
from tracing_losses import classification, regression

from losscheck.advice.elements import verdicts_on
from losscheck.core.dtypes import FORMATS
from losscheck.tracing import trace
from losscheck.tracing.cures.remedy import remedies
from losscheck.tracing.shadow import screened

LIMIT_MS = 50.0
MOST_OPS = 60
REPEATS = 7
LOGITS = (20.0, -17.0, 100.0)


def timed(function, logit):
    """The least processor time of some runs in ms, after one that fills the caches, and the number of ops."""
    traced = trace(function, logit, 1.0)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        trace(function, logit, 1.0)
        times.append(1e3 * (time.process_time() - start))
    return min(times), len(traced.ops), len(traced.causes)


def speed():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = [(*timed(function, logit), function.__name__, logit) for function in ONE_POINT for logit in LOGITS]
    small = [row for row in rows if row[1] <= MOST_OPS]
    times = sorted(row[0] for row in small)
    print(f"{len(small)} traces of at most {MOST_OPS} ops: median {statistics.median(times):.1f} ms,", end=" ")
    print(
        f"p95 {times[int(0.95 * len(times))]:.1f}, most {times[-1]:.1f}; limit {LIMIT_MS:.0f}; over it {sum(t > LIMIT_MS for t in times)}"
    )
    for milliseconds, ops, causes, name, logit in sorted(rows, reverse=True)[:5]:
        print(f"  {name} at {logit:g}: {milliseconds:.1f} ms, {ops} ops, {causes} causes")


# One point: losses that compare elements with each other have nothing to say of it.
TOGETHER = {"triplet", "cosine", "normalised_embedding", "info_nce", "bayesian_ranking", "list_net", "standardised", "total_variation"}
ONE_POINT = [function for function in (*classification.LOSSES, *regression.LOSSES) if function.__name__ not in TOGETHER]


def batch(spread, elements=1_000_000, repeats=5):
    """Each loss on a million logits of a normal distribution, one thread; the least processor time of each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logits, targets = spread * torch.randn(elements), (torch.rand(elements) < 0.1).float()
    ratios = []
    for name, function in SIX.items():

        def bare(function=function):
            leaf = logits.clone().requires_grad_()
            torch.autograd.grad(function(leaf, targets).sum(), leaf)

        def watched(function=function):
            screened(function, logits, targets)

        seconds = [least(call, repeats) for call in (bare, watched)]
        start = time.process_time()
        verdicts = verdicts_on(function, logits.double().numpy(), targets.double().numpy(), FORMATS["float32"])
        elementwise = time.process_time() - start
        ratios.append(seconds[1] / seconds[0])
        print(f"{name}: {1e3 * seconds[0]:.0f} ms bare, {ratios[-1]:.1f} times with errors per op;", end=" ")
        print(f"every element judged in {elementwise:.1f} s, {len(verdicts.failing)} fail, {verdicts.asked} pairs asked exactly")
    print(f"logits of a spread of {spread:g}: median {statistics.median(ratios):.1f}, most {max(ratios):.1f}; limit 15", flush=True)


def least(call, repeats):
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def cures():
    for name, build in CURED.items():
        for dtype in ("float32", "float64", "bfloat16"):
            function = build()
            start = time.process_time()
            cure = remedies(function, dtype).cure
            print(f"{name} {dtype}: {time.process_time() - start:.2f} s, {cure.after}")


def formulas(count):
    for implementation in TORCH:
        for name, dtype in FORMATS.items():
            start = time.perf_counter()
            rows = list(differences(implementation, dtype, count))
            excuse = excuse_of(implementation)
            kept = [row for row in rows if excuse is None or not excuse(row[0], dtype, row[2])]
            seconds = time.perf_counter() - start
            print(f"{implementation.loss} {implementation.name} {name}: {2 * count - len(rows)} of {2 * count} equal,", end=" ")
            print(f"{len(rows) - len(kept)} excused, {len(kept)} others {kept[:2]} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if "--batch" in sys.argv:
        for spread in (3.0, 10.0):  # of the wide ones four tenths lose something
            batch(spread)
    elif "--cures" in sys.argv:
        cures()
    elif "--formulas" in sys.argv:
        formulas(int(sys.argv[-1]) if sys.argv[-1].isdigit() else 5000)
    else:
        speed()
