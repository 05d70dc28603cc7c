"""How long the command line takes to start, against the imports it cannot do without.

python benchmarks/startup.py
"""

from paired import command, paired, shown

IMPORTS = "import torch, numpy, flint"


def main() -> None:
    compare = ("-m", "losscheck", "compare", "--logit", "1.5")
    rows = [
        ("losscheck --help / import click", ("-m", "losscheck", "--help"), ("-c", "import click"), "limit: 0.1 s more"),
        (f"compare / {IMPORTS}", compare, ("-c", IMPORTS), "limit: 1.3"),
        ("compare --backend numpy / import numpy, flint", (*compare, "--backend", "numpy"), ("-c", "import numpy, flint"), ""),
    ]
    for name, ours, theirs, limit in rows:
        a, b, ratios = paired(command(*ours), command(*theirs))
        print(shown(name, (a, b), ratios, limit), f"  difference {a - b:+.3f} s")


if __name__ == "__main__":
    main()
