"""The pages: what they show of an output is what comes out, what they link to is there, and every page is on the map."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from claims import differences
from gallery import checked

from losscheck.core import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def script(name):
    """A program of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown_again(page):
    return script("make_shown").shown((ROOT / page).read_text(encoding="utf-8"))


# A page and what writes it anew: the program of docs/ that people run.
MADE = {
    "README.md": lambda: shown_again("README.md"),
    "docs/how-it-knows.md": lambda: shown_again("docs/how-it-knows.md"),
    "docs/which-loss.md": lambda: "".join(script("make_which_loss").main(checked)),
    "docs/gallery/README.md": lambda: "".join(script("make_gallery").main(checked)),
    "docs/bce.svg": lambda: printed_by("docs/make_picture.py"),
}


def printed_by(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("page", MADE)
def test_a_page_shows_what_comes_out(page, plain_surroundings, monkeypatch):
    """Run again, its commands say the same: words, names, places, code; figures within what last bits change.

    After a change: ``python docs/make_shown.py README.md``, or another program of docs/, gives the page as it should be.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [])

    assert differences((ROOT / page).read_text(encoding="utf-8"), MADE[page]()) == []


def test_the_comparison_can_fail():
    """The control: another word, a figure of another size, a line less; but not a last bit."""
    text = "✗ dead gradient 0 where 1 is right, logits above 16.64; 5.2 ulp\n✗ poisons loss inf where 88.7 is right\n"

    for wrong in (
        text.replace("dead", "tails"),
        text.replace("16.64", "8.31"),
        text.replace("gradient 0", "gradient 1"),
        text.replace("88.7", "887"),
        text.replace("inf", "88.7"),
        text.splitlines()[0],
    ):
        assert differences(text, wrong)
    assert differences(text, text.replace("5.2 ulp", "4.9 ulp")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page):
    """Files and pictures that a page names are there, and so are the headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for place, heading in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", re.sub(r"`[^`\n]*`", "", text)):
        if place.startswith(("http:", "https:", "mailto:")):
            continue
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name}: {place}"
        if heading:
            assert heading in headings(target), f"{page.name}: {place}#{heading}"


def headings(page):
    """The anchors of a page, as they are made of its headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_map_has_every_page():
    """docs/index.md links to all of docs/, the gallery, the examples, and the pages at the top."""
    linked = {(DOCS / place).resolve() for place in re.findall(r"\]\(([^)#]+)", (DOCS / "index.md").read_text(encoding="utf-8"))}

    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in linked and page.name != "index.md"] == []


def test_every_loss_has_something_to_use():
    """A section for each loss of ours, and in each an implementation that is harmless in every dtype, and code to copy."""
    ours = [loss for loss in registry.losses().values() if loss.formula.__module__.startswith("losscheck.")]
    text = (DOCS / "which-loss.md").read_text(encoding="utf-8")
    advice = re.findall(r"^Harmless in .*: (.*)\.$", text, re.MULTILINE)

    assert len(advice) == text.count("\n## ") == len(ours)
    assert [line for line in advice if "`" not in line] == []


def test_the_set_up_commands_are_those_that_ci_runs():
    """The README's two lines stand in .ci/run: what is told to newcomers is tried."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    told = re.findall(r"^pip install .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(told) == 2
    for line in told:
        install, _, command = line.partition(" && ")
        options = install.removeprefix("pip install ")
        assert re.search(rf"^pip install .*{re.escape(options)}(?= |$)", ci, re.MULTILINE), options
        assert re.search(rf"(?<![-\w]){re.escape(command)}(?![-\w])", ci), command


def test_the_package_says_what_the_readme_says():
    """Its description is the README's first sentence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["description"] in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
