"""A dumped heatmap of 2.6 million cells with one poisoned, judged; against the bare loss; memory for ten million elements.

python benchmarks/tensors.py [--quick]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from paired import command, paired, shown

from losscheck.callables.selection import select
from losscheck.core.request import Request, dumped
from losscheck.measure.batch import judge_dump
from losscheck.points.load import load

SHAPE = (2, 80, 128, 128)
POISONED = (0, 7, 63, 5)
# VmHWM begins anew with the process; ru_maxrss would begin with what this one took when it forked.
PEAK = """
import sys
from pathlib import Path
from losscheck.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def heatmap(shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Logits as of a half-trained CenterNet, 60 gaussian peaks a sample, and one cell that makes the published loss NaN."""
    torch.manual_seed(0)
    logits, targets, line = torch.randn(shape) * 2 - 5, torch.zeros(shape), torch.arange(float(shape[-1]))
    for sample in range(shape[0]):
        for _ in range(60):
            kind, row, column = (int(torch.randint(size, (1,))) for size in shape[1:])
            bump = torch.exp(-((line[:, None] - row) ** 2 + (line[None] - column) ** 2) / 18)
            targets[sample, kind] = torch.maximum(targets[sample, kind], bump)
    logits[POISONED], targets[POISONED] = 17.4, 1.0
    return {"logits": logits, "targets": targets}


def question(*impl: str, **more) -> Request:
    return dumped(("centernet-heatmap",), impl=impl, **more)


def bare(batch: dict[str, torch.Tensor]):
    """The published loss and its gradient, once over the whole batch."""

    def run() -> None:
        logits = batch["logits"].clone().requires_grad_()
        p, positive = torch.sigmoid(logits), batch["targets"].eq(1).float()
        negative = (1 - batch["targets"]) ** 4 * batch["targets"].lt(1).float()
        loss = -(torch.log(p) * (1 - p) ** 2 * positive + torch.log(1 - p) * p**2 * negative).sum() / positive.sum()
        loss.backward()

    return run


def peak_memory(path: Path, impl: str) -> int:
    """MiB that the whole command takes at its most."""
    words = ("compare", "--tensors", str(path), "--loss", "centernet-heatmap", "--impl", impl, "-q")
    code = f"import sys; sys.argv = ['losscheck', *{words!r}]\n{PEAK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) >> 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    shape = (1, 8, 64, 64) if quick else SHAPE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batch.pt"
        batch = heatmap(shape)
        torch.save(batch, path)
        dump = load([str(path)], {})
        _, (loss, grad) = judge_dump(question("centernet-neg-loss"), select(question("centernet-neg-loss")), dump)
        assert [row.first[0].index for row in (loss, grad)] == [POISONED] * 2
        print(f"{list(shape)}: the NaN is at {list(POISONED)}; {loss.settled + grad.settled} values settled by the oracle")
        for title, asked, goal in (("centernet-neg-loss", question("centernet-neg-loss"), 5.0), ("every implementation", question(), None)):
            ours, theirs, ratios = paired(lambda asked=asked: judge_dump(asked, select(asked), dump), bare(batch), pairs=3)
            print(shown(f"{title}, loss and gradient: judged / one bare call", (ours, theirs), ratios, goal=goal), flush=True)
        words = ("-m", "losscheck", "compare", "--tensors", str(path), "--loss", "centernet-heatmap", "--impl", "centernet-neg-loss", "-q")
        ours, theirs, ratios = paired(command(*words), command("-c", "import torch"), pairs=3)
        print(shown("the command, one implementation / import torch", (ours, theirs), ratios))
        sizes = [(1, 8, 64, 64)] if quick else [(1, 80, 64, 64), (2, 80, 128, 128), (8, 80, 125, 125)]
        for size in sizes:
            torch.save(heatmap(size), path)
            single, every = peak_memory(path, "centernet-neg-loss"), peak_memory(path, "*")
            print(f"{torch.Size(size).numel()} elements: peak memory {single} MiB for one implementation, {every} MiB for all", flush=True)


if __name__ == "__main__":
    main()
