"""JUnit XML: a suite for each case file, a test case for each row."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

from losscheck.core.report import Report
from losscheck.core.verdict import CaseRow, Verdict
from losscheck.renderers import Style
from losscheck.renderers.verdicts import message, places

__all__ = ["render"]

# XML 1.0 cannot hold these at all, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report, style: Style) -> str:
    kinds = [_kind(row, report.strict) for row in report.cases]
    root = ElementTree.Element("testsuites", {"name": "losscheck gate", **_totals(kinds)})
    for file in dict.fromkeys(row.file for row in report.cases):
        chosen = [(row, kind) for row, kind in zip(report.cases, kinds, strict=True) if row.file == file]
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(file), **_totals([kind for _, kind in chosen])})
        for row, kind in chosen:
            _test(suite, row, kind)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _kind(row: CaseRow, strict: bool) -> str:
    """failure: a budget is broken; error: could not be judged; skipped: not there, known, or not comparable."""
    code = row.verdict.exit_code(strict)
    if code:
        return "failure" if code == 1 else "error"
    return "" if row.verdict in (Verdict.PASS, Verdict.BETTER) else "skipped"


def _totals(kinds: list[str]) -> dict[str, str]:
    counts = Counter(kinds)
    return {"tests": str(len(kinds)), "failures": str(counts["failure"]), "errors": str(counts["error"]), "skipped": str(counts["skipped"])}


def _test(suite: ElementTree.Element, row: CaseRow, kind: str) -> None:
    name = f"{row.case} [{row.subject}]"
    (file, line), _ = places(row)
    place = {"file": _clean(file), "line": str(line)} if row.source[0] else {"line": str(row.line)}
    test = ElementTree.SubElement(suite, "testcase", {"classname": _clean(row.file), "name": _clean(name), **place})
    if kind:
        told = row.reason if kind != "skipped" else f"{row.verdict.value}: {row.reason}"
        element = ElementTree.SubElement(test, kind, {"message": _clean(told)})
        if kind != "skipped":
            element.set("type", row.verdict.value)
            source = [f"source: {row.source_place}"] if row.source[0] else []
            element.text = _clean("\n".join([f"{row.file}:{row.line}: {row.case}", row.subject, *source, *message(row)]))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
