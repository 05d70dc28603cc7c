"""The bulk engine against the bare function, the default sweep against `import torch`, and how cost and memory grow.

python benchmarks/sweep.py [--device cuda] [--quick]
"""

import argparse
import resource
import time

import torch
from paired import command, paired, shown

from losscheck.core.dtypes import FLOAT32
from losscheck.core.request import swept
from losscheck.measure.compiled import BLOCK
from losscheck.measure.runner import Runner
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.task import Finding


def task(low: float, floats: int, quantities: tuple[str, ...], device: str):
    """One row of the sweep that the issue of speed is about: bce, torch-bce-with-logits, target 0."""
    high = FLOAT32.neighbour(low, floats - 1)
    question = swept(
        losses=("bce",),
        low=low.hex(),
        high=high.hex(),
        impl=("torch-bce-with-logits",),
        targets=("0",),
        devices=(device,),
        quantities=quantities,
        exhaustive=True,
    )
    return tasks_of(question)


def bare(floats: int, gradient: bool, device: str):
    """The function alone, forward or forward and backward, on as many blocks of the same size."""
    block = BLOCK if device == "cpu" else 2**22
    logits = torch.linspace(-20.0, -10.0, block, device=device, requires_grad=gradient)
    target, weight, ones = torch.zeros(block, device=device), torch.ones(1, device=device), torch.ones(block, device=device)

    def run() -> None:
        for _ in range(floats // block):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=weight)
            if gradient:
                torch.autograd.grad(loss, logits, ones)
        if device != "cpu":
            torch.cuda.synchronize()

    return run


def engine(tasks):
    runner = Runner(tasks)  # compiled once, as a sweep of billions does
    return lambda: run_tasks(tasks, [Finding() for _ in tasks], runner=runner)


def ratios(device: str, floats: int) -> None:
    torch.set_num_threads(1)
    for low in (-20.0, 5.0):
        for name, quantities, limit in (("loss", ("loss",), "limit 6, aim 3"), ("loss and grad", ("loss", "grad"), "limit 8")):
            ours, theirs, found = paired(engine(task(low, floats, quantities, device)), bare(floats, "grad" in quantities, device), pairs=5)
            title = f"{device}, {floats} floats from {low:g}, {name}: sweep / bare"
            print(shown(title, (ours, theirs), found, limit), f"  {1e9 * ours / floats:.2f} and {1e9 * theirs / floats:.2f} ns/float")


def growth(device: str, powers: tuple[int, ...]) -> None:
    for power in powers:
        tasks = task(-(2.0**100), 2**power, ("loss",), device)
        start = time.perf_counter()
        run_tasks(tasks, [Finding() for _ in tasks])
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(f"{device}, 2^{power} floats: {seconds:8.2f} s, {1e9 * seconds / 2**power:6.2f} ns a float, peak memory {peak:.0f} MiB")


def jobs(power: int) -> None:
    words = ("-m", "losscheck", "sweep", "--loss", "bce", "--impl", "torch-bce-with-logits", "--exhaustive", "--target", "0")
    high = FLOAT32.neighbour(-(2.0**100), 2**power - 1)
    words += ("--quantity", "loss", "--range", (-(2.0**100)).hex(), high.hex(), "-q")
    two, one, found = paired(command(*words, "--jobs", "2"), command(*words), pairs=3)
    print(shown(f"2^{power} floats: --jobs 2 / --jobs 1", (two, one), found, ""))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    ratios(options.device, 2**26 if options.device != "cpu" else 2**24 if options.quick else 2**25)
    if options.device == "cpu":
        words = ("-m", "losscheck", "sweep", "--range", "-100", "100", "-q")
        ours, theirs, found = paired(command(*words), command("-c", "import torch"), pairs=5)
        print(shown("sweep --range -100 100 / import torch", (ours, theirs), found, "limit 3"))
        if not options.quick:
            jobs(27)
    growth(options.device, (22, 24) if options.quick else (24, 26, 28))


if __name__ == "__main__":
    main()
