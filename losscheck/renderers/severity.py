"""One sign and one colour a severity, and which severity each outcome, effect and verdict has. Nowhere else."""

from __future__ import annotations

from enum import Enum

__all__ = ["Severity", "severity_of"]


class Severity(Enum):
    """How much something matters, worst first: its sign with and without unicode, its colour on a screen, on a light page
    and on a dark one.

    The sign alone tells them apart: colour only helps.
    """

    BROKEN = ("✗", "x", "red", "#b00020", "#ff8a94")
    WRONG = ("!", "!", "yellow", "#8a5a00", "#e9b44c")
    SLIGHT = ("~", "~", "cyan", "#00637a", "#5cc8e0")
    UNKNOWN = ("?", "?", "magenta", "#7a2a8a", "#d79be8")
    FINE = (" ", " ", "none", "inherit", "inherit")

    def __init__(self, symbol: str, ascii_symbol: str, color: str, page_color: str, dark_color: str) -> None:
        self.symbol = symbol
        self.ascii_symbol = ascii_symbol
        self.color = color
        self.page_color = page_color
        self.dark_color = dark_color

    def sign(self, unicode: bool = True) -> str:
        return self.symbol if unicode else self.ascii_symbol

    @property
    def fails(self) -> bool:
        return self in (Severity.BROKEN, Severity.WRONG)


# By the word that is printed: an outcome, an effect and a verdict that share a word mean the same by it.
_OF_WORD = {
    # outcomes
    "nan": Severity.BROKEN,
    "inf": Severity.BROKEN,
    "wrong-sign": Severity.BROKEN,
    "lost": Severity.BROKEN,
    "missed-inf": Severity.BROKEN,
    "flushed": Severity.WRONG,
    "inaccurate": Severity.WRONG,
    "undecided": Severity.UNKNOWN,
    "unavailable": Severity.UNKNOWN,
    "ok": Severity.FINE,
    # effects
    "poisons": Severity.BROKEN,
    "misdirects": Severity.BROKEN,
    "dead": Severity.BROKEN,
    "misstates": Severity.WRONG,
    "tails": Severity.SLIGHT,
    "sound": Severity.FINE,
    # verdicts of the gate
    "fail": Severity.BROKEN,
    "not-comparable": Severity.UNKNOWN,
    "better": Severity.SLIGHT,
    "skipped": Severity.UNKNOWN,
    "known-failure": Severity.SLIGHT,
    "pass": Severity.FINE,
}


def severity_of(judgement: Enum) -> Severity:
    """The severity of an outcome, an effect or a verdict."""
    return _OF_WORD[judgement.value]
