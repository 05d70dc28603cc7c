"""``losscheck gate``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from losscheck.cli import complete
from losscheck.cli.command import Command, option
from losscheck.cli.output import screen, write
from losscheck.cli.request import listener, params_of
from losscheck.core.call_spec import keywords_of
from losscheck.core.errors import UserError, nearest
from losscheck.renderers import GATE_FORMATS, SUFFIXES

if TYPE_CHECKING:
    from losscheck.core.report import Report

_WHAT, _HOLDS, _FIRST, _OUT = "What is judged", "What must hold", "A first case", "Output"


@click.command("gate", cls=Command)
@click.argument("paths", nargs=-1, metavar="[CASES]...", shell_complete=complete.files)
@option("--case", group=_WHAT, multiple=True, metavar="GLOB", help="Only cases of these names; repeatable.")
@option("--format", group=_OUT, type=click.Choice(GATE_FORMATS), default="table", help="On standard output. Default: table.")
@option(
    "--output",
    group=_OUT,
    multiple=True,
    metavar="FILE",
    help="Also write here, in the format of its suffix, or as FORMAT:FILE; repeatable.",
)
@option("--strict", group=_HOLDS, is_flag=True, help="Fail on rows that have no baseline (2) or are better than it (1).")
@option(
    "--require", group=_HOLDS, multiple=True, metavar="NAME", help="Exit 2 unless this device or backend is there and judged, such as cuda."
)
@option("--baseline", group=_HOLDS, metavar="FOLDER", default=None, help="Of recorded figures. Default: `baseline` beside each case file.")
@option("--update-baseline", group=_HOLDS, is_flag=True, help="Record what is measured now, and tell what changed.")
@option("--allow-worse", group=_HOLDS, is_flag=True, help="With --update-baseline: record worse figures too.")
@option("--check", group=_WHAT, is_flag=True, help="Only read the case files: nothing is judged, no framework is loaded.")
@option("--no-import", group=_WHAT, is_flag=True, help="Refuse cases that name package.module:function.")
@option("--init", group=_FIRST, metavar="SPEC", default=None, help="Write a case file that holds today, for file.py:name.")
@option(
    "--loss", group=_FIRST, metavar="NAME", default=None, help="With --init: the loss that it is to compute, instead of finding that out."
)
@option("--kw", group=_FIRST, multiple=True, metavar="NAME=VALUE", help="With --init: a keyword of the callable; repeatable.")
@option("--param", group=_FIRST, multiple=True, metavar="NAME=VALUE", help="With --init: a parameter of the loss; repeatable.")
@option("-v", "--verbose", group=_OUT, is_flag=True, help="Every row, and everything that does not hold.")
@option("-q", "--quiet", group=_OUT, is_flag=True, help="No notes on standard error.")
def COMMAND(**given: Any) -> int:
    """Judge implementations by YAML cases: files, or folders of them; cases/ when none is given.

    Exit 0: all cases hold. 1: a budget is broken. 2: it could not be judged (a bad case, nothing selected, undecided, a
    required device missing).

    \b
    losscheck gate
    losscheck gate cases/worked_examples.yaml -v
    losscheck gate --format github --output junit.xml --output markdown:summary
    losscheck gate --init focal.py:FocalLoss
    """
    return _run(given)


def _run(given: dict[str, Any]) -> int:
    from losscheck.api.gate import gate
    from losscheck.gating.load import CaseError, case_files
    from losscheck.renderers import render
    from losscheck.renderers.github import problem_annotations

    if given["init"]:
        return _init(given)
    if lone := next((name for name in ("loss", "kw", "param") if given[name]), None):
        raise UserError(f"--{lone} belongs to --init", "cases name their losses themselves; leave it out")
    outputs = [_output(text) for text in given["output"]]
    _refuse_overwriting(outputs, case_files([Path(path) for path in given["paths"] or ("cases",)]))

    def show(report: Report) -> None:
        # The screen first: a file that cannot be written after all must not take the verdict with it.
        write(render(given["format"], report, screen(None)), None)
        for name, path in outputs:
            write(render(name, report, screen(path)), path)

    # A case names package.module:function of the project it lies in, as `python -m` would find it.
    sys.path.insert(0, str(Path.cwd()))
    same = ("case", "strict", "require", "baseline", "update_baseline", "allow_worse", "check", "no_import", "verbose")
    try:
        report = gate(*given["paths"], listener=replace(listener(given), show=show), **{name: given[name] for name in same})
    except CaseError as error:
        if given["format"] == "github":
            write(problem_annotations(error.problems), None)
        raise
    return 0 if given["check"] else report.exit_code


def _init(given: dict[str, Any]) -> int:
    """Write the first case file of an implementation."""
    from losscheck.api.gate import first_case

    if len(given["paths"]) > 1:
        raise UserError(f"--init writes one file, and {len(given['paths'])} are named", "name one, or none for cases/NAME.yaml")
    sys.path.insert(0, str(Path.cwd()))
    first_case(
        given["init"],
        loss=given["loss"] or "",
        path=given["paths"][0] if given["paths"] else None,
        keywords=dict(keywords_of(given["kw"])),
        params=params_of(given["param"]),
        listener=listener(given),
    )
    return 0


def _refuse_overwriting(outputs: list[tuple[str, str]], files: list[Path]) -> None:
    taken = {file.resolve() for file in files}
    for _, path in outputs:
        if Path(path).resolve() in taken:
            raise UserError(f"--output {path} is a case file, or was given twice", "choose another file")
        taken.add(Path(path).resolve())


def _output(text: str) -> tuple[str, str]:
    """The format and the file: 'report.xml', or 'markdown:summary' where the suffix does not tell."""
    name, colon, path = text.partition(":")
    if len(name) > 1 and name.isalpha() and colon and name not in GATE_FORMATS:
        raise UserError(f"--output {text}: there is no format {name!r}", nearest(name, GATE_FORMATS))
    if not (colon and name in GATE_FORMATS and path):
        name, path = SUFFIXES.get(Path(text).suffix, ""), text
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"--output {text}: there is no folder {Path(path).parent}", "create it first, or choose another file")
    if name not in GATE_FORMATS:
        raise UserError(
            f"--output {text}: its suffix names no format of the gate", f"write FORMAT:{text} with one of {', '.join(GATE_FORMATS)}"
        )
    return name, path
