"""The axes of a sweep: paths of the spec, the values they take, and whether these fit the base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, assert_never

from mnist_arch.errors import Problem, SpecError
from mnist_arch.runs.teachers import Teachers
from mnist_arch.spec.grammar import keys_by_kind
from mnist_arch.spec.loading import validated
from mnist_arch.spec.overrides import EXTENDS, Override, changed, is_argument, parse_path
from mnist_arch.spec.strict_yaml import KeyPath, Node, flow, place
from mnist_arch.sweeps.spec import SHARED, Categorical, Dimension, Floats, Integers

AT_THE_TOP: Final = "set it at the top of the sweep's file"
_ALONE: Final = "each value of an axis has to fit the base by itself"


@dataclass(frozen=True)
class Axis:
    """A place in the spec and the values that a grid gives it."""

    place: str
    """Such as `defaults.dropout`."""
    levels: tuple[Override, ...]

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The levels as one would write them."""
        return tuple(flow(level.value.plain()) for level in self.levels)


class AxisChecks:
    """Checks one axis after the other. They start from `base`; `above` stands over all of them."""

    def __init__(self, base: Node, above: tuple[Override, ...], teachers: Teachers) -> None:
        self.base = base
        self.above = above
        self.teachers = teachers
        self.taken: list[tuple[str, KeyPath]] = []

    def listed(self, text: str, values: Node) -> Axis:
        """An axis of a grid. Raises SpecError."""
        path = self._take(text, values.origin)
        levels = tuple(Override(path, value) for value in values.items)
        _refuse_repeated(levels)
        self._check(levels)
        return Axis(text, levels)

    def check(self, text: str, dimension: Dimension, written: Node) -> None:
        """Checks a dimension of a search by its choices, or its bounds. Raises SpecError."""
        path = self._take(text, written.origin)
        match dimension:
            case Categorical():
                choices = written.value if isinstance(written.value, list) else None
                values = written.entries["choices"].items if choices is None else choices
                levels = [Override(path, value) for value in values]
                _refuse_repeated(levels)
            case Integers() | Floats():
                low, high = written.entries["low"].origin, written.entries["high"].origin
                bounds = (Node(dimension.low, low), Node(dimension.high, high))
                levels = [Override(path, bound) for bound in bounds]
            case never:
                assert_never(never)
        self._check(levels)

    def _take(self, text: str, origin: str) -> KeyPath:
        """The path of an axis. Raises SpecError where an axis cannot be."""
        path = parse_path(text, origin)
        if problem := self._in_the_way(path, origin):
            raise SpecError((problem,))
        self.taken.append((text, path))
        return path

    def _in_the_way(self, path: KeyPath, origin: str) -> Problem | None:
        key, here = path[0], place(path)
        if key in SHARED:
            message = f"`{key}` is the same for a whole sweep"
            return Problem(message, here, origin, AT_THE_TOP)
        if key in ("name", "extends"):
            hint = "list such arms under `experiments`"
            return Problem(f"`{key}` cannot be an axis", here, origin, hint)
        for flag in self.above:
            if flag.path == path:
                name = flag.value.origin
                message = f"{name} would replace all values of this axis"
                return Problem(message, here, origin, f"leave out {name}, or the axis")
        is_kind = path[-1] == "kind" and bool(keys_by_kind(path[:-1]))
        replaced = path[:-1] if is_kind or path == EXTENDS else path
        for other, earlier in self.taken:
            if earlier[: len(replaced)] == replaced:
                message = f"this axis would replace what the axis `{other}` sets"
                way_out = "leave one of them out" if earlier == path else f"put it before `{other}`"
                return Problem(message, here, origin, way_out)
        return None

    def _check(self, levels: Sequence[Override]) -> None:
        """Raises SpecError for a path that the spec has not, and values that do not fit there."""
        problems: dict[tuple[str, str], Problem] = {}  # a wrong path is wrong for every value
        for level in levels:
            try:
                experiment = validated(changed(self.base, level), "")
                self.teachers.known_in(experiment.recipe, origin=level.value.origin)
            except SpecError as error:
                for problem in error.problems:
                    found = told_at(problem, level.value)
                    if not found.place.startswith(place(level.path)):
                        found = replace(found, hint=found.hint or _ALONE)
                    problems.setdefault((found.message, found.place), found)
        if problems:
            raise SpecError(tuple(problems.values()))


def told_at(problem: Problem, node: Node) -> Problem:
    """The problem at a line of `node`, which has caused it wherever else it shows."""
    known = is_argument(problem.origin) or problem.origin in _lines(node)
    return problem if known else replace(problem, origin=node.origin)


def _lines(node: Node) -> Iterator[str]:
    yield from (node.origin, node.key)
    match node.value:
        case dict() as entries:
            for child in entries.values():
                yield from _lines(child)
        case list() as items:
            for child in items:
                yield from _lines(child)


def _refuse_repeated(levels: Sequence[Override]) -> None:
    first: dict[str, str] = {}
    for level in levels:
        text, origin = flow(level.value.plain()), level.value.origin
        if text in first:
            message = f"the value {text} stands here again"
            hint = f"it was first given at {first[text]}"
            raise SpecError((Problem(message, place(level.path), origin, hint),))
        first[text] = origin
