"""Tables that keep every digit and every word, however narrow the terminal is.

A column of numbers is never narrower than its numbers. A column of words is folded between them.
What a narrow terminal can do without goes, in a given order, and is named. Where even the rest is
too wide each row stands alone, a line for each of its cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .streams import plainer

GAP: Final = 2
"""Columns of the terminal between two columns of a table."""
_INDENT: Final = 2

_BREAK: Final = re.compile(
    r"(?<=\s)(?=\S)"  # after a space
    r"|(?<=[_/;=])(?=[^\s_/;=])"  # after a sign that joins words
    r"|(?<=[A-Za-z0-9]-)(?=[A-Za-z])"  # a hyphen, and no sign of a number
    r"|(?<=[:,])(?=[A-Za-z\[({])"
)
"""Where a line may end. No number has such a place in it, nor has what follows a bracket."""


_PLACE: Final = re.compile(r"\w+\[\d+\](\.\w+(\[\d+\])?)*[,;:]?")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table."""

    heading: str
    """One word or several, on lines of their own."""
    cells: Sequence[str]
    """With markup."""
    words: bool = False
    """Whether it stands to the left and is folded where need be; numbers stand to the right."""
    is_whole: bool = False
    """Whether words are not folded either."""
    goes: int = 0
    """The place among those that a narrow terminal does without, from 1; 0 for one that stays."""
    most_lines: int | None = None
    """Lines of a cell after which it is cut, with a sign; None where it is shown whole."""

    @property
    def name(self) -> str:
        """The heading in one line."""
        return self.heading.replace("\n", " ")

    @property
    def texts(self) -> list[Text]:
        return [Text.from_markup(cell, emoji=False) for cell in self.cells]

    @property
    def most(self) -> int:
        """Columns of the terminal in which all of it stands in one line."""
        heading = max(map(cell_len, self.heading.split("\n")))
        return max(heading, *(line.cell_len for it in self.texts for line in it.split()), 0)

    @property
    def least(self) -> int:
        """Columns of the terminal that its longest word or number takes."""
        if not self.words or self.is_whole:
            return self.most
        texts = (self.heading, *(it.plain for it in self.texts))
        return max((cell_len(word.rstrip()) for it in texts for word in _pieces(it)), default=0)


@dataclass(frozen=True)
class Fitted:
    """The columns that are shown, with their widths, and the names of those that went."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    missing: tuple[str, ...]
    width: int
    """Of the terminal."""

    @property
    def as_table(self) -> bool:
        """Whether it stands as a table; else each row stands alone."""
        return _total(self.widths) <= self.width

    @property
    def shown(self) -> set[str]:
        return {column.name for column in self.columns}

    def print(self, console: Console, *, title: str = "", styles: Sequence[str] = ()) -> None:
        """Prints title and rows; `styles` are those of the rows."""
        if title:
            for line in folded(Text.from_markup(title, style="bold", emoji=False), console.width):
                console.print(line, soft_wrap=True)
        if self.as_table:
            self._print_table(console, styles)
        else:
            for line in self._alone():
                console.print(line, soft_wrap=True)

    def _print_table(self, console: Console, styles: Sequence[str]) -> None:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        table.width = _total(self.widths)
        cells = []
        for column, width in zip(self.columns, self.widths, strict=True):
            justify = "left" if column.words else "right"
            table.add_column(column.heading, justify=justify, no_wrap=True, width=width)  # type: ignore[arg-type]
            cells.append([_cell(text, column, width) for text in column.texts])
        for number, row in enumerate(zip(*cells, strict=True)):
            table.add_row(*row, style=styles[number] if styles else None)
        console.print(table, crop=False, no_wrap=True, overflow="ignore")

    def _alone(self) -> Iterator[Text]:
        """Each row as a line of words, and a line for each number, with its heading."""
        labels = max(cell_len(column.name) for column in self.columns) + GAP
        for row in zip(*(column.texts for column in self.columns), strict=True):
            is_first = True
            for column, text in zip(self.columns, row, strict=True):
                if not text.plain.strip():
                    continue
                label = "" if is_first else f"{' ' * _INDENT}{column.name}"
                start = 0 if is_first else min(_INDENT + labels, self.width // 2)
                for number, line in enumerate(folded(text, max(1, self.width - start))):
                    head = label if number == 0 else ""
                    if cell_len(head) >= start > 0:  # a long heading stands on a line of its own
                        yield Text(head)
                        head = ""
                    yield Text(head.ljust(start)).append_text(line)
                is_first = False
            yield Text("")


def fit(columns: Sequence[Column], console: Console) -> Fitted:
    """As many columns as fit; those that can be folded share the room that is left, from the left.

    Raises ValueError where there is none.
    """
    encoding = console.encoding
    columns = [
        replace(it, heading=plainer(it.heading, encoding),
                cells=[plainer(cell, encoding) for cell in it.cells])
        for it in columns
    ]  # fmt: skip
    shown, width = list(columns), console.width
    gone = sorted((it for it in columns if it.goes), key=lambda it: it.goes)
    for column in gone:
        if _total([it.least for it in shown]) <= width:
            break
        shown.remove(column)
    for column in reversed(gone):  # what went before a wide one may have room after all
        more = [it for it in columns if it in shown or it is column]
        if _total([it.least for it in more]) <= width:
            shown = more
    room = width - _total([it.least for it in shown])
    if room < 0:  # each row stands alone, and has room for all
        shown = list(columns)
    widths = []
    for column in shown:
        more_room = max(0, min(room, column.most - column.least))
        widths.append(column.least + more_room)
        room -= more_room
    missing = tuple(it.name for it in columns if it not in shown)
    return Fitted(tuple(shown), tuple(widths), missing, width)


def folded(text: Text, width: int) -> list[Text]:
    """A text in lines of at most `width` columns, broken between words; one that is longer is cut
    in two.
    """
    lines: list[Text] = []
    for part in text.split("\n", allow_blank=True) or [text]:
        offsets, used, at = [], 0, 0
        for piece in _pieces(part.plain):
            size = cell_len(piece.rstrip())
            if used and used + size > width:
                offsets.append(at)
                used = 0
            while size > width:  # no line has room for it
                cut = _characters(piece, width)
                at += cut
                piece = piece[cut:]
                offsets.append(at)
                size, used = cell_len(piece.rstrip()), 0
            used += cell_len(piece)
            at += len(piece)
        lines += [_trimmed(line) for line in part.divide(offsets)]
    return lines


def shortened(text: str, width: int) -> str:
    """A text in so many columns, cut between words, with a sign where it is cut."""
    if cell_len(text) <= width:
        return text
    first = folded(Text(text), width - 1)[0].plain.rstrip()
    return f"{first}…"


def _cell(text: Text, column: Column, width: int) -> Text:
    lines = folded(text, width)
    if column.most_lines is not None and len(lines) > column.most_lines:
        kept = lines[: column.most_lines]
        kept[-1] = Text(shortened(f"{kept[-1].plain} " + "x" * width, width))
        lines = kept
    return Text("\n").join(lines)


def _pieces(text: str) -> list[str]:
    """Words, each with the signs and spaces that end it; a place of a spec is one word."""
    found: list[str] = []
    for word in re.findall(r"\s*\S+\s*", text):
        found += [word] if _PLACE.fullmatch(word.strip()) else filter(None, _BREAK.split(word))
    return found


def _characters(text: str, width: int) -> int:
    """How many characters fit; at least one."""
    used = 0
    for count, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return max(1, count)
    return len(text)


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * max(0, len(widths) - 1)
