"""From the file of a sweep to checked trees: every mistake at once, each with its line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from pydantic import ValidationError

from mnist_arch.errors import Problem, SpecError
from mnist_arch.loading import plan_of, resolve, validated
from mnist_arch.problems import problems_of
from mnist_arch.sweeps.specs import FIXED, Categorical, Dimension, Sweep
from mnist_arch.trees import Override, changed, extended, merge, override, parse_path, read_alone
from mnist_arch.yaml_text import Node, flow, place


@dataclass(frozen=True)
class Axis:
    """A path of the spec and the values that a grid gives it."""

    path: str
    levels: tuple[Override, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The levels as one would write them."""
        return tuple(flow(level.value.plain()) for level in self.levels)


@dataclass(frozen=True)
class Listed:
    """An experiment of the list: its whole tree, and what its own text says."""

    name: str
    tree: Node
    own: Node


@dataclass(frozen=True)
class Definition:
    """A sweep's file, read and checked."""

    sweep: Sweep
    source: str
    """The file, as it was named."""
    base: Node
    """What grid and search start from."""
    above: tuple[Override, ...]
    """What the command line sets for every arm."""
    listed: tuple[Listed, ...] = ()
    axes: tuple[Axis, ...] = ()


def load_sweep(
    path: FilePath, *, dataset: str | None = None, epochs: int | None = None
) -> Definition:
    """Reads a sweep's file. `dataset` and `epochs` stand above it, for every arm.

    Raises SpecError with every problem of the file, of its base, experiments, axes and space.
    """
    tree, source, folder, stem = read_alone(str(path), FilePath())
    entries = tree.entries
    entries.setdefault("name", Node(stem, source))
    if dataset is not None:
        entries["dataset"] = Node(dataset, "--dataset")
    try:
        sweep = Sweep.model_validate(tree.plain())
    except ValidationError as error:
        raise SpecError(problems_of(error, tree, Sweep), source=source) from None
    above = () if epochs is None else (override("recipe.epochs", epochs, origin="--epochs"),)
    found: list[Problem] = []
    with _collecting(found, "base"):
        common = Node({key: entries[key] for key in ("dataset", "budget") if key in entries}, "")
        base = _base(entries.get("base", Node("s6", source)), common, folder)
        resolve(base, source, above)
    if found:
        raise SpecError(tuple(found), source=source)
    definition = Definition(sweep, source, base, above)
    definition = replace(
        definition,
        listed=tuple(_listed(definition, entries.get("experiments"), common, folder, found)),
        axes=tuple(_axes(definition, entries.get("grid"), found)),
    )
    if sweep.search is not None:
        space = entries["search"].entries["space"].entries
        for where, dimension in sweep.search.space.items():
            with _collecting(found):
                levels = list(_extremes(where, dimension, space[where].origin))
                _check_levels(definition, levels, found)
    if found:
        raise SpecError(tuple(found), source=source)
    return definition


@contextlib.contextmanager
def _collecting(found: list[Problem], inside: str = "") -> Iterator[None]:
    """Takes the problems of a SpecError, with the place in the sweep's file before their own."""
    try:
        yield
    except SpecError as error:
        for problem in error.problems:
            path = ".".join(filter(None, (inside, problem.path)))
            if (new := replace(problem, path=path)) not in found:
                found.append(new)


# -------------------------------------------------------------------------- base, list and axes


def _base(node: Node, common: Node, folder: FilePath) -> Node:
    """The tree that arms start from, with what the whole sweep has in common."""
    if isinstance(node.value, str):
        node = Node({"extends": node}, node.origin)
    if not isinstance(node.value, dict):
        raise SpecError((Problem("must be a spec, a name or a path", origin=node.origin),))
    _refuse_fixed(node, allowed=("extends",))
    tree = merge(extended(node, beside=folder), common, ())
    return Node({**tree.entries, "name": Node("base", node.origin)}, node.origin)


def _listed(
    definition: Definition,
    experiments: Node | None,
    common: Node,
    folder: FilePath,
    found: list[Problem],
) -> Iterator[Listed]:
    names: dict[str, str] = {}
    for index, own in enumerate(experiments.items if experiments is not None else ()):
        with _collecting(found, f"experiments[{index}]"):
            _refuse_fixed(own, allowed=("extends", "name"))
            if "name" not in own.entries:
                raise SpecError((Problem("`name` is missing", "name", own.origin),))
            name, origin = str(own.entries["name"].value), own.entries["name"].origin
            if name in names:
                message = f"the name {name!r} stands here again"
                hint = f"it was first given at {names[name]}"
                raise SpecError((Problem(message, "name", origin, hint),))
            names[name] = origin
            if "extends" in own.entries:
                tree = merge(extended(own, beside=folder), common, ())
            else:
                tree = merge(definition.base, own, ())
            plan_of(resolve(tree, definition.source, definition.above))
            yield Listed(name, tree, own)


def _refuse_fixed(spec: Node, *, allowed: tuple[str, ...]) -> None:
    """Raises SpecError for a key that the whole sweep has in common."""
    hint = "set it at the top of the sweep's file"
    problems = [
        Problem(f"`{key}` is the same for a whole sweep", key, node.origin, hint)
        for key, node in spec.entries.items()
        if key in FIXED and key not in allowed
    ]
    if problems:
        raise SpecError(tuple(problems))


def _axes(definition: Definition, grid: Node | None, found: list[Problem]) -> Iterator[Axis]:
    for path, values in (grid.entries if grid is not None else {}).items():
        with _collecting(found):
            where = parse_path(path, values.origin)
            levels = [Override(where, value) for value in values.items]
            _check_levels(definition, levels, found)
            _refuse_repeated(levels)
            yield Axis(path, tuple(levels))


def _extremes(path: str, dimension: Dimension, origin: str) -> Iterator[Override]:
    """Values by which it is seen whether a dimension of the space fits the spec."""
    match dimension:
        case Categorical(choices=choices):
            values: Sequence[object] = choices
        case _:
            values = (dimension.low, dimension.high)
    where = parse_path(path, origin)
    return (Override(where, Node.of(value, origin)) for value in values)


def _check_levels(definition: Definition, levels: list[Override], found: list[Problem]) -> None:
    """Finds a path that the spec has not, and values that do not fit there."""
    for level in levels:
        with _collecting(found):
            if level.path in {flag.path for flag in definition.above}:
                message = (
                    f"{definition.above[0].value.origin} would replace all values of this axis"
                )
                raise SpecError((Problem(message, place(level.path), level.value.origin),))
            validated(changed(definition.base, level), definition.source)


def _refuse_repeated(levels: list[Override]) -> None:
    first: dict[str, str] = {}
    for level in levels:
        text = flow(level.value.plain())
        if text in first:
            message = f"the value {text} stands here again"
            hint = f"it was first given at {first[text]}"
            problem = Problem(message, place(level.path), level.value.origin, hint)
            raise SpecError((problem,))
        first[text] = level.value.origin
