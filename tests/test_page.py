"""The pages as people meet them: made by the command, opened in a real browser from a file, without network or script.

    LOSSCHECK_REQUIRE_BROWSER=1 pytest -n 0 tests/test_page.py

fails where there is no browser, instead of being skipped. Pictures of every page lie in pytest's temporary folder.
"""

import contextlib
import itertools
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from losscheck.cli import main

REQUIRED = "LOSSCHECK_REQUIRE_BROWSER"
GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SCREENS = ((400, "light"), (1280, "dark"))  # what scrolls does not depend on the colours, nor contrast on the width
MOST_BYTES = 1_000_000
LEAST_CONTRAST = 4.5
PAGES = {
    "sweep": ("sweep", "--loss", "bce"),
    "infinite": ("sweep", "--loss", "bce", "--impl", "torch*", "--dtype", "bfloat16", "--range", "-inf", "inf"),
    "compare": ("compare", "--loss", "bce", *(word for logit in ("-90", "-15", "0", "20") for word in ("--logit", logit)), "--target", "0"),
    "tensors": ("compare", "--loss", "bce", "--tensors", "batch.npz"),
    "trace": ("trace", "centernet-neg-loss", "100", "--target", "1"),
    "check": ("check", "torch-bce-with-logits", "torch-sigmoid-bceloss", f"{GALLERY}/textbook_bce.py:bce"),
}
FAILS = (0, 1)  # a page is made of failures too

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def missing(reason):
    """Skipped with its reason; a failure where a browser is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    executable = os.environ.get("CHROME") or shutil.which("chromium")
    if executable is None:
        missing("there is no chromium on PATH, and CHROME names no browser")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The file of each page, made by the command when it is first asked for."""
    import numpy as np

    folder = tmp_path_factory.mktemp("pages")
    logits = np.linspace(-24, 17, 32, dtype=np.float32)
    np.savez(folder / "batch.npz", logits=logits, targets=(logits < 0).astype(np.float32))

    def made(name):
        path = folder / f"{name}.html"
        if not path.exists():
            words = ["losscheck", *PAGES[name], "--format", "html", "--output", str(path)]
            with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
                patch.setattr(sys, "argv", words)
                main()
            assert stop.value.code in FAILS and path.exists()
        return path

    return made


@pytest.fixture
def opened(browser, pages):
    """Open a page; when the test ends, nothing may have been said on the console or asked of a network."""
    contexts, said = [], []

    def open_page(name, width=1280, scheme="light", script=True):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else said.append(request.url))
        page.goto(pages(name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


# Without a browser ------------------------------------------------------------------------------------------------------


def test_all_of_bce_is_a_small_page_without_a_script(pages):
    """Below one million bytes; nothing in it that runs, nothing that is fetched."""
    text = pages("sweep").read_text(encoding="utf-8")

    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"<script|javascript:|\son\w+=|https?://|@import|url\(", text)


# In the browser ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)  # both screens in one test: a page is made once, not by each worker
def test_a_page_fits_and_can_be_read(opened, tmp_path, name):
    """No sideways scrolling, the verdict on the first screen, every text with enough contrast, in both schemes."""
    for width, scheme in SCREENS:
        fits_and_can_be_read(opened(name, width, scheme), tmp_path, name, width, scheme)


def fits_and_can_be_read(page, tmp_path, name, width, scheme):
    page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    answer = page.locator(".answer").first
    assert answer.bounding_box()["y"] < 400 and re.search("training|harmless|cause: saturation", answer.inner_text())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS, LEAST_CONTRAST) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark is (scheme == "dark")


# Every element with text of its own against the nearest ground below it: [contrast, text] of those that fall short.
CONTRASTS = """least => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => { const [r, g, b] = numbers(color).map(n => n / 255).map(
      c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = element => { for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor; const n = numbers(color);
      if (n.length < 4 || n[3] > 0) return color; } return 'rgb(255, 255, 255)'; };
  const short = [];
  for (const element of document.body.querySelectorAll('*')) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
    if (['title', 'style'].includes(element.localName) || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), color = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(color), light(ground(element))].sort((x, y) => y - x), contrast = (a + 0.05) / (b + 0.05);
    if (!(contrast >= least)) short.push([contrast, element.textContent.slice(0, 40)]);
  }
  return short.slice(0, 5);
}"""


def test_low_contrast_is_seen(opened):
    """The control: a text made grey on white is named."""
    page = opened("compare")
    page.evaluate("document.querySelector('.answer').style.color = '#999'")

    short = page.evaluate(CONTRASTS, LEAST_CONTRAST)
    assert len(short) == 1 and short[0][1].startswith("Best here")


@pytest.mark.parametrize("name", ["sweep", "check"])
def test_a_mark_tells_its_numbers_to_mouse_and_keyboard(opened, name):
    """Its title says logit, got, exact, ulp, outcome and effect; pointed at or focused, the same is shown below the curves."""
    page = opened(name)
    card = page.locator("article.card", has_text="torch-sigmoid-bceloss").first
    marks = card.locator(".mark[tabindex]")
    titles = marks.locator("title").all_text_contents()
    number, title = next((n, text) for n, text in enumerate(titles) if "got" in text)
    mark = marks.nth(number)

    assert re.search(r"logit \S+, target \S+: got \S+, exact \S+; [-+]?\S+ ulp, [\w-]+; effect of target \S+: [a-z]+", title)
    assert not mark.locator("text").first.is_visible()
    mark.locator("circle").scroll_into_view_if_needed()
    box = mark.locator("circle").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert page.evaluate("([x, y]) => !!document.elementFromPoint(x, y).closest('.mark')", [x, y])
    page.mouse.move(x, y)
    assert page.locator(".mark:hover text").first.is_visible()
    page.mouse.move(0, 0)
    mark.focus()
    assert "; ".join(mark.locator("text").all_text_contents()) == title
    assert mark.locator("text").first.is_visible()
    plain, focused = (
        page.evaluate("mark => getComputedStyle(mark.querySelector('circle')).strokeWidth", handle.element_handle())
        for handle in (marks.nth(number + 1), mark)
    )
    assert plain != focused


def test_the_keyboard_goes_from_choices_to_marks_and_past_them(opened):
    """A mark is reached by the tab key alone, and a card's marks can be skipped."""
    page = opened("sweep")
    page.locator("article.card a.skip").first.focus()
    assert page.locator("article.card a.skip").first.bounding_box()["x"] >= 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('mark')")
    page.locator("article.card a.skip").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('article.card ~ article.card a.skip')")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_choices_hide_and_show_without_a_script(opened, script):
    """Each checkbox hides what is of its implementation, effect or target, and shows it again."""
    page = opened("sweep", script=script)
    naive = page.get_by_label("naive", exact=True)
    cards, ranked = page.locator("article.card"), page.locator(".ranking li")
    every = cards.count()
    assert every == ranked.count() > 5

    def shown(locator):
        return locator.locator("visible=true").count()

    naive.uncheck()
    assert shown(cards) == shown(ranked) == every - 1
    assert shown(page.locator("tr", has_text="naive")) == 0
    naive.check()
    assert shown(cards) == every and shown(page.locator("tr", has_text="naive")) > 0

    poisons = page.locator(".ranking li", has_text="poisons").count()
    page.get_by_label("poisons").uncheck()
    assert shown(cards) == every - poisons
    page.get_by_label("poisons").check()

    lines = page.locator("article.card").first.locator("g.curve")
    before = shown(lines)
    page.get_by_role("group", name="Target").get_by_label("0.5").uncheck()
    assert 0 < shown(lines) == before * 2 // 3


def test_a_ranking_is_narrowed_with_its_curves(opened):
    """On the page of check: an implementation goes with its line and its cards, a target with its lines; the code stays to be copied."""
    page = opened("check")
    cards, line = page.locator("article.card", has_text="bce"), page.locator("tr", has_text="torch-sigmoid-bceloss").first
    every, curves = cards.locator("visible=true").count(), page.locator("g.curve").locator("visible=true")
    drawn = curves.count()

    assert line.is_visible() and every == 9 and page.locator("pre code", has_text="logsigmoid").first.is_visible()
    page.get_by_label("torch-sigmoid-bceloss", exact=True).uncheck()
    assert not line.is_visible() and cards.locator("visible=true").count() == every - 3
    page.get_by_label("torch-sigmoid-bceloss", exact=True).check()
    page.get_by_role("group", name="Target").get_by_label("0.5").uncheck()
    assert 0 < curves.count() == drawn * 2 // 3


@pytest.mark.parametrize("name", ["sweep", "check"])
def test_a_screen_reader_finds_its_way(opened, name):
    """One heading of the first level and none skipped, landmarks, named pictures, marks with names, no dead link."""
    page = opened(name)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(heading => +heading.localName[1])")

    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.evaluate("[...document.querySelectorAll('svg:not([aria-hidden])')].every(picture => picture.getAttribute('aria-label'))")
    assert page.evaluate("[...document.querySelectorAll('.mark')].every(mark => mark.querySelector('title').textContent)")
    assert page.evaluate("[...document.querySelectorAll('a[href]')].every(link => document.querySelector(link.getAttribute('href')))")
    assert page.locator("html").get_attribute("lang") == "en"


def test_on_paper_there_are_curves_and_no_choices(opened):
    """Print: what cannot be clicked is left out, dark letters on white in either scheme."""
    page = opened("sweep", scheme="dark")
    page.emulate_media(media="print")

    assert not page.locator(".filters").is_visible() and page.locator("svg").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 29, 31)"
    assert page.evaluate(CONTRASTS, LEAST_CONTRAST) == []


def test_the_program_of_a_trace_is_read_row_by_row(opened):
    """The keyboard stops at each op; what a row takes stands in its text; a line joins it to where its error came from."""
    page = opened("trace", script=False)
    rows = page.locator(".program li")
    page.locator(".program li").first.focus()
    page.keyboard.press("Tab")

    assert page.locator(".program li:focus").inner_text() == rows.nth(1).inner_text()
    assert "takes" in rows.last.inner_text()
    assert page.locator(".program mark", has_text="needed here").count() >= 1
    assert page.locator(".program svg path.broken").count() >= 2
