"""Reader of .safetensors, by the library of that name. Nothing in such a file is code, and its header is checked there.

The library proves that the tensors lie in the file, side by side and each as long as its shape says. What is left to do here: the
size of the header before it is read, and names that appear twice, of which the library keeps the last without a word.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from losscheck.points.dump import Contents, Raw, unreadable

__all__ = ["read_safetensors"]

MOST_HEADER = 16 * 2**20  # a model of ten thousand tensors needs two of these MiB
CURE = 'write it anew: safetensors.torch.save_file({"logits": logits, "targets": targets}, "batch.safetensors")'

# Kinds of the format that we judge; float8 and its like keep the name they have there, and are refused when they are chosen.
_KINDS = {"BF16": "bfloat16", "BOOL": "bool"}
_KINDS |= {f"F{bits}": f"float{bits}" for bits in (16, 32, 64)}
_KINDS |= {f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}


def read_safetensors(path: Path) -> Contents:
    """The tensors of a file by name; only its header is read.

    Raises:
        UserError: for anything that is not such a file.
    """
    from safetensors import SafetensorError, safe_open

    header = _header_of(path)
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (no mapping: it cannot be iterated)
            named = {
                name: Raw(
                    _KINDS.get(tensor.get_dtype(), tensor.get_dtype()), tuple(tensor.get_shape()), functools.partial(_read, path, name)
                )
                for name, tensor in slices.items()
            }
    except SafetensorError as error:
        raise unreadable(path, f"it is no sound .safetensors ({_first_line(error)})", CURE) from None
    _refuse_same_names(path, header)
    return named


def _header_of(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise unreadable(path, f"its header should have {length} bytes, and the file ends before", CURE)
        if length > MOST_HEADER:
            raise unreadable(path, f"its header of {length} bytes is larger than the {MOST_HEADER} any batch needs", CURE)
        return file.read(length)


def _refuse_same_names(path: Path, header: bytes) -> None:
    """Of a header that the library has read, so that it is sound JSON."""

    def without_duplicates(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise unreadable(path, "a name appears twice in its header", CURE)

    json.loads(header, object_pairs_hook=without_duplicates)


def _read(path: Path, name: str) -> Any:
    import ml_dtypes  # noqa: F401  (gives numpy the name bfloat16, by which the library asks for it)
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            array = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        # It was sound when it was opened.
        raise unreadable(path, f"it changed while it was read ({_first_line(error)})", "dump it to another file and judge that") from None
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
