"""``losscheck doctor``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli import options
from losscheck.cli.command import Command
from losscheck.cli.output import chosen_format, screen, write


@click.command("doctor", cls=Command)
@options.output("doctor")
def COMMAND(**given: Any) -> int:
    """Versions, devices, how each backend treats subnormals, what is missing and how to get it.

    Exits with 2 when something that losscheck cannot do without is missing.
    """
    format_name = chosen_format("doctor", given["format"], given["output"])
    from losscheck.core.report import Inventory
    from losscheck.inventory.diagnosis import examine_machine
    from losscheck.renderers import render

    inventory = Inventory("doctor", examine_machine())
    write(render(format_name, inventory, screen(given["output"])), given["output"])
    return 0 if inventory.facts["healthy"] else 2
