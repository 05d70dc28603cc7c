"""`losscheck explain`: every word has a page, every example runs and shows its word, and the glossary is the same text."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import losscheck
from losscheck.core import registry
from losscheck.core.effect import Effect
from losscheck.core.explanations import CODE, PAGES, page_of
from losscheck.core.outcome import Outcome
from losscheck.renderers.explanation import markdown

GLOSSARY = Path(__file__).parent.parent / "docs" / "glossary.md"
pytestmark = pytest.mark.usefixtures("plain_surroundings")
ids = [page.word for page in PAGES]


def quoted(text):
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize(("kind", "words"), [("outcome", Outcome), ("effect", Effect)])
def test_every_word_of_the_outputs_has_a_page(kind, words):
    """In the order of severity, and no page about a word that no output has."""
    assert [page.word for page in PAGES if page.kind == kind] == [word.value for word in words]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_example_runs_and_shows_what_is_said(page, call):
    """The command as it is printed, in a fresh folder; everything in backticks stands in its output, and the word itself does.

    The exit code of `check` is the one of the effect that is shown.
    """
    if page.file:
        Path(page.file[0]).write_text(page.file[1], encoding="utf-8")
    code, shown, _ = call(*shlex.split(page.command)[1:])
    shown = " ".join(shown.split())

    assert code == (1 if " check " in page.command and Effect(page.word).harmful else 0)
    assert [snippet for snippet in quoted(page.seen) if snippet not in shown] == []
    assert page.kind == "cause" or any(page.word in snippet for snippet in quoted(page.seen))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_terminal_shows_the_whole_page(page, call):
    """Within 80 columns but for the lines of a file; the command can be copied as it stands."""
    code, shown, _ = call("explain", page.word)
    lines = shown.splitlines()
    command = shown[shown.index("    losscheck ") :].partition("\n\n")[0]

    assert code == 0
    assert [line for line in lines if len(line) > 80 and not line.startswith("    ")] == []
    assert shlex.split(command.replace("\\\n", "")) == shlex.split(page.command)
    for text in (page.title, page.meaning, page.harm, page.seen, page.instead):
        assert text in " ".join(shown.split())


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_is_found_by_each_of_its_names(page):
    """Case and the kind of dash do not matter; no name leads elsewhere."""
    for name in (page.word, page.word.upper(), page.word.replace("-", " "), page.word.replace("-", "_"), *page.also):
        assert page_of(name) is page


def test_without_a_word_there_is_the_list(call):
    """Every word and its line, within the width."""
    code, shown, _ = call("explain")

    assert code == 0
    assert [page.word for page in PAGES if not re.search(rf"^  {page.word}  ", shown, re.MULTILINE)] == []
    assert [page.word for page in PAGES if page.title not in " ".join(shown.split())] == []
    assert max(map(len, shown.splitlines())) <= 80


def test_an_unknown_word_names_the_nearest(call):
    """And exits with 2, in one line."""
    code, shown, told = call("explain", "saturate")

    assert (code, shown) == (2, "")
    assert "did you mean saturation" in told


def test_the_glossary_is_the_same_text(call):
    """docs/glossary.md is what `losscheck explain --format markdown --output docs/glossary.md` writes."""
    code, shown, _ = call("explain", "--format", "markdown")

    assert code == 0
    assert GLOSSARY.read_text(encoding="utf-8") == shown == markdown()


def test_links_of_the_glossary_lead_to_its_headings():
    """Every word of its tables has a section."""
    text = GLOSSARY.read_text(encoding="utf-8")

    assert set(re.findall(r"\(#([a-z-]+)\)", text)) == set(re.findall(r"^### ([a-z-]+)$", text, re.MULTILINE)) == set(ids)


@pytest.mark.parametrize("loss", CODE)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_to_write_instead_harms_nobody(loss, dtype):
    """Code is recommended only after it was judged, in every dtype it may be pasted into."""
    Path("instead.py").write_text(f"import torch\nimport torch.nn.functional as F\n\n\n{CODE[loss]}", encoding="utf-8")
    name = ast.parse(CODE[loss]).body[0].name
    logits = [0.0, 1e-7, *(sign * size for size in (0.5, 4.25, 8.5, 12, 17, 29, 50, 89, 100) for sign in (1, -1))]
    for target in registry.losses()[loss].targets:
        rows = losscheck.compare(f"instead.py:{name}", loss=loss, logit=logits, target=target, dtype=dtype).rows
        assert len(rows) == 2 * len(logits)
        assert [(row.logits, row.effect) for row in rows if row.effect is None or row.effect.effect.harmful] == []


def test_a_page_that_lies_would_be_caught():
    """The control of the test of examples: backticks are read, and a wrong figure is not in any output."""
    page = page_of("lost")

    assert quoted(page.seen)
    assert quoted("`3.2e-07` is right and `lost`") == ["3.2e-07", "lost"]


def test_every_cause_that_a_trace_names_has_its_page():
    """By the word that `losscheck trace` prints, with dashes or blanks."""
    from losscheck.tracing.report import CauseKind, DeviationKind

    for kind in (*CauseKind, *DeviationKind):
        assert page_of(kind.name.lower().replace("_", " ")).kind in ("cause", "outcome")
