"""Callables of a framework that ends the process where others raise an exception: called in a process of their own (apart_process.py).

One process serves them all. It gets requests and sends answers as pickles, over its standard input and output. Where it dies, the call
that killed it is refused with what it said last, and the next call starts another one.
"""

from __future__ import annotations

import atexit
import contextlib
import inspect
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from losscheck.backends import Call, Invocation, Output
from losscheck.callables.refusal import OwnCallError
from losscheck.core.call_spec import CallSpec
from losscheck.core.dtypes import FORMATS
from losscheck.core.errors import UserError

__all__ = ["FRAMEWORKS", "Elsewhere", "load", "prepare", "probe"]

FRAMEWORKS = ("paddle",)
MOST_DEATHS = 3  # of one callable, after which it is not tried again


@dataclass(frozen=True)
class Elsewhere:
    """What stands for a callable that is loaded in the other process: what is known of it.

    Attributes:
        frameworks: the backends whose frameworks it uses.
    """

    spec: str
    signature: inspect.Signature | None
    is_class: bool
    frameworks: tuple[str, ...]

    @property
    def __signature__(self) -> inspect.Signature | None:
        return self.signature

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise OwnCallError(f"{self.spec} is called in a process of its own, and not here")


@dataclass
class _Process:
    """The process, once it runs, and how often each callable has ended one."""

    process: subprocess.Popen[bytes] | None = None
    errors: Any = None
    folder: str = ""
    deaths: dict[str, int] = field(default_factory=dict)
    last_words: dict[str, str] = field(default_factory=dict)

    def ask(self, spec: str, request: tuple[Any, ...]) -> Any:
        """What the process answers.

        Raises:
            OwnCallError: with what the callable raised there, or what the process said when it died.
        """
        if self.deaths.get(spec, 0) >= MOST_DEATHS:
            raise OwnCallError(self.last_words[spec])
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            answered, answer, printed = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            self.deaths[spec] = self.deaths.get(spec, 0) + 1
            self.last_words[spec] = self._last_words(process)
            raise OwnCallError(self.last_words[spec]) from None
        sys.stderr.write(printed)
        if answered == "refused":
            raise OwnCallError(answer)
        if answered == "mistaken":
            raise UserError(*answer)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self.folder != str(Path.cwd()):
            self.end()  # a path in a spec is relative to where we are
        if self.process is None:
            self.folder = str(Path.cwd())
            self.errors = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from losscheck.callables.apart_process import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        return self.process

    def end(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout, self.errors):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self.process = None

    def _last_words(self, process: subprocess.Popen[bytes]) -> str:
        code = process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().decode(errors="replace").splitlines() if line.strip()]
        self.end()
        # What C++ says of the exception that nobody caught.
        told = [line.removeprefix("what():").strip() for line in lines if line.startswith("what():")]
        errors = [line for line in lines if "Error" in line and not line.startswith(("FatalError", "Error Message"))]
        said = next(iter([*told[-1:], *errors[-1:], *lines[-1:]]), "no message")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"it ended the process it ran in ({how}): {said}"


_PROCESS = _Process()
atexit.register(_PROCESS.end)


def load(spec: str) -> tuple[Elsewhere, str, int]:
    """A callable, loaded there: what stands for it, its file and its line.

    Raises:
        UserError: when it cannot be loaded, or the process dies of it.
    """
    try:
        loaded: tuple[Elsewhere, str, int] = _PROCESS.ask(spec, ("load", spec))
    except OwnCallError as error:
        raise UserError(f"{spec} cannot be loaded: {error}", "mend what it does when it is imported") from None
    return loaded


def probe(spec: str, call_spec: CallSpec, backend: str, dtype: str) -> Any:
    """How a callable behaves; see probe.py. What kills the process is its failure."""
    return _PROCESS.ask(spec, ("probe", spec, call_spec, backend, dtype))


def prepare(spec: str, call_spec: CallSpec, backend: str, invocation: Invocation, what: str, shape: tuple[int, ...] = ()) -> Call:
    """A call of a callable's ``elements``, of its ``whole`` (or ``unknown``) for a batch, or of its elements under a reduction."""
    fixed = (spec, call_spec, backend, invocation.dtype.name, invocation.gradient, invocation.mode, what, shape)

    def call(logits: Any, targets: Any) -> Output:
        loss, grad, loss_dtype, grad_dtype = _PROCESS.ask(spec, ("call", *fixed, logits, targets))
        return Output(loss, grad, FORMATS[loss_dtype], FORMATS[grad_dtype])

    return call
