"""What the tables of a sweep have in common: their look, and how they fit a narrow terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mnist_arch.sweeps.naming import parts, says_all, short_paths, short_value

from .consoles import stdout

MOST_ROWS: Final = 200
"""Rows of a table on a terminal; --json and --csv have them all."""
LEAST_OF_NAME: Final = 16
LEAST_OF_DIFFERS: Final = 20
"""Columns of the terminal."""


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table."""

    heading: str
    cells: Sequence[str]
    """With markup, but for those of a column that can be narrower."""
    words: bool = False
    """Whether it stands to the left; numbers stand to the right, and are never cut."""
    least: int | None = None
    """Columns of the terminal that it can do with; None for one that has to be shown whole."""
    is_whole: bool = False
    """Whether a narrow one has all of it, on as many lines as that takes; else parts are cut."""
    goes: int = 0
    """The place among those that a narrow terminal does without, from 1; 0 for one that stays."""

    @property
    def most(self) -> int:
        """Columns of the terminal in which all of it can be shown."""
        return max(map(len, (self.heading, *self.cells)))


def fitted(title: str, columns: Sequence[Column], console: Console) -> Table:
    """As many columns as fit, and those that can be narrower in the room that is left."""
    shown = list(columns)
    gone = sorted((column for column in columns if column.goes), key=lambda column: column.goes)
    for column in gone:
        if _room(title, shown, console) >= 0:
            break
        shown.remove(column)
    for column in reversed(gone):  # what went before a wide one may have room after all
        more = [one for one in columns if one in shown or one is column]
        if _room(title, more, console) >= 0:
            shown = more
    return _table(title, shown, _widths(shown, _room(title, shown, console)))


def name_column(names: Sequence[str]) -> Column:
    """What arms are called."""
    return Column("arm", names, words=True, least=LEAST_OF_NAME, is_whole=True)


def differs_column(arms: Mapping[str, Mapping[str, str]], *, goes: int) -> Column:
    """What each arm changes of the base, by its name, unless the name has all of it."""
    differs = [{} if says_all(name) else paths for name, paths in arms.items()]
    return Column("differs", compact(differs), words=True, least=LEAST_OF_DIFFERS, goes=goes)


def _room(title: str, columns: Sequence[Column], console: Console) -> int:
    """What is left, or lacks, where every column is as narrow as it can be."""
    table = _table(title, columns, _widths(columns, 0))
    options = console.options.update(max_width=10_000)
    return console.width - console.measure(table, options=options).maximum


def _widths(columns: Sequence[Column], room: int) -> dict[Column, int]:
    """Of those that can be narrower; the first takes what it needs before the next."""
    widths: dict[Column, int] = {}
    for column in columns:
        if column.least is not None:
            least = min(column.least, column.most)
            widths[column] = max(len(column.heading), min(least + room, column.most))
            room -= widths[column] - least
    return widths


def _table(title: str, columns: Sequence[Column], widths: Mapping[Column, int]) -> Table:
    table = empty_table(title)
    cells = []
    for column in columns:
        width = widths.get(column)
        table.add_column(
            column.heading,
            justify="left" if column.words else "right",
            no_wrap=True,
            width=width,
        )
        texts = column.cells
        if width is not None:
            narrow = folded if column.is_whole else narrowed
            texts = [escape(narrow(text, width)) for text in texts]
        cells.append(texts)
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def empty_table(title: str) -> Table:
    """The look of all tables of a sweep."""
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title=escape(title),
        title_justify="left",
        title_style="bold",
    )


def lines_below(*lines: tuple[str, str]) -> None:
    """What follows a table: a label and a text that is never wrapped."""
    for label, text in lines:
        stdout().print(f"{label:<13}{text}", markup=False, soft_wrap=True)


def print_some(lines: Sequence[str]) -> None:
    """Lines of text, or the first of very many."""
    for line in lines[:MOST_ROWS]:
        stdout().print(line, markup=False, soft_wrap=True)
    if len(lines) > MOST_ROWS:
        stdout().print(f"… and {len(lines) - MOST_ROWS:,} more, which --json has")


# ------------------------------------------------------------------------------------------- texts


def compact(differs: Sequence[Mapping[str, str]]) -> list[str]:
    """Of each arm `dropout=0.0; order=conv-norm-activation`: short paths, blocks by channels."""
    names = short_paths({path for paths in differs for path in paths})
    return [
        "; ".join(f"{names[path]}={short_value(path, value)}" for path, value in paths.items())
        or "–"
        for paths in differs
    ]


def folded(text: str, width: int) -> str:
    """A name in so many columns, whole: a line for each of its parts, broken after a sign."""
    if len(text) <= width:
        return text
    lines: list[str] = []
    for part in parts(text):
        lines.append("")
        for piece in re.findall(rf"[^-=_.]{{1,{width - 1}}}[-=_.]?|[-=_.]", part.strip()):
            if len(lines[-1] + piece) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(lines)


def narrowed(text: str, width: int) -> str:
    """A text in so many columns, with a line for each of its parts if need be."""
    if len(text) <= width:
        return text
    return "\n".join(shortened(part.strip(), width) for part in parts(text))


def shortened(text: str, width: int) -> str:
    """A text in so many columns, of which there is at least one."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
