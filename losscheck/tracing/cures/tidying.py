"""A term with fewer signs and brackets to be read: what a printer may change without changing one bit of what is computed.

Rounding to nearest knows no sign, so that a negation can be moved through products, sums and even powers, in the backward pass too.
"""

from __future__ import annotations

from collections.abc import Container

from losscheck.tracing.cures.terms import LEAVES, Term, is_constant, term

__all__ = ["tidied"]


def tidied(root: Term, atoms: Container[Term] = ()) -> Term:
    """The same number, bit for bit but for the sign of a zero. ``atoms`` are left as they are: they have a name."""
    return _Tidying(atoms).of(root)


class _Tidying:
    def __init__(self, atoms: Container[Term]) -> None:
        self.atoms = atoms
        self.known: dict[Term, Term] = {}

    def of(self, root: Term) -> Term:
        if root.op in LEAVES or root in self.atoms:
            return root
        if root not in self.known:
            args = [self.of(argument) for argument in root.args]
            self.known[root] = self._rebuilt(root, args)
        return self.known[root]

    def _rebuilt(self, root: Term, args: list[Term]) -> Term:
        op = root.op
        if op == "neg":
            return self._negated(args[0])
        if op in ("mul", "div") and len(args) == 2:
            return self._product(op, *args)
        if op in ("add", "sub") and len(args) == 2:
            return self._sum(op, *args)
        if op in ("abs", "square") or (op == "pow" and _even(args[1])):
            args[0] = self._unsigned(args[0])[0]
        return term(op, *args, value=root.value, source=root.source)

    def _unsigned(self, a: Term) -> tuple[Term, bool]:
        """What it is the negation of, and whether it is one."""
        return (a.args[0], True) if a.op == "neg" and a not in self.atoms else (a, False)

    def _negated(self, a: Term) -> Term:
        inner, negative = self._unsigned(a)
        return inner if negative else term("neg", a)

    def _product(self, op: str, a: Term, b: Term) -> Term:
        (a, first), (b, second) = self._unsigned(a), self._unsigned(b)
        product = term(op, a, b)
        if is_constant(b, 1):
            product = a
        elif op == "mul" and is_constant(a, 1):
            product = b
        return product if first is second else self._negated(product)

    def _sum(self, op: str, a: Term, b: Term) -> Term:
        (a, first), (b, second) = self._unsigned(a), self._unsigned(b)
        second = second is not (op == "sub")
        if first and second:
            return term("neg", term("add", a, b))
        left = term("neg", a) if first else a
        return left if is_constant(b, 0) else term("sub" if second else "add", left, b)


def _even(exponent: Term) -> bool:
    """A literal 2, 4, ...: what has a name may be another number tomorrow."""
    whole = exponent.op == "constant" and not exponent.source and not isinstance(exponent.value, bool)
    return whole and float(exponent.value) % 2 == 0
