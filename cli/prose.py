"""Sentences at the terminal: broken between words, and only where a terminal would break them;
and frames around what is live.
"""

from __future__ import annotations

import os
import re

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from .streams import plainer


def say(console: Console, text: str | Text, *, label: str = "", style: str = "") -> None:
    """Prints `label` and a sentence, on several lines where a terminal would break it anywhere.

    In a pipe it is one line, which other programs search; the variable COLUMNS asks for more on
    stdout. A word, such as a path, is never broken.
    """
    whole = Text(plainer(text, console.encoding)) if isinstance(text, str) else text
    lines = [whole]
    if console.file.isatty() or (not console.stderr and "COLUMNS" in os.environ):
        lines = wrapped(whole, console.width - cell_len(label))
    for number, line in enumerate(lines):
        start = " " * cell_len(label) if number else label
        console.print(Text(start, style=style).append_text(line), style=style, soft_wrap=True)


WIDTH = 96
"""Most columns of the terminal that a frame takes."""
FRAME = 4
"""Columns of the terminal that the two sides of a frame take."""


def framed(title: str, *parts: RenderableType, width: int) -> Panel:
    """A frame with a title, which stands within where it is too long for the edge."""
    if cell_len(title) <= width - FRAME - 2:
        return Panel(Group(*parts), title=Text(title), title_align="left", width=width)
    return Panel(Group(Text(title, style="bold"), *parts), width=width)


def wrapped(text: Text, width: int) -> list[Text]:
    """A text in lines of at most `width` columns, broken at spaces; a longer word is a line."""
    offsets: list[int] = []
    begin = end = 0
    for word in re.finditer(r"\S+", text.plain):
        if end > begin and cell_len(text.plain[begin : word.end()]) > width:
            offsets.append(word.start())
            begin = word.start()
        end = word.end()
    lines = list(text.divide(offsets))
    for line in lines[:-1]:
        line.rstrip()
    return lines
