"""Where an op was written: file, line, columns and the text of its sub-expression."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType

__all__ = ["NOWHERE", "Place", "innermost_place", "raised_at"]


@dataclass(frozen=True)
class Place:
    """A sub-expression of somebody's source.

    Attributes:
        file, line: where it begins; "" and 0 where no line of source is known.
        end_line, column, end_column: its end and its columns, counted in characters from 0; -1 where Python keeps no columns.
        text: the sub-expression, or the whole line where there are no columns; "" where the source cannot be read.
        source: the whole first line, stripped.
        function: the name of the function it stands in.
    """

    file: str = ""
    line: int = 0
    end_line: int = 0
    column: int = -1
    end_column: int = -1
    text: str = ""
    source: str = ""
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else "?"


NOWHERE = Place()


def innermost_place(stop: CodeType, skipped: tuple[str, ...]) -> Place | None:
    """The place of the innermost frame that is neither in a skipped folder nor frozen, before the frame that runs ``stop``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not stop:
        file = frame.f_code.co_filename
        if not file.startswith(skipped) and not file.startswith("<frozen "):
            return _place_at(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return None


def raised_at(error: BaseException, skipped: tuple[str, ...]) -> Place | None:
    """The place of the innermost frame of an exception that is in no skipped folder; None where there is none."""
    places = [
        _place_at(frame.f_code, trace.tb_lasti)
        for trace in _frames(error)
        if not (frame := trace.tb_frame).f_code.co_filename.startswith((*skipped, "<frozen "))
    ]
    return places[-1] if places else None


def _frames(error: BaseException) -> Iterator[TracebackType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


# By identity: code objects of different files compare equal when they say the same. The code is kept, or its id would be used again.
_KNOWN: dict[tuple[int, int], tuple[CodeType, Place]] = {}
MOST_KNOWN = 4096


def _place_at(code: CodeType, instruction: int) -> Place:
    key = (id(code), instruction)
    if key not in _KNOWN:
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = (code, _read(code, instruction))
    return _KNOWN[key][1]


def _read(code: CodeType, instruction: int) -> Place:
    positions = list(code.co_positions())
    line, end_line, start, end = positions[instruction // 2] if instruction >= 0 else (code.co_firstlineno, None, None, None)
    line = line or code.co_firstlineno
    end_line = end_line or line
    lines = [linecache.getline(code.co_filename, number) for number in range(line, end_line + 1)]
    source = lines[0].strip()
    if start is None or end is None:
        return Place(code.co_filename, line, end_line, text=source, source=source, function=code.co_name)
    # Python counts columns in UTF-8 bytes.
    column, end_column = (len(text.encode()[:at].decode(errors="replace")) for text, at in ((lines[0], start), (lines[-1], end)))
    cut = [*lines[:-1], lines[-1][:end_column]]
    cut[0] = cut[0][column:]
    text = " ".join(part.strip() for part in cut)
    return Place(code.co_filename, line, end_line, column, end_column, text, source, code.co_name)
