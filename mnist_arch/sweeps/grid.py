"""The cells of a grid, counted: what several have in common is validated and unrolled once.

Every axis lies in one part of the spec: in one block, or below another key. The values that each
part takes in the grid are made first, and cells are put together of them. Networks grow part by
part: all values of a block after which the next stands alike are followed together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from mnist_arch.counting.digest import joined_digest, layers_text, recipe_text
from mnist_arch.counting.layers import Shape
from mnist_arch.counting.plan import START, Part, Plan, Position, count_part, joined
from mnist_arch.counting.unroll import check_whole, unroll_block, unroll_head
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.errors import SpecError
from mnist_arch.runs.teachers import Teachers
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded, check_dataset
from mnist_arch.spec.network import Block, Defaults, Head
from mnist_arch.spec.overrides import Override, changed
from mnist_arch.spec.recipe import Recipe
from mnist_arch.spec.strict_yaml import KeyPath, Node
from mnist_arch.sweeps.axes import Axis

BLOCKS: Final[KeyPath] = ("blocks",)
HEAD: Final[KeyPath] = ("head",)
CLASSES: Final[KeyPath] = ("classes",)
DEFAULTS: Final[KeyPath] = ("defaults",)
RECIPE: Final[KeyPath] = ("recipe",)


class Cell(NamedTuple):
    """A cell that can be built."""

    number: int
    """In the order of the file: the last axis changes fastest."""
    experiment: Experiment
    plan: Plan
    digest: str


class _Value(NamedTuple):
    """One of the values that a part of the spec takes in the grid."""

    number: int
    """What its levels add to the number of a cell."""
    value: Any
    """Validated."""


class _State(NamedTuple):
    """All that what comes next depends on, of what stands before it."""

    shape: Shape
    position: Position
    tensors: int


class _Grown(NamedTuple):
    """One of the values of a block, or of the head, after certain others."""

    number: int
    value: Block | Head
    part: Part
    text: str
    """Of its layers, for the digest."""


_START: Final = _State(IMAGE_SHAPE, START, 0)


class _Recipe(NamedTuple):
    """One of the recipes of the grid."""

    number: int
    value: Recipe
    text: str
    """For the digest."""


class _Network(NamedTuple):
    """One of the networks of the grid."""

    number: int
    experiment: Experiment
    """With the recipe of the base."""
    plan: Plan
    texts: tuple[str, ...]
    """Of its layers, for the digest."""


class Grid:
    """The axes of a sweep over its base."""

    def __init__(
        self,
        tree: Node,
        base: Experiment,
        axes: tuple[Axis, ...],
        above: tuple[Override, ...],
        teachers: Teachers,
    ) -> None:
        """`tree` is that of the base; `base` is it under what stands `above` all cells."""
        self._teachers = teachers
        self._tree, self._base, self._above = tree, base, above
        self._whole = any(axis.levels[0].path == BLOCKS for axis in axes)
        self._inside: dict[KeyPath, list[list[tuple[int, Override]]]] = {}
        """Of each part of the spec, the axes in it: levels, and what each adds to a number."""
        self._axes = axes
        self.size = 1
        """The number of cells."""
        for axis in reversed(axes):
            levels = [(index * self.size, level) for index, level in enumerate(axis.levels)]
            self._inside.setdefault(self._part(axis.levels[0].path), []).insert(0, levels)
            self.size *= len(levels)

    def cells(self) -> Iterator[Cell]:
        """Every cell that can be built, in no order; what is wrong with the others is not told."""
        recipes = math.prod(map(len, self._inside.get(RECIPE, ())))
        if recipes**2 <= self.size:  # the fewer are kept, the others come one by one
            kept = list(self._recipes())
            pairs = ((network, recipe) for network in self._networks() for recipe in kept)
        else:
            networks = list(self._networks())
            pairs = ((network, recipe) for recipe in self._recipes() for network in networks)
        for network, recipe in pairs:
            experiment = network.experiment.model_copy(update={"recipe": recipe.value})
            digest = joined_digest(experiment, network.texts, recipe.text)
            yield Cell(network.number + recipe.number, experiment, network.plan, digest)

    def levels(self, number: int) -> list[int]:
        """The number of each axis's level in a cell."""
        found = []
        for axis in reversed(self._axes):
            number, level = divmod(number, len(axis.levels))
            found.append(level)
        return found[::-1]

    def number(self, levels: Sequence[str]) -> int:
        """The number of the cell with these levels, as one would write them."""
        found = 0
        for axis, level in zip(self._axes, levels, strict=True):
            found = found * len(axis.levels) + axis.texts.index(level)
        return found

    def changes(self, number: int) -> list[Override]:
        """What a cell changes on the base."""
        levels = zip(self._axes, self.levels(number), strict=True)
        return [axis.levels[level] for axis, level in levels]

    def experiment(self, number: int) -> Experiment:
        """That of a cell which can be built, put together of values that are validated."""
        values: dict[str, Any] = {}
        blocks = list(self._base.blocks)
        for part, axes in self._inside.items():
            own = sum(_of_axis(number, axis) for axis in axes)
            key, *index = part
            if index:
                blocks[int(index[0])] = self._validated[part][own]
            else:
                values[str(key)] = self._validated[part][own]
        return self._base.model_copy(update={"blocks": tuple(blocks), **values})

    # -------------------------------------------------------------------------- values of the parts

    def _part(self, path: KeyPath) -> KeyPath:
        """The part of the spec that a path lies in."""
        return path[:2] if path[:1] == BLOCKS and not self._whole else path[:1]

    def _values(self, part: KeyPath) -> Iterator[_Value]:
        """The values of a part of the spec in the grid, but those that cannot be."""
        if part not in self._inside:
            yield _Value(0, _at(self._base, part))
        else:
            yield from itertools.starmap(_Value, self._validated[part].items())

    @cached_property
    def _validated(self) -> dict[KeyPath, dict[int, Any]]:
        """The values of each part that has axes, by what its levels add to the number of a cell."""
        return {part: dict(self._read(part)) for part in self._inside}

    def _read(self, part: KeyPath) -> Iterator[tuple[int, Any]]:
        kind = _kind(part)
        above = [change for change in self._above if self._part(change.path) == part]
        for combination in itertools.product(*self._inside[part]):
            tree = self._tree
            try:
                for change in (*(level for _, level in combination), *above):
                    tree = changed(tree, change)
                value = kind.validate_python(_node(tree, part).plain())
                if isinstance(value, Recipe):
                    value = self._teachers.known_in(value)
                    self._teachers.check(self._base.model_copy(update={"recipe": value}))
            except (SpecError, ValidationError):
                continue
            yield sum(number for number, _ in combination), value

    def _recipes(self) -> Iterator[_Recipe]:
        for number, recipe in self._values(RECIPE):
            yield _Recipe(number, recipe, recipe_text(recipe))

    # ------------------------------------------------------------------------------------- networks

    def _networks(self) -> Iterator[_Network]:
        """The networks of the grid, but those that cannot be built."""
        heads = list(self._values(HEAD))
        outer = itertools.product(self._values(DEFAULTS), self._values(CLASSES), self._blocks())
        for defaults, classes, (number, blocks) in outer:
            number += defaults.number + classes.number
            common = {"defaults": defaults.value, "classes": classes.value}
            for parts in _grow([*blocks, heads], defaults.value, classes.value, _START, []):
                *body, head = parts
                values = {**common, "blocks": tuple(it.value for it in body), "head": head.value}
                try:
                    network = Experiment.model_validate({**dict(self._base), **values})
                    check_whole(network)
                    check_dataset(Loaded(network, {}))
                except (SpecError, ValidationError):
                    continue
                yield _Network(
                    number + sum(it.number for it in parts),
                    network,
                    joined(it.part for it in parts),
                    tuple(it.text for it in parts),
                )

    def _blocks(self) -> Iterator[tuple[int, list[list[_Value]]]]:
        """The values of every block; where an axis is all the blocks, those of one level each."""
        if self._whole:
            for number, blocks in self._values(BLOCKS):
                yield number, [[_Value(0, block)] for block in blocks]
        else:
            count = len(self._base.blocks)
            yield 0, [list(self._values(("blocks", index))) for index in range(count)]


def _grow(
    steps: list[list[_Value]],
    defaults: Defaults,
    classes: int,
    state: _State,
    taken: list[list[_Grown]],
) -> Iterator[tuple[_Grown, ...]]:
    """The networks of the values of each block, and of the head, from `state` on.

    `taken` are those values of the steps before that come to this state.
    """
    index = len(taken)
    if index == len(steps):
        yield from itertools.product(*taken)
        return
    alike: dict[_State, list[_Grown]] = {}
    for number, value in steps[index]:
        try:
            if isinstance(value, Block):
                layers = unroll_block(index, value, defaults, state.shape)
            else:
                layers = unroll_head(value, defaults, classes, state.shape)
        except SpecError:
            continue
        part = count_part(layers, state.position)
        text, tensors = layers_text(layers, state.tensors)
        shape = layers[-1].out_shape if layers else state.shape
        after = _State(shape, part.end, tensors)
        alike.setdefault(after, []).append(_Grown(number, value, part, text))
    for after, grown in alike.items():
        yield from _grow(steps, defaults, classes, after, [*taken, grown])


def _of_axis(number: int, levels: list[tuple[int, Override]]) -> int:
    """What an axis adds to the number of a cell, by what each of its levels does."""
    step = levels[1][0] if len(levels) > 1 else 1
    return levels[number // step % len(levels)][0]


def _kind(part: KeyPath) -> TypeAdapter[Any]:
    """What validates the values of a part of the spec."""
    key, *index = part
    return TypeAdapter(Block if index else Experiment.model_fields[str(key)].rebuild_annotation())


def _node(tree: Node, part: KeyPath) -> Node:
    """The part of the spec in the tree of it."""
    key, *index = part
    node = tree.entries[str(key)]
    return node.items[int(index[0])] if index else node


def _at(experiment: Experiment, part: KeyPath) -> Any:
    """The value of a part of the spec."""
    key, *index = part
    value = getattr(experiment, str(key))
    return value[index[0]] if index else value
