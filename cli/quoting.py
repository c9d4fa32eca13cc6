"""The line of a file, or the argument, that an error is about, with a caret under the place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len

from mnist_arch.errors import Origin

_TAB: Final = 4
"""Columns between two tab stops of what is shown."""
_WIDEST: Final = 100
"""Columns that are shown of a line at most."""
_ARROW: Final = "  --> "
_BAR: Final = "   |  "


def quoted(origin: str, *, width: int) -> Iterator[str]:
    """The lines that say where a value was written, and quote it; none wider than it has to be.

    An argument of the command line is its own quotation. A place that is only a name is one line.
    """
    yield _ARROW + printable(origin)
    if not isinstance(origin, Origin) or not origin.quoted.strip():
        return
    room = min(width, _WIDEST) - len(_BAR)
    text, offset, cut = _excerpt(origin.quoted, origin.column - 1, room)
    if cut or origin.quoted != origin:
        yield (_BAR + text).rstrip()
    margin = _BAR if cut or origin.quoted != origin else " " * len(_ARROW)
    yield f"{margin}{' ' * offset}^"


def printable(text: str) -> str:
    """Text from a file on one line, with what could move or colour the cursor written out."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _excerpt(line: str, index: int, room: int) -> tuple[str, int, bool]:
    """What is shown of a line around a character, the columns before that, and if it is cut."""
    pieces, at = [], 0
    for char in line:
        pieces.append(" " * (_TAB - at % _TAB) if char == "\t" else printable(char))
        at += cell_len(pieces[-1])
    before, after = pieces[:index], pieces[index:]
    if at + (index >= len(line)) <= room:
        return "".join(pieces), cell_len("".join(before)), False
    start = _fitting(before[::-1], room * 2 // 3)  # what leads to the place says more
    head = before[len(before) - start :]
    if start < len(before):
        head[0:1] = ["…"]
    end = _fitting(after, room - cell_len("".join(head)) - 1)
    tail = after[:end] + (["…"] if end < len(after) else [])
    return "".join(head + tail), cell_len("".join(head)), True


def _fitting(pieces: list[str], room: int) -> int:
    """How many pieces fit."""
    used = 0
    for count, piece in enumerate(pieces):
        used += cell_len(piece)
        if used > room:
            return count
    return len(pieces)
