"""The gate tested by breaking things: whatever is changed in a stable implementation, a shipped case must fail."""

from pathlib import Path

import mutants
import pytest
from mutants import EVERYWHERE, MUTANTS

from losscheck.core import registry
from losscheck.core.verdict import Verdict
from losscheck.gating.judge import Session, judge_case

DOCUMENT = Path(__file__).parents[1] / "docs" / "gate_mutations.md"


@pytest.fixture(scope="module")
def documented():
    """The lines of the table as they are committed."""
    return DOCUMENT.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda value: f"{value.loss}-{value.name}")
def test_a_mutant_is_caught_as_documented(mutant, documented):
    """The case that docs/gate_mutations.md names breaks, and by what it says."""
    (line,) = (line for line in documented if line.startswith(f"| {mutant.loss} | `{mutant.name}` |"))
    named = [loaded for loaded in mutants.shipped(mutant.loss) if f"`{loaded.case.name}`" == line.split(" | ")[3]]
    with mutants.in_place(mutant):
        catch = mutants.caught(named)

    assert catch is not None
    assert mutants.line(mutant, catch) == line


@pytest.mark.parametrize("loss", EVERYWHERE)
def test_the_unbroken_implementation_passes_every_case(loss):
    """The control: the same cases, judged the same way, hold; the last row is no different from the first."""
    judged = [row for loaded in mutants.shipped(loss) for row in judge_case(loaded, Session(Path("nowhere")))]

    assert len({row.case for row in judged}) >= 8
    assert {(row.case, row.subject): row.reason for row in judged if row.verdict is Verdict.FAIL} == {}
    # Without a baseline a row that is to be compared with one says so.
    assert {row.verdict for row in judged} <= {Verdict.PASS, Verdict.NOT_COMPARABLE}
    assert {row.backend for row in judged} == {"numpy", "torch"}


def test_the_document_lists_every_mutant_once(documented):
    """No line is left over from a mutant that was renamed, and the number in its words is right."""
    rows = [line for line in documented if line.startswith("| ") and "`" in line]
    named = [tuple(cell.strip(" `") for cell in row.split("|")[1:3]) for row in rows]

    assert named == [(mutant.loss, mutant.name) for mutant in MUTANTS]
    assert len(set(named)) == len(MUTANTS)
    assert f"{len(MUTANTS)} mutants" in " ".join(documented)
    assert not any("not caught" in line for line in documented)


def test_there_are_mutants_enough_of_every_loss():
    """At least 30, none of them with the shipped function and gradient."""
    assert len(MUTANTS) >= 30
    for mutant in MUTANTS:
        shipped, changed = mutants.stable(mutant.loss), mutant.change(mutants.stable(mutant.loss))
        assert changed != shipped
        assert len([other for other in MUTANTS if other.loss == mutant.loss]) >= 10


def test_a_mutant_leaves_nothing_behind():
    """The registry and the reductions are as before, also after an error."""
    before = registry.implementations, dict(mutants.REDUCTIONS)
    with pytest.raises(ZeroDivisionError), mutants.in_place(MUTANTS[-1]):
        assert registry.implementations != before[0]
        raise ZeroDivisionError

    assert (registry.implementations, dict(mutants.REDUCTIONS)) == before


def test_a_mutant_that_changes_nothing_is_not_caught():
    """The judge of the mutants can say no: without a change there is no catch."""
    idle = mutants.Mutant("weighted-focal", "idle", "nothing", mutants.tampered())
    quick = [loaded for loaded in mutants.shipped("weighted-focal") if not loaded.case.exhaustive]
    with mutants.in_place(idle):
        assert mutants.caught(quick) is None
