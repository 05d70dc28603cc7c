"""Defaults from ``[tool.losscheck]`` in the nearest pyproject.toml, a table for each command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from losscheck.core.errors import UserError, nearest

__all__ = ["default_map"]


def default_map(start: Path | None = None) -> dict[str, Any]:
    """Command name -> option name -> default, for click; options are written as on the command line.

    Raises:
        UserError: when the file is no TOML, or the table is no table of commands.
    """
    path = _nearest_pyproject(start or Path.cwd())
    # tomllib is loaded only when there is something for us in the file.
    if path is None or "tool.losscheck" not in (text := path.read_text(encoding="utf-8", errors="replace")):
        return {}
    import tomllib

    from losscheck.cli import _COMMANDS

    try:
        table = tomllib.loads(text).get("tool", {}).get("losscheck", {})
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}", "mend the file, or run from another folder") from None
    for command, options in table.items():
        if command not in _COMMANDS:
            raise UserError(f"{path}: [tool.losscheck] has no command {command!r}", nearest(command, _COMMANDS))
        if not isinstance(options, dict):
            raise UserError(f"{path}: tool.losscheck.{command} is not a table", f"write [tool.losscheck.{command}]")
    return {command: _checked(path, command, options) for command, options in table.items()}


def _checked(path: Path, command: str, options: dict[str, Any]) -> dict[str, Any]:
    import importlib

    known = {option.name or "": option for option in importlib.import_module(f"losscheck.cli.{command}").COMMAND.params}
    chosen = {}
    for name, value in options.items():
        if name.replace("-", "_") not in known:
            raise UserError(f"{path}: `{command}` has no option {name!r}", nearest(name, known))
        name = name.replace("-", "_")
        chosen[name] = [value] if getattr(known[name], "multiple", False) and not isinstance(value, list) else value
    return chosen


def _nearest_pyproject(start: Path) -> Path | None:
    return next((folder / "pyproject.toml" for folder in (start, *start.parents) if (folder / "pyproject.toml").is_file()), None)
