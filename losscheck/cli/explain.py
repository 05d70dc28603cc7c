"""``losscheck explain``."""

from __future__ import annotations

import click

from losscheck.cli import complete
from losscheck.cli.output import screen, write


@click.command("explain")
@click.argument("word", required=False, shell_complete=complete.words)
@click.option("--format", "format_name", type=click.Choice(["text", "markdown"]), default="text", show_default=True)
@click.option("--output", metavar="FILE", default=None, help="Write to a file. Default: standard output.")
def COMMAND(word: str | None, format_name: str, output: str | None) -> int:
    """What a word of the outputs means, why it matters, an example that runs, and what to write instead.

    WORD is an outcome (lost), an effect (dead) or a cause (saturation). Without one: the list of them.

    \b
    losscheck explain
    losscheck explain dead
    losscheck explain --format markdown     (all of them)
    """
    from losscheck.core.explanations import PAGES, page_of
    from losscheck.renderers.explanation import listing, markdown, text

    pages = (page_of(word),) if word else PAGES
    if format_name == "markdown":
        shown = markdown(pages)
    else:
        width = screen(output).width
        shown = text(pages[0], width) if word else listing(width)
    write(shown, output)
    return 0
