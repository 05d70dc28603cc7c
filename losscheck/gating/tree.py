"""A YAML 1.2 file as values that remember where they stand.

Only the parser's events are read, never a constructor: nothing in a file can run code, and its size, depth and expanded
aliases are bounded. Numbers keep their digits, because ``0.20`` and ``0.2`` claim different things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losscheck.core.verdict import Problem

__all__ = ["MAX_BYTES", "Number", "YamlNode", "parse", "read_text"]

MAX_BYTES = 4 * 2**20  # a hundred thousand points in one case file
MAX_DEPTH = 16  # a case needs six
MAX_NODES = 250_000  # with every alias counted at its full size

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_CONSTANTS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
# Booleans for a reader of YAML 1.1, text for one of YAML 1.2: what a file means must not depend on its reader.
_OLD_BOOLEANS = {"y", "n", "yes", "no", "on", "off"}


class Number(str):
    """A plain scalar that reads as a number, as it was written."""

    __slots__ = ()


@dataclass
class YamlNode:
    """A value and its place (from 1): a scalar, a list of nodes, or a mapping from keys to pairs (key's node, value)."""

    value: Any
    line: int
    column: int
    size: int = 1

    def plain(self) -> Any:
        """The value with all places left out."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: value.plain() for key, (_, value) in self.value.items()}
        return self.value

    def at(self, path: tuple[Any, ...]) -> YamlNode:
        """The node that a path of keys and indices leads to, or the nearest one above it."""
        node = self
        for step in path:
            if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
            elif isinstance(node.value, dict) and step in node.value:
                node = node.value[step][1]
            else:
                break
        return node

    def key_at(self, path: tuple[Any, ...]) -> YamlNode:
        """The key that a path ends in; where there is none, what :meth:`at` finds."""
        parent = self.at(path[:-1])
        if path and isinstance(parent.value, dict) and path[-1] in parent.value:
            key: YamlNode = parent.value[path[-1]][0]
            return key
        return self.at(path)


class _StopError(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def read_text(path: Path) -> str | Problem:
    """The text of a case file, or why it cannot be one."""
    try:
        if not path.is_file() and path.exists():
            return Problem(1, 1, "", "is not a regular file: reading a pipe would wait for ever")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Problem(1, 1, "", f"cannot be read: {error.strerror or error}")
    if len(data) > MAX_BYTES:
        return Problem(1, 1, "", f"is larger than {MAX_BYTES // 2**20} MiB: split it, or give a range instead of single points")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        return Problem(*_place(before), "", f"is not UTF-8 (byte 0x{data[error.start]:02x}): save it as UTF-8")
    if character := _NOT_TEXT.search(text):
        return Problem(*_place(text[: character.start()]), "", f"contains the control character U+{ord(character[0]):04X}: delete it")
    return text


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def parse(text: str) -> tuple[YamlNode | None, list[Problem]]:
    """The one document of a text; None when there is none that could be read, and then at least one problem."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    composer = _Composer(iter(YAML(typ="safe", pure=False).parse(text)))
    try:
        return composer.document(), composer.problems
    except _StopError as stop:
        return None, [*composer.problems, stop.problem]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = (error.problem or error.context or "no YAML").strip()
        if "cannot start any token" in what and text.splitlines()[line - 1 : line][0][column - 1 : column] == "\t":
            what = "a tab cannot indent: use spaces"
        elif what == "found unexpected ':'":
            what += ": between braces or brackets quote a text that holds one, such as a link"  # libyaml is stricter than YAML 1.2 here
        return None, [*composer.problems, Problem(line, column, "", f"is not valid YAML: {what}")]
    except (YAMLError, ValueError, RecursionError, OverflowError) as error:
        return None, [*composer.problems, Problem(1, 1, "", f"is not valid YAML: {str(error).splitlines()[0]}")]


class _Composer:
    """Nodes from the parser's events. Problems that leave the rest readable are collected, others stop it."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.problems: list[Problem] = []
        self.anchors: dict[str, YamlNode] = {}
        self.nodes = 0

    def document(self) -> YamlNode | None:
        self._next()  # stream start
        start = self._next()
        if type(start).__name__ == "StreamEndEvent":
            raise _StopError(Problem(1, 1, "", "is empty: a case file begins with `cases:`"))
        version = getattr(start, "version", None)
        if version and tuple(version) != (1, 2):
            raise self._stop(start, "", "asks for another YAML than 1.2: delete the %YAML line")
        root = self._node(self._next(), "", 0)
        self._next()  # document end
        last = self._next()
        if type(last).__name__ != "StreamEndEvent":
            raise self._stop(last, "", "holds a second document: one file is one document, with all cases under `cases:`")
        return root

    def _next(self) -> Any:
        return next(self.events)

    def _stop(self, event: Any, path: str, message: str) -> _StopError:
        return _StopError(Problem(event.start_mark.line + 1, event.start_mark.column + 1, path, message))

    def _say(self, event: Any, path: str, message: str) -> None:
        self.problems.append(Problem(event.start_mark.line + 1, event.start_mark.column + 1, path, message))

    def _node(self, event: Any, path: str, depth: int) -> YamlNode:
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event, path)
        if depth > MAX_DEPTH:
            raise self._stop(event, path, f"is nested deeper than {MAX_DEPTH} levels")
        self._count(event, path, 1)
        if event.tag is not None:
            self._say(event, path, f"has the tag {str(event.tag)[:60]}: tags are not read, write the plain value")
        node = YamlNode(None, event.start_mark.line + 1, event.start_mark.column + 1)
        if kind == "SequenceStartEvent":
            node.value = self._sequence(node, path, depth)
        elif kind == "MappingStartEvent":
            node.value = self._mapping(node, path, depth)
        else:
            node.value = self._scalar(event, path)
        if event.anchor is not None:
            # Only now: an alias inside its own anchor would be a value that contains itself.
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, path: str) -> YamlNode:
        if event.anchor not in self.anchors:
            raise self._stop(event, path, f"*{event.anchor} names no anchor that ended before it")
        known = self.anchors[event.anchor]
        self._count(event, path, known.size)
        return known

    def _count(self, event: Any, path: str, size: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            raise self._stop(event, path, f"grows beyond {MAX_NODES} values, aliases written out: split the file")

    def _sequence(self, node: YamlNode, path: str, depth: int) -> list[YamlNode]:
        items: list[YamlNode] = []
        while type(event := self._next()).__name__ != "SequenceEndEvent":
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
            node.size += items[-1].size
        return items

    def _mapping(self, node: YamlNode, path: str, depth: int) -> dict[str, tuple[YamlNode, YamlNode]]:
        items: dict[str, tuple[YamlNode, YamlNode]] = {}
        while type(event := self._next()).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                raise self._stop(event, path, "has a key that is no plain word")
            key = self._node(event, path, depth + 1)
            name = event.value
            inner = f"{path}.{name}" if path else name
            value = self._node(self._next(), inner[:200], depth + 1)
            node.size += key.size + value.size
            if name in items:
                self._say(event, inner, f"is given twice, first in line {items[name][0].line}: keep one of them")
            elif name == "<<":
                self._say(event, inner, "merge keys are not read: write the keys out")
            else:
                items[name] = key, value
        return items

    def _scalar(self, event: Any, path: str) -> Any:
        text: str = event.value
        if character := _NOT_TEXT.search(text):
            # Written as an escape; a terminal would obey it in every message that names the case.
            self._say(event, path, f"contains the control character U+{ord(character[0]):04X}: delete it")
        if not event.implicit[0]:
            return text
        if text.lower() in _OLD_BOOLEANS:
            self._say(event, path, f"`{text}` is a boolean to some readers of YAML and text to others: write true, false or '{text}'")
        if text in _NULLS:
            return None
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        return Number(text) if _NUMBER.fullmatch(text) else text
