"""The text of a file that somebody else wrote: a script, a page, a notebook. Nothing is run."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from mnist_arch.convert.questions import refusal
from mnist_arch.errors import Origin
from mnist_arch.files import shown, storage_errors

MAX_BYTES: Final = 16 << 20
"""Longest file that is read; a notebook with pictures is of some megabytes."""
MAX_TEXT: Final = 4 << 20
"""Most characters of code, or of printed text, in it."""
MAX_LINE: Final = 10_000

IS_TEXT: Final = "notebooks, code and tables are text"
"""What is said of a file that is none."""

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_MAGIC: Final = re.compile(r"^\s*(?:%{1,2}[A-Za-z]|!(?!=)|\?|[\w.]+\?\??\s*$)")
_FENCE: Final = re.compile(r"^\s*(```+|~~~+)\s*(\w*)")


@dataclass(frozen=True)
class Source:
    """Code and printed text of a file, each line with its place."""

    name: str
    code: tuple[tuple[Origin, str], ...] = ()
    """Pieces of code in order, each with the place of its first line."""
    printed: tuple[tuple[Origin, ...], ...] = ()
    """Texts that may have a table, line by line; each place quotes its line."""


def read_source(what: str) -> Source:
    """The content of a file, or of stdin for `-`. Raises SpecError and StorageError."""
    if what == "-":
        return parsed("-", _bounded(sys.stdin.buffer, "-"), "")
    path = Path(what)
    with storage_errors(path, doing="read"), path.open("rb") as file:
        content = _bounded(file, shown(path))
    return parsed(shown(path), content, path.suffix.lower())


def _bounded(file: BinaryIO, name: str) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        hint = "clear the outputs of a notebook, or take out the part with the network"
        raise refusal(f"{name} is longer than {MAX_BYTES:,} bytes", hint=hint)
    return content


def parsed(name: str, content: bytes, suffix: str) -> Source:
    """The content of a file that is called so. Raises SpecError."""
    text = _decoded(name, content)
    if suffix == ".ipynb" or (suffix not in (".py", ".md") and _looks_like_notebook(text)):
        return _notebook(name, text)
    if len(text) > MAX_TEXT:
        raise refusal(f"{name} has more than {MAX_TEXT:,} characters")
    if suffix == ".py" or (suffix != ".md" and _looks_like_code(text)):
        return Source(name, ((Origin(f"{name}:1"), without_magics(text)),))
    if suffix in (".md", ".markdown", ".rst"):
        return Source(name, tuple(_fenced(name, text)), (places(name, text),))
    return Source(name, (), (places(name, text),))


def _decoded(name: str, content: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if b"\0" in content[:4096]:
        raise refusal(f"{name} is no text", hint=IS_TEXT)
    return content.decode("utf-8-sig", "replace")


def _looks_like_notebook(text: str) -> bool:
    return text.lstrip()[:1] == "{" and '"cells"' in text


def _looks_like_code(text: str) -> bool:
    return bool(
        re.search(r"^(?:from\s+[\w.]+\s+import\s|import\s+\w|class\s+\w+.*:\s*$)", text, re.M)
    )


def places(name: str, text: str) -> tuple[Origin, ...]:
    """Every line of a text with its place; escapes of terminals are left out."""
    lines = _ESCAPES.sub("", text).split("\n")
    return tuple(
        Origin(f"{name}:{number}", line=number, quoted=line.rstrip("\r")[:MAX_LINE])
        for number, line in enumerate(lines, 1)
    )


def without_magics(code: str) -> str:
    """Code of a cell in which lines for the notebook itself, such as `!pip`, do nothing."""
    lines = code.split("\n")
    if lines and re.match(r"\s*%%(?!time|capture)", lines[0]):
        return "\n" * (len(lines) - 1)  # the whole cell is in another language
    return "\n".join(
        f"{line[: len(line) - len(line.lstrip())]}pass" if _MAGIC.match(line) else line
        for line in lines
    )


def _fenced(name: str, text: str) -> list[tuple[Origin, str]]:
    """Code of a Markdown page: the blocks that are called Python."""
    found: list[tuple[Origin, str]] = []
    fence, start, lines = "", 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        opens = _FENCE.match(line)
        if fence:
            if line.strip().startswith(fence):
                if lines:
                    found.append(
                        (Origin(f"{name}:{start}", line=start), without_magics("\n".join(lines)))
                    )
                fence = ""
            elif start:
                lines.append(line)
        elif opens:
            fence, lines = opens[1], []
            start = number + 1 if opens[2].lower() in ("py", "python", "python3") else 0
    return found


# --------------------------------------------------------------------------------------- notebooks


def _notebook(name: str, text: str) -> Source:
    try:
        tree = json.loads(text)
    except RecursionError:
        raise refusal(f"{name} is nested too deep to be a notebook") from None
    except ValueError as error:
        raise refusal(f"{name} is no notebook: {error}", hint="save it again as .ipynb") from None
    cells = tree.get("cells") if isinstance(tree, dict) else None
    if (
        cells is None
        and isinstance(tree, dict)
        and isinstance(sheets := tree.get("worksheets"), list)
    ):
        cells = [cell for it in sheets if isinstance(it, dict) for cell in _list(it.get("cells"))]
    if not isinstance(cells, list):
        raise refusal(f"{name} is no notebook: it has no cells")
    code: list[tuple[Origin, str]] = []
    printed: list[tuple[Origin, ...]] = []
    size = 0
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            continue
        place = f"{name} cell {number}"
        own = _text(cell.get("source", cell.get("input", "")))
        if cell.get("cell_type") == "code":
            code.append((Origin(f"{place}:1"), without_magics(own)))
            for output in _list(cell.get("outputs")):
                if written := _output(output):
                    printed.append(places(f"{place} output", written))
                    size += len(written)
        elif cell.get("cell_type") == "markdown":
            printed.append(places(place, own))
            size += len(own)
        size += len(own)
        if size > MAX_TEXT:
            raise refusal(f"{name} has more than {MAX_TEXT:,} characters of code and text")
    return Source(name, tuple(code), tuple(printed))


def _output(output: Any) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    if not isinstance(data, dict):
        data = output
    text = _text(data.get("text/plain", "")) or _text(output.get("text", ""))
    return "\n".join(map(_shown, text[:MAX_TEXT].split("\n")))


def _shown(line: str) -> str:
    """What is left of a line that was written over, as progress bars are."""
    line = line.rstrip("\r\b")
    return line[max(line.rfind("\r"), line.rfind("\b")) + 1 :]


def _text(value: Any) -> str:
    """A text, which notebooks store whole or line by line."""
    if isinstance(value, list):
        return "".join(it for it in value if isinstance(it, str))
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
