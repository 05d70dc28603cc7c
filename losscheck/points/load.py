"""From files to a batch: read safely, the logits and the targets found by name, rounded once to the dtype under test."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losscheck.core.dtypes import FORMATS, Format
from losscheck.core.errors import UserError, nearest
from losscheck.points.dump import MOST_ELEMENTS, Contents, Raw, unreadable
from losscheck.points.npy import BFLOAT16, read_npy, read_npz
from losscheck.points.safetensors import read_safetensors
from losscheck.points.torch_file import read_torch

__all__ = ["Dump", "load", "of_memory", "parse_names"]

ROLES = ("logits", "targets")
_READERS: dict[str, Callable[[Path], Contents]] = {
    ".pt": read_torch,
    ".pth": read_torch,
    ".npy": read_npy,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
}
_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@dataclass(frozen=True)
class Dump:
    """Logits and targets as they lay in the files: float64 arrays for float64, float32 for what is narrower, one axis.

    Attributes:
        shape: of both, as dumped.
        dtype: of the logits.
        target_kind: the dtype of the targets as dumped; whole numbers are float64 here.
    """

    logits: Any
    targets: Any
    shape: tuple[int, ...]
    dtype: Format
    target_kind: str


def parse_names(text: str | None) -> dict[str, str]:
    """'logits=pred,targets=gt' -> {'logits': 'pred', 'targets': 'gt'}; what is not named keeps its name.

    Raises:
        UserError: for another form, another role, or a role given twice.
    """
    names: dict[str, str] = {}
    for item in (text or "").split(",") if text is not None else ():
        role, equals, name = (part.strip() for part in item.partition("="))
        if not equals or not name or role not in ROLES or role in names:
            raise UserError(f"--names {text!r} is not of the form logits=NAME,targets=NAME", "for example --names logits=pred,targets=gt")
        names[role] = name
    return names


def load(paths: Sequence[str], names: dict[str, str]) -> Dump:
    """The batch of one file that holds both tensors, or of two files that hold one each, the logits first.

    Raises:
        UserError: for files that cannot be read safely, tensors that are not there, shapes that differ.
    """
    if len(paths) > 2:
        raise UserError(f"--tensors was given {len(paths)} files", "give one that holds logits and targets, or two with one tensor each")
    contents = [_contents(path) for path in paths]
    if len(paths) == 1:
        logits, targets = _both(paths[0], contents[0], names)
    else:
        logits, targets = (_only(path, tensors, names.get(role)) for path, tensors, role in zip(paths, contents, ROLES, strict=True))
    return _batch(logits, targets)


def of_memory(tensors: Mapping[str, Any], names: dict[str, str]) -> Dump:
    """The batch of tensors or arrays in memory, of any framework.

    Raises:
        UserError: as :func:`load`.
    """
    for role in ROLES:
        if (name := names.get(role, role)) not in tensors:
            raise UserError(f"there are no {role} {name!r} among the tensors", nearest(name, tensors))
    logits, targets = (_raw(tensors[names.get(role, role)]) for role in ROLES)
    return _batch(logits, targets)


def _raw(tensor: Any) -> Raw:
    """A tensor in memory as one of a file; bfloat16, which numpy has not, is read as float32."""
    import numpy as np

    array = tensor.detach().cpu() if hasattr(tensor, "detach") else np.asarray(tensor)
    kind = str(array.dtype).removeprefix("torch.")
    return Raw(kind, tuple(array.shape), lambda: np.asarray(array.float() if hasattr(array, "float") and kind == "bfloat16" else array))


def _batch(logits: Raw, targets: Raw) -> Dump:
    """Both tensors, checked and as float arrays."""
    _check_shapes(logits, targets)
    if logits.kind not in FORMATS:
        # Whole numbers are no logits either: they come from an argmax or a mask.
        cure = BFLOAT16 if logits.kind == "two nameless bytes" else f"they must be {', '.join(FORMATS)}; is it another tensor (--names)?"
        raise UserError(f"the logits are {logits.kind}", cure)
    if targets.kind not in (*FORMATS, *_WHOLE):
        raise UserError(f"the targets are {targets.kind}", "they must be floats, integers or bools; save targets.float()")
    return Dump(_floats(logits), _floats(targets), logits.shape, FORMATS[logits.kind], targets.kind)


def _contents(text: str) -> Contents:
    path = Path(text)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            # A pipe would be waited for, a device read for ever.
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise unreadable(path, f"it is {what}, no file", f"name a file ({', '.join(_READERS)})")
        if path.suffix.lower() not in _READERS:
            raise unreadable(path, f"its suffix {path.suffix!r} is none of {', '.join(_READERS)}", "dump it in one of these formats")
        return _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error), "check the name and the permissions") from None
    except ValueError as error:
        # A name with a null byte, for one.
        raise unreadable(text[:200].encode("unicode_escape").decode(), str(error)[:120], "check the name") from None


def _both(path: str, contents: Contents, names: dict[str, str]) -> tuple[Raw, Raw]:
    wanted = [names.get(role, role) for role in ROLES]
    positional = list(contents) in (["0", "1"], ["arr_0", "arr_1"])
    if not names and positional:
        # A tuple or list of two tensors, or savez without names: the logits come first, as in every loss's call.
        wanted = list(contents)
    for role, name in zip(ROLES, wanted, strict=True):
        if name not in contents:
            there = ", ".join(f"{known} ({raw.described()})" for known, raw in list(contents.items())[:12]) or "no tensor at all"
            more = f" and {len(contents) - 12} more" if len(contents) > 12 else ""
            if len(contents) == 1:
                cure = f"give the targets as well: --tensors {path} --tensors targets.npy"
            else:
                cure = f"say which it is: --names logits=NAME,targets=NAME; {nearest(name, contents)}"
            raise UserError(f"{path} has no {role} {name!r}; it has {there}{more}", cure)
    return contents[wanted[0]], contents[wanted[1]]


def _only(path: str, contents: Contents, name: str | None) -> Raw:
    if name is not None and name in contents:
        return contents[name]
    if len(contents) == 1 and name is None:
        return next(iter(contents.values()))
    there = ", ".join(f"{known} ({raw.described()})" for known, raw in list(contents.items())[:12]) or "no tensor"
    raise UserError(f"{path} has {there}, and one tensor is looked for", "say which: --names logits=NAME,targets=NAME")


def _check_shapes(logits: Raw, targets: Raw) -> None:
    if logits.shape != targets.shape:
        a, b = list(logits.shape), list(targets.shape)
        together = _broadcast(logits.shape, targets.shape)
        if together is None:
            raise UserError(f"logits of shape {a} and targets of shape {b} do not pair", "dump tensors of one shape")
        raise UserError(
            f"logits of shape {a} and targets of shape {b} are not alike: together they broadcast to {list(together)}, "
            "and each logit meets targets that are not its own",
            "a famous bug, if the loss was called so; dump tensors of one shape, such as logits.squeeze(-1)",
        )
    if not logits.elements:
        raise UserError(f"the batch is empty: its shape is {list(logits.shape)}", "dump one that has elements")
    if logits.elements > MOST_ELEMENTS:
        raise UserError(f"the batch has {logits.elements} elements, more than {MOST_ELEMENTS}", "dump a part of it, such as logits[:1]")


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    length = max(len(a), len(b))
    pairs = list(zip((1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        return None
    return tuple(y if x == 1 else x for x, y in pairs)


def _floats(raw: Raw) -> Any:
    import numpy as np

    wide = np.float32 if raw.kind in ("float32", "float16", "bfloat16") else np.float64
    with np.errstate(all="ignore"):
        # Signalling NaNs count as invalid. What a whole number beyond 2^53 loses, no target has.
        return np.ascontiguousarray(raw.read(), dtype=np.dtype(wide)).reshape(-1)
