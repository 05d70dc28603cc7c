"""The pages of ``losscheck explain`` as text for a terminal and as Markdown: docs/glossary.md is all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from losscheck.core.explanations import CODE, PAGES, Page

__all__ = ["listing", "markdown", "text"]

KINDS = {
    "effect": ("Effects", "What a point, or the worst point of an implementation, does to training. Worst first."),
    "outcome": ("Outcomes", "What happened to one float, measured against the implementation's own formula. Worst first."),
    "cause": ("Causes", "Why a float came out wrong."),
}
WIDEST = 100  # longer lines are hard to read, however wide the terminal is
COMMAND = 74  # columns of a command, which is indented by four in 80


def text(page: Page, width: int = 80) -> str:
    """One page, paragraphs wrapped, code and commands indented and never wrapped."""
    blocks = [_wrapped(f"{page.word} ({_article(page.kind)}): {page.title}", width), _wrapped(page.meaning, width)]
    blocks.append(_wrapped(f"why it matters: {page.harm}", width))
    blocks += [_indented(block) for _, block in _example(page)]
    blocks.append(_wrapped(page.seen, width))
    blocks.append(_wrapped(f"instead: {page.instead}", width))
    if page.code:
        blocks.append(_indented(CODE[page.code]))
    return "\n\n".join(blocks) + "\n"


def markdown(pages: Sequence[Page] = PAGES) -> str:
    """The pages under a heading for each kind; one page alone is a page of its own."""
    if len(pages) == 1:
        return _section(pages[0], "#")
    parts = [
        "# Glossary\n\nThe words of the outputs. `losscheck explain WORD` shows the same in a terminal; every command below is "
        "run by a test.\n"
    ]
    for kind, (heading, about) in KINDS.items():
        chosen = [page for page in pages if page.kind == kind]
        table = "".join(f"| [`{page.word}`](#{page.word}) | {page.title} |\n" for page in chosen)
        parts += [f"## {heading}\n\n{about}\n\n| word | means |\n|---|---|\n{table}", *(_section(page, "###") for page in chosen)]
    return "\n".join(parts)


def listing(width: int = 80) -> str:
    """Every word with its meaning in one line."""
    lines: list[str] = []
    indent = max(len(page.word) for page in PAGES) + 4
    for kind, (heading, _) in KINDS.items():
        lines += ["", heading.lower()]
        for page in (page for page in PAGES if page.kind == kind):
            start = f"  {page.word}".ljust(indent)
            lines.append(textwrap.fill(page.title, min(width, WIDEST), initial_indent=start, subsequent_indent=" " * indent))
    return "\n".join(lines[1:]) + "\n\nlosscheck explain WORD tells more.\n"


def _section(page: Page, heading: str) -> str:
    example = "\n\n".join(f"```{language}\n{block}\n```" for language, block in _example(page))
    code = f"\n\n```python\n{CODE[page.code].rstrip()}\n```" if page.code else ""
    title = f"{page.title[0].upper()}{page.title[1:]}"
    return (
        f"{heading} {page.word}\n\n**{title}.** {page.meaning}\n\n*Why it matters:* {page.harm}\n\n*Example:*\n\n{example}\n\n"
        f"{page.seen}\n\n*Instead:* {page.instead}{code}\n"
    )


def _example(page: Page) -> list[tuple[str, str]]:
    """The file that the command needs, its name in the first line, and the command; each with its language."""
    file = [("python", f"# {page.file[0]}\n{page.file[1]}".rstrip())] if page.file else []
    return [*file, ("sh", _broken(page.command))]


def _broken(command: str) -> str:
    """A command on lines of COMMAND columns, broken where an option begins."""
    first, *options = command.split(" --")
    lines = [first]
    for option in options:
        if len(lines[-1]) + len(option) + 5 <= COMMAND:
            lines[-1] += f" --{option}"
        else:
            lines.append(f"  --{option}")
    return " \\\n".join(lines)


def _wrapped(paragraph: str, width: int) -> str:
    return textwrap.fill(paragraph, min(width, WIDEST), break_long_words=False, break_on_hyphens=False)


def _indented(block: str) -> str:
    return textwrap.indent(block.rstrip(), "    ")


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
