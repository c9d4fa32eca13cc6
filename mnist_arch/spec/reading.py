"""Reading the text of a spec's file, and saying what it is where it is none."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Final

from mnist_arch.errors import Problem, SpecError
from mnist_arch.files import is_there, way_out
from mnist_arch.spec.strict_yaml import MAX_BYTES, Lines, too_long

SMALLEST: Final = "blocks: [{channels: [8, 16], pool: max, reduce: 10}]"
"""The shortest spec that can be trained."""
_AS_UTF_8: Final = "save it as UTF-8; `iconv -f {0} -t UTF-8 {1} > new.yaml` does so"
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""What a text in another encoding begins with; UTF-32 first, whose mark begins as UTF-16's."""
_OTHERS: Final = {
    ".py": ("Python code", f"describe the network in YAML, such as `{SMALLEST}`"),
    ".ipynb": ("a Jupyter notebook", f"describe the network in YAML, such as `{SMALLEST}`"),
    ".safetensors": ("a file of weights", "`evaluate()` judges weights"),
    ".pt": ("a file of weights", "the network is described in YAML"),
    ".pth": ("a file of weights", "the network is described in YAML"),
    ".ckpt": ("a file of weights", "the network is described in YAML"),
}
"""What people have that is no spec, by its suffix, and the way out."""


def read_file(path: Path, *, hint: str) -> str:
    """The text of a file. Raises SpecError, with the hint where there is no such file."""
    what, instead = _OTHERS.get(path.suffix.lower(), ("", ""))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        found = way_out(error, path, doing="read") if is_there(path) else _near(path)
        raise _unreadable(path, error, found or hint) from None
    except IsADirectoryError as error:
        raise _unreadable(path, error, _inside(path) or hint) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, way_out(error, path, doing="read")) from None
    if what:
        raise SpecError((Problem(f"{str(path)!r} is {what}, not a spec", hint=instead),))
    if len(content) > MAX_BYTES:
        raise too_long(str(path))
    return _decoded(content, path)


def _unreadable(path: Path, error: OSError | ValueError, hint: str) -> SpecError:
    reason = getattr(error, "strerror", None) or str(error)
    return SpecError((Problem(f"{str(path)!r} cannot be read: {reason}", hint=hint),))


def _decoded(content: bytes, path: Path) -> str:
    """Bytes as text. Raises SpecError where they are not UTF-8, which may begin with its mark."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if not encoding and content and 3 * content.count(0) >= len(content):  # without a mark
        encoding = "UTF-16LE" if content[1:2] == b"\0" else "UTF-16BE"
    if encoding:
        hint = _AS_UTF_8.format(encoding, path.name)
        message = f"{str(path)!r} cannot be read: its text is {encoding}, not UTF-8"
        raise SpecError((Problem(message, "", str(path), hint),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0)
    text = content.decode("utf-8", "backslashreplace")
    origin = Lines(text, str(path)).at(len(content[:start].decode("utf-8")))
    reason = f"byte {start} is not UTF-8 text"
    hint = _AS_UTF_8.format("WINDOWS-1252", path.name)
    raise SpecError((Problem(f"{str(path)!r} cannot be read: {reason}", "", origin, hint),))


def _near(path: Path) -> str:
    """The file beside the one that is not there by nearly the same name, if there is any."""
    from mnist_arch.spec.suggestions import close_to

    try:
        names = [it.name for it in path.parent.iterdir() if it.is_file()]
    except (OSError, ValueError):
        return ""
    near = close_to(path.name, names, likeness=0.8)
    return f"did you mean `{path.parent / near[0]}`?" if near else ""


def _inside(folder: Path) -> str:
    """How to name what is in a folder: its run, or its specs."""
    if os.path.exists(folder / "manifest.json"):
        return f"it is the folder of a run: train(resume={str(folder)!r})"
    try:
        files = sorted(it for it in folder.glob("*.y*ml") if it.is_file())
    except OSError:
        return ""
    return f"name a file in it, such as {files[0]}" if files else ""
