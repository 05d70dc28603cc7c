"""docs/library_bugs: faults that real libraries had, each caught by one command, at the logit of the report."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

from losscheck.core.effect import Effect

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "library_bugs"
SPEC = importlib.util.spec_from_file_location("library_bugs_make", FOLDER / "make.py")
MAKE = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = MAKE  # dataclasses look their module up
SPEC.loader.exec_module(MAKE)
FAULTS = MAKE.faults()
CAUGHT = [fault for fault in FAULTS if fault.get("caught", True)]
EVERY = "LOSSCHECK_EVERY_FAULT"


def kind(fault):
    """What a fault has in common with those beside which it need not be run each time."""
    return fault["effect"], MAKE.dtype(fault), fault.get("caught", True), fault.get("needs"), "range" in fault


FIRST = list({kind(fault): fault for fault in reversed(FAULTS)}.values())


def name(fault):
    return re.sub(r"\W+", "-", "-".join(fault["source"].split("/")[3:]))


def effects_at(sweeps, logit, target):
    """The effects in the cells of the sweeps next to a logit, at a target."""
    for sweep in sweeps:
        cells = [(abs(middle - logit), effect) for (middle, _, _), effect in zip(sweep.profile, sweep.effects, strict=False) if effect]
        if sweep.target == target and cells:
            yield min(cells, key=lambda cell: cell[0])[1]


@pytest.mark.parametrize("fault", FAULTS, ids=map(name, FAULTS))
def test_a_fault_is_caught_by_one_command(fault, monkeypatch):
    """With its effect, and harm at the logit and target of the report; one that is not caught is told so on the page.

    The first of each kind is tried in every run; all of them where LOSSCHECK_EVERY_FAULT is set, as CI does.
    """
    if fault not in FIRST and not os.environ.get(EVERY):
        pytest.skip(f"another of its kind is tried; {EVERY}=1 tries all")
    if not MAKE.runs_here(fault):
        pytest.skip(f"{fault['needs']} is not installed")
    monkeypatch.chdir(ROOT)
    answer = MAKE.answered(fault)

    if fault in CAUGHT:
        assert answer.effect.effect.value == fault["effect"]
        assert any(effect.harmful for effect in effects_at(answer.sweeps, *fault["at"]))
    else:
        assert not answer.effect.effect.harmful and fault["why"]


def test_most_are_caught():
    """At least 25, told by the source and by nothing that was made up."""
    assert len(CAUGHT) >= 25
    assert all(Effect(fault["effect"]).harmful for fault in CAUGHT)
    assert all(re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", fault["source"]) for fault in FAULTS)
    assert len({(fault["source"], fault["what"]) for fault in FAULTS}) == len(FAULTS)


def test_the_page_is_written_from_what_was_measured():
    """Nothing on it is typed in."""
    rows = json.loads((FOLDER / "rows.json").read_text())

    assert (FOLDER.parent / "library_bugs.md").read_text(encoding="utf-8") == "".join(MAKE.page(rows))
