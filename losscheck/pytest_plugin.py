"""Case files as pytest tests: one item for each case.

Opt in by the ini option ``losscheck_cases``, files or folders relative to the root of the project. Loading this plug-in
imports nothing but pytest; the cases and their frameworks are loaded when a chosen file is collected.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

__all__ = ["pytest_addoption", "pytest_collect_file"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("losscheck_cases", "Case files of losscheck, or folders of them, to collect as tests.", type="paths", default=[])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    chosen = [Path(path).resolve() for path in parent.config.getini("losscheck_cases")]
    for path in chosen:
        if not path.exists():
            raise pytest.UsageError(f"losscheck_cases names {path}, which does not exist")
    if not any(file_path.resolve().is_relative_to(path) for path in chosen):
        return None
    collected: pytest.Collector = CaseCollector.from_parent(parent, path=file_path)
    return collected


class CaseCollector(pytest.File):
    """A case file; one that cannot be read is a collection error with every problem in it."""

    def collect(self) -> Iterable[pytest.Item]:
        from losscheck.gating.load import CaseError, load

        # What a case names is importable from the root of the project, wherever pytest is started.
        if (root := str(self.config.rootpath)) not in sys.path:
            sys.path.insert(0, root)
        try:
            loaded = load([self.path])
        except CaseError as error:
            raise self.CollectError("\n".join(error.details)) from None
        return [CaseItem.from_parent(self, name=case.case.name, loaded=case) for case in loaded]


class CaseItem(pytest.Item):
    """A case: fails when a row of it does, skips when nothing could be judged here, is xfailed when it fails as known."""

    def __init__(self, *, loaded: Any, **more: Any) -> None:
        super().__init__(**more)
        self.loaded = loaded

    def runtest(self) -> None:
        from losscheck.core.errors import UserError
        from losscheck.core.verdict import Verdict
        from losscheck.gating.judge import Session, judge_case

        try:
            rows = judge_case(self.loaded, Session())
        except UserError as error:
            pytest.fail(str(error), pytrace=False)
        bad = sorted((row for row in rows if row.verdict.exit_code(strict=False)), key=lambda row: row.badness)
        if bad:
            pytest.fail(_told(bad), pytrace=False)
        verdicts = {row.verdict for row in rows} - {Verdict.SKIPPED}
        if not verdicts:
            pytest.skip("; ".join(dict.fromkeys(row.reason for row in rows)) or "the case selects nothing")
        if verdicts == {Verdict.KNOWN_FAILURE}:
            pytest.xfail(rows[0].reason)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.loaded.line - 1, f"case {self.name}"


def _told(bad: list[Any]) -> str:
    from losscheck.renderers.verdicts import message

    shown = ["\n  ".join([f"{row.file}:{row.line}: {row.subject}: {row.verdict.value}", *message(row)]) for row in bad[:5]]
    return "\n".join([*shown, *([f"and {len(bad) - 5} more"] if len(bad) > 5 else [])])
