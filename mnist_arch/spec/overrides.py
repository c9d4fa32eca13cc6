"""Overrides: a value of a spec that a flag changes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec.grammar import keys_by_kind, short_field
from mnist_arch.spec.sources import RECIPE, with_whole_recipe
from mnist_arch.spec.strict_yaml import (
    MAX_DEPTH,
    Argument,
    KeyPath,
    Node,
    parse_argument,
    place,
)

EXTENDS: Final[KeyPath] = (*RECIPE, "extends")
"""What replaces a recipe by another."""

_PART: Final = r"[A-Za-z0-9_-]+"
"""A part of a path."""


_ARGUMENT: Final = re.compile(r"--|set\[|\w+=")
_SET: Final = re.compile(r"--set |set\[")


def is_argument(origin: str) -> bool:
    """Whether a value came from an argument of a verb, or from a flag, and from no file."""
    return _ARGUMENT.match(origin) is not None


def is_set(origin: str) -> bool:
    """Whether it is one of the values that `set` names by their paths."""
    return _SET.match(origin) is not None


@dataclass(frozen=True)
class Override:
    """A value that stands above the file's."""

    path: KeyPath
    value: Node
    parts: tuple[str, ...] = ()
    """Where each part of the path was written; empty where that is not known."""

    def part_origin(self, depth: int) -> str:
        """Where a part of the path was written, or else the value."""
        return self.parts[depth] if self.parts else self.value.origin


def override(path: str, value: Any, *, origin: str) -> Override:
    """A value given by an argument: `override("recipe.epochs", 5, origin="epochs=5")`."""
    node = Node.of(value, origin) if isinstance(value, dict) else Node(value, origin)
    return Override(parse_path(path, origin), node)


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


def parse_path(text: str, origin: str, *, example: str = "such as blocks.1.dropout") -> KeyPath:
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
    tree = _changed(tree, change, 0)
    return with_whole_recipe(tree) if change.path[:2] in (RECIPE, EXTENDS) else tree


def _changed(node: Node, change: Override, depth: int) -> Node:
    if depth == len(change.path):
        return change.value
    part, way = change.path[depth], change.path[:depth]
    value, origin = node.value, change.part_origin(depth)
    short = None if isinstance(value, dict | list) else short_field(way)
    if short is not None:  # `16` becomes `{out: 16}`, so that one more key can be set
        value = {short: Node(value, node.origin)}
    elif isinstance(value, list) and _is_short_list(way, part):
        value = {"channels": node}  # a branch that is a list of its convolutions
    match value, part:
        case (dict() as entries, str()):
            if part == "kind" and depth == len(change.path) - 1:
                entries = _of_kind(entries, change)
            if part not in entries and any(isinstance(it, int) for it in change.path[depth + 1 :]):
                raise SpecError((_no_list(entries, depth, change),))
            if (*way, part) == EXTENDS:
                entries = _of_arguments(entries)
            child = _changed(entries.get(part, Node({}, origin, origin)), change, depth + 1)
            return replace(node, value={**entries, part: child})
        case (list() as items, int()) if part < len(items):
            child = _changed(items[part], change, depth + 1)
            return replace(node, value=[*items[:part], child, *items[part + 1 :]])
    raise SpecError((_no_way(value, depth, change),))


def _is_short_list(way: KeyPath, part: int | str) -> bool:
    """Whether the list after `way` stands for an object, of which `part` is a key."""
    is_item = bool(way) and isinstance(way[-1], int) and isinstance(part, str)
    return is_item and short_field(way) == "channels"


def _of_kind(entries: dict[str, Node], change: Override) -> dict[str, Node]:
    """Without the keys that an object of the new kind has not, unless a flag gave them."""
    keys = keys_by_kind(change.path[:-1]).get(str(change.value.value))
    return {
        key: node
        for key, node in entries.items()
        if keys is None or key in keys or is_argument(node.origin)
    }


def _of_arguments(entries: dict[str, Node]) -> dict[str, Node]:
    """What flags gave of a recipe that another replaces."""
    found = {}
    for key, node in entries.items():
        if isinstance(node.value, dict):
            node = replace(node, value=_of_arguments(node.value))
        if node.value != {} and (isinstance(node.value, dict) or is_argument(node.origin)):
            found[key] = node
    return found


def _no_way(value: object, depth: int, change: Override) -> Problem:
    """Why the change cannot continue from `value`, which it reaches after `depth` parts."""
    from mnist_arch.spec.suggestions import Suggestions  # which only mistakes need

    part, here, path = change.path[depth], place(change.path[:depth]), place(change.path)
    here, origin = here or "the spec", change.part_origin(depth)
    if isinstance(value, list):
        has = f"the items 0 to {len(value) - 1}, not {part}" if value else "no items"
        return Problem(f"{here} has {has}", path, origin)
    if isinstance(part, int):
        return Problem(f"{here} is no list with an item {part}", path, origin)
    given = change.value.plain() if depth == len(change.path) - 1 else None
    there = Suggestions(as_set=is_set(origin)).elsewhere(change.path[: depth + 1], given)
    hint = there or f"set {here} as a whole, such as {{{part}: …}}"
    return Problem(f"{here} is no mapping with a key {part}", path, origin, hint)


def _no_list(entries: dict[str, Node], depth: int, change: Override) -> Problem:
    """A key that is not there cannot lead to an item of a list."""
    from mnist_arch.spec.suggestions import close_to
    from mnist_arch.spec.synonyms import meanings

    part, here = str(change.path[depth]), place(change.path[:depth]) or "the spec"
    near = close_to(part, list(entries))
    near += [key for key in entries if any(it.place.endswith(f".{key}") for it in meanings(part))]
    hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(entries) or 'no keys'}"
    return Problem(f"{here} has no `{part}`", place(change.path), change.part_origin(depth), hint)
