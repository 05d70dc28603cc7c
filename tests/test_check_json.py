"""The JSON of `losscheck check` is the contract of docs/json.md: every field and no other, each of them documented."""

import json
from pathlib import Path

import jsonschema
import pytest
from gallery import checked

import losscheck
from losscheck.core.effect import Effect, Truth
from losscheck.core.outcome import Outcome

pytestmark = pytest.mark.usefixtures("plain_surroundings")
ROOT = Path(__file__).parents[1]

NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
MAYBE = {"anyOf": [NUMBER, {"type": "null"}]}
TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
EFFECT = {"enum": [*(effect.value for effect in Effect), None]}
TRUTH = {"enum": [*(truth.value for truth in Truth), None]}
QUANTITY = {"enum": ["loss", "grad", None]}


def thing(**properties):
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def several(kind, least=0):
    return {"type": "array", "items": kind, "minItems": least}


FINDING = thing(
    effect=EFFECT, truth=TRUTH, quantity=QUANTITY, target=MAYBE, logit=MAYBE, value=MAYBE, exact=MAYBE, first=MAYBE, last=MAYBE,
    share=MAYBE, loss_error=MAYBE, grad_error=MAYBE, parts={"anyOf": [several(several(NUMBER, 2)), {"type": "null"}]},
    onsets={"anyOf": [several(thing(logit=NUMBER, logit_hex=TEXT, held_from=MAYBE, held_from_hex=TEXT, proved=FLAG), 1), {"type": "null"}]},
)  # fmt: skip
ERRORS = {"anyOf": [{"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}, {"type": "null"}]}
ADVICE = thing(
    why=TEXT,
    place=TEXT,
    write=several(TEXT),
    before_ulp=ERRORS,
    after_ulp=ERRORS,
    changes_meaning=FLAG,
    hard_targets_only=FLAG,
    diff=TEXT,
    after_effect=EFFECT,
    cause=TEXT,
    code=TEXT,
)
ROW = thing(
    loss=TEXT, implementation=TEXT, backend=TEXT, device=TEXT, dtype=TEXT, quantity={"const": "both"}, logit_dtype=TEXT,
    backends=several(TEXT, 1), params={"type": "object", "additionalProperties": NUMBER}, low=NUMBER, high=NUMBER,
    targets=several(NUMBER, 1), share=NUMBER, loss_error=NUMBER, grad_error=NUMBER, max_ulp=NUMBER,
    outcomes=several({"enum": [outcome.value for outcome in Outcome]}), recognised=TEXT, sure=FLAG, note=TEXT,
    findings=several(FINDING), advice={"anyOf": [ADVICE, {"type": "null"}]}, reason=TEXT,
    effect=EFFECT, effect_truth=TRUTH, effect_quantity=QUANTITY, effect_first=MAYBE, effect_last=MAYBE, effect_share=MAYBE,
    effect_loss_error=MAYBE, effect_grad_error=MAYBE, points={"type": "integer"}, exhaustive=FLAG, refusal=TEXT,
    commands=several(thing(shows=TEXT, command=TEXT)),
)  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("torch-sigmoid-bceloss", "stable", "--loss", "bce"),
        (f"{ROOT}/docs/gallery/heatmap.py:heatmap_loss", "--dtype", "float32"),
        ("stable", "--loss", "bce", "--device", "cuda:7"),
    ],
    ids=["named", "a callable", "what cannot run"],
)
def test_json_keeps_the_contract(call, words):
    """Every field and no other, also of what could not be judged; non-finite numbers as strings."""
    code, out, err = call("check", *words, "--format", "json")
    if not out:
        assert code == 2 and err  # nothing could be judged: a message, and no rows
        return
    keeps_the_contract(out)


def test_json_of_all_of_a_loss_keeps_the_contract():
    """Every implementation that ships, in three dtypes."""
    keeps_the_contract(losscheck.render(checked(loss="bce", dtype=("float32", "float16", "bfloat16")), "json"))


def keeps_the_contract(text):
    jsonschema.validate(json.loads(text, parse_constant=pytest.fail)["rows"], several(ROW, 1))


def test_every_field_is_documented():
    """docs/json.md names each field of a ranking, of a finding and of an advice, in its own section."""
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    section = text.partition("## Rows of a ranking\n")[2].partition("\n## ")[0]

    for schema in (ROW, FINDING, ADVICE):
        assert [name for name in schema["properties"] if f"`{name}`" not in section] == []


def test_a_field_more_or_less_is_noticed():
    """The control: the schema refuses a row with a field too many and one with a field too few."""
    whole = dict.fromkeys(FINDING["properties"])

    jsonschema.validate(whole, FINDING)
    for wrong in ({**whole, "extra": 1}, dict.fromkeys(list(whole)[1:])):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, FINDING)
