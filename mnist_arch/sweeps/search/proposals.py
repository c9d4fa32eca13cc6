"""What a search has proposed, counted: new experiments, rejected ones, and what came again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

from mnist_arch.spec.overrides import Override, parse_path
from mnist_arch.spec.strict_yaml import Node, flow, place
from mnist_arch.sweeps.naming import Names
from mnist_arch.sweeps.planning import Arm, SweepPlan
from mnist_arch.sweeps.spec import Categorical, Dimension, Floats, Integers, Search

IN_VAIN: Final = 1000
"""Proposals in a row without a new experiment within the budget, after which a search gives up."""

Point = tuple[Any, ...]
"""The values of a proposal, in the order of the space, as Optuna has them."""


class Proposals:
    """The proposals of a search, in their order. None is trained, or asked for, here."""

    def __init__(self, plan: SweepPlan) -> None:
        self._plan = plan
        self._search = search_of(plan)
        self._size = size_of(self._search)
        self._names = Names(place(parse_path(path, "")) for path in self._search.space)
        self._named = {arm.name: arm.digest for arm in plan.arms}
        self._found: dict[str, Arm] = {}
        self.points: set[Point] = set()
        """All that has been proposed."""
        self.count = 0
        """Of all proposals, repeats included."""
        self.repeats = 0
        """Proposals of what had been proposed before, by its values or as the same experiment."""
        self.repeats_in_a_row = 0
        self.rejections: list[str] = []
        """Why each proposal that broke the budget, or could not be built, is not trained."""
        self._in_vain = 0

    @property
    def arms(self) -> list[Arm]:
        """The experiments within the budget, each once, in the order of their first proposal."""
        return list(self._found.values())

    @property
    def is_exhausted(self) -> bool:
        """Whether all that the space has was proposed."""
        return self._size is not None and len(self.points) >= self._size

    @property
    def is_given_up(self) -> bool:
        """Whether so many proposals in a row were in vain that no more are asked for."""
        return self._in_vain >= IN_VAIN and not self.is_exhausted

    @property
    def has_ended_early(self) -> bool:
        """Whether nothing more is proposed, though fewer trials than asked for are found."""
        enough = len(self._found) >= self._search.trials
        return not enough and (self.is_exhausted or self.is_given_up)

    @property
    def shortfall(self) -> str:
        """Why there are fewer trials than asked for; empty unless the search has ended so."""
        if not self.has_ended_early:
            return ""
        found = f"{len(self._found):,} of {self._search.trials:,} trials"
        if self.is_exhausted:
            return f"{found}: the space is exhausted, {self._what_it_has()}"
        return f"{found}: given up after {IN_VAIN:,} proposals in a row without a new one"

    def _what_it_has(self) -> str:
        """`all of its 6 combinations were proposed (2 broke the budget or could not be built)`."""
        rejected = len(self.rejections)
        same = len(self.points) - len(self._found) - rejected
        notes = [f"{rejected:,} broke the budget or could not be built"] if rejected else []
        notes += [f"{same:,} are the same experiment as another"] if same else []
        more = f" ({', '.join(notes)})" if notes else ""
        return f"all of its {self._size:,} combinations were proposed{more}"

    def take(self, params: Mapping[str, Any]) -> Arm | None:
        """The arm of the next proposal, which may be rejected; None where it repeats another."""
        self.count += 1
        point = tuple(params[path] for path in self._search.space)
        known = point in self.points
        self.points.add(point)
        arm = None if known else self._arm(params)
        if arm is None or (arm.digest in self._found and not arm.rejected):
            self.repeats += 1
            self.repeats_in_a_row += 1
            self._in_vain += 1
            return None
        self.repeats_in_a_row = 0
        self._named[arm.name] = arm.digest
        if arm.rejected:
            self.rejections.append(f"{arm.name}: {arm.rejected}")
            self._in_vain += 1
        else:
            self._found[arm.digest] = arm
            self._in_vain = 0
        return arm

    def _arm(self, params: Mapping[str, Any]) -> Arm:
        """A proposal as an arm, called by its values, to four digits where they are of a range."""
        made = changes(self._search, params)
        dimensions = self._search.space.values()
        texts = [
            f"{change.value.value:.4g}" if isinstance(it, Floats) else flow(change.value.plain())
            for change, it in zip(made, dimensions, strict=True)
        ]
        places = [place(change.path) for change in made]
        name = self._names.name(list(zip(places, texts, strict=True)))
        arm = self._plan.arm_of(name, made, proposal=self.count)
        number = 1
        while self._named.get(arm.name, arm.digest) != arm.digest:  # which rounds alike
            number += 1
            arm = replace(arm, name=f"{name}~{number}")
        return arm


def search_of(plan: SweepPlan) -> Search:
    """The search of a sweep, which must have one."""
    search = plan.definition.sweep.search
    assert search is not None
    return search


def changes(search: Search, params: Mapping[str, Any]) -> tuple[Override, ...]:
    """What a proposal changes on the base, in the order of the space."""
    origin = "the search"
    return tuple(
        Override(parse_path(path, origin), Node.of(_value(dimension, params[path]), origin))
        for path, dimension in search.space.items()
    )


def _value(dimension: Dimension, param: Any) -> object:
    return json.loads(param) if isinstance(dimension, Categorical) else param


def texts_of(choices: Sequence[Any]) -> list[str]:
    """Choices as JSON: Optuna's are scalars, of which it holds 1, 1.0 and true for the same."""
    return [json.dumps(choice) for choice in choices]


def values_of(dimension: Dimension) -> Sequence[Any] | None:
    """All values of a dimension, as Optuna has them; None for a range that has no end."""
    match dimension:
        case Categorical(choices=choices):
            return texts_of(choices)
        case Integers(low=low, high=high, step=step):
            return range(low, high + 1, step)
        case Floats(low=low, high=high):
            return [low] if low == high else None
        case never:
            assert_never(never)


def size_of(search: Search) -> int | None:
    """The number of combinations of a space; None where it has no end."""
    values = [values_of(dimension) for dimension in search.space.values()]
    if any(it is None for it in values):
        return None
    return math.prod(len(it) for it in values if it is not None)
