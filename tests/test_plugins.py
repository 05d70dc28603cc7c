"""Plug-ins: a real little package, built as a wheel and installed into a virtual environment of its own."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

HINGE = '''
"""A smooth hinge, as someone else's package would add it."""

from losscheck.core.loss import Loss, implementation, logistic_landmarks


def formula(m, logit, target):
    return target * m.softplus(1 - logit) + (1 - target) * m.softplus(1 + logit)


def gradient(m, logit, target):
    return (1 - target) * m.sigmoid(1 + logit) - target * m.sigmoid(1 - logit)


HINGE = Loss(
    name="smooth-hinge",
    title="a smooth hinge",
    definition="z softplus(1 - x) + (1-z) softplus(1 + x)",
    formula=formula,
    gradient=gradient,
    parameters=(),
    targets=(0.0, 1.0),
    reduction="mean",
    landmarks=logistic_landmarks,
    source="a test",
)


@implementation(HINGE, "theirs", source="a test")
def theirs(xp, logit, target):
    """log(1 + e^..): overflows."""
    return target * xp.log(1 + xp.exp(1 - logit)) + (1 - target) * xp.log(1 + xp.exp(1 + logit))
'''
OURS_AGAIN = """
from losscheck.core.loss import implementation


@implementation("bce", "stable", source="a test")
def stable(xp, logit, target, *, pos_weight):
    return logit
"""
PACKAGES = {
    "hinge": (HINGE, "[losscheck.losses]\nhinge = plug_hinge\n"),
    "broken": ("import no_such_module_anywhere\n", "[losscheck.implementations]\nbroken = plug_broken\n"),
    "function": ("def f(): pass\n", "[losscheck.losses]\nfunction = plug_function:f\n"),
    "double": (OURS_AGAIN, "[losscheck.implementations]\ndouble = plug_double\n"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment that sees the packages of this one, and a way to install wheels into it."""
    folder = tmp_path_factory.mktemp("plugins")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = next(path for path in (folder / "venv/bin/python", folder / "venv/Scripts/python.exe") if path.exists())
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
    )
    site = Path(where.stdout.strip())
    (site / "parent.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return folder, python


def install(environment, name):
    """Build the wheel by hand and let pip install it: nothing is fetched."""
    folder, _ = environment
    code, entry_points = PACKAGES[name]
    info = f"plug_{name}-1.0.dist-info"
    files = {
        f"plug_{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: plug-{name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points,
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"plug_{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    pip(environment, "install", "--no-deps", "--no-index", "--quiet", str(wheel))


def pip(environment, *words):
    subprocess.run([sys.executable, "-m", "pip", "--python", str(environment[1]), "--disable-pip-version-check", *words], check=True)


@pytest.fixture
def installed(environment, request):
    """The named plug-ins installed, for one test."""
    for name in request.param:
        install(environment, name)
    yield
    pip(environment, "uninstall", "--yes", "--quiet", *(f"plug-{name}" for name in request.param))


def losscheck(environment, *words):
    return subprocess.run([environment[1], "-m", "losscheck", *words], capture_output=True, text=True, cwd=environment[0], timeout=120)


@pytest.mark.parametrize("installed", [("hinge",)], indirect=True)
def test_a_loss_of_a_plug_in_is_listed_and_judged(environment, installed):
    """Its loss comes with the mpmath definition, and its implementation is judged like ours."""
    listed = losscheck(environment, "list")
    assert "smooth-hinge: a smooth hinge" in listed.stdout

    asked = ("--loss", "smooth-hinge", "--logit", "1e4", "--target", "0", "--backend", "numpy", "--format", "json")
    done = losscheck(environment, "compare", *asked)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)["rows"][0]
    assert (row["implementation"], row["quantity"], row["outcome"], row["exact"]) == ("theirs", "loss", "inf", "10001")


@pytest.mark.parametrize("installed", [("broken", "function")], indirect=True)
def test_a_broken_plug_in_is_a_warning_that_names_it(environment, installed):
    """The tool goes on without it, and says which package to mend."""
    done = losscheck(environment, "compare", "--loss", "bce", "--impl", "stable", "--backend", "numpy", "--logit", "1")

    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert "losscheck: warning: the plug-in broken = 'plug_broken' of the package plug-broken cannot be loaded: " in done.stderr
    assert "No module named 'no_such_module_anywhere'" in done.stderr
    assert "losscheck: warning: the plug-in function = 'plug_function:f' of the package plug-function is not a module" in done.stderr
    assert len(lines) == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("installed", [("double",)], indirect=True)
def test_a_duplicate_is_an_error_that_names_both(environment, installed):
    """Which of two `stable` would be judged must not depend on the order of installation."""
    done = losscheck(environment, "compare", "--loss", "bce", "--logit", "1")

    assert done.returncode == 2
    assert "two implementations of bce are called 'stable'" in done.stderr
    assert "losscheck.losses.bce" in done.stderr
    assert "plug_double" in done.stderr
