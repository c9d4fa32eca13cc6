"""A compiler that is a shell script, and counts its calls."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from mnist_arch.native.compiling import Compiler

MAKES: Final = (
    'while [ "$1" != -o ]; do shift; done; echo made > "$2"; echo call >> "$(dirname "$0")/calls"'
)
"""Of a compiler that writes a file."""


def script(folder: Path, text: str) -> Compiler:
    """A compiler that does what the text of a shell script says."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Compiler(str(path), "a script")


def calls(folder: Path) -> int:
    """How often the script was called, which is for each part and for the whole."""
    path = folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0
