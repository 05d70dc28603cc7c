"""Traced loops compiled once for this machine: their source in a file of a cache folder, numba's object code beside it.

A file is named after a digest of everything the code depends on: its source, the kernels it calls, how it is compiled, the versions of
losscheck, numpy, numba and Python, and the processor. So nothing in it grows old, several processes may share the folder, and whoever
deletes it loses seconds. Without a folder that can be written to, or with one whose content is damaged, loops are compiled as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from losscheck.core.errors import UserError
from losscheck.core.files import write_atomically
from losscheck.core.version import __version__

__all__ = ["VARIABLE", "cache_folder", "compiled_once", "first_use"]

VARIABLE = "LOSSCHECK_CACHE"  # a folder, or `off`


def cache_folder() -> Path | None:
    """Where compiled loops are kept: ``$LOSSCHECK_CACHE``, or losscheck in the user's cache folder; None when that is ``off``."""
    given = os.environ.get(VARIABLE, "")
    if given.lower() in ("off", "0", "no"):
        return None
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "losscheck"
    except RuntimeError:  # no home
        return None


def compiled_once(source: str, scope: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[..., None]:
    """The function ``loop`` of a source over the names of ``scope``, compiled by numba with ``options`` or taken from disk."""
    file = _file_of(source, options)
    if file is None:
        return _jitted(source, "<traced formula>", scope, options)
    kept = _jitted(source, str(file), scope, {**options, "cache": True})
    return _Kept(kept, file, lambda: _jitted(source, "<traced formula>", scope, options))


def first_use() -> Path | None:
    """The folder, made now, if nothing was kept there before; None where it was there, or cannot be."""
    folder = cache_folder()
    if folder is None or folder.is_dir():
        return None
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError:
        return None
    return folder


class _Kept:
    """A loop whose object code may come from disk. A traced loop raises nothing, so that what is raised comes from there."""

    def __init__(self, from_disk: Callable[..., None], file: Path, compile_anew: Callable[[], Callable[..., None]]) -> None:
        self._loop, self._file, self._compile_anew = from_disk, file, compile_anew
        self._worked = False

    def __call__(self, *arrays: Any) -> None:
        if not self._worked:
            try:
                self._loop(*arrays)
            except Exception:
                for damaged in (self._file.parent / "__pycache__").glob(f"{self._file.stem}.*"):
                    with contextlib.suppress(OSError):
                        damaged.unlink()  # the next process keeps it anew
                self._loop = self._compile_anew()
                self._loop(*arrays)
            self._worked = True
            return
        self._loop(*arrays)


def _jitted(source: str, file: str, scope: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[..., None]:
    from numba import njit

    names = dict(scope)
    exec(compile(source, file, "exec"), names)
    try:
        loop: Callable[..., None] = njit(**options)(names["loop"])
    except RuntimeError:  # numba finds no folder for its part
        loop = njit(**{name: value for name, value in options.items() if name != "cache"})(names["loop"])
    return loop


def _file_of(source: str, options: Mapping[str, Any]) -> Path | None:
    """The file of a source, written where it is not there yet; None where that cannot be done."""
    folder = cache_folder()
    if folder is None:
        return None
    file = folder / "compiled" / f"loop_{_digest(source, options)}.py"
    if file.exists():
        return file
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(file, source)
    except (OSError, UserError):
        return None
    return file


def _digest(source: str, options: Mapping[str, Any]) -> str:
    import llvmlite.binding as llvm
    import numba
    import numpy as np

    kernel_source = Path(__file__).with_name("kernels.py").read_bytes()
    versions = (__version__, np.__version__, numba.__version__, platform.python_version())
    processor = (llvm.get_host_cpu_name(), numba.config.CPU_NAME, numba.config.CPU_FEATURES or llvm.get_host_cpu_features().flatten())
    described = repr((source, sorted((name, str(value)) for name, value in options.items()), versions, processor)).encode()
    return hashlib.sha256(kernel_source + described).hexdigest()[:32]
