"""An experiment: a network, a recipe, a dataset and a budget with its verdicts."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StrictFloat,
    StrictInt,
    model_serializer,
)

from mnist_arch.data.catalog import INFO, DatasetName, Normalization
from mnist_arch.data.folds import HoldOut
from mnist_arch.html import table
from mnist_arch.spec.network import (
    NAME_PATTERN,
    Network,
)
from mnist_arch.spec.recipe import Recipe
from mnist_arch.values import Record, Spec

Verdict = Literal["kept", "missed", "none"]


class Verdicts(Record):
    """The verdict of each rule of the budget."""

    parameters: Verdict
    epochs: Verdict
    accuracy: Verdict
    macs: Verdict | None = None
    """None where the budget has no such rule."""
    bytes: Verdict | None = None
    """None where the budget has no such rule."""

    @model_serializer(mode="wrap")
    def _without_rules_that_are_not(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {rule: verdict for rule, verdict in dump(self).items() if verdict is not None}

    def asked(self) -> dict[str, Verdict]:
        """Those of the rules that there are, by the name of what they limit, accuracy last."""
        rest = {"MACs": self.macs, "bytes": self.bytes}
        more = {name: it for name, it in rest.items() if it is not None}
        first: dict[str, Verdict] = {"parameters": self.parameters, "epochs": self.epochs}
        return {**first, **more, "accuracy": self.accuracy}

    @property
    def overall(self) -> Verdict:
        """Kept where every rule is, missed where one is, else none."""
        found = set(self.asked().values())
        return "missed" if "missed" in found else "none" if "none" in found else "kept"


class Counts(NamedTuple):
    """The whole numbers that a budget limits."""

    parameters: int
    epochs: int
    macs: int
    """Multiply-accumulates of one image, of convolutions and linear layers, without bias."""
    bytes: int | None
    """To classify one image in float32: the parameters, and the most that maps need at a time.
    None where it is not known, as of results of before it was kept."""


class Headroom(NamedTuple):
    """What is left below each limit; negative where a rule is broken, None without a rule."""

    parameters: int
    epochs: int
    macs: int | None = None
    bytes: int | None = None


class Excess(NamedTuple):
    """How many are too many; 0 where a rule is kept, and where there is none."""

    parameters: int
    epochs: int
    macs: int = 0
    bytes: int = 0


class Budget(Spec):
    """The rules of the exercise."""

    parameters_below: Annotated[StrictInt, Field(gt=0)] = 20_000
    """The network has fewer parameters than this."""
    epochs_below: Annotated[StrictInt, Field(gt=0)] = 20
    """The training has fewer epochs than this."""
    macs_below: Annotated[StrictInt, Field(gt=0)] | None = None
    """One image takes fewer multiply-accumulates than this; no rule unless set."""
    bytes_below: Annotated[StrictInt, Field(gt=0)] | None = None
    """Parameters and maps of one image take fewer float32 bytes than this; no rule unless set."""
    accuracy_percent: Annotated[StrictFloat, Field(ge=0, le=100, allow_inf_nan=False)] = 99.4
    """The final test accuracy is at least this."""
    dataset: DatasetName = "mnist"
    """The dataset on whose test split the accuracy is judged."""

    def limits(self) -> dict[str, int]:
        """Each limit of a count that there is, by what it limits."""
        rest = {"MACs": self.macs_below, "bytes": self.bytes_below}
        more = {name: limit for name, limit in rest.items() if limit is not None}
        return {"parameters": self.parameters_below, "epochs": self.epochs_below, **more}

    def headroom(self, counts: Counts) -> Headroom:
        """What is left to the most that keeps each rule, one fewer than what breaks it."""
        return Headroom(
            self.parameters_below - 1 - counts.parameters,
            self.epochs_below - 1 - counts.epochs,
            None if self.macs_below is None else self.macs_below - 1 - counts.macs,
            None
            if self.bytes_below is None or counts.bytes is None
            else self.bytes_below - 1 - counts.bytes,
        )

    def excess(self, counts: Counts) -> Excess:
        """How many are too many."""
        return Excess(*(0 if left is None else max(0, -left) for left in self.headroom(counts)))

    def verdicts(self, counts: Counts, *, accuracy: Verdict = "none") -> Verdicts:
        """The verdicts of the rules, by counts and no rounded numbers.

        `accuracy` is what `accuracy_verdict` gives, or `none` before a training.
        """
        parameters, epochs, macs, in_bytes = map(_verdict, self.headroom(counts))
        return Verdicts(
            parameters=parameters,
            epochs=epochs,
            accuracy=accuracy,
            macs=None if self.macs_below is None else macs,
            bytes=None if self.bytes_below is None else in_bytes,
        )

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


def _verdict(left: int | None) -> Verdict:
    return "none" if left is None else "missed" if left < 0 else "kept"


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
    holdout: HoldOut = 0
    """Training images held out for validation, the last ones, or folds; with any, the test split is
    not read."""

    def __repr__(self) -> str:
        blocks = "1 block" if len(self.blocks) == 1 else f"{len(self.blocks)} blocks"
        return f"Experiment({self.name}: {blocks}, {self.recipe.epochs} epochs, {self.dataset})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        given = self.model_dump(mode="json", exclude_defaults=True)
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in given.items()]
        return table(repr(self), ("key", "value, where it is not the default"), rows)

    @property
    def normalization(self) -> Normalization:
        """Of the images, by the recipe. Raises ValueError while the dataset is `auto`."""
        return self.recipe.normalize.of(INFO[self.resolved_dataset])

    @property
    def resolved_dataset(self) -> DatasetName:
        """The dataset, which must not be `auto` any more. Raises ValueError."""
        if self.dataset == "auto":
            raise ValueError("resolve the dataset `auto` before training")
        return self.dataset
