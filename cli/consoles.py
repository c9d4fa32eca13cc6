"""The two consoles: results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys

from rich.console import Console

PIPED_WIDTH = 160
"""Most columns of a table that is not read on a terminal; Rich would wrap it at 80."""


def stdout() -> Console:
    return _console(stderr=False)


def stderr(*, quiet: bool = False) -> Console:
    return _console(stderr=True, quiet=quiet)


def _console(*, stderr: bool, quiet: bool = False) -> Console:
    # Made anew at each use, since tests and pagers put another stream in the place of the old one.
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(stderr=stderr, quiet=quiet, width=width, highlight=False, emoji=False)
