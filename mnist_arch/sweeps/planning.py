"""Everything a sweep will do, before any of it is done. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from mnist_arch.counting.budget import broken_rules
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.errors import SpecError
from mnist_arch.spec.experiment import Budget, Counts, Experiment
from mnist_arch.spec.loading import (
    FELL_BACK,
    Loaded,
    check_dataset,
    check_holdout,
    resolve,
    validated,
)
from mnist_arch.spec.overrides import Override, changed, override
from mnist_arch.spec.strict_yaml import Node, flow, place
from mnist_arch.sweeps.axes import Axis
from mnist_arch.sweeps.grid import Grid
from mnist_arch.sweeps.loading import Definition
from mnist_arch.sweeps.naming import Names, run_name

Stage = Literal["ranking", "final"]
"""Ranking judges on the hold-out; final trains on all images and judges on test, once."""

HOLD_OUT_SHARE = 12
"""Unless the file says otherwise, one image in so many is held out: 5,000 of 60,000."""


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """A value of an arm that is not its base's."""

    place: str
    """In the spec."""
    value: str
    """As one would write it in YAML."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One experiment of a sweep, which is trained with several seeds."""

    name: str
    """The file's, or that of its values; no other arm has it."""
    tree: Node
    changes: tuple[Override, ...]
    """What stands above the tree."""
    differs: tuple[ChangedValue, ...]
    """From the base."""
    digest: str = ""
    """Of the experiment with the hold-out; empty where the network cannot be built."""
    parameters: int = 0
    macs: int = 0
    epochs: int = 0
    batch_bytes: int = 0
    """Of what the layers come to for a batch."""
    rejected: str = ""
    """Why it is not trained; empty where it is."""
    same_as: str = ""
    """The name of an earlier arm that is the same experiment, and is trained in its place."""
    in_grid: bool = False
    """Whether it is a cell of the grid."""
    proposal: int | None = None
    """Its number among the proposals of the search, from 1, of which it has one trial; None for an
    arm of list or grid."""

    @property
    def counts(self) -> Counts:
        """What the budget limits."""
        return Counts(self.parameters, self.epochs)

    @property
    def cell(self) -> tuple[str, ...] | None:
        """The levels of the grid's axes; None for an arm that is not of the grid."""
        return tuple(it.value for it in self.differs) if self.in_grid else None


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
class SweepPlan:
    """A sweep's arms, counted and held against the budget."""

    definition: Definition
    dataset: DatasetName
    holdout: int
    arms: tuple[Arm, ...] = ()
    """Of list and grid, in the order of the file."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.definition.axes

    @cached_property
    def base(self) -> Experiment:
        """What list, grid and search start from, under what stands above every arm."""
        above = self.above
        return resolve(self.definition.base, self.definition.source, above).experiment

    @cached_property
    def above(self) -> tuple[Override, ...]:
        """What stands above every arm of the ranking."""
        return (*self.definition.above, *self._fixed(self.holdout))

    @property
    def fell_back(self) -> bool:
        """Whether it is on the embedded sample since MNIST could not be had."""
        return (self.definition.sweep.dataset, self.dataset) == ("auto", "mnist-5k")

    def _fixed(self, holdout: int) -> tuple[Override, ...]:
        """What the sweep sets for all of its arms."""
        origin = FELL_BACK if self.fell_back else "the sweep"
        return (
            override("dataset", self.dataset, origin=origin),
            override("holdout", holdout, origin="the sweep"),
        )

    def loaded(self, arm: Arm, stage: Stage) -> Loaded:
        """The arm's experiment, with dataset and hold-out."""
        holdout = self.holdout if stage == "ranking" else 0
        above = (*self.definition.above, *self._fixed(holdout), _called(arm))
        return resolve(arm.tree, self.definition.source, (*arm.changes, *above))

    @cached_property
    def question(self) -> str:
        """SHA-256 of what a leaderboard answers; two files that ask for the same have the same.

        Names and the order of the arms do not count, nor does what trains them.
        """
        sweep = self.definition.sweep
        content = {
            "dataset": self.dataset,
            "holdout": self.holdout,
            "seeds": sweep.seeds,
            "arms": sorted((arm.digest, arm.cell or ()) for arm in self.arms),
            "base": None if sweep.search is None else self.arm_of("base", ()).digest,
            "search": sweep.search and sweep.search.model_dump(mode="json"),
            "finalists": sweep.finalists and sweep.finalists.model_dump(mode="json"),
            "budget": self.budget.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def budget(self) -> Budget:
        """The rules of the sweep, which are the same for all arms."""
        return self.base.budget

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
        proposal: int | None = None,
    ) -> Arm:
        """The base with changes, counted."""
        differs = tuple(map(_difference, changes))
        base = self.definition.base
        return self.counted(Arm(name, base, changes, differs, proposal=proposal))

    def counted(self, arm: Arm) -> Arm:
        """The arm with its digest and counts, or with the reason why it is not trained."""
        tree = arm.tree
        try:
            for change in (*arm.changes, *self.above, _called(arm)):
                tree = changed(tree, change)
            experiment = validated(tree, self.definition.source)
            check_dataset(Loaded(experiment, {}))
            plan = plan_network(experiment)
        except SpecError as error:
            reason = "; ".join(str(problem) for problem in error.problems)
            return replace(arm, rejected=f"cannot be built: {reason}")
        found = self.counted_as(experiment, plan, digest(experiment, layers=plan.layers))
        return replace(arm, **found)

    def counted_as(self, experiment: Experiment, plan: Plan, digest: str) -> dict[str, Any]:
        """What an arm says of its experiment."""
        return {
            "digest": digest,
            "parameters": plan.parameters,
            "macs": plan.macs,
            "epochs": experiment.recipe.epochs,
            "batch_bytes": plan.activation_bytes * self._batch(experiment),
            "rejected": "; ".join(broken_rules(experiment, plan)),
        }

    def _batch(self, experiment: Experiment) -> int:
        """Images of its largest batch."""
        return min(experiment.recipe.batch_size, INFO[self.dataset].train_images)

    @property
    def largest_batch_bytes(self) -> int:
        """Of the arms that are trained, and of the base, from which a search begins."""
        arms = (self.arm_of("base", ()), *self.arms)
        return max(arm.batch_bytes for arm in arms if not arm.rejected or arm is arms[0])


def plan_sweep(definition: Definition, *, dataset: DatasetName) -> SweepPlan:
    """Counts every arm of list and grid. Nothing is trained, read or written.

    Raises SpecError for a hold-out that leaves nothing to train on.
    """
    plan = SweepPlan(definition, dataset, _holdout(definition, dataset))
    arms: list[Arm] = []
    first: dict[str, str] = {}
    for arm in itertools.chain(_listed_arms(plan), _grid_arms(plan)):
        same_as = first.setdefault(arm.digest, arm.name) if arm.digest else arm.name
        arms.append(arm if same_as == arm.name else replace(arm, same_as=same_as))
    return replace(plan, arms=tuple(arms))


def _holdout(definition: Definition, dataset: DatasetName) -> int:
    """Images that arms are ranked on. Raises SpecError where a class would keep none of its own."""
    holdout = definition.sweep.holdout
    if holdout is None:
        return INFO[dataset].train_images // HOLD_OUT_SHARE
    check_holdout(holdout, dataset, origin=definition.base.entries["holdout"].origin)
    return holdout


def _called(arm: Arm) -> Override:
    """The name of the network, which is also that of the folders of its trials."""
    return Override(("name",), Node(run_name(arm.name), "the sweep"))


def _difference(change: Override) -> ChangedValue:
    return ChangedValue(place(change.path), flow(change.value.plain()))


def _listed_arms(plan: SweepPlan) -> Iterator[Arm]:
    for listed in plan.definition.listed:
        own = {key: node for key, node in listed.own.entries.items() if key != "name"}
        differs = tuple(itertools.starmap(ChangedValue, _leaves(own, "")))
        yield plan.counted(Arm(listed.name, listed.tree, (), differs))


def _grid_arms(plan: SweepPlan) -> Iterator[Arm]:
    """Every combination of the levels, the last axis changing fastest."""
    axes, base = plan.axes, plan.definition.base
    if not axes:
        return
    names = Names(place(axis.levels[0].path) for axis in axes)
    values = [[(it, _difference(it)) for it in axis.levels] for axis in axes]
    grid = Grid(base, plan.base, axes, plan.above)

    def arm(number: int, **counts: Any) -> Arm:
        levels = [of[at] for of, at in zip(values, grid.levels(number), strict=True)]
        changes, differs = zip(*levels, strict=True)
        name = names.name([(it.place, it.value) for it in differs])
        return Arm(name, base, changes, differs, in_grid=True, **counts)

    found: list[Arm | None] = [None] * grid.size
    for cell in grid.cells():
        counts = plan.counted_as(cell.experiment, cell.plan, cell.digest)
        found[cell.number] = arm(cell.number, **counts)
    for number, counted in enumerate(found):
        yield plan.counted(arm(number)) if counted is None else counted


def _leaves(entries: Mapping[str, Node], path: str) -> Iterator[tuple[str, str]]:
    """Path and text of every value; lists, and the head, as a whole."""
    for key, node in entries.items():
        here = f"{path}.{key}" if path else key
        if isinstance(node.value, dict) and key != "head":
            yield from _leaves(node.value, here)
        else:
            yield here, flow(node.plain())
