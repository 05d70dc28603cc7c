"""How long the command line takes to start, against the imports it cannot do without.

python benchmarks/startup.py [--quick]
"""

import argparse

from paired import command, paired, shown

TORCH, IMPORTS = ("-c", "import torch"), ("-c", "import torch, numpy, flint")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    pairs = 3 if parser.parse_args().quick else 7
    compare = ("-m", "losscheck", "compare", "--logit", "1.5")
    sweep, check = ("-m", "losscheck", "sweep", "--range", "-100", "100", "-q"), ("-m", "losscheck", "check", "torch-bce-with-logits")
    rows = [
        ("losscheck --help / import click", ("-m", "losscheck", "--help"), ("-c", "import click"), None),
        ("compare --logit 1.5 / import torch, numpy, flint", compare, IMPORTS, 1.25),
        ("compare --backend numpy / import numpy, flint", (*compare, "--backend", "numpy"), ("-c", "import numpy, flint"), None),
        ("check torch-bce-with-logits / import torch", check, TORCH, 1.5),
        ("sweep --range -100 100 / import torch", sweep, TORCH, 2.0),
    ]
    for name, ours, theirs, goal in rows:
        a, b, ratios = paired(command(*ours), command(*theirs), pairs)
        print(shown(name, (a, b), ratios, goal=goal), f"  difference {a - b:+.3f} s", flush=True)


if __name__ == "__main__":
    main()
