"""YAML cases against budgets and baselines."""

from __future__ import annotations

import fnmatch
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losscheck.api.arguments import SILENT, Listener, Some, many
from losscheck.api.report import Report
from losscheck.core.errors import UserError, nearest

if TYPE_CHECKING:
    from losscheck.core.verdict import CaseRow
    from losscheck.gating.judge import Session
    from losscheck.gating.load import LoadedCase

__all__ = ["first_case", "gate"]


def gate(
    *paths: str | os.PathLike[str],
    case: Some[str] = (),
    strict: bool = False,
    require: Some[str] = (),
    baseline: str | os.PathLike[str] | None = None,
    update_baseline: bool = False,
    allow_worse: bool = False,
    check: bool = False,
    no_import: bool = False,
    verbose: bool = False,
    listener: Listener = SILENT,
) -> Report:
    """Implementations judged by YAML cases, as ``losscheck gate``.

    Args:
        paths: case files, or folders of them; the folder ``cases`` by default.
        case: globs over the names of cases; all by default.
        strict: rows that have no baseline, or are better than it, fail.
        require: devices or backends that must be there and judged.
        baseline: the folder of recorded figures; ``baseline`` beside each case file by default.
        update_baseline: record what is measured now, if all cases hold; ``allow_worse``: worse figures too.
        check: only read the case files: nothing is judged, and the report is empty.
        no_import: refuse cases that name ``package.module:function``.

    Returns:
        A report: ``cases`` are :class:`losscheck.core.verdict.CaseRow`, and ``exit_code`` is 0 when all cases hold, 1 when a
        budget is broken, 2 when something could not be judged.

    Raises:
        UserError: for case files with problems (all of them in its ``details``), and names there are none of.
    """
    from losscheck.gating.judge import Session, judge_case
    from losscheck.gating.load import case_files, load
    from losscheck.gating.required import check_required, not_judged
    from losscheck.inventory.environment import describe
    from losscheck.measure.remembered import remembered

    if allow_worse and not update_baseline:
        raise UserError("--allow-worse belongs to --update-baseline", "add it, or leave --allow-worse out")
    if baseline and not Path(baseline).is_dir() and not update_baseline:
        raise UserError(f"there is no folder {baseline}", "give the folder of the recorded figures, or leave --baseline out")
    files = case_files([Path(path) for path in paths or ("cases",)])
    loaded = load(files, imports=not no_import)
    chosen = _chosen(loaded, many(case))
    again = _again(locals())
    if check:
        count = f"{len(chosen)} case{'s' * (len(chosen) != 1)} in {len(files)} file{'s' * (len(files) != 1)}"
        listener.note(f"{count}: well formed; nothing was judged")
        return Report("gate", {}, again)
    check_required(many(require))
    session = Session(Path(baseline) if baseline else None, update_baseline, allow_worse)
    rows: list[CaseRow] = []
    with remembered(), listener.progress(len(chosen)) as advance:
        for judged in chosen:
            rows += judge_case(judged, session)
            advance(1)
    rows += not_judged(many(require), rows)
    report = Report(
        command="gate",
        environment=describe(dict.fromkeys(row.device for row in rows)),
        reproduce=again,
        cases=tuple(rows),
        remarks=_remarks(chosen, rows, session),
        strict=strict,
        verbose=verbose,
    )
    listener.show(report)
    if update_baseline:
        # Beside a single file lie others, whose rows the same baseline keeps; and a folder of baselines may serve several of cases.
        complete = len(chosen) == len(loaded) and not baseline and all(Path(path).is_dir() for path in paths)
        _record(report, session, chosen, complete, listener)
    return report


def _record(report: Report, session: Session, chosen: Sequence[LoadedCase], complete: bool, listener: Listener) -> None:
    from losscheck.gating.update import update_baselines

    if report.exit_code:
        listener.note("the baseline was not updated, because not all cases hold")
        return
    changes = update_baselines(session, [judged.case.name for judged in chosen], report.reproduce, complete=complete)
    recorded = any(judged.case.expect.recorded for judged in chosen)
    same = "the baseline is as it was" if recorded else "no case asks for a baseline: write `recorded: true` into its `expect`"
    listener.note("\n  ".join(["baseline changed:", *changes]) if changes else same)


def _chosen(loaded: Sequence[LoadedCase], globs: Sequence[str]) -> list[LoadedCase]:
    names = [judged.case.name for judged in loaded]
    for glob in globs:
        if not any(_matches(name, glob) for name in names):
            raise UserError(f"no case is called {glob!r}", nearest(glob, names))
    return [judged for judged in loaded if not globs or any(_matches(judged.case.name, glob) for glob in globs)]


def _matches(name: str, glob: str) -> bool:
    """A name is itself also when it looks like a glob, as c[1] does."""
    return name == glob or fnmatch.fnmatchcase(name, glob)


def _remarks(chosen: Sequence[LoadedCase], rows: Sequence[CaseRow], session: Session) -> tuple[str, ...]:
    """What explains the callables of the user's that fail: a convention, randomness, how they were called."""
    from losscheck.callables.loading import is_spec
    from losscheck.core.verdict import Verdict

    failing = {row.case for row in rows if row.verdict is Verdict.FAIL and is_spec(row.implementation)}
    return tuple(dict.fromkeys(said for judged in chosen if judged.case.name in failing for said in session.notes_on(judged)))


def _again(given: dict[str, Any]) -> str:
    """The command that asks the same."""
    words = ["losscheck", "gate", *map(os.fspath, given["paths"])]
    for name in ("case", "require", "baseline"):
        for value in many(given[name]) if name != "baseline" or given[name] else ():
            words += [f"--{name}", os.fspath(value)]
    for name in ("strict", "update_baseline", "allow_worse", "check", "no_import", "verbose"):
        words += [f"--{name.replace('_', '-')}"] if given[name] else []
    return shlex.join(words)


def first_case(
    spec: str,
    *,
    loss: str = "",
    path: str | os.PathLike[str] | None = None,
    keywords: Mapping[str, Any] | None = None,
    params: Mapping[str, str | float] | None = None,
    listener: Listener = SILENT,
) -> Path:
    """Write a case file about an implementation that holds today, as ``losscheck gate --init``.

    Args:
        spec: ``file.py:name``, ``package.module:name`` or the name of an implementation.
        loss: which loss it is; what a callable is and how it wants to be called is found out where it is not said.
        path: where to; by default a file of its name in ``cases``.
        keywords: what a callable is called with; ``params``: parameters of the loss.

    Raises:
        UserError: when the file exists, or nothing can be measured.
    """
    from losscheck.core.call_spec import PROGRAM
    from losscheck.core.files import write_new
    from losscheck.core.registry import loss_named
    from losscheck.gating.init import case_text, slug_of
    from losscheck.measure.ask import parameters

    target = Path(path) if path is not None else Path("cases") / f"{slug_of(spec)}.yaml"
    if target.is_dir():
        target = target / f"{slug_of(spec)}.yaml"
    if target.suffix not in (".yaml", ".yml"):
        raise UserError(f"{target} is no name of a case file", "end it in .yaml")
    if target.exists():
        raise UserError(f"{target} exists already", "give another file: losscheck gate --init ... other.yaml")
    calling: dict[str, Any] = {"keywords": dict(keywords)} if keywords else {}
    if not loss:
        loss, recognised, params = _recognised(spec, calling, dict(params or {}))
        listener.note(recognised)
    losses = [] if loss == PROGRAM else [loss_named(loss)]
    command = shlex.join(["losscheck", "gate", "--init", spec, "--loss", loss])
    written = case_text(spec, losses[0].name if losses else loss, calling, parameters(params or {}, losses), target, command)
    if path is None:
        target.parent.mkdir(exist_ok=True)
    write_new(target, written.text)
    listener.note(f"{target} written; it holds today: losscheck gate {shlex.quote(str(target))}")
    if written.recorded:
        listener.note("where no limit would say anything it asks for a record: losscheck gate --update-baseline")
    return target


def _recognised(spec: str, calling: dict[str, Any], params: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Which loss a callable is, in words too, and its parameters; how it wants to be called is added to ``calling``.

    Raises:
        UserError: for the name of an implementation, and for a callable that is no loss that is known here and has no program to be read.
    """
    from losscheck.advice.judged_as import judged_as
    from losscheck.api.arguments import call_spec_of
    from losscheck.callables.loading import is_spec
    from losscheck.core.call_spec import PLAIN_CALL, PROGRAM

    if not is_spec(spec):
        raise UserError("--init needs to know which loss it is", "add --loss, such as --loss bce; `losscheck list` names them")
    best = judged_as(spec, (), call_spec_of(calling), {})
    calling |= {
        name: getattr(best.call_spec, name) for name in ("call", "input") if getattr(best.call_spec, name) != getattr(PLAIN_CALL, name)
    }
    defaults = {parameter.name: parameter.default for parameter in best.loss.parameters}
    stated = {name: value for name, value in best.params.items() if value != defaults[name]}
    name = PROGRAM if best.call_spec.by_program else best.loss.name
    return name, f"{spec} is {best.words}", {**stated, **params}
