"""An experiment: a network, a recipe, a dataset and a budget."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from mnist_arch.data.catalog import DatasetName
from mnist_arch.spec.network import (
    NAME_PATTERN,
    Network,
)
from mnist_arch.spec.recipe import Recipe
from mnist_arch.values import Spec


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


class Experiment(Network):
    """A spec file: a network, the recipe that trains it, and the budget that judges it."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the network: letters, digits, dots, dashes and underscores."""
    recipe: Recipe = Recipe()
    """How it is trained."""
    budget: Budget = Budget()
    """The rules it is held to."""
    dataset: Literal[DatasetName, "auto"] = "auto"
    """What it is trained on; auto is MNIST, or the embedded sample where MNIST cannot be had."""
    holdout: Annotated[StrictInt, Field(ge=0)] = 0
    """Training images held out for validation; with any, the test split is not read."""

    @property
    def resolved_dataset(self) -> DatasetName:
        """The dataset, which must not be `auto` any more. Raises ValueError."""
        if self.dataset == "auto":
            raise ValueError("resolve the dataset `auto` before training")
        return self.dataset
