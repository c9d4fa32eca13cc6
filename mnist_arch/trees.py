"""YAML trees of specs: files, names of the zoo, `extends`, and overrides that stand above them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path as FilePath
from typing import Any, Final

from mnist_arch.errors import Problem, SpecError
from mnist_arch.problems import keys_by_kind, short_field
from mnist_arch.spec_files import SMALLEST, read_file
from mnist_arch.specs import NAME_PATTERN
from mnist_arch.yaml_text import (
    MAX_DEPTH,
    MAX_KEY,
    Argument,
    Node,
    Path,
    parse,
    parse_argument,
    place,
)

ZOO: Final = resources.files("mnist_arch") / "zoo"
_REPLACED_WHOLE: Final[tuple[Path, ...]] = (("blocks",), ("head",))
_DEEPEST_EXTENDS: Final = 16
_PART: Final = r"[A-Za-z0-9_-]+"
"""A part of a path."""


@dataclass(frozen=True)
class Override:
    """A value that stands above the file's."""

    path: Path
    value: Node
    parts: tuple[str, ...] = ()
    """Where each part of the path was written; empty where that is not known."""

    def part_origin(self, depth: int) -> str:
        """Where a part of the path was written, or else the value."""
        return self.parts[depth] if self.parts else self.value.origin


def override(path: str, value: Any, *, origin: str) -> Override:
    """A value given by a flag: `override("recipe.epochs", 5, origin="--epochs")`."""
    return Override(parse_path(path, origin), Node(value, origin))


def parse_override(text: str) -> Override:
    """`blocks.1.dropout=0.1` → an override; the value is YAML. Raises SpecError."""
    whole = f"--set {text}"
    written = Argument(whole, len(whole) - len(text))
    path, equals, _ = text.partition("=")
    if not equals:
        hint = f"--set {path or 'recipe.epochs'}=VALUE, such as --set recipe.epochs=5"
        raise SpecError(
            (Problem("no `=` in the override", origin=written.at(len(text)), hint=hint),)
        )
    node = parse_argument(Argument(whole, len(whole) - len(text) + len(path) + 1))
    parts = parse_path(path, written.at(0), example="such as blocks.1.dropout=0.1")
    starts = tuple(written.at(match.start()) for match in re.finditer(_PART, path))
    return Override(parts, replace(node, key=starts[-1]), starts)


@cache
def zoo_names() -> tuple[str, ...]:
    """Names of the networks that ship with the package, sorted."""
    names = (item.name for item in ZOO.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


# ---------------------------------------------------------------------------------- files and names


def is_path(what: str) -> bool:
    """Whether an argument means a file: it has a separator or a suffix."""
    return "/" in what or "\\" in what or FilePath(what).suffix != ""


def read_tree(what: str, *, beside: FilePath) -> tuple[Node, str]:
    """The tree of a file or name on all that it extends, and how to call it in messages.

    Paths are relative to the folder `beside`. Raises SpecError.
    """
    tree, source, folder, stem = read_alone(what, beside)
    if re.fullmatch(NAME_PATTERN, stem):
        _entries(tree).setdefault("name", Node(stem, source))
    return extended(tree, beside=folder, seen=(source,)), source


def extended(tree: Node, *, beside: FilePath, seen: tuple[str, ...] = ()) -> Node:
    """A tree on what its `extends` names, without that key. Raises SpecError."""
    own = dict(_entries(tree))
    base = own.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base.value, str):
        raise SpecError((Problem("must be a name or a path", "extends", base.origin),))
    try:
        under, source, folder, _ = read_alone(base.value, beside)
        if source in seen or len(seen) > _DEEPEST_EXTENDS:
            raise SpecError((Problem("the chain of `extends` does not end", "extends"),))
        _entries(under).pop("name", None)  # a spec is never called as its base
        whole = extended(under, beside=folder, seen=(*seen, source))
    except SpecError as error:
        problems = tuple(_with_origin(problem, base.origin) for problem in error.problems)
        raise SpecError(problems) from None
    return merge(whole, Node(own, tree.origin), ())


def read_alone(what: str, beside: FilePath) -> tuple[Node, str, FilePath, str]:
    """The tree of a file or name alone; what it is called, its folder, its stem."""
    text, source, folder, stem = _read_text(what, beside)
    tree = parse(text, source)
    _entries(tree)
    return tree, source, folder, stem


def _entries(tree: Node) -> dict[str, Node]:
    """The keys of a spec. Raises SpecError where it has none."""
    match tree.value:
        case dict() as entries:
            return entries
        case None:
            hint = "there is nothing in it"
        case list():
            hint = "put the list under its key"
        case _:
            hint = "each key has a colon and a space"
    problem = Problem("a spec is a mapping of keys to values", origin=tree.origin)
    raise SpecError((replace(problem, hint=f"{hint}, such as `{SMALLEST}`"),))


def _read_text(what: str, beside: FilePath) -> tuple[str, str, FilePath, str]:
    """Text, name for messages, folder and stem of a spec file or zoo network."""
    if not is_path(what):
        if what not in zoo_names():
            raise SpecError((_unknown_name(what, beside),))
        text = (ZOO / f"{what}.yaml").read_text("utf-8")
        return text, f"zoo/{what}.yaml", FilePath(), what
    path = beside / what  # which is `what` where that is absolute
    return read_file(path, hint=_names_hint()), str(path), path.parent, path.stem


def _unknown_name(what: str, beside: FilePath) -> Problem:
    near = difflib.get_close_matches(what, zoo_names(), n=1)
    hint = f"did you mean `{near[0]}`?" if near else _names_hint()
    if re.fullmatch(NAME_PATTERN, what) and (beside / f"{what}.yaml").is_file():
        hint = f"did you mean the file `{what}.yaml`?"
    return Problem(f"no network is named {what!r}", hint=hint)


def _names_hint() -> str:
    names = ", ".join(zoo_names())
    return f"networks by name: {names}; a file is given by its path, such as mine.yaml"


def _with_origin(problem: Problem, origin: str) -> Problem:
    if problem.origin:
        return problem
    return Problem(problem.message, problem.path or "extends", origin, problem.hint)


# ------------------------------------------------------------------------------- merge and override


def merge(base: Node, over: Node, path: Path) -> Node:
    """`over` on `base`: mappings by key; lists, the head and objects that name a kind as a whole.

    The `kind` of `defaults` is one option among others, and does not replace them.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    if path[:1] in _REPLACED_WHOLE or ("kind" in over.value and path != ("defaults",)):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node, (*path, key)) if key in merged else node
    return replace(over, value=merged)


def parse_path(text: str, origin: str, *, example: str = "such as blocks.1.dropout") -> Path:
    """`blocks.1.dropout` or `blocks[1].dropout` → a path. Raises SpecError."""
    parts = re.sub(r"\[([0-9]+)\]", r".\1", text.strip()).split(".")
    words = all(re.fullmatch(_PART, part) for part in parts)
    if not words or len(parts) > MAX_DEPTH:
        raise SpecError((Problem(f"{text!r} is not a path", origin=origin, hint=example),))
    return tuple(int(part) if part.isdecimal() and len(part) < 6 else part for part in parts)


def changed(tree: Node, change: Override) -> Node:
    """The tree with one value set; mappings on the way are made where they are missing.

    `tree` stays as it is, and shares with the new one what is not on the way. Raises SpecError.
    """
    return _changed(tree, change, 0)


def _changed(node: Node, change: Override, depth: int) -> Node:
    if depth == len(change.path):
        return change.value
    part, way = change.path[depth], change.path[:depth]
    value, origin = node.value, change.part_origin(depth)
    short = None if isinstance(value, dict | list) else short_field(way)
    if short is not None:  # `16` becomes `{out: 16}`, so that one more key can be set
        value = {short: Node(value, node.origin)}
    match value, part:
        case (dict() as entries, str()):
            if part == "kind" and depth == len(change.path) - 1:
                entries = _of_kind(entries, change)
            if part not in entries and any(isinstance(it, int) for it in change.path[depth + 1 :]):
                raise SpecError((_no_list(entries, depth, change),))
            child = _changed(entries.get(part, Node({}, origin, origin)), change, depth + 1)
            return replace(node, value={**entries, part: child})
        case (list() as items, int()) if part < len(items):
            child = _changed(items[part], change, depth + 1)
            return replace(node, value=[*items[:part], child, *items[part + 1 :]])
    raise SpecError((_no_way(value, depth, change),))


def _of_kind(entries: dict[str, Node], change: Override) -> dict[str, Node]:
    """Without the keys that an object of the new kind has not, unless a flag gave them."""
    keys = keys_by_kind(change.path[:-1]).get(str(change.value.value))
    return {
        key: node
        for key, node in entries.items()
        if keys is None or key in keys or node.origin.startswith("--")
    }


def _no_way(value: object, depth: int, change: Override) -> Problem:
    """Why the change cannot go on from `value`, which it comes to after `depth` parts."""
    part, here, path = change.path[depth], place(change.path[:depth]), place(change.path)
    here, origin = here or "the spec", change.part_origin(depth)
    if isinstance(value, list):
        has = f"the items 0 to {len(value) - 1}, not {part}" if value else "no items"
        return Problem(f"{here} has {has}", path, origin)
    if isinstance(part, int):
        return Problem(f"{here} is no list with an item {part}", path, origin)
    hint = f"set {here} as a whole, such as {{{part}: …}}"
    return Problem(f"{here} is no mapping with a key {part}", path, origin, hint)


def _no_list(entries: dict[str, Node], depth: int, change: Override) -> Problem:
    """A key that is not there cannot lead to an item of a list."""
    part, here = str(change.path[depth]), place(change.path[:depth]) or "the spec"
    near = difflib.get_close_matches(part[:MAX_KEY], list(entries), n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(entries) or 'no keys'}"
    return Problem(f"{here} has no `{part}`", place(change.path), change.part_origin(depth), hint)
