"""Compiled loops on disk: found again, and nothing is lost where the folder is damaged, forbidden or turned off."""

import pickle

import numpy as np
import pytest

from losscheck.filter import disk_cache
from losscheck.filter.disk_cache import VARIABLE, cache_folder, compiled_once, first_use

pytest.importorskip("numba")

SOURCE = "def loop(x_at, y_at):\n    for i in range(x_at.size):\n        y_at[i] = 3.0 * x_at[i] + 1.0\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder that does not exist yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def works(source=SOURCE, factor=3.0):
    """Does the loop of a source compute what it says?"""
    x, y = np.linspace(-2, 2, 50), np.empty(50)
    compiled_once(source, {"__name__": disk_cache.__name__}, {"error_model": "numpy"})(x, y)
    return bool((y == factor * x + 1.0).all())


def compiled_files(folder):
    return sorted(path.name for path in (folder / "compiled" / "__pycache__").glob("*.nb[ci]"))


def test_a_loop_is_kept_and_another_source_is_another_file(folder):
    """The object code lies beside the source; the second time nothing is written."""
    assert works()
    kept = compiled_files(folder)
    times = [(folder / "compiled" / "__pycache__" / name).stat().st_mtime_ns for name in kept]
    assert len(kept) == 2 and works()
    assert [(folder / "compiled" / "__pycache__" / name).stat().st_mtime_ns for name in kept] == times

    assert works(SOURCE.replace("3.0", "5.0"), 5.0)
    assert len(compiled_files(folder)) == 4


@pytest.mark.parametrize("damage", [b"", b"not a pickle", pickle.dumps("of something else")])
def test_damaged_files_are_compiled_anew_and_thrown_away(folder, damage):
    """A crash of another program, a full disk: the answer is the same, and the next process keeps it again."""
    assert works()
    for name in compiled_files(folder):
        (folder / "compiled" / "__pycache__" / name).write_bytes(damage)

    assert works()
    assert works() and len(compiled_files(folder)) == 2


def test_nothing_is_kept_where_that_is_turned_off_or_impossible(tmp_path, monkeypatch):
    """`off`, and a folder that is a file."""
    monkeypatch.setenv(VARIABLE, "off")
    assert cache_folder() is None is first_use() and works()

    (tmp_path / "file").write_text("taken")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert first_use() is None and works()
    assert (tmp_path / "file").read_text() == "taken"


def test_another_processor_or_version_finds_nothing(folder, monkeypatch):
    """Code for one processor crashes on another: the name of the file tells them apart."""
    import llvmlite.binding as llvm

    before = disk_cache._file_of(SOURCE, {})
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: "another")
    other = disk_cache._file_of(SOURCE, {})
    monkeypatch.setattr(disk_cache, "__version__", "999")

    assert len({before, other, disk_cache._file_of(SOURCE, {}), disk_cache._file_of(SOURCE, {"fastmath": True})}) == 4


def test_the_first_use_is_told_once(folder):
    """And the folder is the user's alone."""
    assert first_use() == folder
    assert folder.stat().st_mode & 0o77 == 0
    assert first_use() is None


def test_an_index_of_kernels_that_names_what_is_gone_is_thrown_away(tmp_path):
    """After an update that renamed a class every exhaustive sweep ended in a crash: numba unpickles before it looks whether it may."""
    import numba

    from losscheck.filter.compiling import forget_unreadable

    gone, sound = b"closscheck.filter.pieces\nNoSuchClass\n.", b"closscheck.filter.pieces\nPieceTable\n."
    indexes = {
        "a_kernels.gone-1.py311.nbi": pickle.dumps(numba.__version__) + gone,
        "a_kernels.cut-1.py311.nbi": pickle.dumps(numba.__version__),
        "a_kernels.sound-1.py311.nbi": pickle.dumps(numba.__version__) + sound,
        "a_kernels.of_another_numba-1.py311.nbi": pickle.dumps("0.1") + gone,
        "another.gone-1.py311.nbi": pickle.dumps(numba.__version__) + gone,
    }
    for name, content in indexes.items():
        (tmp_path / name).write_bytes(content)
    forget_unreadable(str(tmp_path))

    assert {path.name for path in tmp_path.iterdir()} == set(indexes) - {"a_kernels.gone-1.py311.nbi", "a_kernels.cut-1.py311.nbi"}
