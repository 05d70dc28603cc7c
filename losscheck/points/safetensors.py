"""A reader of .safetensors: 8 bytes of header length (little endian), a JSON header, then the bytes of all tensors.

Source of the format: https://github.com/huggingface/safetensors, README, "Format". Nothing in such a file is code. What
a file claims is checked before it is believed: lengths, offsets, shapes, overlaps.
"""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import Any

from losscheck.points.dump import MOST_ELEMENTS, Contents, Raw, unreadable

__all__ = ["read_safetensors"]

MOST_HEADER = 16 * 2**20  # a model of ten thousand tensors needs two of these MiB
CURE = 'write it anew: safetensors.torch.save_file({"logits": logits, "targets": targets}, "batch.safetensors")'

# Name in the file: numpy's name of the bytes, and of the dtype they stand for.
_DTYPES = {
    "F64": ("<f8", "float64"),
    "F32": ("<f4", "float32"),
    "F16": ("<f2", "float16"),
    "BF16": ("<u2", "bfloat16"),
    "I64": ("<i8", "int64"),
    "I32": ("<i4", "int32"),
    "I16": ("<i2", "int16"),
    "I8": ("<i1", "int8"),
    "U64": ("<u8", "uint64"),
    "U32": ("<u4", "uint32"),
    "U16": ("<u2", "uint16"),
    "U8": ("<u1", "uint8"),
    "BOOL": ("|b1", "bool"),
}


def read_safetensors(path: Path) -> Contents:
    """The tensors of a file by name; only its header is read.

    Raises:
        UserError: for anything that is not such a file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise unreadable(path, f"its header should have {length} bytes, and the file ends before", CURE)
        if length > MOST_HEADER:
            raise unreadable(path, f"its header of {length} bytes is larger than the {MOST_HEADER} any batch needs", CURE)
        header = _parsed(path, file.read(length))
    start = 8 + length
    found, spans = {}, []
    for name, entry in header.items():
        if name != "__metadata__":
            found[name], span = _entry(path, name, entry, start, size - start)
            spans.append((*span, name))
    spans.sort()
    for (_, end, one), (begin, _, other) in itertools.pairwise(spans):
        if begin < end:
            raise unreadable(path, f"{one!r} and {other!r} overlap", CURE)
    return found


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"its header is no JSON ({str(error)[:80]})", CURE) from None
    if not isinstance(header, dict):
        raise unreadable(path, "its header is no table of tensors", CURE)
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name appears twice")
    return dict(pairs)


def _entry(path: Path, name: str, entry: Any, start: int, size: int) -> tuple[Raw, tuple[int, int]]:
    shown = f"its tensor {name[:60]!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry) or not isinstance(entry["dtype"], str):
        raise unreadable(path, f"{shown} has no dtype, shape and data_offsets", CURE)
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not (_whole_numbers(shape) and _whole_numbers(offsets) and len(offsets) == 2 and len(shape) <= 64):
        raise unreadable(path, f"{shown} has a shape or offsets that are no whole numbers", CURE)
    begin, end = offsets
    if not begin <= end <= size:
        raise unreadable(path, f"{shown} lies at bytes {begin} to {end} of {size}", CURE)
    if entry["dtype"] not in _DTYPES:
        # float8 and its like: listed, and refused when it is chosen.
        return Raw(entry["dtype"][:20], tuple(shape), None), (begin, end)
    stored, kind = _DTYPES[entry["dtype"]]
    raw = Raw(kind, tuple(shape), functools.partial(_read, path, start + begin, stored, kind, tuple(shape)))
    if raw.elements * int(stored[2:]) != end - begin:
        raise unreadable(path, f"{shown} is {raw.described()} in {end - begin} bytes", CURE)
    return raw, (begin, end)


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 2**63 for each in value)


def _read(path: Path, offset: int, stored: str, kind: str, shape: tuple[int, ...]) -> Any:
    import numpy as np

    count = int(np.prod(shape, dtype=object)) if shape else 1
    assert count <= MOST_ELEMENTS
    with path.open("rb") as file:
        file.seek(offset)
        array = np.fromfile(file, dtype=stored, count=count)
    if len(array) < count:
        raise unreadable(path, "it became shorter while it was read", "dump it to another file and judge that")
    if kind == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape)
