"""Reader of what torch.save wrote, by torch.load(weights_only=True): tensors and containers, and no code, ever."""

from __future__ import annotations

import functools
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from losscheck.points.dump import Contents, Raw, unreadable

__all__ = ["read_torch"]


def read_torch(path: Path) -> Contents:
    """The tensors of a file by name: a dict's keys, of nested ones joined by dots; the places of a list or tuple.

    Raises:
        UserError: for a file that needs pickle to run code, and for anything that torch.load cannot read.
    """
    import pickle

    import torch

    _refuse_compressed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needs = next((line for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line), "").strip()
        raise unreadable(path, f"it is no file of plain tensors, and losscheck runs no pickled code {needs[:160]}".strip()) from None
    except MemoryError:
        raise unreadable(path, "it does not fit into memory", "dump a part of the batch") from None
    except Exception as error:
        # A damaged file makes torch raise whatever its parser stumbled over.
        reason = (str(error).splitlines() or [""])[0][:120]
        raise unreadable(path, f"torch.load fails with {type(error).__name__}: {reason}") from None
    return dict(_tensors(loaded, ""))


def _refuse_compressed(path: Path) -> None:
    """torch.save stores tensors as they are; an archive that unpacks to more than its size is a bomb."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise unreadable(path, f"it is no sound archive ({error})") from None
    if unpacked > path.stat().st_size:
        raise unreadable(path, f"its {path.stat().st_size} bytes unpack to {unpacked}, which torch.save never writes")


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Raw]]:
    import torch

    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        plain = value.layout is torch.strided and not value.is_quantized and value.device.type != "meta"
        yield name or "tensor", Raw(kind if plain else f"{value.layout} {kind}", tuple(value.shape), functools.partial(_array, value))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tensors(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, inner in enumerate(value):
            yield from _tensors(inner, f"{name}.{place}" if name else str(place))


def _array(tensor: Any) -> Any:
    import torch

    tensor = tensor.detach().resolve_conj().resolve_neg()
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).contiguous().numpy()
