"""Which implementation harms training, ranked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from losscheck.api.arguments import SILENT, Listener, Some, call_spec_of, many, specs_of
from losscheck.api.report import Report
from losscheck.core.call_spec import CallSpec
from losscheck.core.files import near

__all__ = ["check"]


def check(
    *what: str | Callable[..., Any],
    loss: Some[str] = (),
    dtype: Some[str] = (),
    device: Some[str] = "cpu",
    backend: Some[str] = (),
    params: Mapping[str, float | str] | None = None,
    verbose: bool = False,
    listener: Listener = SILENT,
    **calling: Any,
) -> Report:
    """Rank implementations by what they do to training, as ``losscheck check``.

    Args:
        what: names or globs of implementations, ``package.module:name``, ``file.py:name``, or callables; by default all that
            ship and run here. Which loss a callable is, and how it wants to be called, is found out.
        loss: only these; for callables, the one they are to be.
        dtype: by default float32, and for what is named bfloat16 and float16 as well.
        backend: on which to run, such as ``"jax"``, instead of all that are there.
        calling: as of :func:`losscheck.compare`.

    Returns:
        A report: ``ranking`` are :class:`losscheck.core.ranking.RankedRow`; ``exit_code`` is 0 up to ``tails``, 1 from
        ``misstates`` on.

    Raises:
        UserError: for an unknown name, and a callable that cannot be called or is no loss that is known here.
    """
    from losscheck.advice import check as advice
    from losscheck.inventory.environment import describe

    names = tuple(name for callable_given in what for name in specs_of(callable_given))
    dtypes = tuple(str(name).removeprefix("torch.") for name in many(dtype))
    call_spec = call_spec_of(calling)
    with listener.activity() as say:
        checked = advice.check(
            names,
            loss=many(loss),
            dtype=dtypes,
            device=many(device),
            backend=many(backend),
            call_spec=call_spec,
            params=dict(params or {}),
            say=say,
        )
    return Report(
        command="check",
        environment=describe(checked.devices),
        reproduce=shlex.join(
            ["losscheck", "check", *map(near, names), *_options(loss, dtypes, device, many(backend), params or {}, call_spec)]
        ),
        ranking=checked.rows,
        definitions=checked.definitions,
        remarks=checked.remarks,
        verbose=verbose,
    )


def _options(
    loss: Some[str],
    dtypes: Sequence[str],
    device: Some[str],
    backend: Sequence[str],
    params: Mapping[str, float | str],
    call_spec: CallSpec,
) -> Iterator[str]:
    """What was said, as options of the command line."""
    devices = () if many(device) == ("cpu",) else many(device)
    for option, values in (("--loss", many(loss)), ("--dtype", dtypes), ("--device", devices), ("--backend", backend)):
        for value in values:
            yield from (option, value)
    for name, number in params.items():
        yield from ("--param", f"{name}={number}")
    yield from call_spec.options()
