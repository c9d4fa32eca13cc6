"""Commands whose help fits the terminal and the encoding of its stream."""

from __future__ import annotations

import shutil
import sys
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from .streams import plainer

FRAMED_FROM: Final = 80
"""Columns from which on help has Typer's frames, which cut words where there are fewer."""


class _Help:
    """Help as plain text on a narrow terminal, with characters that stdout has.

    Typer prints plain text by `echo`, which takes a stream in ASCII for a mistake and writes UTF-8
    to it. Its frames go through Rich, which writes to the stream as it is.
    """

    rich_markup_mode: Any

    def get_help(self, ctx: Any) -> str:
        framed = self.rich_markup_mode
        if shutil.get_terminal_size().columns < FRAMED_FROM:
            self.rich_markup_mode = None
        try:
            # Of Typer's class, which stands beside this one among the bases.
            return plainer(super().get_help(ctx), sys.stdout.encoding)  # type: ignore[misc]
        finally:
            self.rich_markup_mode = framed


class Command(_Help, TyperCommand):
    """A command, with such help."""


class Group(_Help, TyperGroup):
    """A command that has others below it, with such help."""
