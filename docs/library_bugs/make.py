"""Measures docs/library_bugs.md: ``python docs/library_bugs/make.py`` runs the one command of every fault of bugs.yaml that can run here.

What came out is kept in rows.json, where what cannot run here stays as it was measured elsewhere; ``--pages`` writes the page from that.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import losscheck
from losscheck.core.effect import EffectFinding
from losscheck.core.results import SweepRow
from losscheck.renderers.effects import effect_sentence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = HERE.relative_to(ROOT)
ROWS, PAGE = HERE / "rows.json", HERE.parent / "library_bugs.md"
INTRODUCTION = """\
# {faults} faults that real libraries had, and what one command says of them

Each was reported, asked about or mended in a public tracker, which its line links to. The losses in [library_bugs](library_bugs) behave as
those did: they are written anew, in our own words and mostly in PyTorch, from what the thread says; no code was taken over, and the licence
named is that of the library. `losscheck check` judges logits from -100 to 100; {wider} of them broke beyond, and is judged by
`losscheck sweep` over a wider range. The loss is named for {told} of them, and found out for the others. Caught are {caught} of {faults}:
the answer is `misstates` or worse, and the logit of the report is among those that fail.

| library | what happened | answer | in words |
|---|---|---|---|
"""
END = """
Measured, not written: `python docs/library_bugs/make.py`. [The list](library_bugs/bugs.yaml) has the dtype and the logit of each; a test
runs every command again.
"""


def faults() -> list[dict[str, Any]]:
    """The entries of bugs.yaml."""
    entries: list[dict[str, Any]] = YAML(typ="safe").load(HERE / "bugs.yaml")
    return entries


def runs_here(fault: Mapping[str, Any]) -> bool:
    """Is the package there that it needs?"""
    return not fault.get("needs") or importlib.util.find_spec(fault["needs"]) is not None


def command(fault: Mapping[str, Any]) -> str:
    """The one command, from the root of the repository."""
    options = [fault["options"]] if fault.get("options") else []
    if "range" in fault:
        options += [f"--range {fault['range'][0]} {fault['range'][1]}"]
        options += [f"--{name} {shlex.quote(value)}" for name, value in fault.get("more", {}).items()]
    job = "sweep" if "range" in fault else "check"
    return " ".join([f"losscheck {job}", f"{FOLDER}/{fault['what']}", "--dtype", dtype(fault), *options])


def dtype(fault: Mapping[str, Any]) -> str:
    return str(fault.get("dtype", "float32"))


@dataclass(frozen=True)
class Answer:
    """What the command says of a fault: the worst effect, in words, and the sweep of each target."""

    effect: EffectFinding
    says: str
    sweeps: Sequence[SweepRow]


def answered(fault: Mapping[str, Any]) -> Answer:
    """What the command answers."""
    what = f"{FOLDER}/{fault['what']}"
    loss = fault["options"].split()[1] if fault.get("options") else ()
    if "range" in fault:
        low, high = fault["range"]
        sweeps = losscheck.sweep(what, dtype=dtype(fault), loss=loss, range=(low, high), **fault.get("more", {})).sweeps
        assert not any(sweep.reason for sweep in sweeps)
        row = max(sweeps, key=lambda sweep: sweep.effect.effect.severity if sweep.effect else -1)
        assert row.effect is not None
        return Answer(row.effect, effect_sentence(row.effect, row.low, row.high, row.given_dtype, row.max_ulp), sweeps)
    (ranked,) = losscheck.check(what, dtype=dtype(fault), loss=loss).ranking
    assert ranked.effect is not None and ranked.loss and not ranked.reason
    said = effect_sentence(ranked.effect, ranked.low, ranked.high, ranked.given_dtype, ranked.max_ulp, ranked.spans)
    return Answer(ranked.effect, said, ranked.curves)


def measured(fault: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a fault."""
    answer = answered(fault)
    return {"source": fault["source"], "what": fault["what"], "effect": answer.effect.effect.value, "says": answer.says}


def page(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    of = {(row["source"], row["what"]): row for row in rows}
    entries = faults()
    caught = sum(fault.get("caught", True) for fault in entries)
    told, wider = (sum(name in fault for fault in entries) for name in ("options", "range"))
    yield INTRODUCTION.format(faults=len(entries), caught=caught, told=told, wider=wider)
    for fault in entries:
        row = of[fault["source"], fault["what"]]
        thread = "/".join(fault["source"].split("/")[-4:-2]) + "#" + fault["source"].rpartition("/")[2]
        answer = f"`{row['effect']}`" if fault.get("caught", True) else f"`{row['effect']}`: not caught"
        words = row["says"] if fault.get("caught", True) else fault["why"]
        yield (
            f"| {fault['library']} [{thread}]({fault['source']}), {fault['licence']} | {fault['happened']} | "
            f"{answer}, {dtype(fault)} | {words} |\n"
        )
    yield "\n```\n" + "\n".join(map(command, entries)) + "\n```\n"
    yield END


def main(arguments: Sequence[str]) -> None:
    os.chdir(ROOT)
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else []
    if "--pages" not in arguments:
        old = {(row["source"], row["what"]): row for row in rows}
        rows = [measured(fault) if runs_here(fault) else old[fault["source"], fault["what"]] for fault in faults()]
        ROWS.write_text(json.dumps(rows, indent=1) + "\n")
    PAGE.write_text("".join(page(rows)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
