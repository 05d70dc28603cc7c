"""A patch tried before it is offered: the functions of a file run their patched code for a while, without the file being written."""

from __future__ import annotations

import gc
import linecache
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from losscheck.tracing.cures.patch import Patch

__all__ = ["CannotTryError", "alike", "patched", "results_of"]

# Four logits of both classes, at which nothing is lost, in every shape that a loss is likely to flatten, sum over or broadcast.
LOGITS, TARGETS = (2.0, -3.0, 0.5, 1.0), (1.0, 0.0, 0.0, 1.0)
SHAPES = ((4,), (4, 1), (2, 2), (1, 1, 2, 2))
CLOSE = 1e-4


class CannotTryError(RuntimeError):
    """The functions that run are not those that the file defines: changed since, made otherwise, or with other outer variables."""


@contextmanager
def patched(patches: Sequence[Patch]) -> Iterator[None]:
    """The functions that are alive and that the patches change have the patched code meanwhile.

    Raises:
        CannotTryError: when there are none, or they cannot take it.
    """
    changed = [pair for patch in patches for pair in _changes(patch)]
    live = list(_live({before for before, _ in changed}))
    new = dict(changed)
    if not live:
        raise CannotTryError("no function that is alive comes from this source")
    old = [(function, function.__code__) for function in live]
    read = {patch.file: linecache.cache.get(patch.file) for patch in patches}
    try:
        for patch in patches:
            # Without a time of change, linecache takes it as it is.
            linecache.cache[patch.file] = (len(patch.after), None, patch.after.splitlines(keepends=True), patch.file)
        try:
            for function in live:
                function.__code__ = new[function.__code__]
        except ValueError as error:
            raise CannotTryError(str(error)) from None
        yield
    finally:
        for function, code in old:
            function.__code__ = code
        for file, entry in read.items():
            linecache.cache.pop(file, None)
            if entry is not None:
                linecache.cache[file] = entry


def results_of(function: Callable[[Any, Any], Any]) -> Iterator[Any]:
    """What a callable returns for the same four logits in each shape; None where it takes none such."""
    import torch

    for shape in SHAPES:
        logits, targets = (torch.tensor(values).reshape(shape) for values in (LOGITS, TARGETS))
        try:
            result = function(logits.requires_grad_().clone(), targets)
        except Exception:  # whatever a callable of somebody's raises for logits of another shape
            result = None
        yield result.detach().double() if isinstance(result, torch.Tensor) else None


def alike(before: Any, after: Any, *, values: bool) -> bool:
    """Is a result of the shape it had, and of its values too, where these are numbers? Where there was none, nothing is asked."""
    import torch

    if before is None or after is None:
        return before is None
    if before.shape != after.shape:
        return False
    known = torch.isfinite(before)
    return not values or torch.allclose(before[known], after[known], rtol=CLOSE, atol=CLOSE)


def _changes(patch: Patch) -> Iterator[tuple[CodeType, CodeType]]:
    """(before, after) of every function of a file whose code is not the same; those of nested ones come with the outer."""
    try:
        sides = [_functions(compile(text, patch.file, "exec", dont_inherit=True)) for text in (patch.before, patch.after)]
    except SyntaxError as error:
        raise CannotTryError(str(error)) from None
    if [code.co_qualname for code in sides[0]] != [code.co_qualname for code in sides[1]]:
        raise CannotTryError("the patch changes which functions there are")
    yield from zip(*sides, strict=True)


def _functions(code: CodeType) -> list[CodeType]:
    """Of a module, in the order of the source; comprehensions are part of what they stand in."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [function for part in inner for function in ([part] if not _is_comprehension(part) else []) + _functions(part)]


def _is_comprehension(code: CodeType) -> bool:
    return code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def _live(codes: set[CodeType]) -> Iterator[FunctionType]:
    """Every function that runs one of these codes. Equal codes of another file are another's."""
    files = {code.co_filename for code in codes}
    for candidate in gc.get_objects():
        if type(candidate) is FunctionType and candidate.__code__.co_filename in files and candidate.__code__ in codes:
            yield candidate
