"""Everything a sweep will do, before any of it is done. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from mnist_arch.counting.budget import broken_rules, counts_of, limited_counts
from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.folds import (
    AnyHoldOut,
    Folds,
    folds_of,
    held_out_text,
    images_held_out,
    stated,
)
from mnist_arch.errors import SpecError
from mnist_arch.runs.teachers import PLACE
from mnist_arch.spec.experiment import Budget, Counts, Experiment
from mnist_arch.spec.loading import (
    FELL_BACK,
    Loaded,
    check_dataset,
    check_holdout,
    origins_of,
    resolve,
)
from mnist_arch.spec.overrides import Override, override
from mnist_arch.spec.recipe import watches_holdout
from mnist_arch.spec.strict_yaml import Node, flow, place
from mnist_arch.sweeps.axes import Axis
from mnist_arch.sweeps.grid import Grid
from mnist_arch.sweeps.loading import Definition
from mnist_arch.sweeps.naming import Names, run_name
from mnist_arch.sweeps.spec import Categorical, Cost, Smallest

Stage = Literal["ranking", "final"]
"""Ranking judges on the hold-out; final trains on all images and judges on test, once."""

NO_FINALS: Final = (
    "finalists train on all images, without the hold-out that `recipe.schedule.watch` is about"
)

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
    differs: tuple[ChangedValue, ...]
    """From the base."""
    digest: str = ""
    """Of the experiment with the hold-out; empty where the network cannot be built."""
    parameters: int = 0
    macs: int = 0
    inference_bytes: int | None = None
    """To classify one image, in float32; None where nothing asks for it."""
    epochs: int = 0
    rejected: str = ""
    """Why it is not trained; empty where it is."""
    same_as: str = ""
    """The name of an earlier arm that is the same experiment, and is trained in its place."""
    of_grid: bool = False
    """Whether it is a cell of the grid, with a level of each axis in `differs`."""
    proposal: int | None = None
    """Its number among the proposals of the search, from 1; None for an arm of list or grid."""
    seeds: int = 1
    """Of a proposal, how many it has got by what came out so far."""
    counted: CountedExperiment | None = field(default=None, compare=False, repr=False)
    """What it is in the ranking. None where it cannot be built, and for a cell of the grid, of
    which there are many: see `SweepPlan.counted`."""

    @property
    def counts(self) -> Counts:
        """What the budget limits."""
        return Counts(self.parameters, self.epochs, self.macs, self.inference_bytes)

    def cost(self, of: Cost) -> int:
        """What is to be small."""
        costs = {"parameters": self.parameters, "macs": self.macs, "bytes": self.inference_bytes}
        return costs[of] or 0

    @property
    def cell(self) -> tuple[str, ...] | None:
        """The levels of the grid's axes; None for an arm that is not of the grid."""
        return tuple(it.value for it in self.differs) if self.of_grid else None


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
    holdout: AnyHoldOut
    grid: Grid = field(compare=False, repr=False)
    """The axes over the base."""
    arms: tuple[Arm, ...] = ()
    """Of list and grid, in the order of the file."""
    cell_bytes: int = 0
    """The most that the layers of a cell that is trained take for a batch."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.definition.axes

    @cached_property
    def base(self) -> Arm:
        """What list, grid and search start from, under what stands above every arm."""
        return self._arm(Arm("base", ()), self.definition.common)

    def base_at(self, stage: Stage) -> Experiment:
        """The base with dataset and hold-out, as seed 0 trains it."""
        base = self._placed(self.definition.common, "base").experiment
        holdout = self.holdout.of_seed(0) if isinstance(self.holdout, Folds) else self.holdout
        return base.model_copy(update={"holdout": holdout if stage == "ranking" else 0})

    @property
    def folds(self) -> int | None:
        """In how many folds the training images are; None where a number of them is held out."""
        return folds_of(self.holdout)

    @property
    def holdout_images(self) -> int:
        """Images that a trial of the ranking is judged on; of folds, the largest of them."""
        return images_held_out(self.holdout, INFO[self.dataset].train_images)

    @property
    def held_out(self) -> str:
        """`5,000 images held out`, or `12 folds of 5,000 images`."""
        return held_out_text(self.holdout_images, self.folds)

    @property
    def fell_back(self) -> bool:
        """Whether it is on the embedded sample since MNIST was not available."""
        return _fell_back(self.definition, self.dataset)

    def counted(self, arm: Arm, stage: Stage) -> CountedExperiment:
        """What the arm trains, which is not validated again.

        A cell of the grid is put together of its parts, and counted: 10,000 arms need not keep
        their experiments, of which few are trained at a time.
        """
        if arm.rejected:
            raise ValueError(f"{arm.name} is not trained: {arm.rejected}")
        counted = self._cell(arm) if arm.counted is None else arm.counted
        return counted if stage == "ranking" else counted.with_holdout(0, origin="the sweep")

    def fold_of(self, trial: Trial) -> int | None:
        """The fold that a trial of the ranking is judged on; None where there are none."""
        return trial.seed % self.folds if self.folds and trial.stage == "ranking" else None

    def trained_by(self, trial: Trial) -> CountedExperiment:
        """What a trial trains: of folds, with the one that it is judged on."""
        return self.counted(trial.arm, trial.stage).for_seed(trial.seed)

    def _cell(self, arm: Arm) -> CountedExperiment:
        number = self.grid.number(arm.cell or ())
        experiment, changes = self.grid.experiment(number), self.grid.changes(number)
        origins = origins_of(self.definition.base, (*changes, *self.definition.above))
        loaded = self._placed(Loaded(experiment, origins), arm.name)
        plan = plan_network(loaded.experiment)
        return CountedExperiment(loaded.experiment, plan, loaded.origins)

    def _placed(self, loaded: Loaded, name: str) -> Loaded:
        return _placed(loaded, name, self.definition, self.dataset, self.holdout)

    @cached_property
    def question(self) -> str:
        """SHA-256 of what a leaderboard answers; two files that ask for the same have the same.

        Names and the order of the arms do not count, nor does what trains them.
        """
        sweep = self.definition.sweep
        content = {
            "dataset": self.dataset,
            "holdout": stated(self.holdout),
            "seeds": sweep.seeds,
            "arms": sorted((arm.digest, arm.cell or ()) for arm in self.arms),
            "base": None if sweep.search is None else self.base.digest,
            "search": sweep.search and sweep.search.stated(),
            "finalists": sweep.finalists and sweep.finalists.stated(),
            "budget": self.budget.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def cost(self) -> Cost:
        """What is to be small beside what is accurate."""
        search = self.definition.sweep.search
        return "parameters" if search is None else search.cost

    @property
    def smallest(self) -> Smallest | None:
        """What is good enough, where the smallest that is so is looked for."""
        search = self.definition.sweep.search
        objective = None if search is None else search.objective
        return objective if isinstance(objective, Smallest) else None

    @property
    def budget(self) -> Budget:
        """The rules of the sweep, which are the same for all arms."""
        return self.definition.common.experiment.budget

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
        sweep = self.definition.sweep
        first = max(sweep.seeds, 0 if sweep.search is None else sweep.search.seeds)
        count = self.definition.sweep.finalists.seeds
        final = self.counted(arm, "final").digest
        return [Trial(arm, seed, "final", final) for seed in range(first, first + count)]

    def distinct(self, arms: Iterable[Arm]) -> list[Arm]:
        """Arms of a search, with the arm of list or grid that is the same experiment, if any is."""
        known = {arm.digest: arm.name for arm in self.arms if not (arm.rejected or arm.same_as)}
        return [replace(arm, same_as=known.get(arm.digest, "")) for arm in arms]

    def arm_of(self, name: str, changes: Sequence[Override], *, proposal: int | None = None) -> Arm:
        """The base with changes, counted."""
        arm = Arm(name, tuple(map(_difference, changes)), proposal=proposal)
        return self._changed(arm, changes)

    def _changed(self, arm: Arm, changes: Sequence[Override]) -> Arm:
        """The arm counted, which is the base with changes."""
        definition = self.definition
        try:
            above = (*changes, *definition.above)
            return self._arm(arm, resolve(definition.base, definition.source, above))
        except SpecError as error:
            return _not_built(arm, error)

    def _arm(self, arm: Arm, loaded: Loaded, plan: Plan | None = None) -> Arm:
        """The arm with its counts, or with the reason why it is not trained.

        `plan` is that of its network, if it is known.
        """
        teachers = self.definition.teachers
        try:
            loaded = teachers.known(self._placed(loaded, arm.name))
            check_dataset(Loaded(loaded.experiment, {}))
            teachers.check(loaded.experiment)
            plan = plan_network(loaded.experiment) if plan is None else plan
        except SpecError as error:
            return _not_built(arm, error)
        counted = CountedExperiment(loaded.experiment, plan, loaded.origins)
        counts = _counts(
            counted.experiment, plan, counted.digest, cost=self.cost, finals=self.has_finals
        )
        return replace(arm, **counts, counted=counted)

    @property
    def has_finals(self) -> bool:
        """Whether some arms are trained again, on the whole training split."""
        return self.definition.sweep.finalists is not None

    def batch_bytes(self, experiment: Experiment, plan: Plan) -> int:
        """What the layers of an experiment take for its largest batch."""
        images = min(experiment.recipe.batch_size, INFO[self.dataset].train_images)
        return plan.activation_bytes * images

    @property
    def largest_batch_bytes(self) -> int:
        """Of the arms that are trained, and of the base, from which a search begins."""
        counted = [self.base.counted, *(arm.counted for arm in self.arms if not arm.rejected)]
        each = (self.batch_bytes(it.experiment, it.plan) for it in counted if it is not None)
        return max(self.cell_bytes, *each, 0)


def plan_sweep(definition: Definition, *, dataset: DatasetName) -> SweepPlan:
    """Counts every arm of list and grid. Nothing is trained, read or written.

    Raises SpecError for a hold-out that leaves nothing to train on, and for a teacher of the base
    that does not fit it.
    """
    holdout = _holdout(definition, dataset)
    base = _placed(definition.common, "base", definition, dataset, holdout).experiment
    definition.teachers.check(base, origin=definition.common.near(PLACE))
    grid = Grid(definition.base, base, definition.axes, definition.above, definition.teachers)
    plan = SweepPlan(definition, dataset, holdout, grid)
    cells, cell_bytes = _grid_arms(plan) if definition.axes else (iter(()), 0)
    arms = tuple(_told_apart(itertools.chain(_listed_arms(plan), cells)))
    _check_searched_teachers(plan)
    return replace(plan, arms=arms, cell_bytes=cell_bytes)


def _check_searched_teachers(plan: SweepPlan) -> None:
    """Refuses a teacher of the space that would make every proposal with it none.

    Raises SpecError.
    """
    search = plan.definition.sweep.search
    for where, dimension in search.space.items() if search is not None else ():
        if not where.startswith(PLACE) or not isinstance(dimension, Categorical):
            continue
        for value in dimension.choices:
            origin = f"search.space.{where}"
            change = override(where, value, origin=origin)
            definition = plan.definition
            loaded = resolve(definition.base, definition.source, (change, *definition.above))
            known = definition.teachers.known(plan._placed(loaded, "base"))
            definition.teachers.check(known.experiment, origin=origin)


def _told_apart(arms: Iterable[Arm]) -> Iterator[Arm]:
    """Arms, of which those that are an earlier one say so."""
    first: dict[str, str] = {}
    for arm in arms:
        same_as = first.setdefault(arm.digest, arm.name) if arm.digest else arm.name
        yield arm if same_as == arm.name else replace(arm, same_as=same_as)


def _placed(
    loaded: Loaded, name: str, definition: Definition, dataset: DatasetName, holdout: AnyHoldOut
) -> Loaded:
    """The experiment of an arm: with its name, which is also that of the folders of its trials, and
    with what the sweep sets for all of them.
    """
    values = {"name": run_name(name), "dataset": dataset, "holdout": holdout}
    origins = dict.fromkeys(values, "the sweep")
    if _fell_back(definition, dataset):
        origins["dataset"] = FELL_BACK
    return loaded.with_values(values, origins)


def _fell_back(definition: Definition, dataset: DatasetName) -> bool:
    return (definition.sweep.dataset, dataset) == ("auto", "mnist-5k")


def _counts(
    experiment: Experiment, plan: Plan, digest: str, *, cost: Cost, finals: bool
) -> dict[str, Any]:
    """What an arm says of its experiment, which is searched for little `cost`.

    With `finals` it is to be trained without a hold-out, too.
    """
    of = counts_of if cost == "bytes" else limited_counts
    watches = watches_holdout(experiment.recipe.schedule)
    return {
        "digest": digest,
        "parameters": plan.parameters,
        "macs": plan.macs,
        "inference_bytes": of(experiment, plan).bytes,
        "epochs": experiment.recipe.epochs,
        "rejected": "; ".join(
            [*broken_rules(experiment, plan), *([NO_FINALS] if finals and watches else [])]
        ),
    }


def _holdout(definition: Definition, dataset: DatasetName) -> AnyHoldOut:
    """Images that arms are ranked on. Raises SpecError where a class would keep none of its own."""
    holdout = definition.sweep.holdout
    if holdout is None:
        return INFO[dataset].train_images // HOLD_OUT_SHARE
    check_holdout(holdout, dataset, origin=definition.base.entries["holdout"].origin)
    return holdout


def _not_built(arm: Arm, error: SpecError) -> Arm:
    reason = "; ".join(str(problem) for problem in error.problems)
    return replace(arm, rejected=f"cannot be built: {reason}")


def _difference(change: Override) -> ChangedValue:
    return ChangedValue(place(change.path), flow(change.value.plain()))


def _listed_arms(plan: SweepPlan) -> Iterator[Arm]:
    for listed in plan.definition.listed:
        own = {key: node for key, node in listed.own.entries.items() if key != "name"}
        differs = tuple(itertools.starmap(ChangedValue, _leaves(own, "")))
        yield plan._arm(Arm(listed.name, differs), listed.counted.loaded, listed.counted.plan)


def _grid_arms(plan: SweepPlan) -> tuple[Iterator[Arm], int]:
    """Every combination of the levels, the last axis changing fastest; and the most bytes that a
    batch of one that is trained needs.
    """
    names = Names(place(axis.levels[0].path) for axis in plan.axes)
    values = [[_difference(it) for it in axis.levels] for axis in plan.axes]
    grid = plan.grid

    def arm(number: int, **counts: Any) -> Arm:
        levels = zip(values, grid.levels(number), strict=True)
        differs = tuple(of[level] for of, level in levels)
        name = names.name([(it.place, it.value) for it in differs])
        return Arm(name, differs, of_grid=True, **counts)

    found: list[Arm | None] = [None] * grid.size
    most = 0
    for cell in grid.cells():
        counts = _counts(
            cell.experiment, cell.plan, cell.digest, cost=plan.cost, finals=plan.has_finals
        )
        found[cell.number] = arm(cell.number, **counts)
        if not counts["rejected"]:
            most = max(most, plan.batch_bytes(cell.experiment, cell.plan))
    arms = (
        plan._changed(arm(number), grid.changes(number)) if counted is None else counted
        for number, counted in enumerate(found)
    )
    return arms, most


def _leaves(entries: Mapping[str, Node], path: str) -> Iterator[tuple[str, str]]:
    """Path and text of every value; lists, and the head, as a whole."""
    for key, node in entries.items():
        here = f"{path}.{key}" if path else key
        if isinstance(node.value, dict) and key != "head":
            yield from _leaves(node.value, here)
        else:
            yield here, flow(node.plain())
