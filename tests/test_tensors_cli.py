"""`losscheck compare --tensors` as a user meets it: answers, formats, one message for every mistake."""

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from losscheck.core.effect import Effect, Truth
from losscheck.core.errors import UserError
from losscheck.core.outcome import Outcome
from losscheck.core.report import Report
from losscheck.measure import batch as evaluate
from losscheck.renderers import Style, render
from losscheck.renderers.flat_batch import flat_tensor
from losscheck.testing import check_batch

NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
MAYBE = {"anyOf": [NUMBER, {"type": "null"}]}
TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
INDEX = {"type": "array", "items": COUNT}


def thing(**properties):
    """Exactly these fields, every one of them."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


FEW = {"anyOf": [thing(count={"const": 0}), thing(count={"type": "integer", "minimum": 1}, first=INDEX)]}
EFFECT = {
    "effect": {"enum": [*(effect.value for effect in Effect), None]},
    "effect_truth": {"enum": [*(truth.value for truth in Truth), None]},
    "effect_quantity": {"enum": ["loss", "grad", None]},
    **dict.fromkeys(("effect_first", "effect_last", "effect_share", "effect_loss_error", "effect_grad_error"), MAYBE),
}
ELEMENT = thing(
    index=INDEX, loss_value=MAYBE, gradient_value=MAYBE, logit=NUMBER, logit_hex=TEXT, target=NUMBER, target_hex=TEXT, value=MAYBE,
    value_hex={"type": ["string", "null"]}, exact={"type": ["string", "null"]}, exact_hex={"type": ["string", "null"]}, ulp=MAYBE,
    absolute_error=MAYBE, relative_error=MAYBE, deviation=MAYBE, outcome={"enum": [outcome.value for outcome in Outcome]},
    oracle_bits=COUNT, mode=TEXT, logit_dtype=TEXT, **EFFECT,
    definition={"type": ["string", "null"]}, reason=TEXT,
)  # fmt: skip
WHOLE = thing(
    reduction=TEXT, value=MAYBE, value_hex={"type": ["string", "null"]}, exact={"type": ["string", "null"]},
    exact_hex={"type": ["string", "null"]}, definition={"type": ["string", "null"]}, ulp=MAYBE, deviation=MAYBE,
    outcome={"enum": [outcome.value for outcome in Outcome]}, elements_value=MAYBE, elements_ulp=MAYBE, reduction_ulp=MAYBE, method=TEXT,
    note=TEXT, reason=TEXT,
)  # fmt: skip
ROW = thing(
    loss=TEXT, implementation=TEXT, backend=TEXT, device=TEXT, dtype=TEXT, quantity={"enum": ["loss", "grad"]},
    params={"type": "object", "additionalProperties": NUMBER}, logit_dtype=TEXT, elements=COUNT, sampled={"type": "boolean"},
    counts={"type": "object", "propertyNames": {"enum": [outcome.value for outcome in Outcome]}, "additionalProperties": COUNT},
    max_ulp=NUMBER, first={"type": "array", "items": ELEMENT}, worst={"type": "array", "items": ELEMENT, "maxItems": 5}, deviating=COUNT,
    deviation={"anyOf": [ELEMENT, {"type": "null"}]},
    checked_sample=thing(elements=COUNT, disagreements={"const": 0}, settled_by_oracle=COUNT, not_asked=COUNT),
    whole={"anyOf": [WHOLE, {"type": "null"}]}, reason=TEXT, **EFFECT, effect_index={"anyOf": [INDEX, {"type": "null"}]},
    advice={"type": ["object", "null"]},
)  # fmt: skip
BATCH = thing(
    files={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2}, shape=INDEX, elements=COUNT, dtype=TEXT, dumped_dtype=TEXT,
    targets_dtype=TEXT, logit_low=NUMBER, logit_high=NUMBER, nan_logits=FEW, infinite_logits=FEW,
    targets=thing(one=COUNT, zero=COUNT, soft=COUNT), targets_outside=FEW,
    rounded=thing(logits=COUNT, targets=COUNT), rounded_to_one=FEW, rounded_to_infinity=FEW,
)  # fmt: skip
DOCUMENT = {
    "type": "object",
    "required": ["schema_version", "command", "environment", "reproduce", "reduction", "max_ulp", "batches", "rows"],
    "properties": {"batches": {"type": "array", "items": BATCH, "minItems": 1}, "rows": {"type": "array", "items": ROW, "minItems": 1}},
}


pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture
def call(call):
    """Run `compare` in this process: (exit code, standard output, standard error)."""
    return lambda *words: call("compare", *words)


@pytest.fixture
def batch():
    """[4, 8, 5], float32, labels as integers, logit -15 against target 0 at [2, 3, 1], where PyTorch's loss is lost."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4, 8, 5, generator=generator) * 2
    z = (torch.rand(4, 8, 5, generator=generator) < 0.3).long()
    x[2, 3, 1], z[2, 3, 1] = -15.0, 0
    torch.save({"logits": x, "targets": z}, "batch.pt")
    return x, z


def document(call, *words):
    code, out, err = call(*words, "--format", "json")
    assert code == 0, err

    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(out, parse_constant=refuse)


def flowing(text):
    return " ".join(text.split())


# Answers --------------------------------------------------------------------------------------------------------------


def test_the_lost_element_is_named(call, batch):
    """With its index, logit, target, value, exact value and gradient, in a real process, nothing on standard error."""
    words = ("compare", "--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-bce*", "-v")
    done = subprocess.run([sys.executable, "-m", "losscheck", *words], capture_output=True, text=True, timeout=120, check=False)
    text = flowing(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert "batch.pt: 160 elements [4, 8, 5], float32" in text
    assert (
        "loss lost at element [2, 3, 1] (logit -15 = -0x1.ep+3, target 0): got 0, exact 3.059022737e-07, its gradient 3.059022e-07" in text
    )
    assert "The targets were dumped as int64 and converted to float32, exactly." in text


@pytest.mark.parametrize("suffix", ["npz", "npy", "safetensors"])
def test_every_format_gives_the_same_rows(call, batch, suffix):
    """As the .pt does, to the last digit."""
    x, z = batch
    if suffix == "npy":
        np.save("x.npy", x.numpy())
        np.save("z.npy", z.numpy())
        words = ("--tensors", "x.npy", "--tensors", "z.npy")
    else:
        if suffix == "npz":
            np.savez("b.npz", pred=x.numpy(), gt=z.numpy())
        else:
            data = x.numpy().tobytes() + z.numpy().tobytes()
            header = {"pred": ("F32", 0, 640), "gt": ("I64", 640, 1920)}
            text = json.dumps({k: {"dtype": d, "shape": [4, 8, 5], "data_offsets": [a, b]} for k, (d, a, b) in header.items()}).encode()
            Path("b.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
        words = ("--tensors", f"b.{suffix}", "--names", "logits=pred,targets=gt")
    rest = ("--loss", "bce", "--impl", "torch*")

    assert document(call, *words, *rest)["rows"] == document(call, "--tensors", "batch.pt", *rest)["rows"]


def test_reproduce_asks_the_same_again(call, batch):
    """The command in the report gives the report."""
    first = document(call, "--tensors", "batch.pt", "--loss", "bce", "--impl", "stable", "--reduction", "sum", "--dtype", "bfloat16")
    again = document(call, *first["reproduce"].split()[2:])

    assert again["rows"] == first["rows"] and "--reduction sum" in first["reproduce"]


def test_the_reduction_is_published_unless_another_is_named(call, batch):
    """mean of the float32 module, sum on request, none on request."""
    words = ("--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-bce*", "--quantity", "loss")
    x, z = batch
    for given, value in (((), "mean"), (("--reduction", "sum"), "sum"), (("--reduction", "none"), None)):
        (row,) = document(call, *words, *given)["rows"]
        if value is None:
            assert row["whole"] is None
        else:
            right = torch.nn.functional.binary_cross_entropy_with_logits(x, z.float(), reduction=value)
            assert row["whole"]["value"] == pytest.approx(float(right), rel=1e-6)
            assert float(row["whole"]["exact"]) == pytest.approx(float(right.double()), rel=1e-6)


def test_the_dump_s_own_dtype_is_judged_and_another_is_said(call, batch):
    """--dtype rounds the logits once and counts what it changed; several give rows for each."""
    x, z = batch
    torch.save((x.half(), z), "half.pt")
    own = document(call, "--tensors", "half.pt", "--loss", "bce", "--impl", "stable")
    others = document(call, "--tensors", "batch.pt", "--loss", "bce", "--impl", "stable", "--dtype", "bfloat16", "--dtype", "float32")
    text = flowing(call("--tensors", "batch.pt", "--loss", "bce", "--impl", "stable", "--dtype", "bfloat16")[1])

    assert {row["dtype"] for row in own["rows"]} == {"float16"}
    assert [batch["dtype"] for batch in others["batches"]] == ["bfloat16", "float32"]
    changed = int((x.bfloat16().float() != x).sum())
    assert others["batches"][0]["rounded"]["logits"] == changed > 0 == others["batches"][1]["rounded"]["logits"]
    assert f"The logits were dumped as float32 and rounded once to bfloat16, which changed {changed}." in text


def test_what_is_odd_in_the_batch_is_said_first(call):
    """NaN and infinite logits, targets outside, soft targets that rounding makes positives."""
    x = torch.tensor([[0.5, math.nan], [math.inf, 2.0]], dtype=torch.float64)
    torch.save((x, torch.tensor([[1 - 2.0**-20, 1.0], [0.0, 255.0]], dtype=torch.float64)), "odd.pt")
    code, out, _ = call("--tensors", "odd.pt", "--loss", "bce", "--dtype", "float16", "--impl", "stable")
    text = flowing(out)

    assert code == 0
    assert "NaN logits: 1, at [0, 1]. No loss can mend them" in text
    assert "Infinite logits: 1, at [1, 0]." in text
    assert "Targets outside [0, 1]: 1, at [1, 1]. These elements are not judged." in text
    assert "Soft targets that this made 1, and with it positives: 1, at [0, 0]." in text
    assert "is not judged: its targets outside [0, 1] (1) have no exact loss" in text


def test_soft_targets_leave_the_focal_loss_out_or_refuse_it(call):
    """As compare does: left out of all losses with a note, refused with its own message when it is named."""
    torch.save((torch.zeros(3), torch.tensor([0.0, 0.25, 1.0])), "soft.pt")
    code, out, err = call("--tensors", "soft.pt", "--backend", "numpy")
    refused = call("--tensors", "soft.pt", "--loss", "weighted-focal")

    assert code == 0 and "left out: weighted-focal takes no soft target 0.25" in err and "weighted-focal" not in out
    assert refused[0] == 2 and "weighted-focal takes no soft target 0.25" in refused[2]


@pytest.mark.parametrize(
    ("rules", "code", "says"),
    [
        ("lost", 1, "loss of element [2, 3, 1]: lost"),
        ("nan,inf", 0, ""),
        ("ulp>1e9", 0, ""),
        ("ulp>1e6", 1, "ulp"),
        ("unavailable", 0, ""),
    ],
)
def test_fail_on_looks_at_the_elements(call, batch, rules, code, says):
    """Exit 1 with the first element that matches."""
    found = call("--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-bce*", "--fail-on", rules)

    assert found[0] == code and says in found[2]
    assert found[1]  # the report is written either way


def test_fail_on_looks_at_the_reduced_loss(call):
    """Sound elements, a sum that overflows."""
    torch.save((torch.full((20000,), 5.0).half(), torch.tensor([1.0] + [0.0] * 19999).half()), "big.pt")
    words = ("--tensors", "big.pt", "--loss", "bce", "--impl", "stable", "--backend", "numpy", "--quantity", "loss")

    assert call(*words, "--reduction", "mean", "--fail-on", "inf,ulp>9")[0] == 0
    code, out, err = call(*words, "--reduction", "sum", "--fail-on", "inf")
    assert code == 0 and "rightly infinite" in flowing(out)
    bfloat = ("--dtype", "bfloat16", "--reduction", "sum", "--fail-on", "ulp>9")
    code, out, err = call(*words, *bfloat)
    assert code == 1 and "loss reduced" in err and "the reduction brings" in flowing(out)


def test_a_disagreement_of_the_filter_exits_2(call, batch, monkeypatch):
    """After the report, as a bug of ours."""
    monkeypatch.setattr("losscheck.measure.reference.Reference.check", lambda *words: (1, 1))
    code, out, err = call("--tensors", "batch.pt", "--loss", "bce", "--impl", "stable")

    assert code == 2 and "disagreed with the exact oracle" in err and "1 disagreements" not in err and out


# Formats --------------------------------------------------------------------------------------------------------------


def test_json_keeps_the_contract(call, batch):
    """Every field and no other, for every implementation; non-finite numbers as strings."""
    x, z = batch
    x[0, 0, 0] = math.nan
    x[0, 0, 1] = math.inf
    torch.save((x, z), "odd.pt")
    for words in (("--tensors", "odd.pt"), ("--tensors", "batch.pt", "--dtype", "float16", "--dtype", "float64"), ("--tensors", "batch.pt",
                  "--param", "pos_weight=2", "--loss", "bce", "--reduction", "sum")):  # fmt: skip
        jsonschema.validate(document(call, *words), DOCUMENT)


def test_every_field_is_documented():
    """docs/json.md names each field of batches, rows, elements and wholes."""
    text = (Path(__file__).parent.parent / "docs" / "json.md").read_text(encoding="utf-8")
    section = text.partition("## A dumped batch")[2]
    for schema in (BATCH, ROW, WHOLE, {"properties": {"index": 0, "loss_value": 0, "gradient_value": 0}}):
        assert [name for name in schema["properties"] if f"`{name}`" not in section] == []


def test_an_element_is_a_row_of_compare(call, batch):
    """The same figures that compare gives for its logit and target."""
    (row, _) = document(call, "--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-bce*")["rows"]
    element = row["first"][0]
    point = document(call, "--loss", "bce", "--impl", "torch-bce*", "--logit", element["logit_hex"], "--target", "0")["rows"][0]

    # The effect of an element comes with that of its row.
    assert {name: value for name, value in element.items() if name in point and not name.startswith("effect")} == {
        name: value for name, value in point.items() if name in element and name != "loss" and not name.startswith("effect")
    }


def test_csv_and_markdown_read_back(call, batch):
    """A line for each row; elements as outcome and index; cells of markdown tables agree in number."""
    words = ("--tensors", "batch.pt", "--loss", "bce", "--impl", "torch*")
    lines = list(csv.DictReader(io.StringIO(call(*words, "--format", "csv")[1])))
    text = call(*words, "-v", "--format", "markdown")[1]

    assert len(lines) == 4 and {line["quantity"] for line in lines} == {"loss", "grad"}
    assert lines[0]["first"].split()[0] == "lost:[2,3,1]" and "lost=1" in lines[0]["counts"]
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in tables} == {9}
    assert "~ tails" in text and "element [2, 3, 1]" in text and "Reproduce: `losscheck compare --tensors batch.pt" in text


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_table_reads_within_80_columns(call, batch, dtype):
    """All losses and implementations."""
    code, out, _ = call("--tensors", "batch.pt", "--dtype", dtype)

    assert code == 0
    assert [line for line in out.splitlines() if len(line) > 80 and not line.lstrip().startswith(("reproduce: ", "losscheck "))] == []
    for name in ("torch-bce-with-logits", "weighted-focal-loss", "centernet-neg-loss-clamped"):
        assert name in re.sub(r"\s+", "", out)


def test_no_number_is_cut_and_no_colour_needed(call, batch):
    """Narrow screens are overrun; ascii screens get ascii."""
    found = document(call, "--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-bce*", "--dtype", "float64")
    rows = {row["quantity"]: row for row in found["rows"]}
    report = _report(batch)
    for width in (20, 60, 80, 200):
        words = render("table", report, Style(width=width, unicode=False)).split()
        assert str(rows["loss"]["whole"]["value"]) in words
    assert render("table", report, Style(unicode=False)).isascii()


def _report(batch):
    from losscheck.callables.selection import select
    from losscheck.core.dtypes import FLOAT32
    from losscheck.core.request import dumped
    from losscheck.points.load import Dump

    x, z = batch
    dump = Dump(x.flatten().numpy(), z.flatten().double().numpy(), tuple(x.shape), FLOAT32, "int64")
    question = dumped(("bce",), ("batch.pt",), impl=("torch-bce*",), dtypes=("float64",))
    batches, rows = evaluate.judge_dump(question, select(question), dump)
    return Report("compare", {}, "losscheck compare", batches=tuple(batches), tensors=tuple(rows), reduction="published", max_ulp=8.0)


def test_an_unproved_digit_is_never_printed(call, monkeypatch):
    """The exact sum of a large float64 batch has as many digits as its enclosure proves."""
    from losscheck.measure import reduced as reduce

    x = torch.linspace(-5, 5, 500, dtype=torch.float64)
    torch.save((x, torch.zeros(500)), "wide.pt")
    words = ("--tensors", "wide.pt", "--loss", "bce", "--impl", "stable", "--backend", "numpy", "--quantity", "loss")
    (right,) = document(call, *words)["rows"]
    monkeypatch.setattr(reduce, "SMALL_FLOAT64", 0)
    (row,) = document(call, *words)["rows"]
    digits = row["whole"]["exact"].replace(".", "")

    assert 11 <= len(digits) <= 15 and len(right["whole"]["exact"]) > 30
    assert abs(float(row["whole"]["exact"]) / float(right["whole"]["exact"]) - 1) < 10.0 ** (2 - len(digits))
    assert row["whole"]["outcome"] in ("undecided", "ok")


def test_flat_rows_come_in_one_order(batch):
    """CSV columns are those of the contract."""
    assert list(flat_tensor(_report(batch).tensors[0])) == list(ROW["properties"])


# Mistakes -------------------------------------------------------------------------------------------------------------

MISTAKES = {
    "both": (("--tensors", "batch.pt", "--logit", "1"), "--tensors and --logit were both given", "keep one"),
    "target": (("--tensors", "batch.pt", "--target", "0"), "--target was given with --tensors", "has its own target"),
    "shape": (("--tensors", "batch.pt", "--shape", "8,20"), "--shape was given with --tensors", "the shape it was dumped with"),
    "names alone": (("--names", "logits=a"), "none was given", "add --tensors"),
    "names without value": (("--tensors", "batch.pt", "--names", "logits"), "not of the form", "logits=pred"),
    "names not there": (("--tensors", "batch.pt", "--names", "logits=pred"), "no logits 'pred'; it has logits (float32", "--names"),
    "no file": (("--tensors", "batsh.pt"), "cannot read batsh.pt: No such file", "check the name"),
    "a folder": (("--tensors", "."), "it is a folder", "name a file"),
    "three files": (("--tensors", "a.npy", "--tensors", "b.npy", "--tensors", "c.npy"), "3 files", "two with one tensor each"),
    "unknown loss": (("--tensors", "no.pt", "--loss", "bec"), "unknown loss 'bec'", "did you mean bce"),
    "unknown dtype": (("--tensors", "no.pt", "--dtype", "flaot32"), "unknown dtype 'flaot32'", "did you mean float32"),
    "unknown rule": (("--tensors", "no.pt", "--fail-on", "nna"), "--fail-on 'nna'", "nan"),
    "nothing runs": (("--tensors", "batch.pt", "--device", "cuda:99", "--backend", "torch"), "nothing could run", "cuda:99"),
    "parameter": (("--tensors", "batch.pt", "--param", "gama=1"), "no parameter 'gama'", "gamma"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message_with_its_cure_and_exit_code_2(call, batch, mistake):
    """What is wrong, the cure, nothing on stdout, no traceback."""
    words, problem, cure = MISTAKES[mistake]
    code, out, err = call(*words)

    assert (code, out) == (2, "")
    assert err.startswith("losscheck: error: ") and err.count("losscheck: ") == 1
    assert problem in err and cure in err
    assert "Traceback" not in err and "internal error" not in err


def test_a_file_that_needs_pickle_says_what_to_dump_instead(call):
    """The three lines, on standard error, exit 2."""
    torch.save({"logits": torch.nn.Linear(1, 1), "targets": torch.zeros(1)}, "model.pt")
    code, _, err = call("--tensors", "model.pt")

    assert code == 2
    assert "runs no pickled code" in err
    assert 'torch.save(batch, "batch.pt")' in err and "logits.detach().cpu()" in err


def test_a_spelling_mistake_costs_no_loading(call):
    """--loss bec is told before a file is opened: the file need not exist."""
    assert "unknown loss" in call("--tensors", "missing.pt", "--loss", "bec")[2]


# In a training loop ---------------------------------------------------------------------------------------------------


def textbook(logits, targets):
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p)).mean()


def test_the_poisoned_element_is_in_the_first_three_lines(call, batch):
    """Its index, what came out, what is right, the effect; logit, target, what to use; why; then a command that shows it alone."""
    x, z = batch
    x[1, 4, 2], z[1, 4, 2] = 17.5, 0
    torch.save({"logits": x, "targets": z}, "batch.pt")
    out = call("--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-s*", "--impl", "stable")[1]
    first, second, third = out.splitlines()[:3]
    command = next(line for line in out.splitlines() if line.startswith("    reproduce: "))
    alone = document(call, *command.partition("losscheck compare ")[2].split())["rows"][1]

    assert first == "✗ DEAD  torch-sigmoid-bceloss, element [1, 4, 2]: gradient 0 where 1 is right"
    assert second == "    logit 17.5, target 0; instead: stable, which is sound on this batch."
    assert third.startswith("    why: the gradient is 0: nothing is learned")
    assert (alone["effect"], alone["value"], alone["logit"]) == ("dead", 0.0, 17.5)
    assert "loss lost at" not in out


def test_a_batch_that_harms_nothing_says_so_first(call, batch):
    """What is only relatively wrong waits behind -v."""
    words = ("--tensors", "batch.pt", "--loss", "bce", "--impl", "torch-bce*")
    short, full = (call(*words, *more)[1] for more in ((), ("-v",)))

    assert flowing(short).startswith("- torch-bce-with-logits does not harm training on this batch: loss off by at most")
    assert "[2, 3, 1]" not in short and "harm no training (of torch-bce-with-logits): -v." in short
    assert "loss lost at element [2, 3, 1]" in flowing(full)


def test_check_batch_raises_with_the_element_and_recognises_the_loss(batch):
    """The three lines of a training loop: tensors that require gradients, a loss nobody names."""
    x, z = batch
    x[1, 4, 2], z[1, 4, 2] = 17.5, 1
    with pytest.raises(AssertionError) as failure:
        check_batch(textbook, x.requires_grad_(), z)
    lines = str(failure.value).strip().splitlines()

    assert lines[0].startswith("✗ POISONS  ") and ":textbook, element [1, 4, 2]: loss NaN where " in lines[0]
    assert lines[1].startswith("    logit 17.5, target 1; ") and "test_tensors_cli.py" in lines[1] and lines[1].endswith(": saturation.")
    assert lines[2].startswith("    write ") and "logsigmoid" in lines[2]
    assert lines[3].startswith("    judged: within ")
    assert x.requires_grad and x.grad is None


def test_check_batch_returns_the_report_of_a_sound_batch(batch):
    """Tails are no failure; a parameter of the definition is taken."""
    report = check_batch(torch.nn.functional.binary_cross_entropy_with_logits, *batch)
    named = check_batch("stable", *batch, loss="bce", params={"pos_weight": 2.0}, backend="torch")

    assert {row.effect.effect for row in report.tensors} == {Effect.TAILS}
    assert {row.params["pos_weight"] for row in named.tensors} == {2.0}


def test_check_batch_refuses_what_is_no_loss(batch):
    """A cure instead of a guess, where there are no lines to judge it by either."""
    with pytest.raises(UserError, match="no loss that is known") as refusal:
        check_batch(lambda logits, targets: (logits - targets) ** 2 * torch.rand(()), *batch)

    assert "--loss" in refusal.value.cure
