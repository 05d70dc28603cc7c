"""A user's callable in bulk against the registered implementation that it is: what reading its formula off its program costs.

python benchmarks/own.py [--quick]
"""

import argparse
import statistics
import time

import torch

from losscheck.callables.implementation import own_implementation
from losscheck.callables.loading import register
from losscheck.core.call_spec import PLAIN_CALL
from losscheck.core.dtypes import FLOAT32
from losscheck.core.registry import implementations, loss_named
from losscheck.core.request import swept
from losscheck.measure.runner import Runner
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.task import Finding

# (loss, implementation, target): a plain one, one with floors, one with a clamp, one that cancels.
ROWS = (
    ("bce", "torch-bce-with-logits", "0"),
    ("bce", "torch-sigmoid-bceloss", "0"),
    ("centernet-heatmap", "centernet-neg-loss-clamped", "1"),
    ("weighted-focal", "weighted-focal-loss", "1"),
)


def registered(loss: str, name: str):
    return next(implementation for implementation in implementations() if (implementation.loss, implementation.name) == (loss, name))


def as_users(loss: str, name: str) -> str:
    """The same function under a spec that nobody knows."""
    function, params = registered(loss, name).function, loss_named(loss).resolve_own({}, FLOAT32)
    return register(lambda x, z: function(torch, x, z, **params))


def bulk(loss: str, impl: str, target: str, floats: int):
    """A sweep of as many floats from 1 on, compiled once."""
    high = FLOAT32.neighbour(1.0, floats - 1)
    tasks = tasks_of(
        swept(losses=(loss,), low="1.0", high=high.hex(), impl=(impl,), backends=("torch",), targets=(target,), exhaustive=True)
    )
    runner = Runner(tasks)
    return lambda: run_tasks(tasks, [Finding() for _ in tasks], runner=runner)


def seconds(run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def ratio(loss: str, name: str, target: str, floats: int, pairs: int) -> None:
    theirs, ours = bulk(loss, name, target, floats), bulk(loss, as_users(loss, name), target, floats)
    theirs(), ours()
    times = [(seconds(ours), seconds(theirs)) for _ in range(pairs)]
    ratios = sorted(own / registered for own, registered in times)
    print(
        f"{name}, target {target}, {floats} floats: user's {min(own for own, _ in times):.2f} s, "
        f"registered {min(other for _, other in times):.2f} s,"
        f" ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def reading(loss: str, name: str) -> None:
    """All targets, recorded, brought to normal form and confirmed, in processor time."""
    of = loss_named(loss)
    times = []
    for _ in range(3):
        implementation = own_implementation(as_users(loss, name), of, PLAIN_CALL)
        times.append(seconds(lambda derive=implementation.derive: derive(FLOAT32)))
    print(f"{name}: its formulas at {len(of.targets)} targets read and confirmed in {1e3 * min(times):.0f} to {1e3 * max(times):.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    for loss, name, target in ROWS:
        reading(loss, name)
        ratio(loss, name, target, 2**22 if quick else 2**24, 3 if quick else 7)
