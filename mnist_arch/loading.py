"""From YAML to a spec: files, zoo names, `extends`, overrides, and where each value came from."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from mnist_arch.datasets import INFO, DatasetName
from mnist_arch.errors import Problem, ShapeError, SpecError
from mnist_arch.plan import Plan, plan
from mnist_arch.problems import problems_of, short_field
from mnist_arch.specs import NAME_PATTERN, Experiment
from mnist_arch.yaml_text import MAX_BYTES, MAX_DEPTH, Node, Path, parse, place, too_long

ZOO: Final = resources.files("mnist_arch") / "zoo"
_REPLACED_WHOLE: Final[tuple[Path, ...]] = (("blocks",), ("head",))
_DEEPEST_EXTENDS: Final = 16


@dataclass(frozen=True)
class Loaded:
    """A resolved experiment and the origin of every value that is not a default."""

    experiment: Experiment
    origins: dict[str, str]
    """Path, such as `recipe.epochs`, to `file:line`, `--set` or a flag."""

    def with_dataset(self, name: DatasetName) -> Loaded:
        """The same with `auto` replaced by what it came to."""
        return replace(self, experiment=self.experiment.model_copy(update={"dataset": name}))

    def origin(self, path: str) -> str:
        return self.origins.get(path, "")

    def near(self, path: str) -> str:
        """Origin of the first value at `path` or in it, else around it; empty if there is none."""
        while path:
            for known, origin in self.origins.items():
                if known == path or known.startswith((f"{path}.", f"{path}[")):
                    return origin
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return ""


@dataclass(frozen=True)
class Override:
    """A value that stands above the file's."""

    path: Path
    value: Node


def override(path: str, value: Any, *, origin: str) -> Override:
    """A value given by a flag: `override("recipe.epochs", 5, origin="--epochs")`."""
    return Override(_path(path, origin), Node(value, origin))


def parse_override(text: str) -> Override:
    """`blocks.1.dropout=0.1` → an override; the value is YAML. Raises SpecError."""
    origin = f"--set {text}"
    path, equals, value = text.partition("=")
    if not equals:
        raise SpecError(
            (Problem("no `=` in the override", origin=origin, hint="--set path.to.key=value"),)
        )
    try:
        node = parse(value, origin)
    except SpecError as error:
        raise SpecError(tuple(replace(it, origin=origin) for it in error.problems)) from None
    _set_origin(node, origin)
    return Override(_path(path, origin), node)


def load(what: str, *, overrides: Sequence[Override] = ()) -> Loaded:
    """The experiment that `what` names: a network of the zoo, or the path of a YAML file.

    An argument with a separator or a suffix is a path. Raises SpecError with every problem found.
    """
    tree, source = _read_tree(what, beside=FilePath(), seen=())
    return _resolve(tree, source, overrides)


def loads(text: str, *, source: str) -> Loaded:
    """The experiment in `text`, which may come from anywhere: it cannot refer to another file."""
    tree = parse(text, source)
    if isinstance(tree.value, dict) and "extends" in tree.value:
        raise SpecError((Problem("`extends` is not allowed here", "extends", source),))
    return _resolve(tree, source, ())


def plan_of(loaded: Loaded) -> Plan:
    """Counts the network. Raises ShapeError with the line that its place was written at."""
    try:
        return plan(loaded.experiment)
    except ShapeError as error:
        where = (replace(problem, origin=loaded.near(problem.path)) for problem in error.problems)
        raise ShapeError(tuple(where)) from None


def check_dataset(loaded: Loaded) -> None:
    """Raises SpecError where the network has not one output for each class of its dataset."""
    experiment = loaded.experiment
    name = "mnist" if experiment.dataset == "auto" else experiment.dataset
    if experiment.classes != (classes := INFO[name].classes):
        message = (
            f"{experiment.name} has {experiment.classes} outputs, but {name} has {classes} classes"
        )
        hint = f"set `classes: {classes}` and let the last layer have as many outputs"
        origin = loaded.origin("dataset") or loaded.origin("classes")
        raise SpecError((Problem(message, "classes", origin, hint),))


@cache
def zoo_names() -> tuple[str, ...]:
    """Names of the networks that ship with the package, sorted."""
    names = (item.name for item in ZOO.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a spec file."""
    schema = Experiment.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Name in the zoo, or path from this file, of the spec that this one starts "
        "from. `blocks`, `head` and an object with a `kind` replace the base's; other keys, and "
        "`defaults`, are merged.",
    }
    del schema["required"]
    schema["anyOf"] = [{"required": ["blocks"]}, {"required": ["extends"]}]
    return schema


# ---------------------------------------------------------------------------------- files and names


def is_path(what: str) -> bool:
    """Whether an argument means a file: it has a separator or a suffix."""
    return "/" in what or "\\" in what or FilePath(what).suffix != ""


def _read_tree(what: str, *, beside: FilePath, seen: tuple[str, ...]) -> tuple[Node, str]:
    """The merged tree of a file or name and all that it extends, and how to call it."""
    text, source, folder, stem = _read_text(what, beside)
    tree = parse(text, source)
    if not isinstance(tree.value, dict):
        raise SpecError((Problem("a spec is a mapping of keys to values", origin=tree.origin),))
    if seen:  # a spec is never called as its base
        tree.value.pop("name", None)
    elif "name" not in tree.value and re.fullmatch(NAME_PATTERN, stem):
        tree.value["name"] = Node(stem, source)
    base = tree.value.pop("extends", None)
    if base is None:
        return tree, source
    if not isinstance(base.value, str):
        raise SpecError((Problem("must be a name or a path", "extends", base.origin),))
    if source in seen or len(seen) > _DEEPEST_EXTENDS:
        raise SpecError((Problem("the chain of `extends` does not end", "extends", base.origin),))
    try:
        under, _ = _read_tree(base.value, beside=folder, seen=(*seen, source))
    except SpecError as error:
        problems = tuple(_with_origin(problem, base.origin) for problem in error.problems)
        raise SpecError(problems) from None
    return _merge(under, tree, ()), source


def _read_text(what: str, beside: FilePath) -> tuple[str, str, FilePath, str]:
    """Text, name for messages, folder and stem of a spec file or zoo network."""
    if not is_path(what):
        if what not in zoo_names():
            raise SpecError((_unknown_name(what, beside),))
        text = (ZOO / f"{what}.yaml").read_text("utf-8")
        return text, f"zoo/{what}.yaml", FilePath(), what
    path = FilePath(what)
    if not path.is_absolute():
        path = beside / path
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise too_long(str(path))
        return content.decode("utf-8"), str(path), path.parent, path.stem
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8 text"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise SpecError((Problem(f"{what!r} cannot be read: {reason}", hint=_names_hint()),))


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


def _merge(base: Node, over: Node, path: Path) -> Node:
    """`over` on `base`: mappings by key; lists, the head and objects that name a kind as a whole.

    The `kind` of `defaults` is one option among others, and does not replace them.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    if path[:1] in _REPLACED_WHOLE or ("kind" in over.value and path != ("defaults",)):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = _merge(merged[key], node, (*path, key)) if key in merged else node
    return Node(merged, over.origin)


def _path(text: str, origin: str) -> Path:
    """`blocks.1.dropout` or `blocks[1].dropout` → a path."""
    parts = re.sub(r"\[([0-9]+)\]", r".\1", text.strip()).split(".")
    words = all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts)
    if not words or len(parts) > MAX_DEPTH:
        raise SpecError(
            (Problem(f"{text!r} is not a path", origin=origin, hint="blocks.1.dropout=0.1"),)
        )
    return tuple(int(part) if part.isdecimal() and len(part) < 6 else part for part in parts)


def _apply(tree: Node, change: Override) -> None:
    """Sets one value in place; mappings on the way are made where they are missing."""
    node, value = tree, copy.deepcopy(change.value)  # later changes may write into the value
    for depth, part in enumerate(change.path):
        last = depth == len(change.path) - 1
        here = place(change.path[:depth]) or "the spec"
        short = None if isinstance(node.value, dict | list) else short_field(change.path[:depth])
        if short is not None:  # `16` becomes `{out: 16}`, so that one more key can be set
            node.value = {short: Node(node.value, node.origin)}
        match node.value, part:
            case (dict() as entries, str()):
                entries[part] = value if last else entries.get(part, Node({}, value.origin))
                node = entries[part]
            case (list() as items, int()) if part < len(items):
                items[part] = value if last else items[part]
                node = items[part]
            case (list() as items, _):
                has = f"the items 0 to {len(items) - 1}, not {part}" if items else "no items"
                raise SpecError((Problem(f"{here} has {has}", place(change.path), value.origin),))
            case _, int():
                message = f"{here} is no list with an item {part}"
                raise SpecError((Problem(message, place(change.path), value.origin),))
            case _:
                message = f"{here} is no mapping with a key {part}"
                hint = f"set {here} as a whole, such as {{{part}: …}}"
                raise SpecError((Problem(message, place(change.path), value.origin, hint),))


def _set_origin(node: Node, origin: str) -> None:
    node.origin = origin
    children: Iterable[Node] = ()
    match node.value:
        case dict() as entries:
            children = entries.values()
        case list() as items:
            children = items
    for child in children:
        _set_origin(child, origin)


def _resolve(tree: Node, source: str, overrides: Sequence[Override]) -> Loaded:
    for change in overrides:
        _apply(tree, change)
    try:
        experiment = Experiment.model_validate(tree.plain())
    except ValidationError as error:
        raise SpecError(problems_of(error, tree), source=source) from None
    return Loaded(experiment, dict(_origins(tree, ())))


def _origins(node: Node, path: Path) -> list[tuple[str, str]]:
    """Path and origin of every leaf."""
    match node.value:
        case dict() as entries:
            return [
                pair for key, child in entries.items() for pair in _origins(child, (*path, key))
            ]
        case list() as items:
            return [
                pair
                for index, child in enumerate(items)
                for pair in _origins(child, (*path, index))
            ]
        case _:
            return [(place(path), node.origin)]
