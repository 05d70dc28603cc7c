"""Case files found, read and checked: all of them, or every problem in them at once. Nothing in a file is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losscheck.core.errors import UserError, nearest
from losscheck.core.verdict import Problem
from losscheck.gating.case import Case, CaseCallable, CaseExhaustive, CaseFile, CasePoints, CaseRange, Expect, KnownFailure
from losscheck.gating.check import Complaint, problems_of
from losscheck.gating.fields import shown
from losscheck.gating.tree import Number, YamlNode, parse, read_text

__all__ = ["CaseError", "LoadedCase", "case_files", "case_of", "load"]

_MODELS: dict[str, Any] = {
    "points": CasePoints,
    "range": CaseRange,
    "exhaustive": CaseExhaustive,
    "expect": Expect,
    "known_failure": KnownFailure,
    "callable": CaseCallable,
}
# What can be checked by itself, whatever else a case says.
_NAMES = ("name", "loss", "implementations", "params", "backends", "devices")
SHOWN = 50  # problems; whoever has more has one cause
MOST = 1000  # problems of one file that are put into words, each with the nearest names
_EMPTY = "is an empty value: give one, or delete the key"
LONGEST = 500  # characters of a message, which may quote the file


class CaseError(UserError):
    """Case files that cannot be judged, with every problem and its place."""

    def __init__(self, problems: Sequence[tuple[Path, Problem]], files: int) -> None:
        lines = [place(file, problem) for file, problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"... and {len(problems) - SHOWN} more")
        number = f"{len(problems)} problem{'s' * (len(problems) > 1)} in {files} case file{'s' * (files > 1)}"
        super().__init__(f"{number}: nothing was judged", "the keys of a case: `losscheck schema`, or docs/gate.md", lines)
        self.problems = problems


@dataclass(frozen=True)
class LoadedCase:
    """A case, and where it begins."""

    case: Case
    file: Path
    line: int


def place(file: Path, problem: Problem) -> str:
    """``file:line:column: path: message``."""
    where = f"{file}:{problem.line}:{problem.column}: "
    message = problem.message if len(problem.message) <= LONGEST else f"{problem.message[:LONGEST]}..."
    return where + (f"{problem.path}: {message}" if problem.path else message)


def case_files(paths: Iterable[Path]) -> list[Path]:
    """The files given, and every .yaml and .yml below the folders given, sorted.

    Raises:
        UserError: for a path that does not exist, and when there is no case file at all.
    """
    paths, files = list(paths), []
    for path in paths:
        try:
            files += _files_of(path)
        except OSError as error:
            raise UserError(f"cannot look at {str(path)[:200]}: {error.strerror or error}", "give case files or folders of them") from None
    if not files:
        raise UserError(
            f"no case file in {', '.join(map(str, paths))}", "a case file ends in .yaml or .yml; see docs/gate.md for the first one"
        )
    return list(dict.fromkeys(files))


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml") and not file.is_dir())
    if not path.exists():
        raise UserError(f"{path} does not exist", "give case files or folders of them; without any it is cases/")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file", "give case files or folders of them")
    return [path]


def load(files: Sequence[Path], *, imports: bool = True) -> list[LoadedCase]:
    """All cases of all files, in order.

    Raises:
        CaseError: with every problem of every file.
    """
    loaded: list[LoadedCase] = []
    problems: list[tuple[Path, Problem]] = []
    for file in files:
        cases, wrong = _read(file, imports)
        loaded += cases
        problems += [(file, problem) for problem in wrong]
    problems += _same_names(loaded)
    if problems:
        raise CaseError(problems, len({file for file, _ in problems}))
    return loaded


def case_of(plain: Mapping[str, Any]) -> Case:
    """A case that was put together in Python, checked as one from a file.

    Raises:
        UserError: with everything that is wrong with it.
    """
    from pydantic import ValidationError

    try:
        case = Case.model_validate(_as_written(plain))
    except ValidationError as error:
        problems = [f"{_dotted(problem['loc'])}: {_message(problem, Case)}" for problem in error.errors()]
    else:
        problems = [f"{_dotted(path)}: {message}" for path, message in problems_of(case)]
    if problems:
        raise UserError("; ".join(problems), "see docs/python.md")
    return case


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in path if step not in ("", "[key]"))


def _as_written(value: Any) -> Any:
    """Numbers as the text they would be in a file."""
    if isinstance(value, Mapping):
        return {key: _as_written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_written(item) for item in value]
    return Number(repr(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _read(file: Path, imports: bool) -> tuple[list[LoadedCase], list[Problem]]:
    text = read_text(file)
    if isinstance(text, Problem):
        return [], [text]
    root, problems = parse(text)
    if root is None:
        return [], problems
    if not isinstance(root.value, dict):
        return [], [*problems, Problem(root.line, root.column, "", "is no mapping: a case file begins with `cases:`")]
    from pydantic import ValidationError

    cases: list[LoadedCase] = []
    try:
        CaseFile.model_validate({key: [] if key == "cases" else value.plain() for key, (_, value) in root.value.items()})
    except ValidationError as error:
        # Its cases are left out here: that there are none is no problem of the file.
        problems += _model_problems([wrong for wrong in _errors_of(error) if wrong["type"] != "too_short"], root, (), CaseFile)
    listed = root.value["cases"][1] if "cases" in root.value else None
    if listed is not None and (not isinstance(listed.value, list) or not listed.value):
        problems.append(Problem(listed.line, listed.column, "cases", "is not a list of cases: write `cases:` and then `  - name: ...`"))
        return [], problems
    for n, node in enumerate(listed.value if listed else ()):
        if len(problems) > MOST:
            problems.append(Problem(node.line, node.column, f"cases[{n}]", f"comes after {MOST} problems: not read"))
            break
        # Each case by itself, so that a wrong value in one does not hide what is wrong between the values of another.
        plain = node.plain()
        empty = [_problem(root, path, _EMPTY) for path in _empty(node, ("cases", n))]
        try:
            case = Case.model_validate(plain)
        except ValidationError as error:
            complaints = _model_problems(_errors_of(error), root, ("cases", n), Case)
            complaints += [_problem(root, ("cases", n, *path), message) for path, message in _of_the_rest(plain, error, imports)]
            places = {(problem.line, problem.column) for problem in complaints}
            problems += [*complaints, *(problem for problem in empty if (problem.line, problem.column) not in places)]
            continue
        problems += empty
        problems += [_problem(root, ("cases", n, *path), message) for path, message in problems_of(case, imports)]
        cases.append(LoadedCase(case, file, node.line))
    return cases, sorted(problems, key=lambda problem: (problem.line, problem.column))


def _of_the_rest(plain: Any, error: Any, imports: bool) -> list[Complaint]:
    """What is wrong with the names in a case of which other values are wrong: all problems are told at once."""
    from pydantic import ValidationError

    wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
    try:
        case = Case.model_validate({key: value for key, value in plain.items() if key not in wrong and key in _NAMES})
    except (ValidationError, AttributeError):
        return []
    return [complaint for complaint in problems_of(case, imports) if complaint[0] and complaint[0][0] in _NAMES]


def _empty(node: YamlNode, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where nothing was written: an expectation that was left empty would expect nothing."""
    if node.value is None:
        yield path
    elif isinstance(node.value, dict):
        for key, (_, value) in node.value.items():
            yield from _empty(value, (*path, key))
    elif isinstance(node.value, list):
        for n, value in enumerate(node.value):
            yield from _empty(value, (*path, n))


def _same_names(loaded: Sequence[LoadedCase]) -> Iterator[tuple[Path, Problem]]:
    first: dict[str, LoadedCase] = {}
    for case in loaded:
        earlier = first.setdefault(case.case.name, case)
        if earlier is not case:
            yield (
                case.file,
                Problem(case.line, 1, "name", f"{case.case.name!r} is also the name of {earlier.file}:{earlier.line}: rename one"),
            )


def _errors_of(error: Any) -> list[Mapping[str, Any]]:
    errors: list[Mapping[str, Any]] = error.errors(include_url=False)
    return errors[:MOST]


def _model_problems(errors: Iterable[Mapping[str, Any]], root: YamlNode, prefix: tuple[Any, ...], model: Any) -> list[Problem]:
    return [_problem(root, (*prefix, *wrong["loc"]), _message(wrong, model), key=wrong["type"] == "extra_forbidden") for wrong in errors]


def _problem(root: YamlNode, path: tuple[Any, ...], message: str, *, key: bool = False) -> Problem:
    by_key = key or path[-1:] == ("[key]",)
    path = tuple(step for step in path if step != "[key]")
    node = root.key_at(path) if by_key else root.at(path)
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path if step != "").removeprefix(".")
    return Problem(node.line, node.column, shown[:200], message)


def _message(error: Mapping[str, Any], model: Any) -> str:
    """pydantic's words in ours, with the nearest known name."""
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        owner = next((_MODELS[step] for step in reversed(error["loc"][:-1]) if step in _MODELS), model)
        return f"unknown key {str(error['loc'][-1])[:60]!r}: {nearest(str(error['loc'][-1])[:60], owner.model_fields)}"
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        known = [name for name in error["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ") if name]
        return f"{shown(given)} is not one of {', '.join(known)}: {nearest(str(given)[:60], known)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{shown(given)} is not a mapping of keys to values"
    if kind == "list_type":
        return f"{shown(given)} is not a list: write [{given}]" if isinstance(given, str) else f"{shown(given)} is not a list"
    if kind == "too_short":
        return "is empty: give at least one"
    if kind == "string_pattern_mismatch":
        return f"{shown(given)} is no link: give one that begins with https://"
    return str(error["msg"])
