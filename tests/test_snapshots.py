"""What every format prints of every job, compared exactly with files: a change of a character is a change to look at.

    LOSSCHECK_UPDATE_SNAPSHOTS=1 pytest -n 0 tests/test_snapshots.py

writes them anew; what changed is then read in the diff.
"""

import os
import re
from pathlib import Path

import pytest
from reports import (
    THEIR_FORMATS,
    catalogue_inventory,
    check_report,
    compare_report,
    doctor_inventory,
    tensors_report,
    trace_inventory,
    whole_gate,
    whole_sweep,
)

from losscheck.core.errors import UserError
from losscheck.renderers import SERVES, Style, render, why_not

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "LOSSCHECK_UPDATE_SNAPSHOTS"
REPORTS = {
    "check": check_report,
    "trace": trace_inventory,
    "compare": compare_report,
    "tensors": tensors_report,
    "sweep": whole_sweep,
    "gate": whole_gate,
    "list": catalogue_inventory,
    "doctor": doctor_inventory,
}
STYLES = {
    "80": Style(80),
    "80-ascii": Style(80, unicode=False),
    "80-color": Style(80, color=True),
    "120": Style(120),
    "120-color": Style(120, color=True),
    "40": Style(40),
}
WIDE = re.compile(
    r"^[-+]    |^ +losscheck |reproduce: |which line: |0x1\.f{6,}|[0-9]e[+-]\d{3}"
)  # a change or a command to copy; figures of float64 that are no shorter
SHOWN = [(job, name, "") for name, jobs in SERVES.items() for job in jobs if name not in ("table", *THEIR_FORMATS)]
SHOWN += [(job, "table", screen) for job in REPORTS for screen in STYLES]


@pytest.mark.parametrize(("job", "format_name", "screen"), SHOWN, ids=lambda part: part)
def test_what_is_printed_is_what_was_looked_at(job, format_name, screen):
    """To the character, escapes included."""
    text = render(format_name, REPORTS[job](), STYLES.get(screen, Style()))
    text = re.sub("<style>.*?</style>", "<style></style>", text, flags=re.DOTALL)  # what it does is tested in a browser
    path = SNAPSHOTS / f"{job}{f'-{screen}' if screen else ''}.{format_name}"
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())

    assert path.is_file(), f"{path.name} is new: look at what is printed, then set {UPDATE}=1"
    assert text == path.read_bytes().decode()


def test_no_snapshot_is_left_behind():
    """A file that no format writes any more is read by nobody."""
    expected = {f"{job}{f'-{screen}' if screen else ''}.{format_name}" for job, format_name, screen in SHOWN}

    assert {path.name for path in SNAPSHOTS.iterdir()} == expected


@pytest.mark.parametrize("job", SERVES["table"])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_screen(job, width):
    """But for commands, which are there to be copied, and figures that are longer than the screen."""
    lines = render("table", REPORTS[job](), Style(width)).splitlines()

    assert [line for line in lines if len(line) > width and not WIDE.search(line)] == []


@pytest.mark.parametrize("job", SERVES["table"])
def test_colour_changes_no_word(job):
    """Without its escapes the text is the same: what colour says, signs and words say too."""
    plain, colored = (render("table", REPORTS[job](), Style(color=color)) for color in (False, True))
    stripped = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines()]

    assert "\x1b[" in colored and "\x1b" not in plain and stripped == plain.splitlines()


@pytest.mark.parametrize("format_name", SERVES)
@pytest.mark.parametrize("job", REPORTS)
def test_a_format_serves_a_job_or_says_what_does(format_name, job):
    """One table for all; the refusal names formats that work, and rendering refuses by the same words."""
    reason = why_not(format_name, job)

    assert (reason == "") == (job in SERVES[format_name])
    if reason:
        assert f"--format {format_name} does not show {job}" in reason
        assert all(name in reason for name, jobs in SERVES.items() if job in jobs)
        with pytest.raises(UserError, match=f"does not show {job}"):
            render(format_name, REPORTS[job](), Style())


def test_the_harmless_come_first_and_what_was_not_judged_last():
    """A row without a result taken for the best, or put among the worst."""
    ranked = sorted(check_report().ranking, key=lambda row: row.rank)

    assert [row.effect.effect.value if row.effect else None for row in ranked] == ["tails", "misstates", "dead", "poisons", None]
