"""``losscheck doctor``."""

from __future__ import annotations

import click

from losscheck.cli.writing import screen, write


@click.command("doctor")
@click.option("--format", "format_name", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--output", metavar="FILE", default=None, help="Write to a file. Default: standard output.")
def COMMAND(format_name: str, output: str | None) -> int:
    """Versions, devices, how each backend treats subnormals, what is missing and how to get it.

    Exits with 2 when something that losscheck cannot do without is missing.
    """
    from losscheck.inventory.diagnosis import diagnose
    from losscheck.renderers import diagnosis

    found = diagnose()
    write(diagnosis.render(found, format_name, screen(output)), output)
    return 0 if found["healthy"] else 2
