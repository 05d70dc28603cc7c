"""The elementwise part of a recorded loss as a term over the logit x and the target z: what rewrites work on.

A term is interned: equal terms are one object, so that they compare and hash by identity. Its op is the name of an aten op,
or one of LEAVES: ``x``, ``z``, ``constant`` (a number, with the text that the user wrote for it) and ``given`` (anything else
that entered the call, by its value).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["COMPUTED", "LEAVES", "LOGIT", "MIXED", "TARGET", "Term", "constant", "is_computed", "is_constant", "subterms", "term"]

COMPUTED = "#"
LEAVES = ("x", "z", "constant", "given")


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """One op over terms.

    Attributes:
        value: of a constant its number, of a cast the dtype's name.
        source: of a constant the expression that the user wrote for it, such as ``self.gamma``; "" for a literal; COMPUTED and the op
            that made it for a number that is one in this call alone, such as a mean over the batch.
    """

    op: str
    args: tuple[Term, ...] = ()
    value: Any = None
    source: str = ""

    def __repr__(self) -> str:
        if self.op in ("constant", "given"):
            return self.source or repr(self.value)
        return f"{self.op}({', '.join(map(repr, self.args))})" if self.args else self.op


_INTERNED: dict[tuple[Any, ...], Term] = {}


def term(op: str, *args: Term, value: Any = None, source: str = "") -> Term:
    """The one term of this op over these terms."""
    # repr, because 1, 1.0 and True are one key.
    key = (op, args, repr(value), source)
    found = _INTERNED.get(key)
    if found is None:
        found = _INTERNED[key] = Term(op, args, value, source)
    return found


LOGIT, TARGET = term("x"), term("z")
# What is made of several elements of the batch, such as x - x.flip(0): no term over one logit and one target.
MIXED = term("mixed")


def constant(value: float, source: str = "") -> Term:
    """A number."""
    return term("constant", value=value, source=source)


def is_constant(candidate: Term, value: float) -> bool:
    """Is it this very number, as a literal? What has a name, such as ``self.epsilon``, may be another one tomorrow."""
    number = candidate.op == "constant" and not candidate.source and not isinstance(candidate.value, bool)
    return number and float(candidate.value) == value


def is_computed(candidate: Term) -> bool:
    """Is it a number of this call alone? It can be written by the name of a variable, and in no other way."""
    return candidate.op == "constant" and candidate.source.startswith(COMPUTED)


def subterms(root: Term) -> Iterator[Term]:
    """Every distinct subterm, arguments before what takes them."""
    seen: set[Term] = set()
    stack: list[tuple[Term, bool]] = [(root, False)]
    while stack:
        current, ready = stack.pop()
        if ready:
            yield current
        elif current not in seen:
            seen.add(current)
            stack.append((current, True))
            stack += [(argument, False) for argument in current.args]
