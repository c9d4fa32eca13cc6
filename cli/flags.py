"""What the library says of its arguments, as one writes it here: `again=True` is `--again`."""

from __future__ import annotations

import ast
import contextlib
import re
import shlex
from typing import Final

from mnist_arch.spec.strict_yaml import flow

VERBS: Final = {"summary": "summary", "train": "train", "evaluate": "eval", "sweep": "sweep"}
"""The command of each verb of Python."""
ARGUMENTS: Final = (
    *("again", "data_dir", "dataset", "device", "engine", "epochs", "executor", "from_manifest"),
    *(
        "format",
        "gallery",
        "holdout",
        "int8",
        "log",
        "out",
        "ray_address",
        "require",
        "resume",
        "retry_failed",
        "runs",
    ),
    *("seed", "seeds", "show", "spec", "split", "threads", "tta", "verify", "workers"),
    *("dropout", "partial", "sort", "weights", "where"),
)
"""Names that messages give to arguments, of verbs and of what only a command has so far."""

_LONGEST: Final = 2_000
"""Letters of a call or a mapping."""

_SAID: Final = re.compile(
    rf"(?<![\w.])(?P<verb>{'|'.join(VERBS)})\("
    r"|(?<![\w.])(?P<mapping>set|choose)=\{"
    rf"|(?<![\w.'-])(?<!--set )(?<!--choose )(?P<name>{'|'.join(ARGUMENTS)})="
    r"(?P<value>'[^']*'|True\b|[A-Z]+\b|\d[\d.]*\b)?"
)


def as_flag(name: str, value: object = "") -> str:
    """`data_dir` → `--data-dir`, and the value, if it is one that is written."""
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True or value == "" else f"{flag} {shlex.quote(str(value))}"


def in_flags(text: str) -> str:
    """A message with flags and commands in the place of arguments and calls."""
    said, at = [], 0
    while found := _SAID.search(text, at):
        said.append(text[at : found.start()])
        at = found.end()
        if found["name"]:
            value = found["value"] or ""
            said.append(as_flag(found["name"], True if value == "True" else value.strip("'")))
            continue
        start = found.start("verb") if found["verb"] else found.end() - 1
        command, end = _said_here(found, text[start : start + _LONGEST])
        said.append(command)
        at = max(at, start + end)
    return "".join((*said, text[at:]))


def _said_here(found: re.Match[str], text: str) -> tuple[str, int]:
    """What to say for the call or the mapping that `text` begins with, and where that ends.

    What is neither, such as a sentence with a bracket, stays as it is.
    """
    for end in (it.end() for it in re.finditer(r"[)}]", text)):
        with contextlib.suppress(SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            tree = ast.parse(text[:end], mode="eval").body
            if isinstance(tree, ast.Call):
                return _command(tree), end
            return _options(found["mapping"], ast.literal_eval(tree)), end
    return found[0], 0


def _command(call: ast.Call) -> str:
    words = ["mnist-arch", VERBS[ast.unparse(call.func)]]
    words += (shlex.quote(str(ast.literal_eval(it))) for it in call.args)
    words += (as_flag(str(it.arg), ast.literal_eval(it.value)) for it in call.keywords)
    return " ".join(words)


def _options(name: str, changes: dict[str, object]) -> str:
    """`set={'recipe.epochs': 5}` → `--set recipe.epochs=5`, quoted for a shell where need be."""
    words = (f"{place}={flow(it)}" for place, it in changes.items())
    return " ".join(f"--{name} {shlex.quote(word)}" for word in words)
