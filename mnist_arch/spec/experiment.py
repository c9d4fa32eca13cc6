"""An experiment: a network, a recipe, a dataset and a budget with its verdicts."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StrictFloat, StrictInt

from mnist_arch.data.catalog import DatasetName
from mnist_arch.html import table
from mnist_arch.spec.network import (
    NAME_PATTERN,
    Network,
)
from mnist_arch.spec.recipe import Recipe
from mnist_arch.values import Record, Spec

Verdict = Literal["kept", "missed", "none"]


class Verdicts(Record):
    """The three rules of the budget."""

    parameters: Verdict
    epochs: Verdict
    accuracy: Verdict


class Counts(NamedTuple):
    """The two whole numbers that a budget limits."""

    parameters: int
    epochs: int


class Budget(Spec):
    """The rules of the exercise."""

    parameters_below: Annotated[StrictInt, Field(gt=0)] = 20_000
    """The network has fewer parameters than this."""
    epochs_below: Annotated[StrictInt, Field(gt=0)] = 20
    """The training has fewer epochs than this."""
    accuracy_percent: Annotated[StrictFloat, Field(ge=0, le=100, allow_inf_nan=False)] = 99.4
    """The final test accuracy is at least this."""
    dataset: DatasetName = "mnist"
    """The dataset on whose test split the accuracy is judged."""

    @property
    def most(self) -> Counts:
        """The most that keep the rules, one fewer than those that break them."""
        return Counts(self.parameters_below - 1, self.epochs_below - 1)

    def headroom(self, counts: Counts) -> Counts:
        """What is left below the limits; negative where a rule is broken."""
        return Counts(*(most - count for most, count in zip(self.most, counts, strict=True)))

    def excess(self, counts: Counts) -> Counts:
        """How many are too many; 0 where a rule is kept."""
        return Counts(*(max(0, -left) for left in self.headroom(counts)))

    def verdicts(self, counts: Counts, *, accuracy: Verdict = "none") -> Verdicts:
        """The verdicts of the rules, by counts and no rounded numbers.

        `accuracy` is what `accuracy_verdict` gives, or `none` before a training.
        """
        parameters, epochs = ("missed" if over else "kept" for over in self.excess(counts))
        return Verdicts(parameters=parameters, epochs=epochs, accuracy=accuracy)

    def accuracy_verdict(self, *, correct: int, images: int, dataset: str, split: str) -> Verdict:
        """The verdict of the accuracy rule: `none` but on the test split of the budget's dataset.

        Counts may be sums over seeds, which judge their mean.
        """
        if split != "test" or dataset != self.dataset:
            return "none"
        return "kept" if correct >= self.needed_correct(images) else "missed"

    def needed_correct(self, images: int) -> int:
        """The fewest correct images of `images` that keep the accuracy rule.

        Exact: 99.4 means 994/1000, not the nearest binary number.
        """
        return math.ceil(Fraction(str(self.accuracy_percent)) / 100 * images)


class Experiment(Network):
    """A spec file: a network, the recipe that trains it, and the budget that judges it."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the network: letters, digits, dots, dashes and underscores."""
    recipe: Recipe = Recipe()
    """How it is trained."""
    budget: Budget = Budget()
    """The rules it is held to."""
    dataset: Literal[DatasetName, "auto"] = "auto"
    """What it is trained on; auto is MNIST, or the embedded sample where MNIST is not available."""
    holdout: Annotated[StrictInt, Field(ge=0)] = 0
    """Training images held out for validation; with any, the test split is not read."""

    def __repr__(self) -> str:
        blocks = "1 block" if len(self.blocks) == 1 else f"{len(self.blocks)} blocks"
        return f"Experiment({self.name}: {blocks}, {self.recipe.epochs} epochs, {self.dataset})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        given = self.model_dump(mode="json", exclude_defaults=True)
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in given.items()]
        return table(repr(self), ("key", "value, where it is not the default"), rows)

    @property
    def resolved_dataset(self) -> DatasetName:
        """The dataset, which must not be `auto` any more. Raises ValueError."""
        if self.dataset == "auto":
            raise ValueError("resolve the dataset `auto` before training")
        return self.dataset
