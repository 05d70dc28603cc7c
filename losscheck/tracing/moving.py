"""Ops that move elements and make none: the op's own kernel, run on the numbers of the elements, says where each one goes."""

from __future__ import annotations

from typing import Any

from losscheck.tracing.memory import LEAF, TapeElements, float_format_of, mapped
from losscheck.tracing.ops import movement
from losscheck.tracing.plan import bind

__all__ = ["moved_elements"]

# Arguments that say where, and are no elements that move.
PLACES = ("index", "indices", "mask", "repeats")


def moved_elements(func: Any, name: str, args: Any, kwargs: dict[str, Any], ids: Any, results: list[Any], elements: TapeElements) -> Any:
    """The elements of the first result, in its shape; None when the op makes new ones.

    Args:
        args, ids: the positional arguments, as tensors and as the numbers of their elements.
    """
    first = results[0]
    if name in ("copy", "_to_copy") or (name == "fill" and hasattr(args[1], "dtype")):
        source, numbers = (args[0], ids[0]) if name == "_to_copy" else (args[1], ids[1])
        return numbers.expand(first.shape) if first.dtype == source.dtype else None
    if not (name in movement.MOVES or name in movement.FILLS_WITH_ZERO or name in movement.CHOOSES):
        return None
    try:
        return _by_own_kernel(func, name, args, kwargs, ids, results, elements)
    except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
        # A kernel that takes no integers, or an overload of other arguments: the values are taken as computed.
        return None


def _by_own_kernel(func: Any, name: str, args: Any, kwargs: dict[str, Any], ids: Any, results: list[Any], elements: TapeElements) -> Any:
    import torch

    bound = bind(func, args, kwargs)
    if name in movement.FILLS_WITH_ZERO:
        if bound.get("value"):
            return None
        zero = elements.add([0.0], float_format_of(results[0].dtype), LEAF)[0]
        numbers = func(*mapped(lambda part: part + 1, ids), **kwargs) - 1
        return torch.where(numbers < 0, zero, numbers)
    if name in movement.CHOOSES:
        return _chosen(args[0], ids[0], bound, results)
    if bound.get("accumulate") or bound.get("reduce"):
        return None
    numbers = bind(func, ids, kwargs)
    for argument in PLACES:
        if argument in bound:
            numbers[argument] = bound[argument]
    if name == "scatter" and "value" in bound:
        numbers["value"] = elements.add([bound["value"]], float_format_of(results[0].dtype), LEAF)[0]
    positional = [numbers[argument.name] for argument in func._schema.arguments if not argument.kwarg_only]
    outcome = func(*positional)
    return outcome if isinstance(outcome, torch.Tensor) else outcome[0]


def _chosen(source: Any, ids: Any, bound: dict[str, Any], results: list[Any]) -> Any:
    """The elements that a sort, an extreme or a median chose."""
    import torch

    if len(results) > 1 and results[1].dtype == torch.int64 and "dim" in bound:
        if not ids.dim():
            return ids
        dim, index = bound["dim"], results[1]
        if index.dim() == ids.dim():
            return torch.gather(ids, dim, index)
        return torch.gather(ids, dim, index.unsqueeze(dim)).squeeze(dim)
    if len(results) == 1 and results[0].dim() == 0 and "other" not in bound:
        places = (source == results[0]).reshape(-1).nonzero().reshape(-1)
        return ids.reshape(-1)[places[0]] if len(places) else None
    return None
