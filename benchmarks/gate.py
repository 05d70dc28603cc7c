"""The gate: our own cases, a file of ten thousand points, and a thousand cases that are only read.

python benchmarks/gate.py [--quick]
"""

import argparse
import random
import tempfile
from pathlib import Path

from paired import command, paired, shown

CASES = str(Path(__file__).resolve().parents[1] / "cases")
POINTS = 10_000


def points_file(folder: Path) -> str:
    """One case of POINTS explicit float32 logits, each with its target."""
    generator = random.Random(1)
    logits = ", ".join(f"{generator.uniform(-80, 80):.6g}" for _ in range(POINTS))
    targets = ", ".join(generator.choice("01") for _ in range(POINTS))
    file = folder / "points.yaml"
    file.write_text(
        f"cases:\n  - name: points\n    loss: bce\n    implementations: [stable]\n    backends: [torch]\n    quantities: [loss]\n"
        f"    points:\n      logits: [{logits}]\n      targets: [{targets}]\n    expect: {{max_ulp: 4}}\n"
    )
    return str(file)


def thousand_cases(folder: Path) -> str:
    """A file of 1,000 small cases."""
    file = folder / "thousand.yaml"
    text = "  - name: case-{}\n    loss: bce\n    implementations: [stable, torch-bce-with-logits]\n    dtypes: [float32, float64]\n"
    text += "    points:\n      logits: [-15, 1.5, 30]\n      targets: [0]\n    expect:\n      max_ulp: {{float32: 4, float64: 4}}\n"
    file.write_text("cases:\n" + "".join(text.format(n) for n in range(1000)))
    return str(file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    pairs = 1 if parser.parse_args().quick else 5
    imports = ("-c", "import torch, numpy, flint")
    gate = ("-m", "losscheck", "gate")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            ("gate cases/ / import torch, numpy, flint", (*gate, CASES), imports, "goal 6 s"),
            (f"gate, {POINTS} points / the imports", (*gate, points_file(folder)), imports, "limit: 2 s more"),
            ("gate --check, 1000 cases / import click", (*gate, "--check", thousand_cases(folder)), ("-c", "import click"), "limit: 1 s"),
        ]
        for what, ours, theirs, limit in rows:
            a, b, ratios = paired(command(*ours), command(*theirs), pairs)
            print(shown(what, (a, b), ratios, limit), f"  difference {a - b:+.3f} s", flush=True)


if __name__ == "__main__":
    main()
