"""``losscheck list``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli.writing import screen, write


@click.command("list")
@click.option("--format", "format_name", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--output", metavar="FILE", default=None, help="Write to a file. Default: standard output.")
def COMMAND(format_name: str, output: str | None) -> int:
    """The losses with their definitions and parameters, every implementation with its source, backends and devices."""
    from losscheck.inventory.catalogue import catalogue
    from losscheck.renderers import catalogue as renderer

    found: dict[str, Any] = catalogue()
    write(renderer.render(found, format_name, screen(output)), output)
    return 0
