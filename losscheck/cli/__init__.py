"""The command line. One file per command, loaded when it is called: `losscheck --help` imports nothing but click."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import click

from losscheck.core.errors import PluginWarning, UserError
from losscheck.core.version import __version__

__all__ = ["main"]

# Name, the line shown by --help, and nothing imported: the module is losscheck.cli.NAME, its command COMMAND.
_COMMANDS = {
    "check": "Which of these breaks training, why, and what to write instead.",
    "compare": "Every implementation at the given logits, beside the exact value.",
    "sweep": "A range of logits, sampled or every float: where each implementation breaks.",
    "trace": "Which sub-expression of a PyTorch loss did it, and the line to write instead.",
    "merge": "The report of a sweep whose shards ran apart.",
    "gate": "YAML cases against budgets and baselines: exit 0 holds, 1 broken, 2 could not judge.",
    "adapt": "A wrapper for a loss that is called in another way: five lines that run.",
    "explain": "What a word of the outputs means, an example that runs, what to write instead.",
    "schema": "The JSON Schema of case files, for editors.",
    "list": "The losses, implementations, parameters, backends and devices there are.",
    "doctor": "Versions, devices, how subnormals are handled, what is missing and how to get it.",
}


class LazyGroup(click.Group):
    """Lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS]  # `list` is a command of this package, once it has been loaded

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"losscheck.cli.{name}").COMMAND
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from losscheck.core.errors import nearest

            raise click.UsageError(f"no command {args[0]!r}: {nearest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="losscheck")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Tell which way of writing a loss breaks training, exactly where, why, and what to write instead.

    \b
    The first commands to try:

    \b
    losscheck check my_loss.py:focal     does mine break training?
    losscheck trace my_loss.py:focal     which line does, and what to write
    losscheck check --loss bce           which of those that ship to use
    losscheck compare -15 --target 0     what comes out there, what is right
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    from losscheck.cli.config import default_map

    ctx.default_map = default_map()


def main() -> None:
    """Run, and turn whatever happens into one message and an exit code: 0, 1 or 2, never a traceback."""
    # A tenth of a command's time is spent on looking for circles among objects that live to its end: PyTorch's, exact values, rows.
    gc.set_threshold(100_000)
    sys.exit(_guarded(lambda: cli.main(prog_name="losscheck", standalone_mode=False, auto_envvar_prefix="LOSSCHECK")))


def _guarded(run: Callable[[], Any]) -> int:
    warnings.showwarning = _show_warning
    from losscheck.cli.output import ClosedPipeError  # after that: it finds the formats, and may warn of one

    try:
        code = run()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        for line in error.details:
            _say(line, prefix="")
        _say(f"error: {error.problem}", error.cure)
    except click.UsageError as error:
        usage = f"see `{error.ctx.command_path} --help`" if error.ctx else ""
        _say(f"error: {error.format_message()}", usage)
    except click.ClickException as error:
        _say(f"error: {error.format_message()}")
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; nothing was judged")
    except (BrokenPipeError, ClosedPipeError):
        # Python would fail once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say("the reader of the output closed it; the rest was not written")
    except Exception as error:
        if os.environ.get("LOSSCHECK_DEBUG"):
            raise
        _say(*_unexpected(error))
    return 2


def _unexpected(error: Exception) -> tuple[str, str]:
    """What went wrong that nobody foresaw, and what to do."""
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("losscheck"):
        return (
            f"error: the module {error.name} is not installed",
            "pip install losscheck brings it; `losscheck doctor` tells what is missing",
        )
    kind = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
    return f"internal error: {kind}", "this is a bug in losscheck; run again with LOSSCHECK_DEBUG=1 for the traceback and report it"


_show_any_warning = warnings.showwarning


def _show_warning(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
    """Our own warnings as our other messages, without a line of our code; those of others as Python shows them."""
    if issubclass(category, PluginWarning):
        _say(f"warning: {message}")
    else:
        _show_any_warning(message, category, *place, **more)


def _say(problem: str, cure: str = "", prefix: str = "losscheck: ") -> None:
    try:
        print(f"{prefix}{problem}", file=sys.stderr)
        if cure:
            print(f"  {cure}", file=sys.stderr)
    except OSError:
        pass  # stderr is gone as well; the exit code still tells
