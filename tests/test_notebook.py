"""Reports in a notebook: short when echoed, shown as verdict and curves, a data frame, a figure. Executed by a real kernel."""

import builtins
import math

import pytest

import losscheck
from losscheck.core.errors import UserError

# A kernel is processes and sockets of other people's making; what they warn of is theirs.
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def swept():
    return losscheck.sweep(["torch-bce-with-logits", "torch-sigmoid-bceloss"], loss="bce", points=200)


@pytest.fixture(scope="module")
def compared():
    return losscheck.compare(["naive"], loss="weighted-focal", logit=[-15, 17], target=0, params={"gamma": 1.5})


def test_an_echo_is_one_short_line(swept, compared):
    """The command, how many rows, the worst effect; whatever the size."""
    assert repr(swept) == f"<losscheck sweep: {len(swept.sweeps)} rows, worst: misdirects>"
    assert repr(compared) == str(compared) == f"<losscheck compare: {len(compared.rows)} rows, worst: poisons>"


def test_a_report_shows_verdict_and_curves(swept):
    """The fragment has its own style and no script, and two outputs of one notebook share no id."""
    first, second = swept._repr_html_(), swept._repr_html_()

    assert first.startswith('<div class="losscheck">') and "misdirects" in first and "<svg" in first and "<script" not in first
    assert "<body" not in first and "<html" not in first
    ids = [{part.split('"')[0] for part in text.split(' id="')[1:]} for text in (first, second)]
    assert ids[0] and not ids[0] & ids[1]


def test_what_has_no_curves_shows_its_verdict(compared, tmp_path):
    """A comparison its ranking; a check and a gate their own tables."""
    assert "poisons" in compared._repr_html_()
    checked = losscheck.check("torch-sigmoid-bceloss", dtype="float32")._repr_html_()
    assert "torch-sigmoid-bceloss" in checked and "<table" in checked
    case = "{name: my-case, loss: bce, implementations: [stable], range: {low: 0, high: 1, targets: [0], count: 9}, dtypes: [float32]}"
    (tmp_path / "own.yaml").write_text(f"cases:\n  - {case}\n")
    assert "own.yaml" in losscheck.gate(tmp_path)._repr_html_()


def test_rows_become_a_data_frame(swept, compared):
    """One row each; numbers are numbers, non-finite ones too, and outcomes words; parameters have columns."""
    frame = swept.to_pandas()
    assert len(frame) == len(swept.sweeps) and set(frame["effect"]) == {"tails", "dead", "misdirects"}
    assert frame["target"].tolist() == [row.target for row in swept.sweeps]

    points = compared.to_pandas()
    assert set(points["params.gamma"]) == {1.5} and points["outcome"].tolist() == [row.outcome.value for row in compared.rows]
    for value, row in zip(points["value"], compared.rows, strict=True):
        assert value == row.value or (math.isnan(value) and math.isnan(row.value))
    assert not all(map(math.isfinite, points["value"]))


def test_a_sweep_is_plotted_and_nothing_else(swept, compared, tmp_path):
    """A figure of matplotlib; of what has no curves, what has."""
    pytest.importorskip("matplotlib")
    swept.plot().savefig(tmp_path / "sweep.png")

    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no curves") as refusal:
        compared.plot()
    assert "losscheck.sweep" in refusal.value.cure


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_pandas"), ("matplotlib", "plot")])
def test_what_is_not_installed_is_named_with_its_cure(swept, monkeypatch, package, method):
    """The package that pip finds, and not an extra of a distribution that is not published."""
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=package) as refusal:
        getattr(swept, method)()
    assert refusal.value.cure == f"pip install {package}"


CELLS = (
    'import losscheck\nreport = losscheck.sweep("torch-sigmoid-bceloss", loss="bce", points=100)\nreport',
    'report.to_pandas().groupby("target")["effect"].first()',
    "report.plot()",
    'losscheck.compare("naive", loss="bce", logit=20, target=0)',
)


@quiet
def test_a_notebook_runs_and_shows_what_it_is_asked(tmp_path):
    """Each cell in a kernel of its own process: what its output holds, and that no output is longer than its page."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel"), pytest.importorskip("pandas"), pytest.importorskip("matplotlib")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])

    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()

    swept, frame, plot, compared = (cell.outputs[-1].data for cell in notebook.cells)
    assert swept["text/plain"].startswith("<losscheck sweep: ") and len(swept["text/plain"]) < 100
    assert "<svg" in swept["text/html"] and "<script" not in swept["text/html"]
    assert "dead" in frame["text/plain"]
    assert plot["image/png"]
    assert "poisons" in compared["text/html"]
