"""A patch tried before it is offered: the functions of a file run their patched code for a while, without the file being written."""

from __future__ import annotations

import gc
import linecache
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType

from losscheck.tracing.cures.patch import Patch

__all__ = ["CannotTryError", "patched"]


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
