"""A term as the PyTorch expression that somebody would write for it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from losscheck.tracing.cures.terms import Term, is_computed, term
from losscheck.tracing.cures.tidying import tidied

__all__ = ["Names", "NoNameError", "expression", "written"]

SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
COMPARED, SUMMED, MULTIPLIED, NEGATED, RAISED, CALLED = range(6)
BINDING = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), COMPARED),
    **dict.fromkeys(("add", "sub"), SUMMED),
    **dict.fromkeys(("mul", "div"), MULTIPLIED),
    "neg": NEGATED,
    "pow": RAISED,
}
FUNCTIONAL = {
    "log_sigmoid_forward": "logsigmoid",
    "softplus": "softplus",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "binary_cross_entropy": "binary_cross_entropy",
}
ROWS = frozenset({"softmax", "log_softmax", "logsumexp", "sum", "amax", "select", "index", "gather", "diagonal", "squeeze", "unsqueeze"})
TORCH = {"clamp_min": "clamp", "clamp_max": "clamp"}


class NoNameError(LookupError):
    """Something that the expression needs has no name where it would stand."""


@dataclass(frozen=True)
class Names:
    """What things are called where the expression will stand.

    Attributes:
        terms: names of terms: variables, arguments, attributes.
        texts: expressions that stand there already, as they are written.
        torch, functional: how the file calls these modules.
    """

    terms: Mapping[Term, str]
    torch: str = "torch"
    functional: str = "torch.nn.functional"
    texts: Mapping[Term, str] = field(default_factory=dict)


def expression(root: Term, names: Names, *, reduction: str = "") -> str:
    """With as few signs as it can have, and what stands there already as it stands; ``reduction`` is a method that it ends in.

    Raises:
        NoNameError: when it needs a tensor that has no name.
    """
    spellings = (tidied(root, {**names.terms, **names.texts}), tidied(root, names.terms))
    return min((_reduced(spelling, names, reduction) for spelling in dict.fromkeys(spellings)), key=_signs)


def _signs(text: str) -> int:
    return sum(isinstance(node, ast.USub) for node in ast.walk(ast.parse(text, mode="eval")))


def _reduced(root: Term, names: Names, reduction: str) -> str:
    if not reduction:
        return written(root, names)
    if root.op == "neg" and root not in names.terms:
        # (-y).mean() is -y.mean()
        return f"-{_reduced(root.args[0], names, reduction)}"
    return f"{written(root, names, CALLED)}.{reduction}()"


def written(root: Term, names: Names, binding: int = COMPARED - 1) -> str:
    """The expression; in parentheses where it binds weaker than ``binding`` asks.

    Raises:
        NoNameError: when it needs a tensor that has no name.
    """
    if root in names.terms:
        return names.terms[root]
    if root in names.texts:
        return _as_written(names.texts[root], binding)
    if (opposite := term("neg", root)) in names.terms:
        return _parenthesised(f"-{names.terms[opposite]}", NEGATED, binding)
    if root.op in ("x", "z", "given", "tensor") or is_computed(root):
        raise NoNameError("the logits" if root.op == "x" else "the targets" if root.op == "z" else "a value from outside")
    if root.op == "constant":
        return _as_written(root.source, binding) if root.source else number(root.value)
    if root.op == "rsub":
        return _infix("sub", root.args[1], root.args[0], names, binding)
    if root.op in SYMBOLS:
        return _infix(root.op, root.args[0], root.args[1], names, binding)
    if root.op == "neg" and root.args[0].op in ("mul", "div") and not _stands(root.args[0], names):
        # (-a) * b is -(a * b)
        return _parenthesised("-" + written(root.args[0], names, MULTIPLIED), MULTIPLIED, binding)
    if root.op == "neg":
        return _parenthesised("-" + written(root.args[0], names, NEGATED), NEGATED, binding)
    if root.op == "pow":
        base, exponent = (written(argument, names, CALLED) for argument in root.args)
        return _parenthesised(f"{base} ** {exponent}", RAISED, binding)
    if root.op == "square":
        return _parenthesised(f"{written(root.args[0], names, CALLED)} ** 2", RAISED, binding)
    if root.op == "cast":
        inner = written(root.args[0], names, CALLED)
        return f"{inner}.float()" if root.value == "float32" else f"{inner}.to({names.torch}.{root.value})"
    return _along_rows(root, names) if root.op in ROWS else _call(root, names)


def _along_rows(root: Term, names: Names) -> str:
    inner = written(root.args[0], names)
    if root.op in ("softmax", "log_softmax"):
        return f"{names.functional}.{root.op}({inner}, dim={root.value[0]})"
    if root.op in ("logsumexp", "sum", "amax"):
        axis, kept = root.value
        return f"{names.torch}.{root.op}({inner}, dim={axis}{', keepdim=True' * kept})"
    base, others = written(root.args[0], names, CALLED), [written(argument, names) for argument in root.args[1:]]
    if root.op == "select":
        axis, index, _ = root.value
        return f"{base}[{':, ' * axis}{index}]"
    if root.op == "index":
        return f"{base}[{', '.join(others)}]"
    words = [] if root.value is None else [str(root.value)]
    return f"{base}.{root.op}({', '.join([*words, *others])})"


def _stands(root: Term, names: Names) -> bool:
    return root in names.terms or root in names.texts


STRENGTHS: dict[type, int] = {
    **dict.fromkeys((ast.Add, ast.Sub), SUMMED),
    **dict.fromkeys((ast.Mult, ast.Div), MULTIPLIED),
    ast.Pow: RAISED,
    ast.USub: NEGATED,
}


def _as_written(text: str, binding: int) -> str:
    """Somebody's expression, in parentheses where it binds weaker than is asked."""
    node = ast.parse(text, mode="eval").body
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return _parenthesised(text, STRENGTHS.get(type(node.op), COMPARED), binding)
    atom = isinstance(node, ast.Call | ast.Name | ast.Attribute | ast.Constant | ast.Subscript)
    return text if atom else _parenthesised(text, COMPARED, binding)


def _infix(op: str, a: Term, b: Term, names: Names, binding: int) -> str:
    strength = BINDING[op]
    # a * (b * c) is rounded otherwise than a * b * c.
    right = strength + 1
    left = strength + (strength == COMPARED)
    if op == "add" and b.op == "neg":
        # a + -b is a - b to everybody but a tree.
        op, b, right = "sub", b.args[0], SUMMED + 1
    return _parenthesised(f"{written(a, names, left)} {SYMBOLS[op]} {written(b, names, right)}", strength, binding)


def _parenthesised(text: str, strength: int, binding: int) -> str:
    return f"({text})" if strength < binding else text


def _call(root: Term, names: Names) -> str:
    args = root.args
    if root.op == "softplus" and all(argument.op == "constant" for argument in args[1:]):
        args = args[:1] if [argument.value for argument in args[1:]] in ([1], [1, 20]) else args
    texts = [written(argument, names) for argument in args]
    if root.op in ("clamp_min", "clamp_max"):
        texts[1] = f"{root.op[-3:]}={texts[1]}"
    if root.op.startswith("binary_cross_entropy"):
        texts.append('reduction="none"')
    if root.op in FUNCTIONAL:
        return f"{names.functional}.{FUNCTIONAL[root.op]}({', '.join(texts)})"
    if root.op == "detach":
        return f"{written(root.args[0], names, CALLED)}.detach()"
    return f"{names.torch}.{TORCH.get(root.op, root.op)}({', '.join(texts)})"


def number(value: Any) -> str:
    """2 for 2 and 2.0: what is raised to and compared with is mostly whole, and torch takes both alike."""
    if isinstance(value, bool):
        return repr(value)
    whole = float(value).is_integer() and abs(value) < 1e6 and not (value == 0 and isinstance(value, float))
    return repr(int(value)) if whole else repr(value)
