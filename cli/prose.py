"""Sentences at the terminal: broken between words, and only where a terminal would break them."""

from __future__ import annotations

import os

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text


def say(console: Console, text: str, *, label: str = "", style: str = "") -> None:
    """Prints `label` and a sentence, on several lines where a terminal would break it anywhere.

    In a pipe it is one line, which other programs search; the variable COLUMNS asks for more on
    stdout. A word, such as a path, is never broken.
    """
    lines = [text]
    if console.file.isatty() or (not console.stderr and "COLUMNS" in os.environ):
        lines = wrapped(text, console.width - cell_len(label))
    for number, line in enumerate(lines):
        start = " " * cell_len(label) if number else label
        console.print(Text(f"{start}{line}", style=style), soft_wrap=True)


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` columns, broken at spaces; a longer word is a line."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and cell_len(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]
