"""What the tables of a sweep have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.markup import escape

from mnist_arch.sweeps.naming import says_all, short_paths, short_value

from ..consoles import stdout
from ..prose import say
from ..tables import Column

MOST_ROWS: Final = 200
"""Rows of a table on a terminal; --json and --csv have them all."""
_NAME: Final = 16
_DIFFERS: Final = 24
"""Columns of the terminal."""


def name_column(names: Sequence[str]) -> Column:
    """What arms are called."""
    return Column("arm", [*map(escape, names)], words=True, is_key=True, wants=_NAME)


def differs_column(arms: Mapping[str, Mapping[str, str]], *, goes: int) -> Column:
    """What each arm changes of the base, by its name, unless the name has all of it."""
    differs = [{} if says_all(name) else paths for name, paths in arms.items()]
    cells = [*map(escape, compact(differs))]
    return Column("differs", cells, words=True, wants=_DIFFERS, goes=goes)


def lines_below(*lines: tuple[str, str]) -> None:
    """What follows a table: a label and a text."""
    for label, text in lines:
        say(stdout(), text, label=f"{label:<13}")


def print_some(lines: Sequence[tuple[str, str]]) -> None:
    """Labels and texts, or the first of very many."""
    for label, text in lines[:MOST_ROWS]:
        say(stdout(), text, label=f"{label:<10}")
    if len(lines) > MOST_ROWS:
        say(stdout(), f"… and {len(lines) - MOST_ROWS:,} more, which --json has")


def compact(differs: Sequence[Mapping[str, str]]) -> list[str]:
    """Of each arm `dropout=0.0; order=conv-norm-activation`: short paths, blocks by channels."""
    names = short_paths({path for paths in differs for path in paths})
    return [
        "; ".join(f"{names[path]}={short_value(path, value)}" for path, value in paths.items())
        or "–"
        for paths in differs
    ]
