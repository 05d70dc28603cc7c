"""Exact points per second: python-flint against mpmath, through the same refine-until-decided loop.

python benchmarks/oracle.py
"""

import random

from paired import paired, shown

from losscheck.core.dtypes import FLOAT32, FLOAT64
from losscheck.core.registry import losses
from losscheck.oracle.refine import Term, exact_value

POINTS = 400


def main() -> None:
    draw = random.Random(1)
    for dtype in (FLOAT32, FLOAT64):
        logits = [dtype.round(draw.uniform(-100, 100)) for _ in range(POINTS)]
        for loss in losses().values():
            params = loss.resolve({}, dtype)
            for name, formula in (("loss", loss.formula), ("grad", loss.gradient)):

                def run(oracle: str, formula=formula, params=params, dtype=dtype, logits=logits) -> None:
                    for logit in logits:
                        exact_value(formula, [Term(logit, 0.0)], params, dtype, oracle=oracle)

                slow, fast, ratios = paired(lambda run=run: run("mpmath"), lambda run=run: run("flint"), pairs=5)
                title = f"{loss.name} {name} {dtype.name}: mpmath / flint"
                print(shown(title, (slow, fast), ratios, "limit: at least 8"), f"  {POINTS / fast:,.0f} and {POINTS / slow:,.0f} points/s")


if __name__ == "__main__":
    main()
