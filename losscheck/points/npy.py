"""Readers of .npy and .npz. Headers first: nothing is unpacked or allocated before its size is known, no pickle is loaded."""

from __future__ import annotations

import functools
import zipfile
import zlib
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
        raw, dtype, order = _header(path, file)
        begin = file.tell()
    if path.stat().st_size - begin < raw.elements * dtype.itemsize:
        raise unreadable(path, f"its header says {raw.described()}, and the file ends before", CURE)
    return {path.stem: Raw(raw.kind, raw.shape, functools.partial(_read_npy, path, begin, raw, dtype, order))}


def read_npz(path: Path) -> Contents:
    """The arrays of the archive by name; only their headers are read.

    Raises:
        UserError: for anything that is not such a file.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    name = info.filename.removesuffix(".npy")
                    if name in found:
                        raise unreadable(path, f"it has two arrays {name!r}", CURE)
                    with archive.open(info) as file:
                        raw, dtype, order = _header(path, file, f"its array {name[:60]!r}")
                    read = functools.partial(_read_npz, path, info.filename, raw, dtype, order)
                    found[name] = Raw(raw.kind, raw.shape, read)
    except PermissionError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise unreadable(path, f"it is no sound .npz ({_first_line(error)})", CURE) from None
    return found


def _header(path: Path, file: Any, what: str = "it") -> tuple[Raw, Any, str]:
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (zipfile.BadZipFile, zlib.error, OSError):
        raise
    except Exception as error:
        # numpy parses the header as Python text and raises whatever the tokenizer stumbles over.
        raise unreadable(path, f"{what} is no sound .npy ({_first_line(error)})", CURE) from None
    if dtype.hasobject:
        raise unreadable(path, f"{what} holds Python objects, which only pickle loads, and pickle runs code", CURE)
    if any(each < 0 for each in shape):
        raise unreadable(path, f"{what} has a negative shape", CURE)
    # numpy writes bfloat16 as two nameless bytes.
    kind = "two nameless bytes" if dtype.kind == "V" and dtype.itemsize == 2 else dtype.name
    return Raw(kind, tuple(shape), None), dtype, "F" if fortran else "C"


def _read_npy(path: Path, begin: int, raw: Raw, dtype: Any, order: str) -> Any:
    import numpy as np

    array = np.fromfile(path, dtype=dtype, count=raw.elements, offset=begin)
    return _shaped(path, array, raw, order)


def _read_npz(path: Path, member: str, raw: Raw, dtype: Any, order: str) -> Any:
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            _header(path, file)
            # As many bytes as the header says, however much the archive would unpack to.
            data = file.read(raw.elements * dtype.itemsize)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise unreadable(path, f"{member} is damaged ({_first_line(error)})", CURE) from None
    return _shaped(path, np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype=dtype), raw, order)


def _shaped(path: Path, array: Any, raw: Raw, order: str) -> Any:
    if array.size < raw.elements:
        raise unreadable(path, f"its header says {raw.described()}, and the data ends before", CURE)
    return array.reshape(raw.shape, order=order)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
