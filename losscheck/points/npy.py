"""Readers of .npy and .npz, by numpy's own format module.

Headers first: nothing is unpacked or allocated before its size is known, and no pickle is loaded.
"""

from __future__ import annotations

import functools
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from losscheck.points.dump import Contents, Raw, unreadable

__all__ = ["read_npy", "read_npz"]

CURE = 'write it anew: numpy.savez("batch.npz", logits=logits, targets=targets)'
BFLOAT16 = "float32 holds every bfloat16 exactly: save logits.float().numpy(), and ask with --dtype bfloat16"


def read_npy(path: Path) -> Contents:
    """The one array of the file, under its own name.

    Raises:
        UserError: for anything that is not such a file.
    """
    with path.open("rb") as file:
        raw = _header(path, file, path.stat().st_size)
    return {path.stem: replace(raw, read=functools.partial(_read_npy, path))}


def read_npz(path: Path) -> Contents:
    """The arrays of the archive by name; only their headers are read.

    Raises:
        UserError: for anything that is not such a file.
    """
    arrays: dict[str, Raw] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    name = member.filename.removesuffix(".npy")
                    if name in arrays:
                        raise unreadable(path, f"it has two arrays {name!r}", CURE)
                    with archive.open(member) as file:
                        raw = _header(path, file, member.file_size, f"its array {name[:60]!r}")
                    arrays[name] = replace(raw, read=functools.partial(_read_npz, path, member.filename))
    except PermissionError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise unreadable(path, f"it is no sound .npz ({_first_line(error)})", CURE) from None
    return arrays


def _header(path: Path, file: Any, size: int, what: str = "it") -> Raw:
    """What the header says, held against the ``size`` of the whole: numpy allocates as much as a header claims."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except (zipfile.BadZipFile, zlib.error, OSError):
        raise
    except Exception as error:
        # numpy parses the header as Python text and raises whatever the tokenizer stumbles over.
        raise unreadable(path, f"{what} is no sound .npy ({_first_line(error)})", CURE) from None
    if dtype.hasobject:
        raise unreadable(path, f"{what} holds Python objects, which only pickle loads, and pickle runs code", CURE)
    if any(length < 0 for length in shape):
        raise unreadable(path, f"{what} has a negative shape", CURE)
    # numpy writes bfloat16 as two nameless bytes.
    raw = Raw("two nameless bytes" if dtype.kind == "V" and dtype.itemsize == 2 else dtype.name, tuple(shape), None)
    if size - file.tell() < raw.elements * dtype.itemsize:
        raise unreadable(path, f"{what} has a header that says {raw.described()}, and the file ends before", CURE)
    return raw


def _read_npy(path: Path) -> Any:
    with path.open("rb") as file:
        return _array(path, file)


def _read_npz(path: Path, member: str) -> Any:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            # As many bytes as the header says, however much the archive would unpack to.
            return _array(path, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise unreadable(path, f"{member} is damaged ({_first_line(error)})", CURE) from None


def _array(path: Path, file: Any) -> Any:
    from numpy.lib import format as npy

    try:
        return npy.read_array(file, allow_pickle=False)
    except (ValueError, MemoryError) as error:
        raise unreadable(path, f"its data is not what its header says ({_first_line(error)})", CURE) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
