"""``losscheck list``."""

from __future__ import annotations

import click

from losscheck.cli.writing import screen, write
from losscheck.renderers import formats_for, render


@click.command("list")
@click.option("--format", "format_name", type=click.Choice(formats_for("list")), default="table", show_default=True)
@click.option("--output", metavar="FILE", default=None, help="Write to a file. Default: standard output.")
def COMMAND(format_name: str, output: str | None) -> int:
    """The losses with their definitions and parameters, every implementation with its source, backends and devices."""
    from losscheck.core.report import Inventory
    from losscheck.inventory.catalogue import catalogue

    write(render(format_name, Inventory("list", catalogue()), screen(output)), output)
    return 0
