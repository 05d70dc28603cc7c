"""The report that the API gives out: the plain data of core, and what a notebook asks of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from losscheck.core import report
from losscheck.core.errors import UserError

__all__ = ["Report"]

_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # as the JSON contract writes them
_WORDS = ("outcome", "severest")  # columns in which they are words


@dataclass(frozen=True, repr=False)
class Report(report.Report):
    """What a command found. In a notebook it shows its verdict and its curves; ``print(losscheck.render(report))`` is the table."""

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``: the columns of ``--format csv``, parameters as ``params.gamma``, numbers as numbers.

        Raises:
            UserError: where pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UserError("to_pandas() needs pandas, which is not installed", "pip install pandas") from None
        from losscheck.renderers.flat_report import flat_rows

        return pandas.DataFrame([_record(row) for row in flat_rows(self)])

    def plot(self) -> Any:
        """The error over the logit as a ``matplotlib.figure.Figure``: what ``--plot`` writes. ``savefig`` keeps it.

        Raises:
            UserError: where matplotlib is not installed, and for a report of single points, which has no curve.
        """
        if not self.sweeps and not any(row.curves for row in self.ranking):
            raise UserError(f"a report of {self.command} has no curves", "plot a check or a sweep: losscheck.sweep(...).plot()")
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise UserError("plot() needs matplotlib, which is not installed", "pip install matplotlib") from None
        from losscheck.renderers.plot import figure

        return figure(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict and the curves, without a script."""
        from losscheck.renderers.html import fragment

        return fragment(self)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and name == "params":
            record |= {f"params.{parameter}": _number(number) for parameter, number in value.items()}
        else:
            record[name] = value if name in _WORDS else _number(value)
    return record


def _number(value: Any) -> Any:
    return _NUMBERS.get(value, value) if isinstance(value, str) else value
