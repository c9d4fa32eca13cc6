"""An experiment with what was counted of it: made once, then carried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from mnist_arch.counting.budget import within
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.catalog import DatasetName
from mnist_arch.data.folds import Folds
from mnist_arch.errors import Problem, ShapeError, SpecError
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded


@dataclass(frozen=True, repr=False)
class CountedExperiment:
    """An experiment, its plan, and the digest by which its runs are found."""

    experiment: Experiment
    plan: Plan
    origins: Mapping[str, str]
    """Place, such as `recipe.epochs`, to where its value was written; defaults are not in it."""

    def __repr__(self) -> str:
        kept = "within its budget" if within(self.experiment, self.plan) else "over its budget"
        counts = f"{self.parameters:,} parameters, {self.macs:,} MACs"
        return f"CountedExperiment({self.experiment.name}: {counts}, {kept})"

    def _repr_html_(self) -> str:
        return self.plan.html(repr(self))

    @property
    def parameters(self) -> int:
        return self.plan.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image forward, of convolutions and linear layers."""
        return self.plan.macs

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what the experiment means; see `counting.digest`.

        Raises ValueError while the dataset is `auto`, or the weights of a teacher are not known.
        """
        return digest(self.experiment, layers=self.plan.layers)

    def with_dataset(self, name: DatasetName) -> CountedExperiment:
        """The same on the dataset that `auto` is taken as; see `Loaded.with_dataset`."""
        if self.experiment.dataset == name:
            return self
        return self._as(self.loaded.with_dataset(name))

    def with_holdout(self, images: int, *, origin: str) -> CountedExperiment:
        """The same with so many training images held out."""
        return self._as(self.loaded.with_values({"holdout": images}, {"holdout": origin}))

    def for_seed(self, seed: int) -> CountedExperiment:
        """What the run of a seed trains: the same, with the fold that it is judged on, if any.

        Raises SpecError where another fold is named.
        """
        holdout = self.experiment.holdout
        if not isinstance(holdout, Folds):
            return self
        found = holdout.of_seed(seed)
        if holdout.fold not in (None, found.fold):
            message = f"seed {seed} is judged on fold {found.fold} of {holdout.folds}"
            message = f"{message}, not on fold {holdout.fold}"
            origin, hint = self.loaded.near("holdout.fold"), "leave `fold` out: it follows the seed"
            raise SpecError((Problem(message, "holdout.fold", origin, hint),))
        return self._as(self.loaded.with_values({"holdout": found}, {}))

    def _as(self, loaded: Loaded) -> CountedExperiment:
        """Another experiment with the same network."""
        return CountedExperiment(loaded.experiment, self.plan, loaded.origins)

    @property
    def loaded(self) -> Loaded:
        return Loaded(self.experiment, self.origins)

    @property
    def fell_back(self) -> bool:
        """Whether it is on the embedded sample since MNIST was not available."""
        return self.loaded.fell_back

    def folder_name(self, seed: int) -> str:
        """`<name>-<digest8>-s<seed>`, of the run with this seed."""
        return f"{self.experiment.name}-{self.digest[:8]}-s{seed}"


def count(loaded: Loaded) -> CountedExperiment:
    """Counts the network of an experiment.

    Raises ShapeError, with the line at which the place was written, where its layers cannot be
    connected.
    """
    try:
        return CountedExperiment(loaded.experiment, plan_network(loaded.experiment), loaded.origins)
    except ShapeError as error:
        where = (replace(problem, origin=loaded.near(problem.place)) for problem in error.problems)
        raise ShapeError(tuple(where)) from None
