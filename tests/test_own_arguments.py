"""The arguments that people's losses have: whole-number targets, signs, one-hot rows, two logits, what they require beside them."""

from pathlib import Path

import pytest

import losscheck
from losscheck.callables.implementation import own_implementation
from losscheck.callables.loading import load
from losscheck.core import registry
from losscheck.core.call_spec import PLAIN_CALL, CallSpec
from losscheck.core.errors import UserError
from losscheck.core.literals import ONES, read_value, value_text
from losscheck.core.outcome import Outcome

BCE = registry.loss_named("bce")
LOSSES = """
import torch
import torch.nn.functional as F


def bce(x, z):
    return F.binary_cross_entropy_with_logits(x, z, reduction="none")


def logistic(x, y):
    return F.softplus(-y * x)


def asserting(scores, labels):
    assert ((labels == 1) | (labels == -1)).all(), "labels are -1 and 1"
    return F.softplus(-scores * labels).mean()


def y_signed_first(y_true, scores):
    return F.binary_cross_entropy_with_logits(scores, (1 + y_true) / 2, reduction="none")


def any_above(x, z):
    return bce(x, (z > 0).to(x.dtype))


def two_classes(x, z):
    return F.cross_entropy(x, z, reduction="none")


def whole(x, z):
    assert z.dtype == torch.int64, "expected Long but got Float"
    return bce(x, z.to(x.dtype))


def mask_only(x, z):
    assert z.dtype == torch.bool, "expected Bool"
    return torch.where(z, F.softplus(-x), F.softplus(x))


def rows(x, z):
    return -(z * F.log_softmax(x, dim=-1)).sum(-1)


def y_first(y_true, y_pred):
    return bce(y_pred, y_true)


def misnamed(targets, inputs):
    return bce(targets, inputs)


def detr(inputs, targets, num_boxes):
    return bce(inputs.unsqueeze(1), targets.unsqueeze(1)).mean(1).sum() / num_boxes


def weighted(logits, targets, weight, mask, reduction):
    assert reduction == "none"
    return bce(logits, targets) * weight * mask


def unknown(logits, targets, anchors):
    return bce(logits, targets)


class Losses:
    def __init__(self, scale=1.0):
        self.scale = scale

    def method(self, x, z):
        return self.scale * bce(x, z)


class Needs(Losses):
    def __init__(self, scale):
        super().__init__(scale)


losses = Losses()
"""

pytestmark = pytest.mark.usefixtures("plain_surroundings")


@pytest.fixture(autouse=True)
def file(plain_surroundings):
    Path("theirs.py").write_text(LOSSES, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("whole", "{logits}, {targets:long}"),
        ("mask_only", "{logits}, {targets:bool}"),
        ("logistic", "{logits}, {targets:signs}"),
        ("two_classes", "{logits:pair}, {targets:long}"),
        ("rows", "{logits:pair}, {targets:onehot}"),
        ("bce", "{logits:column}, {targets:column}"),
        ("y_first", "{targets}, {logits}"),
        ("Losses.method", "{logits}, {targets}"),
        ("losses.method", "{logits}, {targets}"),
    ],
)
def test_a_form_gives_the_same_loss(name, call):
    """Loss and gradient of hard targets, whatever the callable insists on."""
    for logit, target in ((1.5, 0), (-3.0, 1)):
        rows = losscheck.compare(f"theirs.py:{name}", loss="bce", logit=logit, target=target, call=call).rows

        assert [row.outcome for row in rows] == [Outcome.OK] * 2, rows


@pytest.mark.parametrize("name", ["whole", "mask_only", "two_classes", "rows", "y_first", "detr", "weighted", "Losses.method"])
def test_check_finds_the_form_by_itself(name):
    """No flag: what it insists on, and what it requires, is found out, and the loss it is then."""
    (row, *_) = losscheck.check(f"theirs.py:{name}", dtype="float32").ranking

    assert (row.loss, row.sure, row.effect is not None) == ("bce", True, True)


@pytest.mark.parametrize("name", ["logistic", "asserting", "y_signed_first"])
def test_labels_of_minus_1_and_1_are_found(name):
    """From the values, whether it refuses 0 and 1 or takes them for something else; and the soft target that it never got is not told."""
    (row,) = losscheck.check(f"theirs.py:{name}", dtype="float32").ranking

    assert "targets as signs" in row.recognised and (row.loss, row.sure, row.harmful) == ("bce", True, False)
    assert row.targets == (0.0, 1.0)


def test_labels_of_0_and_1_are_not_taken_for_signs():
    """What is right at 0 and 1 has these labels, although it agrees with -1 and 1 as well."""
    (row,) = losscheck.check("theirs.py:any_above", dtype="float32").ranking

    assert "signs" not in row.recognised and "any target above 0 counts as 1" in row.note


def test_a_soft_target_is_no_whole_number():
    """Truncated to 0 it would be judged for another point: it is refused, and the hard ones are judged."""
    rows = losscheck.compare("theirs.py:whole", loss="bce", logit=1.0, target=0.5, call="{logits}, {targets:long}").rows

    assert {row.outcome for row in rows} == {Outcome.UNAVAILABLE}
    assert "holds 0 and 1 alone" in rows[0].reason


def test_named_orders_are_taken_unless_the_values_say_otherwise():
    """(y_true, y_pred) gets its targets first; a function whose names are swapped is called as its values say."""
    calls = {name: own_implementation(f"theirs.py:{name}", BCE, PLAIN_CALL).function.call_spec.call for name in ("y_first", "misnamed")}

    assert calls == {"y_first": "{targets}, {logits}", "misnamed": "{logits}, {targets}"}


def test_what_is_required_is_given_where_its_name_is_known():
    """Counts are 1, weights and masks are ones; another name is told with the words that give it."""
    adapted = own_implementation("theirs.py:weighted", BCE, PLAIN_CALL).function

    assert dict(adapted.call_spec.keywords) == {"weight": ONES, "mask": ONES, "reduction": "none"}
    with pytest.raises(UserError, match=r"(?s)anchors.*--kw"):
        own_implementation("theirs.py:unknown", BCE, PLAIN_CALL)


def test_ones_reads_back_and_text_stays_text():
    """In state files and `reproduce`."""
    assert read_value(value_text(ONES)) is ONES
    assert read_value(value_text("ones")) == "ones"


@pytest.mark.parametrize("call", ["{targets:lang}, {logits}", "{logits:long}, {targets}", "{logits:}, {targets}"])
def test_a_form_there_is_none_of_is_told_with_those_there_are(call):
    """A slip of the finger, and a form of the other one."""
    with pytest.raises(UserError, match=r"did you mean|known"):
        CallSpec(call=call)


def test_a_method_of_what_cannot_be_built_says_so():
    """With the cure."""
    with pytest.raises(UserError, match=r"(?s)Needs cannot be built.*object.method"):
        load("theirs.py:Needs.method")


@pytest.mark.parametrize("inner", [True, False])
def test_a_file_with_relative_imports_is_a_module_of_its_package(inner):
    """With __init__.py and without."""
    folder = Path("library" if inner else "folder")  # each name once in a process
    folder.mkdir()
    if inner:
        (folder / "__init__.py").write_text("")
    name = "inside" if inner else "beside"
    (folder / f"helper_{name}.py").write_text("import torch.nn.functional as F\n\n\nloss = F.binary_cross_entropy_with_logits\n")
    (folder / f"{name}.py").write_text(
        f"from .helper_{name} import loss\n\n\ndef bce(x, z):\n    return loss(x, z, reduction='none')\n", encoding="utf-8"
    )

    assert {row.outcome for row in losscheck.compare(f"{folder}/{name}.py:bce", loss="bce", logit=1.0).rows} == {Outcome.OK}
