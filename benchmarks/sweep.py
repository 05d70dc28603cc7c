"""The bulk engine against the bare function, the default sweep against `import torch`, and how cost and memory grow.

python benchmarks/sweep.py [--device cuda] [--quick] [--record FILE.json] [--every]
"""

import argparse
import resource
import statistics
import time

import torch
from paired import command, paired, recorded, shown

from losscheck.core.dtypes import FLOAT32
from losscheck.core.request import swept
from losscheck.measure.compiled import BLOCK
from losscheck.measure.runner import Runner
from losscheck.measure.sweep import run_tasks, tasks_of
from losscheck.measure.task import Finding


def task(low: float, floats: int, quantities: tuple[str, ...], device: str):
    """One row of the sweep that the goals are about: bce, torch-bce-with-logits, target 0."""
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


# The ratio to the bare function that must be met, and the one aimed at, by where the floats begin and whether with gradient.
GOALS = {(5.0, False): (2.0, 1.5), (5.0, True): (2.0, 1.45), (-20.0, False): (2.5, 2.0), (-20.0, True): (2.5, 2.0)}


def ratios(device: str, floats: int) -> list[dict[str, object]]:
    """Processor time of the sweep against the bare function: medians of pairs in turn, one thread."""
    torch.set_num_threads(1)
    clock = time.process_time if device == "cpu" else time.perf_counter
    rows: list[dict[str, object]] = []
    for (low, gradient), (must, aim) in GOALS.items():
        name, quantities = ("loss and grad", ("loss", "grad")) if gradient else ("loss", ("loss",))
        sides = engine(task(low, floats, quantities, device)), bare(floats, gradient, device)
        ours, theirs, found = paired(*sides, pairs=5, clock=clock)
        median = statistics.median(found)
        verdict = "met" if median <= must else "missed"
        title = f"{device}, {floats} floats from {low:g}, {name}: sweep / bare"
        nanoseconds = [1e9 * seconds / floats for seconds in (ours, theirs)]
        goal = f"must {must:g}, aim {aim:g}: {verdict}"
        print(shown(title, (ours, theirs), found, goal), "  {:.2f} and {:.2f} ns/float".format(*nanoseconds))
        rows.append({"what": title, "ratios": found, "median": median, "must": must, "aim": aim, "ns": nanoseconds})
    return rows


def every() -> dict[str, object]:
    """All 2^32 floats, two targets, loss and gradient, on one core, as a process of its own."""
    words = ("-m", "losscheck", "sweep", "--loss", "bce", "--impl", "torch-bce-with-logits", "--exhaustive", "--range", "-inf", "inf")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command(*words, "--target", "0", "--target", "1", "-q")()
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    print(f"every float32, two targets, loss and gradient: {processor:.1f} s of processor time, {seconds:.1f} s by the clock   must 120")
    return {"what": "every float32", "processor_s": processor, "clock_s": seconds, "must": 120, "peak_MiB": after.ru_maxrss / 2**10}


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
    two, one, found = paired(command(*words, "--jobs", "2"), command(*words), pairs=3, clock=time.perf_counter)
    print(shown(f"2^{power} floats: --jobs 2 / --jobs 1", (two, one), found, ""))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--every", action="store_true", help="every float32 as well: minutes")
    parser.add_argument("--record", default="", help="write what was measured to a JSON file")
    options = parser.parse_args()
    rows = ratios(options.device, 2**26 if options.device != "cpu" else 2**24 if options.quick else 2**25)
    if options.every:
        rows.append(every())
    if options.record:
        recorded(options.record, rows)
    if options.device == "cpu":
        words = ("-m", "losscheck", "sweep", "--range", "-100", "100", "-q")
        ours, theirs, found = paired(command(*words), command("-c", "import torch"), pairs=5)
        print(shown("sweep --range -100 100 / import torch", (ours, theirs), found, "limit 3"))
        if not options.quick:
            jobs(27)
    growth(options.device, (22, 24) if options.quick else (24, 26, 28))


if __name__ == "__main__":
    main()
