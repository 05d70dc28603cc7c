"""Measures docs/first_failures.md: ``python docs/first_failures.py bce/torch`` compares first failing floats with those that are proved.

Each registered implementation is swept three times, with ``--ends bisected``, ``searched`` and ``proved``, in float32 on [-100, 100], at
the loss's own targets. ``proved`` judges every float from 0 to the first failing one, and is the truth that the other two are held against.
Words such as ``bce/torch``, ``bce/torch/naive`` or ``bce/torch/naive/0`` pick what is measured, all of numpy and torch without any (an
hour); what was measured of others before is kept in first_failures.json. ``--pages`` writes the page from what there is.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import losscheck
from losscheck.core.dtypes import FORMATS
from losscheck.core.effect import Onset
from losscheck.core.results import SweepRow
from losscheck.core.which_points import BISECTED, ENDS, PROVED, SEARCHED
from losscheck.renderers.figures import end_text

HERE = Path(__file__).parent
KEPT, PAGE = HERE / "first_failures.json", HERE / "first_failures.md"
BACKENDS = ("numpy", "torch")
DTYPE = "float32"
SIDES = ("below 0", "above 0")
INTRODUCTION = """\
# First failing floats, held against proved ones

How far does a first failing float of a sampled sweep ([sweep.md](sweep.md)) hold when every float before it is judged? Below, where failing
begins in {dtype} on [-100, 100] is told by `losscheck sweep` as it comes (`--ends bisected`), with `--ends searched`, and with
`--ends proved`, which judges every float from 0 on and is the truth here. A side is one of two (below 0, above 0) of the loss, of the
gradient, or of the severest effect, at one target.

Measured {dates}: {measured} of the {registered} pairs of a registered implementation of numpy or torch and a target of its loss, those
of the first table, by

```
python docs/first_failures.py {words}
```

Of {missing} of the {implementations} implementations no pair was measured, among them all of {others}.
A side on which the sample fails nowhere is judged as a sample by all three and not counted: only `--exhaustive` judges it whole.

"""


def key_of(row: SweepRow) -> str:
    """'bce/torch/naive/0': what is measured at once, an implementation at a target."""
    return f"{row.loss}/{row.backend}/{row.implementation}/{FORMATS[DTYPE].shortest(row.target)}"


def picked(key: str, words: Sequence[str]) -> bool:
    """Is it meant by the words, each the beginning of a key?"""
    return not words or any(f"{key}/".startswith(f"{word}/") for word in words)


def onsets_of(rows: Sequence[SweepRow]) -> dict[tuple[str, str], Onset]:
    """Where failing begins, by quantity (the severest effect is one) and side."""
    found: dict[tuple[str, str], Onset] = {}
    for row in rows:
        begun = {row.quantity: row.onsets, "effect": row.effect.onsets if row.effect else ()}
        for quantity, onsets in begun.items():
            for onset in onsets:
                below = onset.logit < 0 or str(onset.logit) == "-0.0"
                found[quantity, SIDES[not below]] = onset
    return found


def compared(key: str, sweep: Callable[..., losscheck.Report] = losscheck.sweep) -> dict[str, Any]:
    """What the three say of one implementation at a target, as plain data."""
    loss, backend, name, target = key.split("/")
    began = time.process_time()
    asked = {"loss": loss, "impl": name, "backend": backend, "dtype": DTYPE, "target": target}
    told = {ends: onsets_of(sweep(ends=ends, **asked).sweeps) for ends in ENDS}
    if not all(onset.proved for onset in told[PROVED].values()):
        raise RuntimeError(f"{key}: not every float before a first failing one was judged")
    rows = []
    for quantity, side in sorted({place for onsets in told.values() for place in onsets}):
        onsets = {ends: told[ends].get((quantity, side)) for ends in ENDS}
        rows.append(
            {
                "quantity": quantity,
                "side": side,
                "searched_is_proved": bool((searched := onsets[SEARCHED]) and searched.proved),
                **{ends: None if onset is None else onset.logit for ends, onset in onsets.items()},
            }
        )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"key": key, "date": today, "cpu_seconds": round(time.process_time() - began, 1), "rows": rows}


def tables(kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    """How many sides agree, by implementation, and each that does not."""
    yield f"| implementation, target | sides | {BISECTED} agrees | {SEARCHED} agrees | of those it proves |\n|---|---|---|---|---|\n"
    total = [0, 0, 0, 0, 0]
    for entry in kept:
        rows = entry["rows"]
        called = [row for row in rows if row["searched_is_proved"]]
        counts = [len(rows), *(sum(agrees(row, ends) for row in rows) for ends in (BISECTED, SEARCHED))]
        counts += [sum(agrees(row, SEARCHED) for row in called), len(called)]
        total = [sum(pair) for pair in zip(total, counts, strict=True)]
        yield counted(entry["key"], counts)
    yield counted("**all**", total)
    for ends in (SEARCHED, BISECTED):
        others = [(entry["key"], row) for entry in kept for row in entry["rows"] if not agrees(row, ends)]
        yield f"\n## Where {ends} disagrees\n\n"
        if not others:
            yield "Nowhere.\n"
            continue
        yield f"| implementation, target | quantity | side | {' | '.join(ENDS)} |\n|---|---|---|---|---|---|\n"
        for key, row in others:
            places = " | ".join("none" if row[kind] is None else end_text(row[kind], DTYPE) for kind in ENDS)
            yield f"| {key} | {row['quantity']} | {row['side']} | {places} |\n"


def agrees(row: dict[str, Any], ends: str) -> bool:
    """The same float as the proved one?"""
    return bool(row[ends] == row[PROVED])


def counted(name: str, counts: Sequence[int]) -> str:
    """A row of the first table."""
    sides, bisected, searched, right, called = counts
    return f"| {name} | {sides} | {bisected} | {searched} | {right} of {called} |\n"


def page(data: dict[str, Any]) -> str:
    """The page of what was measured."""
    kept, registered = data["kept"], data["registered"]
    keys = [entry["key"] for entry in kept]
    dates = sorted({entry["date"] for entry in kept})
    measured, every = ({key.rpartition("/")[0] for key in known} for known in (keys, registered))
    untouched = {key.partition("/")[0] for key in every} - {key.partition("/")[0] for key in measured}
    introduction = INTRODUCTION.format(
        dtype=DTYPE,
        dates=" to ".join(dict.fromkeys((dates[0], dates[-1]))),
        measured=len(keys),
        registered=len(registered),
        words=" ".join(data["words"]),
        missing=len(every - measured),
        implementations=len(every),
        others=", ".join(sorted(untouched)) or "no loss",
    )
    return introduction + "".join(tables(kept))


def main(arguments: list[str]) -> None:
    data = json.loads(KEPT.read_text()) if KEPT.exists() else {"words": [], "registered": [], "kept": []}
    if "--pages" not in arguments:
        every = losscheck.sweep(backend=BACKENDS, dtype=DTYPE, points=10).sweeps
        data["registered"] = list(dict.fromkeys(key_of(row) for row in every if not row.reason))
        data["words"] = list(dict.fromkeys([*data["words"], *arguments]))
        for key in (key for key in data["registered"] if picked(key, arguments)):
            entries = {entry["key"]: entry for entry in data["kept"]} | {key: compared(key)}
            data["kept"] = [entries[known] for known in data["registered"] if known in entries]
            KEPT.write_text(json.dumps(data, indent=1) + "\n")  # a long run that is cut keeps what it has
            sys.stderr.write(f"{key}: {entries[key]['cpu_seconds']} s of processor time, {len(entries[key]['rows'])} sides\n")
    PAGE.write_text(page(data))


if __name__ == "__main__":
    main(sys.argv[1:])
