"""A way to call a callable, as a file of Python: ``loss(logits, targets)`` of flat arrays, which calls it in exactly that way.

Its text is run before it is written: a wrapper that is not the loss that was found is never handed out.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from losscheck.callables.layouts import Attempt, Search, layout_words
from losscheck.callables.loading import Own
from losscheck.callables.printed import silence
from losscheck.callables.recognise import recognise
from losscheck.callables.recognition import HARD, Confidence, Recognition
from losscheck.callables.refusal import describe_error
from losscheck.core.call_spec import CallSpec
from losscheck.core.errors import UserError
from losscheck.core.files import near
from losscheck.core.literals import Ones, TensorValue

__all__ = ["template_text", "verify", "wrapper_text"]

# The modules of a framework in a wrapper, and how it says what differs.
_IMPORTS = {
    "torch": "import torch",
    "numpy": "import numpy as np",
    "jax": "import jax\nimport jax.numpy as jnp",
    "tensorflow": "import tensorflow as tf",
}
_ALIAS = {"torch": "torch", "numpy": "np", "jax": "jnp", "tensorflow": "tf"}
_SIGMOID = {
    "torch": "torch.sigmoid({x})",
    "numpy": "1 / (1 + np.exp(-{x}))",
    "jax": "jax.nn.sigmoid({x})",
    "tensorflow": "tf.sigmoid({x})",
}
_CASTS = {
    "torch": {"long": "{x}.long()", "bool": "{x}.bool()"},
    "numpy": {"long": "{x}.astype(int)", "bool": "{x}.astype(bool)"},
    "jax": {"long": "{x}.astype(int)", "bool": "{x}.astype(bool)"},
    "tensorflow": {"long": "tf.cast({x}, tf.int64)", "bool": "tf.cast({x}, tf.bool)"},
}
WIDE = 118  # columns of a comment
TOLD = 12  # reasons that are listed


def wrapper_text(own: Own, found: Search, output: Path) -> str:
    """The wrapper of a callable for a way that serves, with what was tried before in its first lines."""
    recognition = found.recognition
    assert recognition is not None
    call_spec, backend = recognition.call_spec, recognition.backend
    comments = [f"{near(own.spec)}, called so ({layout_words(call_spec)}), is {recognition.words}."]
    comments += [recognition.deviation.sentence] if recognition.deviation.sentence else []
    if found.guessed:
        comments.append(f"The values of {', '.join(found.guessed)} are guesses with which it is that loss: put yours.")
    comments += _tried_before(found.attempts)
    lines = [*_comment(comments), *_imports(own, output, backend, call_spec)]
    name, made = _reached(own), ""
    arguments = _arguments(call_spec, backend)
    if inspect.isclass(own.target):
        made = f"theirs = {name}({', '.join(_keywords(call_spec, backend))})"
        name = "theirs.to(logits)" if _has_tensors(own.target, call_spec, backend) else "theirs"
    else:
        arguments += _keywords(call_spec, backend)
    result = f"{name}({', '.join(arguments)}){_picked(call_spec.pick)}"
    return "\n".join([*lines, *(["", made] if made else []), "", "", "def loss(logits, targets):", f"    return {result}", ""])


def template_text(own: Own, found: Search, output: Path) -> str:
    """A wrapper with a place to fill, under what was tried."""
    comments = [f"No way was found to call {near(own.spec)} that gives the values of a loss that is known here."]
    comments += [f"It requires {', '.join(found.missing)}, and no value that was tried made it one."] if found.missing else []
    comments += [
        "Fill the place of `...`: logits and targets are flat arrays of one dtype, and one loss for each is wanted.",
        *_tried_before(found.attempts),
    ]
    target = _reached(own)
    lines = [*_comment(comments), *_imports(own, output, "", CallSpec())]
    made = ["", f"theirs = {target}(...)"] if inspect.isclass(own.target) else []
    called = "theirs" if made else target
    return "\n".join([*lines, *made, "", "", "def loss(logits, targets):", f"    return {called}(...)", ""])


def verify(text: str, output: Path, expected: Recognition) -> None:
    """Run a wrapper before it is written.

    Raises:
        UserError: when it cannot be run, or is not the loss that was found.
    """
    module = ModuleType(f"wrapper_{output.stem}")
    module.__file__ = str(output)
    known, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(output.parent))
    sys.modules[module.__name__] = module
    try:
        with silence():
            exec(compile(text, str(output), "exec"), vars(module))
        best = recognise(module.loss, [expected.loss])
    except (Exception, SystemExit) as error:
        raise UserError(f"the wrapper does not run: {describe_error(error)}", "give the file a name that no other module has") from None
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if (file := getattr(sys.modules[name], "__file__", None)) and Path(file).parent == output.parent:
                del sys.modules[name]
    if not best or best[0].confidence is Confidence.NONE or not _as_sure(best[0], expected):
        raise UserError("the wrapper is not the loss that was found", "this is a bug in losscheck: please report the command")


def _as_sure(recognition: Recognition, expected: Recognition) -> bool:
    """Is it that loss as far as the way was? Labels -1 and 1 are hard targets there, and any number in the wrapper."""
    if recognition.confidence is Confidence.AGREES or expected.confidence is Confidence.DEVIATES:
        return True
    return expected.call_spec.hard and recognition.deviation == HARD


def _comment(sentences: Sequence[str]) -> list[str]:
    wrapped = (textwrap.wrap(sentence, WIDE, subsequent_indent="  ", break_long_words=False) for sentence in sentences)
    return [f"# {line}" for lines in wrapped for line in lines]


def _tried_before(attempts: Sequence[Attempt]) -> Iterator[str]:
    """Every reason once, with the ways that failed for it."""
    if not attempts:
        return
    yield "Tried before, and why it did not serve:"
    by_reason: dict[str, list[str]] = {}
    for attempt in attempts:
        by_reason.setdefault(" ".join(attempt.failure.split()), []).append(layout_words(attempt.call_spec))
    for reason, words in list(by_reason.items())[:TOLD]:
        more = f" and {len(words) - 2} more" if len(words) > 2 else ""
        yield f"- {'; '.join(words[:2])}{more}: {reason}"
    if len(by_reason) > TOLD:
        yield f"- and {len(by_reason) - TOLD} other reasons"


def _imports(own: Own, output: Path, backend: str, call_spec: CallSpec) -> list[str]:
    """What makes the callable and the framework known to the wrapper."""
    home = own.spec.rpartition(":")[0]
    root = own.name.partition(".")[0]
    plain = _IMPORTS[backend].splitlines() if backend and _needs_framework(call_spec) else []
    if not (home.endswith(".py") or "/" in home):
        return [*plain, f"from {home} import {root}"]
    folder, module = _module_of(Path(own.file))
    away = os.path.relpath(folder, output.parent)
    path = [] if away == "." else ["", f"sys.path.insert(0, str(Path(__file__).parent / {json.dumps(away)}))"]
    standard = ["import sys", "from pathlib import Path"] if path else []
    if all(part.isidentifier() for part in module.split(".")):
        return [*standard, *plain, *path, f"from {module} import {root}{'  # noqa: E402' if path else ''}"]
    return [*standard, "from importlib import import_module", *plain, *path, f"{root} = import_module({json.dumps(module)}).{root}"]


def _module_of(file: Path) -> tuple[Path, str]:
    """The folder that has to be importable, and the name of a file as a module there; of one with relative imports in its package."""
    folder = file.parent
    if re.search(r"^\s*from\s+\.", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE):
        folder = folder.parent
        while (folder / "__init__.py").is_file():
            folder = folder.parent
    return folder, ".".join(file.relative_to(folder).with_suffix("").parts)


def _reached(own: Own) -> str:
    """``Losses().method`` where a spec names the method of a class that needs no arguments."""
    owner, dot, method = own.name.rpartition(".")
    made = owner and type(getattr(own.target, "__self__", None)).__name__ == owner.rpartition(".")[2]
    return f"{owner}{'()' if made else ''}{dot}{method}"


def _needs_framework(call_spec: CallSpec) -> bool:
    forms = {call_spec.form("logits"), call_spec.form("targets")}
    special = any(isinstance(value, TensorValue | Ones) for _, value in call_spec.keywords)
    return special or call_spec.input == "probabilities" or bool(forms & {"pair", "onehot"})


def _arguments(call_spec: CallSpec, backend: str) -> list[str]:
    """The arguments of the call, as they are written."""
    texts = []
    for argument in call_spec.arguments():
        if not argument.slot:
            text = _value(argument.value, call_spec, backend)
        else:
            text = _formed(argument.slot, argument.form, call_spec, backend)
        texts.append(f"{argument.name}={text}" if argument.name else text)
    return texts


def _formed(slot: str, form: str, call_spec: CallSpec, backend: str) -> str:
    """``torch.stack([torch.zeros_like(logits), logits], -1)``"""
    x, xp = f"{slot}{_laid_out(call_spec.axes)}", _ALIAS[backend]
    probabilities = slot == "logits" and call_spec.input == "probabilities"
    if probabilities:
        x = _SIGMOID[backend].format(x=x)
    bracketed = f"({x})" if " " in x and x[0] != "(" and backend == "numpy" else x
    if form in ("long", "bool"):
        return _CASTS[backend][form].format(x=x)
    if form == "signs":
        return f"2 * {x} - 1"
    if form == "column":
        return f"{bracketed}[..., None]"
    if form == "pair" and not probabilities:
        return f"{xp}.stack([{xp}.zeros_like({x}), {x}], -1)"
    if form in ("pair", "onehot"):
        return f"{xp}.stack([1 - {bracketed}, {x}], -1)"
    return x


def _laid_out(axes: str) -> str:
    """``[:, None]`` for N,C; ``[None, :]`` for 1,N."""
    names = [axis.strip() for axis in axes.split(",")] if axes else []
    if len(names) < 2:
        return ""
    first = next(n for n, axis in enumerate(names) if axis != "1")
    return f"[{', '.join(':' if n == first else 'None' for n in range(len(names)))}]"


def _keywords(call_spec: CallSpec, backend: str) -> list[str]:
    return [f"{name}={_value(value, call_spec, backend)}" for name, value in call_spec.keywords]


def _value(value: Any, call_spec: CallSpec, backend: str) -> str:
    xp = _ALIAS[backend]
    if isinstance(value, Ones):
        return f"{xp}.ones_like(logits{_laid_out(call_spec.axes)})"
    if isinstance(value, TensorValue):
        made = {"torch": "torch.tensor({x})", "numpy": "np.array({x})", "jax": "jnp.array({x})", "tensorflow": "tf.constant({x})"}[backend]
        return made.format(x=value[0] if len(value) == 1 else list(value))
    return repr(list(value) if isinstance(value, tuple) else value)


def _picked(pick: str) -> str:
    """The part of the result: entries of dicts and tuples, as they were tried."""
    return "".join(f"[{step}]" if step.lstrip("-").isdigit() else f"[{json.dumps(step)}]" for step in pick.split(".")) if pick else ""


def _has_tensors(target: Any, call_spec: CallSpec, backend: str) -> bool:
    """Is it a module with tensors of its own, which have to go where the logits are?"""
    if backend != "torch":
        return False
    import torch

    if not issubclass(target, torch.nn.Module):
        return False
    with silence():
        built = target(**{name: value for name, value in call_spec.keyword_values().items() if not isinstance(value, TensorValue | Ones)})
    return any(True for _ in (*built.parameters(), *built.buffers()))
