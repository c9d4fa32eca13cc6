"""From the file of a sweep to checked trees: every mistake at once, each with its line."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.data.folds import Folds
from mnist_arch.errors import Problem, SpecError
from mnist_arch.files import expanded, shown
from mnist_arch.runs.teachers import Teachers
from mnist_arch.spec.loading import Loaded, resolve
from mnist_arch.spec.overrides import Override, is_argument, override
from mnist_arch.spec.reading import read_file
from mnist_arch.spec.sources import extended, merge, name_from, with_whole_recipe
from mnist_arch.spec.strict_yaml import Node, parse
from mnist_arch.spec.validation import NEEDS_A_NAME, problems_of
from mnist_arch.sweeps.axes import AT_THE_TOP, Axis, AxisChecks, told_at
from mnist_arch.sweeps.spec import MAX_TRIALS, SHARED, Smallest, Sweep

_HOW_TO: Final = "a sweep is a YAML file with `experiments`, a `grid` or a `search`"
Found = dict[Problem, None]
"""Problems, each of them once, in their order."""


@dataclass(frozen=True)
class Listed:
    """An experiment of the list, under what stands above every arm."""

    name: str
    counted: CountedExperiment
    own: Node
    """What its own text says."""


@dataclass(frozen=True)
class Definition:
    """A sweep's file, read and checked."""

    sweep: Sweep
    source: str
    """The file, as it was named."""
    base: Node
    """What grid and search start from, with the dataset, hold-out and budget of the sweep."""
    above: tuple[Override, ...]
    """What the command line sets for every arm."""
    common: Loaded
    """The base under what stands `above`."""
    listed: tuple[Listed, ...] = ()
    axes: tuple[Axis, ...] = ()
    teachers: Teachers = field(default_factory=lambda: Teachers(FilePath()), compare=False)
    """Where teachers are found."""


def load_sweep(
    path: FilePath,
    *,
    dataset: str | None = None,
    epochs: int | None = None,
    origins: Mapping[str, str] = MappingProxyType({}),
    runs: FilePath = FilePath(),
) -> Definition:
    """Reads a sweep's file. `dataset` and `epochs` stand above it, for every arm.

    `origins` says where these two were given, if it was not in Python. Teachers are looked for in
    the folder `runs`.

    Raises SpecError with every problem of the file, of its base, experiments, axes and space.
    """
    path = expanded(path)
    tree, source = _read(path)
    entries = tree.entries
    if dataset is not None:
        entries["dataset"] = Node(dataset, origins.get("dataset", f"dataset={dataset!r}"))
    sweep = _sweep(tree, source)
    above: tuple[Override, ...] = ()
    if epochs is not None:
        origin = origins.get("epochs", f"epochs={epochs}")
        above = (override("recipe.epochs", epochs, origin=origin),)
    found: Found = {}
    teachers = Teachers(runs)
    with _collecting(found, "base"):
        base = _base(entries.get("base", Node("s6", source)), entries, path.parent)
        common = teachers.known(resolve(base, source, above))
    if found:
        raise SpecError(tuple(found), source=source)
    shared: dict[str, Any] = {
        "dataset": common.experiment.dataset,
        "holdout": common.experiment.holdout or None,
    }
    if isinstance(folds := common.experiment.holdout, Folds):
        shared |= _over_folds(sweep, folds, common)
    sweep = sweep.model_copy(update=shared)
    _check_trials(sweep, tree, source)
    definition = Definition(sweep, source, base, above, common, teachers=teachers)
    definition = replace(
        definition,
        listed=tuple(_listed(definition, entries.get("experiments"), path.parent, found)),
        axes=tuple(_grid(entries.get("grid"), AxisChecks(base, above, teachers), found)),
    )
    if sweep.search is not None:
        axes, space = AxisChecks(base, above, teachers), entries["search"].entries["space"].entries
        for where, dimension in sweep.search.space.items():
            with _collecting(found):
                axes.check(where, dimension, space[where])
    if found:
        raise SpecError(tuple(found), source=source)
    return definition


def _over_folds(sweep: Sweep, holdout: Folds, common: Loaded) -> dict[str, Any]:
    """What of a sweep folds change: each arm is trained once for each fold, unless set.

    Raises SpecError.
    """
    if holdout.fold is not None:
        origin, hint = common.near("holdout.fold"), "leave it out: it follows the seed of a trial"
        raise SpecError((Problem("a sweep has all folds", "holdout.fold", origin, hint),))
    if sweep.search is not None and not isinstance(sweep.search.objective, Smallest):
        message = "a proposal is trained once, and so judged on one fold alone"
        hint = "use `objective: {kind: smallest, …}`, or `holdout: N` images"
        raise SpecError((Problem(message, "search.objective", common.near("holdout"), hint),))
    return {} if "seeds" in sweep.model_fields_set else {"seeds": holdout.folds}


def _read(path: FilePath) -> tuple[Node, str]:
    """The tree of a sweep's file, called as the file unless it says otherwise."""
    source, hint = shown(path), _HOW_TO
    if not path.suffix and os.path.isfile(f"{path}.yaml"):
        hint = f"did you mean the file `{path}.yaml`?"
    tree = parse(read_file(path, hint=hint), source)
    if not isinstance(tree.value, dict):
        message = "a sweep is a mapping of keys to values"
        raise SpecError((Problem(message, origin=tree.origin, hint=_HOW_TO),), source=source)
    if name := name_from(path.stem):
        tree.entries.setdefault("name", Node(name, source))
    return tree, source


def _sweep(tree: Node, source: str) -> Sweep:
    """The keys of the file. Raises SpecError."""
    try:
        sweep = Sweep.model_validate(tree.plain())
    except ValidationError as error:
        raise SpecError(problems_of(error, tree, Sweep, inside="base"), source=source) from None
    _check_trials(sweep, tree, source)
    return sweep


def _check_trials(sweep: Sweep, tree: Node, source: str) -> None:
    """Raises SpecError for too many."""
    cells = math.prod(len(values) for values in sweep.grid.values()) if sweep.grid else 0
    trials = (len(sweep.experiments) + cells) * sweep.seeds
    if trials > MAX_TRIALS:
        where = "grid" if sweep.grid else "experiments"
        message = f"{trials:,} trials are more than {MAX_TRIALS:,}"
        problem = Problem(message, where, tree.entries[where].origin, "use fewer values or seeds")
        raise SpecError((problem,), source=source)


@contextlib.contextmanager
def _collecting(found: Found, inside: str = "") -> Iterator[None]:
    """Takes the problems of a SpecError, with the place in the sweep's file before their own."""
    try:
        yield
    except SpecError as error:
        for problem in error.problems:
            above = is_argument(problem.origin)
            place = problem.place if above else ".".join(filter(None, (inside, problem.place)))
            found[replace(problem, place=place)] = None


# ------------------------------------------------------------------------------------ base and list


def _base(node: Node, entries: dict[str, Node], folder: FilePath) -> Node:
    """The tree that arms start from, with what the sweep's file says for all of them."""
    if isinstance(node.value, str):
        node = Node({"extends": node}, node.origin)
    if not isinstance(node.value, dict):
        raise SpecError((Problem("must be a spec, a name or a path", origin=node.origin),))
    _refuse(node, ("name", *SHARED))
    given = {
        key: entries[key] for key in SHARED if key in entries and entries[key].value is not None
    }
    tree = merge(extended(node, beside=folder), Node(given, ""), ())
    return Node({**tree.entries, "name": Node("base", node.origin)}, node.origin)


def _listed(
    definition: Definition, experiments: Node | None, folder: FilePath, found: Found
) -> Iterator[Listed]:
    names: dict[str, str] = {}
    for index, own in enumerate(experiments.items if experiments is not None else ()):
        here, name = f"experiments[{index}]", ""
        with _collecting(found, here):
            _refuse(own, SHARED)
        with _collecting(found, here):
            name = _name(own, names)
        with _collecting(found, here):
            tree = _tree_of(own, definition.base, folder)
            yield Listed(name, _counted(tree, own, definition), own)


def _counted(tree: Node, own: Node, definition: Definition) -> CountedExperiment:
    """Raises SpecError for an experiment that cannot be built, at its own lines if at any."""
    try:
        loaded = resolve(tree, definition.source, definition.above)
        return count(definition.teachers.known(loaded))
    except SpecError as error:
        if "extends" in own.entries:  # it may have brought the mistake along
            raise
        raise SpecError(tuple(told_at(problem, own) for problem in error.problems)) from None


def _tree_of(own: Node, base: Node, folder: FilePath) -> Node:
    """An experiment of the list on its base, or on what it extends in place of it."""
    if "extends" in own.entries:
        tree = extended(own, beside=folder)
    else:
        tree = with_whole_recipe(merge(base, own, ()))
    shared = {key: base.entries[key] for key in SHARED if key in base.entries}
    rest = {key: node for key, node in tree.entries.items() if key not in SHARED}
    return Node({**rest, **shared}, tree.origin)


def _refuse(spec: Node, keys: Iterable[str]) -> None:
    """Raises SpecError for keys that are the same for the whole sweep."""
    problems = [
        Problem(f"`{key}` is the same for a whole sweep", key, node.origin, AT_THE_TOP)
        for key, node in spec.entries.items()
        if key in keys
    ]
    if problems:
        raise SpecError(tuple(problems))


def _name(own: Node, names: dict[str, str]) -> str:
    """The name, added to `names`. Raises SpecError where it would not tell two arms apart."""
    if "name" not in own.entries:
        raise SpecError((Problem("`name` is missing", "name", own.origin, NEEDS_A_NAME),))
    name, origin = str(own.entries["name"].value), own.entries["name"].origin
    if name in names:
        message = f"the name {name!r} stands here again"
        raise SpecError((Problem(message, "name", origin, f"it was first given at {names[name]}"),))
    names[name] = origin
    return name


def _grid(grid: Node | None, axes: AxisChecks, found: Found) -> Iterator[Axis]:
    for path, values in (grid.entries if grid is not None else {}).items():
        with _collecting(found):
            yield axes.listed(path, values)
