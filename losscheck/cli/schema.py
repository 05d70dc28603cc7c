"""``losscheck schema``."""

from __future__ import annotations

from typing import Any

import click

from losscheck.cli.output import write


@click.command("schema")
@click.option("--output", metavar="FILE", default=None, help="Write to a file, whole or not at all.")
def COMMAND(**given: Any) -> int:
    """The JSON Schema of case files. An editor completes keys and names from it.

    The first line of a case file tells the editor where it is:

    \b
    # yaml-language-server: $schema=../docs/cases.schema.json
    """
    from losscheck.gating.schema import schema_text

    write(schema_text(), given["output"])
    return 0
