"""YAML trees of specs: files, names of the zoo, and `extends`."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Final

from mnist_arch.errors import PathError, Problem, SpecError
from mnist_arch.files import expanded, shown
from mnist_arch.spec.grammar import short_field
from mnist_arch.spec.network import NAME_PATTERN
from mnist_arch.spec.reading import SMALLEST, read_file
from mnist_arch.spec.strict_yaml import (
    KeyPath,
    Node,
    parse,
    scalar,
)
from mnist_arch.zoo.index import name_in_zoo, zoo, zoo_names

_REPLACED_WHOLE: Final[tuple[KeyPath, ...]] = (("blocks",), ("head",))
_DEEPEST_EXTENDS: Final = 16

RECIPE: Final[KeyPath] = ("recipe",)
PLAIN: Final = "plain"
"""Name of the recipe that has nothing but what a training cannot do without."""

PLAIN_RECIPE: Final[dict[str, Any]] = {
    "batch_size": 64,
    "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0},
    "schedule": {"kind": "constant", "peak": 0.01, "warmup": 0},
    "label_smoothing": 0,
    "clip_norm": None,
    "ema": None,
    "augment": {"rotate_degrees": 0, "shift_pixels": 0, "scale": 0, "shear_degrees": 0},
}


def is_path(what: str) -> bool:
    """Whether an argument means a file: it has a separator or a suffix.

    What `name_in_zoo` knows is none, for which it is to be asked first.
    """
    return "/" in what or "\\" in what or FilePath(what).suffix != ""


def name_from(stem: str) -> str:
    """A network's name, made from that of its file: `my net` → `my-net`; empty where none can be.

    Accents are left out, and so is whatever else a name may not have; 64 characters are kept.
    """
    if re.fullmatch(NAME_PATTERN, stem):
        return stem
    import unicodedata

    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:64].rstrip("-")


def read_tree(what: str, *, beside: FilePath) -> tuple[Node, str]:
    """The tree of a file or name on all that it extends, and how to call it in messages.

    Paths are relative to the folder `beside`. Raises SpecError.
    """
    tree, source, folder, stem = read_alone(what, beside)
    if name := name_from(stem):
        _entries(tree).setdefault("name", Node(name, source))
    return extended(tree, beside=folder, seen=(source,)), source


def extended(tree: Node, *, beside: FilePath, seen: tuple[str, ...] = ()) -> Node:
    """A tree on what its `extends` names, without that key. Raises SpecError."""
    own = dict(_entries(tree))
    base = own.pop("extends", None)
    if base is None:
        return with_whole_recipe(tree)
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
    return with_whole_recipe(merge(whole, Node(own, tree.origin), ()))


def with_whole_recipe(tree: Node) -> Node:
    """A tree whose recipe stands on the one that it names, by `extends` or by its name alone.

    A name that no recipe has stays where it is, and is refused with whatever else is wrong.
    """
    recipe = tree.value.get("recipe") if isinstance(tree.value, dict) else None
    if recipe is None or not _names_a_recipe(recipe):
        return tree
    own = dict(recipe.value) if isinstance(recipe.value, dict) else {"extends": recipe}
    base = _named_recipe(own["extends"])
    if base is not None:
        del own["extends"]
    whole = merge(base or Node({}, recipe.origin), replace(recipe, value=own), RECIPE)
    return replace(tree, value={**tree.entries, "recipe": whole})


def _names_a_recipe(recipe: Node) -> bool:
    return isinstance(recipe.value, str) or (
        isinstance(recipe.value, dict) and "extends" in recipe.value
    )


def _named_recipe(name: Node) -> Node | None:
    """The plain recipe, or that of a network of the zoo; None where none has this name."""
    given = name.plain()
    if given == PLAIN:
        return Node.of(PLAIN_RECIPE, f"recipe {PLAIN}")
    shipped = (name_in_zoo(given) or given) if isinstance(given, str) else ""
    if shipped not in zoo_names():
        return None
    tree, _ = read_tree(f"zoo/{shipped}", beside=FilePath())
    return tree.entries.get("recipe", Node({}, name.origin))


def recipe_names() -> tuple[str, ...]:
    """What `recipe: {extends: NAME}` may name."""
    return (PLAIN, *zoo_names())


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
    name = name_in_zoo(what)
    if name is None and not is_path(what):
        name = what
    if name is not None:
        if (shipped := zoo().get(name)) is None:
            raise SpecError((unknown_name(what, beside),))
        text = shipped.spec_path.read_text("utf-8")
        return text, f"zoo/{name}/{shipped.spec_path.name}", shipped.folder, name
    try:
        path = beside / expanded(what)  # which stands alone where it is absolute
    except PathError as error:
        raise SpecError((Problem(str(error), hint=error.hint),)) from None
    hint = _as_override(what) or _names_hint()
    return read_file(path, hint=hint), shown(path), path.parent, path.stem


def unknown_name(what: str, beside: FilePath) -> Problem:
    """What there is to say of a name that no network has, with the nearest one."""
    from mnist_arch.spec.suggestions import close_to
    from mnist_arch.spec.synonyms import plain

    name = name_in_zoo(what) or what
    near = [known for known in zoo_names() if plain(known) == plain(name)]
    near += close_to(name, zoo_names())
    hint = f"did you mean `{what.removesuffix(name)}{near[0]}`?" if near else _names_hint()
    if what != name and os.path.exists(beside / what):
        hint = f"did you mean the path `./{what}`?"
    if re.fullmatch(NAME_PATTERN, what) and os.path.isfile(beside / f"{what}.yaml"):
        hint = f"did you mean the file `{what}.yaml`?"
    return Problem(f"no network is named {what!r}", hint=_as_override(what) or hint)


def _as_override(what: str) -> str:
    """How to set a value, where that was meant and not a file: `lr=0.1`."""
    from mnist_arch.spec.suggestions import Suggestions, as_argument

    key, equals, value = what.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.\[\]-]*", key):
        return ""
    there = Suggestions(as_set=True).elsewhere((key,), scalar(value))
    return there or f"to set a value: {as_argument((key,), scalar(value))}"


def _names_hint() -> str:
    names = ", ".join(zoo_names())
    return f"networks by name: {names}; a file is given by its path, such as mine.yaml"


def _with_origin(problem: Problem, origin: str) -> Problem:
    if problem.origin:
        return problem
    return Problem(problem.message, problem.place or "extends", origin, problem.hint)


def merge(base: Node, over: Node, path: KeyPath) -> Node:
    """`over` on `base`: mappings by key; lists, the head and objects that name a kind as a whole.

    So is a recipe that names another as its base. The `kind` of `defaults` is one option among
    others, and does not replace them.
    """
    if not isinstance(over.value, dict):
        return over
    if not isinstance(base.value, dict | list) and (short := short_field(path)):
        base = replace(base, value={short: base})  # `adamw` is `{kind: adamw}`
    if not isinstance(base.value, dict) or (path == RECIPE and _names_a_recipe(over)):
        return over
    if path[:1] in _REPLACED_WHOLE or ("kind" in over.value and path != ("defaults",)):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node, (*path, key)) if key in merged else node
    return replace(over, value=merged)
