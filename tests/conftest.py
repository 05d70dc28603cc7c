"""What tests share: reproducible hypothesis runs, one thread, compiled modules, CUDA or why not, the command line in this process."""

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Each worker of pytest-xdist has a core: PyTorch's threads of one would spin on the other's, for a third of all time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where nothing may be kept beside the sources, each of the workers and of the processes that tests start would compile all of them anew
# and rewrite every assertion: what is compiled is kept in pytest's own cache.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or python -B

# Frameworks and collected tests live as long as the process: the garbage collector need not walk them again and again. (Not frozen:
# the search for a patch looks for the objects that run the code, and does not see frozen ones.)
gc.set_threshold(50_000, 20, 50)

settings.register_profile("losscheck", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("losscheck")


def pytest_runtest_setup(item):
    """Skip a test marked ``cuda`` where torch finds no such device; torch is imported for those tests alone."""
    if item.get_closest_marker("cuda") is None:
        return
    torch = pytest.importorskip("torch", reason="the CUDA tests need PyTorch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: torch.cuda.is_available() is False")


@pytest.fixture
def plain_surroundings(monkeypatch, tmp_path):
    """No defaults from the environment or from a pyproject.toml above, 80 columns, no colour asked for, an empty folder."""
    for name in [name for name in os.environ if name.startswith("LOSSCHECK_") or name in ("NO_COLOR", "FORCE_COLOR", "TERM")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'elsewhere'\n")


@pytest.fixture
def call(capsys, monkeypatch):
    """Run a command line in this process: (exit code, standard output, standard error)."""
    from losscheck.cli import main

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["losscheck", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return stop.value.code, shown.out, shown.err

    return run
