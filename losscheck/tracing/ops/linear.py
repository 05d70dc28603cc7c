"""Matrix products, distances and the losses that pick by class: whole tensors."""

from __future__ import annotations

from typing import Any

from losscheck.tracing.ops.reductions import norm_of, total
from losscheck.tracing.ops.table import whole


def dot_of(m: Any, a: list[Any], b: list[Any]) -> Any:
    return total(m, [m.mul(left, right) for left, right in zip(a, b, strict=True)])


def product(m: Any, a: list[Any], b: list[Any]) -> list[Any]:
    columns = list(zip(*b, strict=True))
    return [[dot_of(m, row, list(column)) for column in columns] for row in a]


@whole("dot", x=(3,), tensor=(3,))
def dot(m: Any, x: Any, tensor: Any) -> Any:
    return dot_of(m, x, tensor)


@whole("mv", x=(2, 3), vec=(3,))
def mv(m: Any, x: Any, vec: Any) -> Any:
    return [dot_of(m, row, vec) for row in x]


@whole("mm", x=(2, 3), mat2=(3, 2))
def mm(m: Any, x: Any, mat2: Any) -> Any:
    return product(m, x, mat2)


@whole("bmm", x=(2, 2, 3), mat2=(2, 3, 2))
def bmm(m: Any, x: Any, mat2: Any) -> Any:
    return [product(m, a, b) for a, b in zip(x, mat2, strict=True)]


@whole("addmm", x=(2,), mat1=(2, 3), mat2=(3, 2), beta=2.0, alpha=0.5)
def addmm(m: Any, x: Any, mat1: Any, mat2: Any, beta: float, alpha: float) -> Any:
    first, scale = m.number(beta), m.number(alpha)
    rows = product(m, mat1, mat2)
    added = x if isinstance(x, list) and isinstance(x[0], list) else [x if isinstance(x, list) else [x]] * len(rows)
    added = added * len(rows) if len(added) == 1 else added
    wide = [row * len(rows[0]) if len(row) == 1 else row for row in added]
    return [[m.add(m.mul(first, a), m.mul(scale, b)) for a, b in zip(*pair, strict=True)] for pair in zip(wide, rows, strict=True)]


@whole("_cdist_forward", x1=(2, 3), x2=(2, 3), p=2.0, compute_mode=None)
def cdist(m: Any, x1: Any, x2: Any, p: float) -> Any:
    if isinstance(x1[0][0], list):
        return [cdist(m, a, b, p) for a, b in zip(x1, x2, strict=True)]
    return [[norm_of(m, [m.sub(s, t) for s, t in zip(a, b, strict=True)], p) for b in x2] for a in x1]


def _cells(x: Any, target: Any, ignore_index: int) -> list[tuple[Any, int | None]]:
    """(log-probabilities by class, class) of each cell of [N, C], [N, C, d1, ...] or [C]; None where the class is ignored."""
    if isinstance(target, int):
        return [(x, None if target == ignore_index else target)]
    if isinstance(x[0][0], list):
        return [cell for sample, classes in zip(x, target, strict=True) for cell in _cells_of_maps(sample, classes, ignore_index)]
    return [(row, None if cls == ignore_index else cls) for row, cls in zip(x, target, strict=True)]


def _cells_of_maps(maps: list[Any], classes: Any, ignore_index: int) -> list[tuple[Any, int | None]]:
    if isinstance(classes, int):
        return [(maps, None if classes == ignore_index else classes)]
    deeper = [[channel[place] for channel in maps] for place in range(len(classes))]
    return [cell for maps_at, cls in zip(deeper, classes, strict=True) for cell in _cells_of_maps(maps_at, cls, ignore_index)]


def _shaped_like(target: Any, values: list[Any]) -> Any:
    return [_shaped_like(inner, values) for inner in target] if isinstance(target, list) else values.pop(0)


@whole("nll_loss2d_forward", x=(1, 2, 1, 2), target=[[[0, 1]]], weight=None, reduction=1, ignore_index=-100)
def nll_loss2d(m: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    return nll_loss(m, x, target, weight, reduction, ignore_index)


@whole("nll_loss_forward", x=(3, 2), target="classes", weight=None, reduction=1, ignore_index=-100)
def nll_loss(m: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    one, zero = m.number(1), m.number(0)
    weights = [zero if cls is None else one if weight is None else weight[cls] for _, cls in _cells(x, target, ignore_index)]
    losses = [
        zero if cls is None else m.neg(m.mul(w, row[cls])) for (row, cls), w in zip(_cells(x, target, ignore_index), weights, strict=True)
    ]
    if reduction == 0:
        return _shaped_like(target, losses)
    return m.div(total(m, losses), total(m, weights)) if reduction == 1 else total(m, losses)


@whole("nll_loss_backward", grad_output=(), x=(3, 2), target="classes", weight=None, reduction=1, ignore_index=-100, total_weight=3.0)
def nll_loss_backward(m: Any, grad_output: Any, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    zero, one = m.number(0), m.number(1)
    single = isinstance(target, int)
    classes = [target] if single else target
    weights = [zero if cls == ignore_index else one if weight is None else weight[cls] for cls in classes]
    scale = total(m, weights) if reduction == 1 else one
    rows = []
    for index, (cls, w) in enumerate(zip(classes, weights, strict=True)):
        grad = grad_output[index] if isinstance(grad_output, list) else grad_output
        slope = zero if cls == ignore_index else m.neg(m.div(m.mul(grad, w), scale))
        rows.append([slope if place == cls else zero for place in range(len(x if single else x[0]))])
    return rows[0] if single else rows
