"""What a run of the gate must have had: `--require cuda` fails where no CUDA device was judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from losscheck.backends import BACKENDS, backend_named, parse_device
from losscheck.core.errors import UserError, nearest
from losscheck.core.verdict import CaseRow, Verdict

__all__ = ["check_required", "not_judged"]


def check_required(names: Iterable[str]) -> None:
    """Before anything is judged: are the required backends and devices there?

    Raises:
        UserError: when one is not, with the reason, or is no backend and no device.
    """
    for name in names:
        if name in BACKENDS:
            reason = backend_named(name).why_unavailable("cpu")
        else:
            try:
                reason = backend_named("torch").why_unavailable(parse_device(name))
            except UserError:
                raise UserError(f"--require {name!r} is no device and no backend", nearest(name, ["cpu", "cuda", *BACKENDS])) from None
        if reason:
            raise UserError(f"--require {name}: {reason}", "nothing was judged")


def not_judged(names: Iterable[str], rows: Sequence[CaseRow]) -> list[CaseRow]:
    """After: a row for each of them on which nothing was judged, because the cases do not ask for it."""
    missing = []
    for name in names:
        judged = [
            row for row in rows if row.verdict is not Verdict.SKIPPED and name in (row.backend, row.device, row.device.partition(":")[0])
        ]
        if not judged and rows:
            what = f"no case judged anything on {name}: add it to the devices or backends of one that is to hold there"
            missing.append(
                CaseRow(
                    case=f"--require {name}",
                    file=rows[0].file,
                    line=rows[0].line,
                    loss=rows[0].loss,
                    implementation="any",
                    backend="any",
                    device="any",
                    dtype="any",
                    quantity="any",
                    verdict=Verdict.UNDECIDED,
                    reason=what,
                )
            )
    return missing
