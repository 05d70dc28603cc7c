"""What a report says, as a document: one file a job. The only place where findings become sentences and tables."""

from __future__ import annotations

import importlib

from losscheck.core.report import Inventory, Report
from losscheck.renderers.document import Document

__all__ = ["document_of"]


def document_of(report: Report | Inventory) -> Document:
    """The document of a report, by its job; a pure function."""
    job = "sweep" if report.job == "merge" else report.job
    module = importlib.import_module(f"losscheck.renderers.documents.{job}")
    document: Document = module.document(report)
    return document
