"""Losses as people write them: with a fault planted, sound, and of every kind in between."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Example:
    """A loss and a point; where a fault is planted, its line bears ``# PLANT`` and ``fails`` says which quantity it spoils."""

    name: str
    function: Any
    logits: tuple[float, ...]
    targets: tuple[float, ...]
    dtype: str
    fails: str


def collector():
    """A decorator that registers examples, and the list it fills."""
    examples = []

    def at(*logits, target=0.0, dtype="float32", fails="loss"):
        targets = tuple(target) if isinstance(target, tuple | list) else (target,) * len(logits)

        def enter(function):
            examples.append(Example(function.__name__, function, logits, targets, dtype, fails))
            return function

        return enter

    return at, examples
