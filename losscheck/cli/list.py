"""``losscheck list``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.command import Command
from losscheck.cli.output import chosen_format, screen, write


@click.command("list", cls=Command)
@options.output("list")
def COMMAND(**given: Any) -> int:
    """The losses with their definitions and parameters, every implementation with its source, backends and devices."""
    format_name = chosen_format("list", given["format"], given["output"])
    from losscheck.core.report import Inventory
    from losscheck.inventory.catalogue import catalogue
    from losscheck.renderers import render

    write(render(format_name, Inventory("list", catalogue()), screen(given["output"])), given["output"])
    return 0
