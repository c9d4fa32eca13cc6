"""Tables that keep every digit and every word, however narrow the terminal is.

A column of numbers is never narrower than its numbers. A column of words is folded between them.
What a narrow terminal has no room for goes, in a given order: into further tables below, which say
again what their rows are about (`tables_of`), or it is left out and named (`fit`). Where even the
rest is too wide each row stands alone, a line for each of its cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
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
    r"|(?<=[:,;])(?=[A-Za-z\[({])"
)
"""Where a line may end. No number has such a place in it, nor has what follows a bracket."""

_PARTS: Final = re.compile(r"(?<=\s)(?=\S)|(?<=[,;])(?=[A-Za-z\[({])")
"""Where a line ends rather than elsewhere: between words, and after a value such as `rate=0.2,`."""

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
    is_key: bool = False
    """Whether it says what a row is about."""
    wants: int = 0
    """Columns of the terminal in which words are read with ease, where there are so many."""

    @property
    def name(self) -> str:
        """The heading in one line."""
        return self.heading.replace("\n", " ")

    @cached_property
    def texts(self) -> list[Text]:
        return [Text.from_markup(cell, emoji=False) for cell in self.cells]

    @cached_property
    def most(self) -> int:
        """Columns of the terminal in which all of it stands in one line."""
        heading = max(map(cell_len, self.heading.split("\n")))
        return max(heading, *(line.cell_len for it in self.texts for line in it.split()), 0)

    @cached_property
    def least(self) -> int:
        """Columns of the terminal that its longest word or number takes."""
        if not self.words or self.is_whole:
            return self.most
        texts = (self.heading, *(it.plain for it in self.texts))
        longest = max((cell_len(word.rstrip()) for it in texts for word in _pieces(it)), default=0)
        return max(longest, min(self.wants, self.most))


@dataclass(frozen=True)
class Fitted:
    """The columns that are shown, with their widths, and those that went."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    gone: tuple[Column, ...]
    width: int
    """Of the terminal."""

    @property
    def as_table(self) -> bool:
        """Whether it stands as a table; else each row stands alone."""
        return self.total <= self.width

    @property
    def total(self) -> int:
        """Columns of the terminal that the table takes."""
        return _total(self.widths)

    @property
    def shown(self) -> set[str]:
        return {column.name for column in self.columns}

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(it.name for it in self.gone)

    def print(self, console: Console, *, title: str = "", styles: Sequence[str] = ()) -> None:
        """Prints title and rows; `styles` are those of the rows."""
        console.print(self.drawn(title=title, styles=styles))

    def drawn(self, *, title: str = "", styles: Sequence[str] = ()) -> RenderableType:
        """Title and rows, which may stand in a frame."""
        lines = []
        if title:
            lines = folded(Text.from_markup(title, style="bold", emoji=False), self.width)
        if self.as_table:
            return Group(*lines, self._table(styles))
        return Group(*lines, *self._alone())

    def _table(self, styles: Sequence[str]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        table.width = self.total
        cells = []
        for column, width in zip(self.columns, self.widths, strict=True):
            justify = "left" if column.words else "right"
            table.add_column(column.heading, justify=justify, no_wrap=True, width=width)  # type: ignore[arg-type]
            cells.append([Text("\n").join(folded(text, width)) for text in column.texts])
        for number, row in enumerate(zip(*cells, strict=True)):
            table.add_row(*row, style=styles[number] if styles else None)
        return table

    def _alone(self) -> Iterator[Text]:
        """Each row as a line of what it is about, and a line for each number, with its heading."""
        labels = max((cell_len(column.name) for column in self.columns), default=0) + GAP
        start = min(_INDENT + labels, self.width // 2)
        for row in zip(*(column.texts for column in self.columns), strict=True):
            cells = {
                column: text
                for column, text in zip(self.columns, row, strict=True)
                if text.plain.strip()
            }
            yield from folded(_head(cells), self.width)
            for column, text in cells.items():
                yield from self._labelled(f"{' ' * _INDENT}{column.name}", text, start)
            yield Text("")

    def _labelled(self, label: str, text: Text, start: int) -> Iterator[Text]:
        """A heading and a cell, which stands below it where there is no room beside it."""
        longest = max(cell_len(piece.rstrip()) for piece in _pieces(text.plain))
        if longest > self.width - start:
            start = 2 * _INDENT
        if cell_len(label) >= start:
            yield from folded(Text(label), self.width)
            label = ""
        for line in folded(text, max(1, self.width - start)):
            yield Text(label.ljust(start)).append_text(line)
            label = ""


def _head(cells: dict[Column, Text]) -> Text:
    """What a row is about, which is taken out of its cells; numbers with their heading."""
    keys = [column for column in cells if column.is_key]
    if not keys:
        return cells.pop(next(iter(cells)))
    texts = [cells[it] if it.words else Text(f"{it.name} ").append_text(cells[it]) for it in keys]
    for key in keys:
        del cells[key]
    return Text(" " * GAP).join(texts)


def tables_of(columns: Sequence[Column], console: Console, *, width: int = 0) -> list[Fitted]:
    """All columns, in as many tables as they take, each with the keys; what `goes` first is last.

    Where a table has no room for one beside the keys each row stands alone. The width is that of
    the console unless it is given.
    """
    keys = [it for it in columns if it.is_key]
    found, left = [], list(columns)
    while True:
        fitted = fit(left, console, width=width)
        found.append(fitted)
        if not fitted.gone:
            break
        left = [*keys, *fitted.gone]
        if all(it.is_key for it in fitted.columns):
            break
    if all(it.as_table for it in found) and not found[-1].gone:
        return found
    return [_fitted(columns, columns, width or console.width)]


def print_tables(
    columns: Sequence[Column], console: Console, *, title: str = "", styles: Sequence[str] = ()
) -> None:
    """Prints all columns, in as many tables as they take; `styles` are those of the rows."""
    for number, fitted in enumerate(tables_of(columns, console)):
        if number:
            console.print()
        fitted.print(console, title="" if number else title, styles=styles)


def fit(columns: Sequence[Column], console: Console, *, width: int = 0) -> Fitted:
    """As many columns as fit; those that can be folded share the room that is left, from the left.

    The width is that of the console unless it is given. Raises ValueError where there is no column.
    """
    width = width or console.width
    columns = [
        replace(it, heading=plainer(it.heading, console.encoding),
                cells=[plainer(cell, console.encoding) for cell in it.cells])
        for it in columns
    ]  # fmt: skip
    shown = list(columns)
    gone = sorted((it for it in columns if it.goes), key=lambda it: it.goes)
    for column in gone:
        if _total([it.least for it in shown]) <= width:
            break
        shown.remove(column)
    for column in reversed(gone):  # what went before a wide one may have room after all
        more = [it for it in columns if it in shown or it is column]
        if _total([it.least for it in more]) <= width:
            shown = more
    if _total([it.least for it in shown]) > width:  # each row stands alone, and has room for all
        shown = columns
    return _fitted(columns, shown, width)


def _fitted(columns: Sequence[Column], shown: Sequence[Column], width: int) -> Fitted:
    room = width - _total([it.least for it in shown])
    widths = []
    for column in shown:
        more = max(0, min(room, column.most - column.least))
        widths.append(column.least + more)
        room -= more
    gone = tuple(it for it in columns if it not in shown)
    return Fitted(tuple(shown), tuple(widths), gone, width)


def folded(text: Text, width: int) -> list[Text]:
    """A text in lines of at most `width` columns, broken between words; a longer word is broken
    after a sign, and where there is none it is cut in two.
    """
    lines: list[Text] = []
    for part in text.split("\n", allow_blank=True) or [text]:
        offsets, used, at = [], 0, 0
        for is_first, piece in _fitting_pieces(part.plain, width):
            size = cell_len(piece.rstrip())
            if used and (is_first or used + size > width):
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


def _fitting_pieces(text: str, width: int) -> Iterator[tuple[bool, str]]:
    """Words and values, and of those that are longer than a line what they may be broken into: each
    with whether it is the first of one of these, which begins a line.
    """
    for part in filter(None, _PARTS.split(text)):
        if cell_len(part.rstrip()) <= width:
            yield False, part
        else:
            for number, piece in enumerate(_pieces(part)):
                yield number == 0, piece


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
