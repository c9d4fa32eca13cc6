"""Everything a sweep will do, before any of it is done. Nothing here imports torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mnist_arch.budget import broken_rules
from mnist_arch.datasets import INFO, DatasetName
from mnist_arch.errors import Problem, SpecError
from mnist_arch.identity import digest
from mnist_arch.loading import Loaded, check_dataset, resolve, validated
from mnist_arch.plan import plan
from mnist_arch.sweeps.definition import Axis, Definition
from mnist_arch.sweeps.specs import MAX_TRIALS
from mnist_arch.trees import Override, changed, override
from mnist_arch.yaml_text import Node, flow, place

Stage = Literal["ranking", "final"]
"""Ranking judges on the hold-out; final trains on all images and judges on test, once."""

HOLD_OUT_SHARE = 12
"""Unless the file says otherwise, one image in so many is held out: 5,000 of 60,000."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of an arm that is not its base's."""

    path: str
    value: str
    """As one would write it in YAML."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One experiment of a sweep, which is trained with several seeds."""

    name: str
    tree: Node
    changes: tuple[Override, ...]
    """What stands above the tree."""
    differs: tuple[Difference, ...]
    """From the base."""
    digest: str = ""
    """Of the experiment with the hold-out; empty where the network cannot be built."""
    parameters: int = 0
    macs: int = 0
    epochs: int = 0
    rejected: str = ""
    """Why it is not trained; empty where it is."""
    same_as: str = ""
    """The name of an earlier arm that is the same experiment, and is trained in its place."""
    cell: tuple[str, ...] | None = None
    """The levels of the grid's axes; None for an arm that is not of the grid."""
    searched: bool = False
    """Whether it was proposed by the search, and has one trial."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One arm with one seed."""

    arm: Arm
    seed: int
    stage: Stage
    digest: str

    @property
    def key(self) -> tuple[str, int]:
        """What its folder is found by."""
        return self.digest, self.seed


@dataclass(frozen=True)
class Planned:
    """A sweep's arms, counted and held against the budget."""

    definition: Definition
    dataset: DatasetName
    holdout: int
    arms: tuple[Arm, ...] = ()
    """Of list and grid, in the order of the file."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.definition.axes

    def loaded(self, arm: Arm, stage: Stage) -> Loaded:
        """The arm's experiment, with dataset and hold-out."""
        holdout = self.holdout if stage == "ranking" else 0
        above = (*self.definition.above, *_fixed(arm.name, self.dataset, holdout))
        return resolve(arm.tree, self.definition.source, (*arm.changes, *above))

    def trials(self) -> list[Trial]:
        """Of the ranking, seed by seed, so that all arms come as far as each other."""
        return [
            Trial(arm, seed, "ranking", arm.digest)
            for seed in range(self.definition.sweep.seeds)
            for arm in self.arms
            if not (arm.rejected or arm.same_as)
        ]

    def final_trials(self, arm: Arm) -> list[Trial]:
        """Of a finalist: other seeds than it was ranked by, all training images."""
        assert self.definition.sweep.finalists is not None
        first, count = self.definition.sweep.seeds, self.definition.sweep.finalists.seeds
        final = digest(self.loaded(arm, "final").experiment)
        return [Trial(arm, seed, "final", final) for seed in range(first, first + count)]

    def arm_of(
        self,
        name: str,
        changes: tuple[Override, ...],
        *,
        cell: tuple[str, ...] | None = None,
        searched: bool = False,
    ) -> Arm:
        """The base with changes, counted."""
        differs = tuple(
            Difference(place(change.path), flow(change.value.plain())) for change in changes
        )
        arm = Arm(name, self.definition.base, changes, differs, cell=cell, searched=searched)
        return self.counted(arm)

    def counted(self, arm: Arm) -> Arm:
        """The arm with its digest and counts, or with the reason why it is not trained."""
        tree, source = arm.tree, self.definition.source
        fixed = _fixed(arm.name, self.dataset, self.holdout)
        try:
            for change in (*arm.changes, *self.definition.above, *fixed):
                tree = changed(tree, change)
            experiment = validated(tree, source)
            check_dataset(Loaded(experiment, {}))
            planned = plan(experiment)
        except SpecError as error:
            reason = "; ".join(str(problem) for problem in error.problems)
            return replace(arm, rejected=f"cannot be built: {reason}")
        return replace(
            arm,
            digest=digest(experiment),
            parameters=planned.parameters,
            macs=planned.macs,
            epochs=experiment.recipe.epochs,
            rejected="; ".join(broken_rules(experiment, planned)),
        )


def plan_sweep(definition: Definition, *, dataset: DatasetName) -> Planned:
    """Counts every arm of list and grid. Nothing is trained, read or written.

    Raises SpecError for a sweep with more trials than MAX_TRIALS.
    """
    sweep, axes = definition.sweep, definition.axes
    holdout = sweep.holdout or INFO[dataset].train_images // HOLD_OUT_SHARE
    planned = Planned(definition, dataset, holdout)
    cells = math.prod(len(axis.levels) for axis in axes) if axes else 0
    if (trials := (len(definition.listed) + cells) * sweep.seeds) > MAX_TRIALS:
        message = f"{trials:,} trials are more than {MAX_TRIALS:,}"
        raise SpecError((Problem(message, "grid", definition.source, "use fewer values"),))
    arms: list[Arm] = []
    first: dict[str, str] = {}
    for arm in itertools.chain(_listed_arms(planned), _grid_arms(planned, cells)):
        same_as = first.setdefault(arm.digest, arm.name) if arm.digest else arm.name
        arms.append(arm if same_as == arm.name else replace(arm, same_as=same_as))
    return replace(planned, arms=tuple(arms))


def _fixed(name: str, dataset: DatasetName, holdout: int) -> tuple[Override, ...]:
    """What the sweep sets for each of its arms."""
    values = {"name": name, "dataset": dataset, "holdout": holdout}
    return tuple(override(key, value, origin="the sweep") for key, value in values.items())


def _listed_arms(planned: Planned) -> Iterator[Arm]:
    for listed in planned.definition.listed:
        own = {key: node for key, node in listed.own.entries.items() if key != "name"}
        differs = tuple(itertools.starmap(Difference, _leaves(own, "")))
        yield planned.counted(Arm(listed.name, listed.tree, (), differs))


def _grid_arms(planned: Planned, cells: int) -> Iterator[Arm]:
    """Every combination of the levels, the last axis changing fastest."""
    axes = planned.axes
    combinations = itertools.product(*(zip(axis.levels, axis.texts, strict=True) for axis in axes))
    for number, combination in enumerate(combinations if axes else (), start=1):
        name = f"grid-{number:0{len(str(cells))}}"
        changes = tuple(level for level, _ in combination)
        yield planned.arm_of(name, changes, cell=tuple(text for _, text in combination))


def _leaves(entries: Mapping[str, Node], path: str) -> Iterator[tuple[str, str]]:
    """Path and text of every value; lists, and the head, as a whole."""
    for key, node in entries.items():
        here = f"{path}.{key}" if path else key
        if isinstance(node.value, dict) and key != "head":
            yield from _leaves(node.value, here)
        else:
            yield here, flow(node.plain())
