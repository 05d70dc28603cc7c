"""Reports that the tests of every format share: one for each job, with a row of every outcome and verdict and odd names."""

import json
import math
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from losscheck.core.batch_rows import Element, Few, TensorBatch, TensorRow, Whole
from losscheck.core.dtypes import FLOAT32, FORMATS
from losscheck.core.effect import Effect, EffectFinding, Truth
from losscheck.core.error import absolute_error, relative_error, ulp_error
from losscheck.core.exact import Exact, Kind
from losscheck.core.outcome import Outcome
from losscheck.core.ranking import Advice, RankedRow
from losscheck.core.registry import loss_named
from losscheck.core.report import Inventory, Report
from losscheck.core.results import BitDifference, Difference, PointRow, Region, SweepRow
from losscheck.core.verdict import CaseRow, Verdict
from losscheck.oracle.refine import Term, exact_value

# Of packages that happen to be installed: what they print is theirs.
THEIR_FORMATS = {point.name for point in entry_points(group="losscheck.renderers")}
ENVIRONMENT = {"losscheck": "0", "python": "3", "frameworks": {}, "cpu": "a processor", "devices": {"cpu": "a processor"}}
ODD = 'odd[ulp]|a, *b* "c" [red]d[/red]'
UNDECIDED = Exact(Kind.UNDECIDED, math.nan, bits=2**14)

# compare ----------------------------------------------------------------------------------------------------------------


def point_of_bce(name, outcome, logit, value, *, target=0.0, quantity="loss", dtype="float32", exact=None, **more):
    """A row of bce whose exact value is the oracle's, unless one is given."""
    loss, logit = loss_named("bce"), FORMATS[dtype].round(logit)
    value = None if value is None else FORMATS[dtype].round(value)
    params = loss.resolve({}, FORMATS[dtype])
    formula = loss.gradient if quantity == "grad" else loss.formula
    exact = exact or exact_value(formula, [Term(logit, target)], params, FORMATS[dtype])
    if value is not None:
        more = {
            "ulp": ulp_error(value, exact, FORMATS[dtype]),
            "absolute_error": absolute_error(value, exact),
            "relative_error": relative_error(value, exact),
            **more,
        }
    return PointRow(
        loss="bce", implementation=name, backend="torch", device=more.pop("device", "cpu"), dtype=dtype, quantity=quantity, params=params,
        logits=(logit,), targets=(target,), outcome=outcome, value=value, exact=exact,
        definition=more.pop("definition", exact), deviation=more.pop("deviation", 0.0), **more,
    )  # fmt: skip


def effect(word, value, **more):
    """What the loss alone does at logit 20, target 0."""
    kind = Effect(word)
    if kind is Effect.SOUND:
        return EffectFinding(kind, logit=20.0, target=0.0, loss_error=0.0)
    return EffectFinding(kind, Truth.ROUNDING, "loss", value, 20.0, 20.0, 0.0, abs(value - 20.0), **more)


EFFECTS_AT_20 = (
    ("sound", Outcome.OK, 20.0, "sound"),
    ("poisonous", Outcome.INF, math.inf, "poisons"),
    ("floored", Outcome.INACCURATE, 100.0, "misstates"),
    ("tailed", Outcome.INACCURATE, 20.00005, "tails"),
)


def compare_report():
    """One row of every outcome, a deviation, two devices, an odd name, all dtypes, the smallest and largest numbers."""
    definition = exact_value(loss_named("bce").formula, [Term(17.0, 0.0)], {"pos_weight": 1.0}, FLOAT32)
    rows = (
        point_of_bce("fine", Outcome.OK, 1.5, 1.7014133),
        point_of_bce("not-a-number", Outcome.NAN, 1.5, math.nan),
        point_of_bce("infinite", Outcome.INF, 1.5, math.inf),
        point_of_bce("negative", Outcome.WRONG_SIGN, 1.5, -1.5),
        point_of_bce("lost", Outcome.LOST, -15.0, 0.0),
        point_of_bce("flushed", Outcome.FLUSHED, -100.0, 0.0),
        point_of_bce("never-infinite", Outcome.MISSED_INF, math.inf, 3.4028234663852886e38),
        point_of_bce("far-off", Outcome.INACCURATE, 17.0, 100.0),
        point_of_bce("unknown", Outcome.UNDECIDED, 17.0, 17.0, exact=UNDECIDED, deviation=math.nan),
        point_of_bce("elsewhere", Outcome.UNAVAILABLE, 17.0, None, device="cuda", reason="there is no CUDA device here"),
        point_of_bce("another-formula", Outcome.OK, 17.0, 34.0, exact=Exact(Kind.FINITE, 34.0, (34, 0), (0, 0), 128),
            definition=definition, deviation=1.0, note="twice of everything"),
        point_of_bce(ODD, Outcome.OK, 17.0, 17.0),
        point_of_bce("fine", Outcome.OK, -1e20, -0.0, dtype="float64"),
        point_of_bce("fine", Outcome.OK, -744.25, 5e-324, dtype="float64"),
        point_of_bce("fine", Outcome.OK, 1.7976931348623157e308, 1.7976931348623157e308, dtype="float64"),
        point_of_bce("fine", Outcome.OK, -1.5, 0.18242552380635635, dtype="float64", quantity="grad"),
        point_of_bce("fine", Outcome.OK, 6.1035e-05, 0.69336, dtype="float16"),
        point_of_bce("fine", Outcome.OK, 3.38953139e38, 3.38953139e38, dtype="bfloat16"),
        *(point_of_bce(name, outcome, 20.0, value, effect=effect(word, value)) for name, outcome, value, word in EFFECTS_AT_20),
    )  # fmt: skip
    environment = {"losscheck": "0", "python": "3", "frameworks": {}, "cpu": "a processor", "devices": {"cpu": "a processor"}}
    return Report(
        "compare", environment, "losscheck compare --impl 'odd|*'", rows, max_ulp=8.0, differences=(Difference("cpu", "cuda", 7, 3),),
        trace="losscheck trace 'odd|name' 20 --target 0 --loss bce",
    )  # fmt: skip


# check ------------------------------------------------------------------------------------------------------------------


def check_report():
    """A harmless, a deadly and an absent implementation of one loss, and a callable with its cure, in two dtypes."""
    common = {"loss": "bce", "backend": "torch", "device": "cpu", "quantity": "both", "params": {"pos_weight": 1.0}}
    common |= {"backends": ("torch",), "targets": (0.0, 1.0), "low": -100.0, "high": 100.0}
    tails = EffectFinding(Effect.TAILS, Truth.ROUNDING, "loss", 0.0, 3e-07, -15.0, 0.0, 4.6e-07, 6.4e-08, -100.0, 100.0, 0.5)
    off = EffectFinding(Effect.MISSTATES, Truth.ROUNDING, "loss", 0.0, 0.0155, -4.25, 0.0, 0.0155, 0.001, -4.5, -4.0, 0.0025)
    dead = EffectFinding(Effect.DEAD, Truth.DEVIATION, "grad", 0.0, 1.0, 17.0, 0.0, 83.4, 1.0, 16.635532, 100.0, 0.41)
    nan = EffectFinding(Effect.POISONS, Truth.ROUNDING, "loss", math.inf, 16.6, 16.6, 0.0, math.inf, math.nan, -100.0, 100.0, 0.47)
    advice = Advice(
        "`torch.log(1 - p)`: log of 0", "blog.py:7", ("return F.softplus(x)",), (math.inf, math.inf), (1.5, 1.25), tails, diff="-a\n+b\n"
    )
    commands = (
        ("every region", f"losscheck sweep --loss bce --impl 'blog.py:{ODD}' --regions"),
        ("have it changed", "losscheck trace x --fix"),
    )
    rows = (
        RankedRow(**common, implementation="fine", dtype="float32", effect=tails, findings=(tails,), outcomes=(Outcome.LOST,)),
        RankedRow(**common, implementation="floored", dtype="float32", effect=dead, findings=(dead, tails), note="a floor at -100"),
        RankedRow(**common, implementation=f"blog.py:{ODD}", dtype="float32", effect=nan, findings=(nan, dead), advice=advice,
            spans=((-100.0, -88.72284), (16.635532, 100.0)), recognised="bce with pos_weight=1", max_ulp=math.inf,
            points=480, commands=commands, curves=(sweep_row(),)),
        RankedRow(**common, implementation="elsewhere", dtype="float32", reason="TensorFlow is not installed; pip install tensorflow"),
        RankedRow(**common, implementation="fine", dtype="bfloat16", effect=off, findings=(off,), outcomes=(Outcome.LOST,), points=350),
    )  # fmt: skip
    return Report("check", ENVIRONMENT, "losscheck check", ranking=rows, definitions={"bce": "w z softplus(-x) + (1-z) softplus(x)"})


def trace_inventory():
    """What `losscheck trace docs/gallery/textbook_bce.py:bce --logit 17 --target 0 --format json` said once."""
    return Inventory("trace", json.loads((Path(__file__).parent / "trace_facts.json").read_text()))


# sweep ------------------------------------------------------------------------------------------------------------------

LAST = float.fromhex("-0x1.d1da7ap+3")
SUBJECT = {"loss": "bce", "implementation": "one", "backend": "torch", "device": "cpu", "dtype": "float32", "quantity": "loss"}


def lost_point(outcome=Outcome.LOST, ulp=-1234.5):
    exact = Exact(Kind.FINITE, 2.0**-21, (1, -21), (0, 0), 128)
    return PointRow(**SUBJECT, logits=(LAST,), targets=(0.0,), outcome=outcome, value=0.0, exact=exact, ulp=ulp)


def sweep_row(**changes):
    """-20 to 0: lost in the first half, then 0.3, 0.7, 1.5, 3 and 100 ulp."""
    cells = [(FLOAT32.round(-20.0 + n / 24), 5e5, Outcome.LOST) for n in range(240)]
    cells += [(FLOAT32.round(-10.0 + n / 24), (0.3, 0.7, 1.5, 3.0, 100.0)[n // 48], Outcome.OK) for n in range(240)]
    made = SweepRow(
        **SUBJECT, params={"pos_weight": 1.0}, layout="body", target=0.0, low=-20.0, high=0.0, points=480, exhaustive=False,
        counts={Outcome.LOST: 240, Outcome.OK: 240}, max_ulp=5e5, worst=(lost_point(),), profile=tuple(cells), checked=7,
        regions=(Region(Outcome.LOST, -20.0, LAST, 5_000_000, 5_000_000),), histogram={"<0.5": 240, "1024-2048": 240},
    )  # fmt: skip
    return replace(made, **changes)


def sweep_report(*rows, **more):
    return Report("sweep", {"losscheck": "0"}, "losscheck sweep --range -20 0", sweeps=rows or (sweep_row(),), max_ulp=8.0, **more)


def whole_sweep():
    """Failures, one that is sound, one on another device that could not run, a mode, a long name, more regions than are told."""
    regions = tuple(Region(Outcome.INACCURATE, float(n), n + 0.5, 100 - n, 100 - n) for n in range(1, 25))
    return sweep_report(
        sweep_row(),
        sweep_row(implementation="sound", counts={Outcome.OK: 480}, max_ulp=0.9, regions=(), worst=(), target=1.0),
        sweep_row(implementation=ODD, regions=regions, mode="compile"),
        sweep_row(implementation="path/to/a_long_file_name.py:and_a_long_function_name", counts={Outcome.NAN: 480}, max_ulp=math.inf),
        sweep_row(quantity="grad", exhaustive=True, nan_points=254),
        *(
            sweep_row(
                implementation=word,
                effect=effect(word, value, first=-20.0, last=-10.0, share=0.5, parts=((-20.0, -10.0),)),
                effects=(Effect(word),) * 240 + (Effect.SOUND,) * 240,
            )
            for word, value in (("poisons", math.nan), ("misstates", 1.0), ("tails", 20.00005))
        ),
        sweep_row(device="cuda", counts={}, worst=(), regions=(), histogram={}, profile=(), reason="there is no CUDA device here"),
        bit_differences=(BitDifference("one: cpu tail against cpu body", 9, 2, 1.5, 0.25, 0.5),),
        definitions={"bce": "w z softplus(-x) + (1-z) softplus(x)"},
        remarks=("file.py:one: called with torch tensors as one(logits, targets).",),
    )


# compare --tensors ------------------------------------------------------------------------------------------------------


def tensors_report():
    """A batch with something odd of each kind; an implementation that fails, one that is sound, one that could not run."""
    batch = TensorBatch(
        ("batch.pt",), "float32", "float64", "int64", (2, 3), 6, -20.0, 17.0,
        nan=Few(1, (0, 1)), inf=Few(2, (1, 0)), outside=Few(1, (1, 2)), positives=2, negatives=3, soft=1,
        rounded_logits=4, became_one=Few(1, (0, 2)), became_infinite=Few(1, (1, 1)),
    )  # fmt: skip
    right = Exact(Kind.FINITE, 17.0, (17, 0), (0, 0), 128)
    names = {"loss": "bce", "backend": "torch", "device": "cpu", "dtype": "float32", "params": {"pos_weight": 1.0}}

    def element(index, outcome, value, ulp, quantity="loss"):
        point = PointRow(
            implementation="bad", quantity=quantity, logits=(17.0,), targets=(0.0,), outcome=outcome, value=value, exact=right, ulp=ulp,
            definition=right, deviation=0.25, note="a floor", **names,
        )  # fmt: skip
        return Element(index, point, value, -0.5)

    nan, lost = element((0, 1), Outcome.NAN, math.nan, math.nan), element((0, 2), Outcome.LOST, 0.0, -8388608.0)
    off, worse = element((1, 0), Outcome.INACCURATE, 16.0, -524288.0), element((1, 1), Outcome.INACCURATE, 1.0, -8e6)
    whole = Whole(
        "mean", Outcome.INACCURATE, 16.0, right, right, -524288.0, 0.5, 16.5, -500000.0, -24288.0, "by the oracle, term by term", "floor"
    )
    sound = Whole("mean", Outcome.OK, 17.0, right, right, 0.0, 0.0, 17.0, 0.0, 0.0, "by the oracle, term by term")
    rows = (
        TensorRow(
            implementation="bad", quantity="loss", judged=5, counts={Outcome.NAN: 1, Outcome.LOST: 1, Outcome.INACCURATE: 2, Outcome.OK: 1},
            max_ulp=math.inf, first=(nan, lost, off), worst=(nan, lost, worse), deviating=2, deviation=lost, checked=5, whole=whole,
            effect=EffectFinding(Effect.POISONS, Truth.ROUNDING, "loss", math.nan, 17.0, 17.0, 0.0, math.inf, index=(0, 1)),
            **names,
        ),
        TensorRow(
            implementation="bad", quantity="grad", judged=5, counts={Outcome.UNDECIDED: 2, Outcome.OK: 3}, unasked=2, max_ulp=1.0, **names
        ),
        TensorRow(
            implementation="good", quantity="loss", judged=5, counts={Outcome.OK: 5}, max_ulp=0.5, sampled=True, whole=sound, **names
        ),
        TensorRow(implementation="gone", quantity="loss", judged=5, reason="it has no gradient on this backend", **names),
    )  # fmt: skip
    return Report(
        "compare", ENVIRONMENT, "losscheck compare --tensors batch.pt", batches=(batch,), tensors=rows, reduction="mean", max_ulp=8.0
    )


# gate -------------------------------------------------------------------------------------------------------------------

LOST = point_of_bce("torch-bce-with-logits", Outcome.LOST, -15.0, 0.0)
EVIL = 'x::error file=a,line=1::%0A injected\r\n::error::now | *b* _c_ <d> & "e" [red]f[/red] \x00\x1b[31m\x0b\ufffe'
REASONS = {
    Verdict.FAIL: "1 lost of 3 points, which the case does not allow",
    Verdict.UNDECIDED: "could not run: NotImplementedError: no kernel",
    Verdict.NOT_COMPARABLE: "nothing is recorded for cpu-vax",
    Verdict.BETTER: "1 ulp where 2 is recorded for cpu-vax",
    Verdict.SKIPPED: "PyTorch finds no CUDA device",
    Verdict.KNOWN_FAILURE: "it cancels (https://example.org)",
    Verdict.PASS: "",
}


def case_row(verdict, case="a", **more):
    """A row of a verdict, with its usual reason."""
    values = {
        "case": case,
        "file": "cases/a.yaml",
        "line": 12,
        "loss": "bce",
        "implementation": "torch-bce-with-logits",
        "backend": "torch",
        "device": "cpu",
        "dtype": "float32",
        "quantity": "loss",
        "reason": REASONS[verdict],
        "reproduce": "losscheck compare --logit -15",
        "trace": "losscheck trace torch-bce-with-logits -15 --target 0 --loss bce" if verdict is Verdict.FAIL else "",
        "points": 3,
        "failing": int(verdict is Verdict.FAIL),
        "counts": {Outcome.OK: 2, Outcome.LOST: 1},
        "max_ulp": 11239042.0,
        "limit": 8.0,
        "worst": LOST,
    }
    if verdict is Verdict.SKIPPED:
        values |= {"points": 0, "counts": {}, "worst": None, "max_ulp": 0.0}
    return CaseRow(verdict=verdict, **{**values, **more})


def gate_report(*rows, **more):
    environment = {"losscheck": "0", "python": "3", "frameworks": {}, "cpu": "a processor", "devices": {}}
    return Report("gate", environment, "losscheck gate", cases=rows, **more)


def whole_gate():
    """A row of every verdict in two files, the evil name, numbers that are none."""
    rows = [case_row(verdict, case=f"case-{verdict.value}") for verdict in Verdict]
    rows.append(case_row(Verdict.FAIL, case=EVIL, reason=EVIL, file="b:c,d%.yaml", reproduce=EVIL, trace=EVIL))
    rows.append(case_row(Verdict.PASS, case="exhaustive", exhaustive=True, points=65536, max_ulp=1.25, deviation=0.0))
    rows.append(case_row(Verdict.FAIL, case="infinite", max_ulp=float("inf"), deviation=float("nan"), worst=None, failing=0))
    return gate_report(*rows)


# list and doctor --------------------------------------------------------------------------------------------------------


def catalogue_inventory():
    """A loss with a parameter and two implementations, a backend with devices and one without."""
    implementations = [
        {"name": "naive", "backends": ["numpy", "torch"], "source": "the textbook",
         "about": "p, then its logarithm: " + "it cancels, " * 12,
         "own_formula": False, "note": "", "published_note": "", "module": "m"},
        {"name": "other", "backends": ["torch"], "source": "a paper", "about": "As published.", "own_formula": True,
         "note": "a floor of 100",
         "published_note": "", "module": "m"},
    ]  # fmt: skip
    loss = {
        "name": "bce", "title": "binary cross entropy with logits", "definition": "w z softplus(-x) + (1-z) softplus(x)",
        "source": "Bishop",
        "targets": "[0, 1]", "reduction": "mean", "implementations": implementations,
        "parameters": [
            {"name": "pos_weight", "default": 1.0, "valid": "finite and at least 0", "meaning": "weight w of the positive class"},
        ],
    }  # fmt: skip
    backends = [
        {"name": "numpy", "devices": ["cpu"], "modes": ["eager"], "reason": ""},
        {"name": "torch", "devices": ["cpu"], "modes": ["eager", "compile"], "reason": "no CUDA device"},
        {"name": "jax", "devices": [], "modes": ["eager"], "reason": "JAX is not installed; pip install jax"},
    ]
    return Inventory("list", {"losses": [loss], "backends": backends})


def doctor_inventory():
    """A package that is there, one that is needed and missing, one that is only missing; a check that failed."""
    packages = [
        {"name": "click", "version": "8", "purpose": "the command line", "needed": True, "cure": ""},
        {"name": "numpy", "version": "", "purpose": "the numpy backend", "needed": True, "cure": "pip install numpy"},
        {"name": "jax", "version": "", "purpose": "a fourth framework", "needed": False, "cure": "pip install jax optax"},
    ]
    devices = [
        {"backend": "torch", "device": "cpu", "reason": ""},
        {"backend": "torch", "device": "cuda", "reason": "this PyTorch is built without CUDA; install a CUDA build from pytorch.org"},
    ]
    checks = [
        {"name": "both oracles agree to 30 digits", "ok": True, "detail": "softplus(-15) = 3.05e-7"},
        {"name": "compiled filter", "ok": False, "detail": "numba cannot compile here"},
    ]
    facts = {"losscheck": "0", "python": "3", "cpu": "a processor", "packages": packages, "devices": devices, "checks": checks}
    return Inventory("doctor", {**facts, "healthy": False})
