"""docs/accuracy.md, docs/accuracy.html and docs/accuracy/cases.yaml, written from the rows that make.py measured."""

from __future__ import annotations

import html
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from losscheck.core.dtypes import FORMATS, short_hex
from losscheck.core.effect import EFFECTS, Effect, EffectFinding, Truth
from losscheck.core.registry import losses
from losscheck.renderers.effects import effect_sentence

DOCS = Path(__file__).parents[1]
HEADINGS = ("", "implementation", "version", "dtype", "effect", "what comes out", "first failing float", "line at fault", "known")
Row = Mapping[str, Any]

INTRODUCTION = """\
Losses of installed packages, as anybody calls them, judged by `losscheck check` at logits from -100 to 100 and all targets of their loss
(float32 sampled, with the exact ends of what fails; bfloat16 and float16 at every float). Worst first: by what it does to training, then by
how much of the logit axis it does it on. The words are those of the [glossary](glossary.md): `tails` and `sound` are harmless.

A word is about the float arithmetic of one function as it stands, not about a library. What its own formula is, where that is not the
definition (a clamp, a floor), stands in the last column. "First failing float" is the one nearest to 0 that was found to have the
effect: of those that the sample met, with the exact float where it begins; nothing says that no other lies before it. "Line at fault" is
where `losscheck trace` finds the value lost. A function of probabilities is given `sigmoid(logit)` in its own framework and dtype.

Everything on the CPU. The compiled operators of torchvision 0.28.0 do not load beside the PyTorch that was used: a file of it that
registers them, `_meta_registrations.py`, was changed so that the package imports, for its own rows and those of packages that import it
(segmentation-models-pytorch, timm, transformers). The losses themselves are plain Python, and ran as published. mmdet is left out: it
imports compiled operators of mmcv, which no wheel brings for this PyTorch. scikit-learn is judged by the gradient of its half binomial
loss (its boosting and regression train on it); its `log_loss` is a metric of whole lists of labels, and none for each logit.
"""


def write_pages(data: Mapping[str, Any]) -> None:
    """All three."""
    rows = ranked(data["rows"])
    left_out = data["left_out"]
    (DOCS / "accuracy.md").write_text("\n".join(markdown(rows, left_out)) + "\n")
    (DOCS / "accuracy.html").write_text(page(rows, left_out))
    (DOCS / "accuracy" / "cases.yaml").write_text("\n".join(cases(rows)) + "\n")


def ranked(rows: list[Row]) -> list[Row]:
    """By loss, then the worst first; those that only one dtype tells apart beside each other."""
    order = list(losses())

    def key(row: Row) -> tuple[Any, ...]:
        return order.index(row["loss"]), Effect(row["effect"]).severity, -(row["share"] or 0.0), row["command"]

    return sorted(rows, key=key)


def finding_of(row: Row) -> EffectFinding:
    """The finding of a row, out of its JSON."""

    def number(value: Any) -> float | None:
        return None if value is None else float(value)

    plain = row["finding"]
    figures = {
        name: number(plain[name]) for name in ("value", "exact", "logit", "target", "loss_error", "grad_error", "first", "last", "share")
    }
    parts = tuple((float(first), float(last)) for first, last in plain["parts"] or ())
    truth = None if plain["truth"] is None else Truth(plain["truth"])
    if plain["effect"] == "poisons" and not parts:
        figures |= {"first": None, "last": None}  # in too many places to name them: the point where it begins is shown
    return EffectFinding(Effect(plain["effect"]), truth, plain["quantity"] or "", parts=parts, **figures)


def cells(row: Row, number: int) -> list[str]:
    """The cells of a row, as text; what is code is in backquotes."""
    first = row["first_failing"]
    dtype = FORMATS[row["dtype"]]
    what = effect_sentence(finding_of(row), row["low"], row["high"], row["dtype"], float(row["max_ulp"]))
    name = f"`{row['what']}`" + (f" `{shown_options(row)}`" if shown_options(row) else "")
    backend = "" if row["backend"] == "torch" else f" ({row['backend']})"
    known = "; ".join(filter(None, (f"[issue]({row['issue']})" if row["issue"] else "", guard_of(row))))
    return [
        str(number),
        name + backend,
        f"{row['package']} {row['version']}",
        row["dtype"],
        f"`{row['effect']}`",
        what,
        f"{dtype.shortest(first)} (`{short_hex(first)}`)" if first is not None else "",
        f"`{row['place']}`: {row['why']}" if row["place"] else row["why"],
        known,
    ]


def shown_options(row: Row) -> str:
    """The options that make it another function: those for the callable."""
    words = shlex.split(row["options"])
    return " ".join(word for flag, word in itertools.pairwise(words) if flag == "--kw" and word != "reduction=none")


def guard_of(row: Row) -> str:
    """What its own formula is, where it was found to be another than the definition."""
    if ":" not in row["what"] and row["dtype"] != "float32":
        return ""  # the note of one that ships is about float32
    text = row["note"].removeprefix("it looks like ").rstrip(".")
    return re.sub(r": beyond logit.*", "", text)


def summary(rows: list[Row]) -> str:
    effects = Counter(row["effect"] for row in rows)
    counted = ", ".join(f"{effects[effect.value]} `{effect.value}`" for effect in EFFECTS if effects[effect.value])
    packages = {row["package"] for row in rows}
    functions = {(row["what"], row["options"]) for row in rows}
    dates = sorted({row["date"] for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{len(rows)} rows of {len(functions)} functions in {len(packages)} packages, measured {when}: {counted}."


def markdown(rows: list[Row], left_out: list[Row]) -> Iterator[str]:
    yield "# How accurate are published losses?\n"
    yield f"**{summary(rows)}**\n"
    yield INTRODUCTION
    yield "Measured, not written: `python docs/accuracy/make.py` runs the commands below and writes this page, its [html](accuracy.html)"
    yield "and [the cases](accuracy/cases.yaml) that hold the rows; a test runs some of them again.\n"
    number = 0
    for loss, mine in by_loss(rows):
        yield f"## {losses()[loss].title}\n"
        yield f"`{losses()[loss].definition}`\n"
        yield f"| {' | '.join(HEADINGS)} |"
        yield f"|{'---|' * len(HEADINGS)}"
        for row in mine:
            number += 1
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells(row, number))} |"
        yield ""
    yield "## The commands\n"
    for number, row in enumerate(rows, 1):
        yield f"{number}. `{row['command']}`"
    if left_out:
        yield "\n## Left out\n"
        for left in left_out:
            yield f"- `{left['command']}`: {left['reason']}"


def by_loss(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    for loss in dict.fromkeys(row["loss"] for row in rows):
        yield loss, [row for row in rows if row["loss"] == loss]


STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem }
table { border-collapse: collapse; font-size: 14px } td, th { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left;
vertical-align: top } code { font-size: 90% } .harm { color: #b3261e; font-weight: 600 }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } .harm { color: #ff8a80 } a { color: #9cf } }"""


def page(rows: list[Row], left_out: list[Row]) -> str:
    """The same as one page of html, without a script."""
    pieces = [f"<h1>How accurate are published losses?</h1><p><strong>{inline(summary(rows))}</strong></p>"]
    pieces += [f"<p>{inline(text)}</p>" for text in INTRODUCTION.split("\n\n")]
    number = 0
    for loss, mine in by_loss(rows):
        pieces.append(f"<h2>{html.escape(losses()[loss].title)}</h2><p><code>{html.escape(losses()[loss].definition)}</code></p><table>")
        pieces.append(f"<tr>{''.join(f'<th>{heading}</th>' for heading in HEADINGS)}</tr>")
        for row in mine:
            number += 1
            harm = ' class="harm"' if Effect(row["effect"]).harmful else ""
            told = [f"<td{harm if n == 4 else ''}>{inline(cell)}</td>" for n, cell in enumerate(cells(row, number))]
            pieces.append(f'<tr title="{html.escape(row["command"])}">{"".join(told)}</tr>')
        pieces.append("</table>")
    commands = "".join(f"<li><code>{html.escape(row['command'])}</code></li>" for row in rows)
    pieces.append(f"<h2>The commands</h2><ol>{commands}</ol>")
    if left_out:
        gone = "".join(f"<li><code>{html.escape(left['command'])}</code>: {html.escape(left['reason'])}</li>" for left in left_out)
        pieces.append(f"<h2>Left out</h2><ul>{gone}</ul>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Accuracy</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(pieces) + "\n</body></html>\n"


def inline(text: str) -> str:
    """Backquotes and links of markdown, as html."""
    text = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text, quote=False))

    def link(found: re.Match[str]) -> str:
        return f'<a href="{found[2].replace(".md", ".html")}">{found[1]}</a>' if found[2].startswith("http") else found[1]

    return re.sub(r"\[([^\]]*)\]\(([^)]*)\)", link, text)


# Cases ---------------------------------------------------------------------------------------------------------------


def cases(rows: list[Row]) -> Iterator[str]:
    """A case for each row: the function does no worse to training than on the page. What poisons can do no worse, and has none."""
    yield "# yaml-language-server: $schema=../cases.schema.json"
    yield "# By docs/accuracy/make.py: what each function of the page does to training, as a budget; what is not installed is skipped."
    yield "# The rows of one library: losscheck gate docs/accuracy/cases.yaml --case 'kornia-*'"
    yield "cases:"
    for row in rows:
        # A case cannot say in which process it runs: Keras has its other backends in others.
        yield from case(row) if Effect(row["effect"]) is not Effect.POISONS and not row.get("env") else ()


def case(row: Row) -> Iterator[str]:
    name = f"{row['package']} {row['what'].rpartition(':')[2]} {shown_options(row)} {row['dtype']}"
    yield f"  - name: {re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"
    yield f"    loss: {row['loss']}"
    yield f"    implementations: ['{row['what']}']"
    yield f"    packages: [{row['package']}]"
    if called := ", ".join(callable_of(row)):
        yield f"    callable: {{{called}}}"
    yield f"    params: {{{', '.join(f'{name}: {value:g}' for name, value in row['params'].items())}}}"
    yield f"    dtypes: [{row['dtype']}]"
    yield "    range: {low: -100, high: 100, count: 300}"
    # The very last bits are the processor's business: what is sound here may have tails elsewhere.
    yield f"    expect: {{effects: [{'tails' if row['effect'] == 'sound' else row['effect']}]}}"
    yield ""


def callable_of(row: Row) -> Iterator[str]:
    """How it is called, as a case says it: the options given, and what was found out."""
    words = shlex.split(row["options"])
    options = list(itertools.pairwise(words))
    keywords = [word.partition("=") for flag, word in options if flag == "--kw"]
    if keywords:
        yield f"keywords: {{{', '.join(f'{name}: {quoted(value)}' for name, _, value in keywords)}}}"
    if "targets first" in row["recognised"]:
        yield "call: '{targets}, {logits}'"
    if "on probabilities" in row["recognised"]:
        yield "input: probabilities"
    yield from (f"axes: '{word}'" for flag, word in options if flag == "--axes")


def quoted(value: str) -> str:
    """A value of `--kw` in YAML: what has brackets or a colon is text there."""
    return f"'{value}'" if re.search(r"[:\[\]]", value) else value
