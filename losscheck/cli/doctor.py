"""``losscheck doctor``."""

from __future__ import annotations

import click

from losscheck.cli.writing import screen, write
from losscheck.renderers import formats_for, render


@click.command("doctor")
@click.option("--format", "format_name", type=click.Choice(formats_for("doctor")), default="table", show_default=True)
@click.option("--output", metavar="FILE", default=None, help="Write to a file. Default: standard output.")
def COMMAND(format_name: str, output: str | None) -> int:
    """Versions, devices, how each backend treats subnormals, what is missing and how to get it.

    Exits with 2 when something that losscheck cannot do without is missing.
    """
    from losscheck.core.report import Inventory
    from losscheck.inventory.diagnosis import diagnose

    inventory = Inventory("doctor", diagnose())
    write(render(format_name, inventory, screen(output)), output)
    return 0 if inventory.facts["healthy"] else 2
