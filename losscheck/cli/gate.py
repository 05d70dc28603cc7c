"""``losscheck gate``."""

from __future__ import annotations

import fnmatch
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from losscheck.cli.writing import note, screen, write
from losscheck.core.errors import UserError, nearest
from losscheck.renderers import GATE_FORMATS, SUFFIXES


@click.command("gate")
@click.argument("paths", nargs=-1, metavar="[CASES]...")
@click.option("--case", multiple=True, metavar="GLOB", help="Only cases of these names; repeatable.")
@click.option("--format", type=click.Choice(GATE_FORMATS), default="table", help="On standard output. Default: table.")
@click.option(
    "--output", multiple=True, metavar="FILE", help="Also write here, in the format of its suffix, or as FORMAT:FILE; repeatable."
)
@click.option("--strict", is_flag=True, help="Fail on rows that have no baseline (2) or are better than it (1).")
@click.option("--require", multiple=True, metavar="NAME", help="Exit 2 unless this device or backend is there and judged, such as cuda.")
@click.option("--baseline", metavar="FOLDER", default=None, help="Of recorded figures. Default: `baseline` beside each case file.")
@click.option("--update-baseline", is_flag=True, help="Record what is measured now, and tell what changed.")
@click.option("--allow-worse", is_flag=True, help="With --update-baseline: record worse figures too.")
@click.option("--check", is_flag=True, help="Only read the case files: nothing is judged, no framework is loaded.")
@click.option("--no-import", is_flag=True, help="Refuse cases that name package.module:function.")
@click.option("--init", metavar="SPEC", default=None, help="Write a case file that holds today, for file.py:name; needs --loss.")
@click.option("--loss", metavar="NAME", default=None, help="With --init: the loss that it is to compute.")
@click.option("--kw", multiple=True, metavar="NAME=VALUE", help="With --init: a keyword of the callable, typed as YAML; repeatable.")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="With --init: a parameter of the loss; repeatable.")
@click.option("-v", "--verbose", is_flag=True, help="Every row, and everything that does not hold.")
@click.option("-q", "--quiet", is_flag=True, help="No notes on standard error.")
def COMMAND(**given: Any) -> int:
    """Judge implementations by YAML cases: files, or folders of them; cases/ when none is given.

    Exit 0: all cases hold. 1: a budget is broken. 2: it could not be judged (a bad case, nothing selected, undecided, a
    required device missing).

    \b
    losscheck gate
    losscheck gate cases/worked_examples.yaml -v
    losscheck gate --format github --output junit.xml --output markdown:summary
    losscheck gate --init focal.py:FocalLoss --loss weighted-focal
    """
    return run(**given)


def run(**given: Any) -> int:
    from losscheck.gate.load import CaseError, case_files, load
    from losscheck.renderers.github import problem_annotations

    if given["init"]:
        return _init(given)
    if lone := next((name for name in ("loss", "kw", "param") if given[name]), None):
        raise UserError(f"--{lone} belongs to --init", "cases name their losses themselves; leave it out")
    outputs = [_output(text) for text in given["output"]]
    if given["allow_worse"] and not given["update_baseline"]:
        raise UserError("--allow-worse belongs to --update-baseline", "add it, or leave --allow-worse out")
    if given["baseline"] and not Path(given["baseline"]).is_dir() and not given["update_baseline"]:
        raise UserError(f"there is no folder {given['baseline']}", "give the folder of the recorded figures, or leave --baseline out")
    files = case_files([Path(each) for each in given["paths"] or ("cases",)])
    _refuse_overwriting(outputs, files)
    try:
        loaded = load(files, imports=not given["no_import"])
    except CaseError as error:
        if given["format"] == "github":
            write(problem_annotations(error.problems), None)
        raise
    chosen = _chosen(loaded, given["case"])
    if given["check"]:
        count = f"{len(chosen)} case{'s' * (len(chosen) != 1)} in {len(files)} file{'s' * (len(files) != 1)}"
        note(f"{count}: well formed; nothing was judged", given["quiet"])
        return 0
    # Beside a single file lie others, whose rows the same baseline keeps; and a folder of baselines may serve several of cases.
    complete = len(chosen) == len(loaded) and not given["baseline"] and all(Path(each).is_dir() for each in given["paths"])
    return _judge(chosen, complete=complete, outputs=outputs, given=given)


def _init(given: dict[str, Any]) -> int:
    """Write the first case file of an implementation."""
    from losscheck.cli import options
    from losscheck.core.call_spec import keywords_of
    from losscheck.core.files import write_new
    from losscheck.core.registry import loss_named
    from losscheck.gate.init import case_text, slug_of

    if not given["loss"]:
        raise UserError("--init needs to know which loss it is", "add --loss, such as --loss bce; `losscheck list` names them")
    if len(given["paths"]) > 1:
        raise UserError(f"--init writes one file, and {len(given['paths'])} are named", "name one, or none for cases/NAME.yaml")
    loss = loss_named(given["loss"])
    sys.path.insert(0, str(Path.cwd()))
    path = Path(given["paths"][0]) if given["paths"] else Path("cases") / f"{slug_of(given['init'])}.yaml"
    if path.is_dir():
        path = path / f"{slug_of(given['init'])}.yaml"
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path} is no name of a case file", "end it in .yaml")
    if path.exists():
        raise UserError(f"{path} exists already", "give another file: losscheck gate --init ... other.yaml")
    keywords, params = dict(keywords_of(given["kw"])), options.parse_params(given["param"], [loss])
    text = case_text(given["init"], loss.name, keywords, params, path, shlex.join(["losscheck", *sys.argv[1:]]))
    if not given["paths"]:
        path.parent.mkdir(exist_ok=True)
    write_new(path, text)
    note(f"{path} written; it holds today: losscheck gate {shlex.quote(str(path))}", given["quiet"])
    if "recorded: true" in text:
        note("where no limit would say anything it asks for a record: losscheck gate --update-baseline", given["quiet"])
    return 0


def _chosen(loaded: list[Any], globs: tuple[str, ...]) -> list[Any]:
    names = [each.case.name for each in loaded]
    for glob in globs:
        if not any(_matches(name, glob) for name in names):
            raise UserError(f"no case is called {glob!r}", nearest(glob, names))
    return [each for each in loaded if not globs or any(_matches(each.case.name, glob) for glob in globs)]


def _matches(name: str, glob: str) -> bool:
    """A name is itself also when it looks like a glob, as c[1] does."""
    return name == glob or fnmatch.fnmatchcase(name, glob)


def _notes(chosen: list[Any], rows: list[Any]) -> tuple[str, ...]:
    """What explains the callables of the user's that fail: a convention, randomness, how they were called."""
    from losscheck.callables.loading import is_spec
    from losscheck.core.verdict import Verdict
    from losscheck.gate.measured import remarks

    failing = {row.case for row in rows if row.verdict is Verdict.FAIL and is_spec(row.implementation)}
    return tuple(dict.fromkeys(said for each in chosen if each.case.name in failing for said in remarks(each.case)))


def _refuse_overwriting(outputs: list[tuple[str, str]], files: list[Path]) -> None:
    taken = {each.resolve() for each in files}
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


def _judge(chosen: list[Any], *, complete: bool, outputs: list[tuple[str, str]], given: dict[str, Any]) -> int:
    from losscheck.core.report import Report
    from losscheck.core.verdict import exit_code
    from losscheck.gate.judge import Session, judge_case
    from losscheck.gate.required import check_required, not_judged
    from losscheck.gate.update import update_baselines
    from losscheck.inventory.environment import describe
    from losscheck.renderers import render

    check_required(given["require"])
    # A case names package.module:function of the project it lies in, as `python -m` would find it.
    sys.path.insert(0, str(Path.cwd()))
    session = Session(Path(given["baseline"]) if given["baseline"] else None, given["update_baseline"], given["allow_worse"])
    rows = [row for loaded in chosen for row in judge_case(loaded, session)]
    rows += not_judged(given["require"], rows)
    report = Report(
        command="gate",
        environment=describe(dict.fromkeys(row.device for row in rows)),
        reproduce=shlex.join(["losscheck", *sys.argv[1:]]),
        cases=tuple(rows),
        remarks=_notes(chosen, rows),
        strict=given["strict"],
        verbose=given["verbose"],
    )
    # The screen first: a file that cannot be written after all must not take the verdict with it.
    write(render(given["format"], report, screen(None)), None)
    for name, path in outputs:
        write(render(name, report, screen(path)), path)
    code = exit_code(rows, given["strict"])
    if given["update_baseline"]:
        if code:
            note("the baseline was not updated, because not all cases hold")
            return code
        changes = update_baselines(session, [each.case.name for each in chosen], report.reproduce, complete=complete)
        recorded = any(each.case.expect.recorded for each in chosen)
        same = "the baseline is as it was" if recorded else "no case asks for a baseline: write `recorded: true` into its `expect`"
        note("\n  ".join(["baseline changed:", *changes]) if changes else same, given["quiet"])
    return code
