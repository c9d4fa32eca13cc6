"""What the caller has left of stdout, stderr and the size of the terminal, and how it is mended.

A result goes to stdout: what cannot be written there is an error. Notes go to stderr: what cannot
be written there is lost, and nothing else is.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from typing import Final, TextIO

_SIZES: Final = {"COLUMNS": range(20, 1_001), "LINES": range(2, 1_001)}
"""What a terminal can have; another value, such as 0, says that the size is not known."""

PLAIN: Final = {
    "×": "x",
    "═": "=",
    "·": "-",
    "±": "+/-",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "√": "sqrt",
    "Σ": "sum",
    "‖": "||",
    "²": "^2",
    "°": " deg",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": '"',
    "”": '"',
    "•": "*",
    "\N{NO-BREAK SPACE}": " ",
    **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)),
    "░": ".",
    **dict.fromkeys("─━╌╴╶╸╺", "-"),
    **dict.fromkeys("│┃╎╵╷╹╻", "|"),
    **dict.fromkeys("├└┌┐┘┤┬┴┼╭╮╯╰╞╡╪┡┩╇", "+"),
}
"""What is written in the place of characters that a stream cannot have."""

_PLAINER: Final = "mnist-arch-plainer"


def mend_streams() -> None:
    """Makes both streams fit to be written to, whatever they are."""
    codecs.register_error(_PLAINER, _plainer)
    _fill_descriptors()
    for name, sizes in _SIZES.items():
        if (size := os.environ.get(name)) is not None and size not in map(str, sizes):
            del os.environ[name]
    sys.stdout = _mended(sys.stdout, io.TextIOWrapper)
    sys.stderr = _mended(sys.stderr, _Notes)


def silence(stream: TextIO) -> None:
    """Points a stream at nothing, so that what it still has fails no second time."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, stream.fileno())
    finally:
        os.close(nothing)


def plainer(text: str, encoding: str) -> str:
    """The text with plainer characters for those that the encoding does not have."""
    return text.encode(encoding, _PLAINER).decode(encoding)


def plain_json(text: str, encoding: str) -> str:
    """JSON with an escape for all that is not in ASCII, unless the encoding is one of Unicode."""
    if codecs.lookup(encoding).name.startswith("utf"):
        return text
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """The handler of characters that an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(char) or _escaped(char) for char in text), error.end


def _escaped(char: str) -> str:
    """A letter of a name, exactly; of a byte that was no letter to begin with, that byte."""
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("ascii", "backslashreplace").decode()


def _fill_descriptors() -> None:
    """Opens what is closed of the first three (`>&-`), which the next files would be taken for."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)


class _Notes(io.TextIOWrapper):
    """A stream that swallows what it cannot write: the disk is full, or the reader is gone."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            silence(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            silence(self)


def _mended(stream: TextIO | None, kind: type[io.TextIOWrapper]) -> TextIO:
    """The same stream with a buffer, and with plainer characters.

    Under PYTHONUNBUFFERED a text stream has no buffer below it, and drops without an error what a
    pipe that is being closed did not take.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # it is in the place of one
    try:
        descriptor = stream.fileno()
    except OSError:  # there is no file below it
        stream.reconfigure(errors=_PLAINER)
        return stream
    return kind(
        open(descriptor, "wb", closefd=False),
        encoding=stream.encoding,
        errors=_PLAINER,
        line_buffering=kind is _Notes or stream.isatty(),
    )
