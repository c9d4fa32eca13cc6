"""The file of a sweep, as frozen values: what is compared, how often, on what."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mnist_arch.data.catalog import DatasetName
from mnist_arch.data.folds import SomeHoldOut
from mnist_arch.spec.experiment import Budget
from mnist_arch.spec.network import NAME_PATTERN
from mnist_arch.values import Spec

MAX_TRIALS = 100_000
"""Most trials of a sweep: bounds the work of planning."""
MAX_AXES = 64
"""Most axes of a grid."""

Levels = Annotated[tuple[Any, ...], Field(min_length=1, max_length=10_000)]
Finite = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Seeds = Annotated[StrictInt, Field(gt=0, le=1000)]

SHARED = ("dataset", "holdout", "budget")
"""Keys of a spec that are the same for the whole sweep, and belong at the top of its file."""


class Finalists(Spec):
    """The arms that are trained again, on the whole training split, and judged on test once."""

    top: Annotated[StrictInt, Field(gt=0, le=100)] = 2
    """How many, from the first rank on."""
    front: StrictBool = False
    """Whether they are the Pareto front instead, however many it has."""
    seeds: Seeds = 5
    """Seeds of each, other ones than those that it was ranked by."""

    def stated(self) -> dict[str, Any]:
        """All of it for a digest, in which a front that is not asked for is not there."""
        return self.model_dump(mode="json", exclude=None if self.front else {"front"})


class Resources(Spec):
    """What one trial takes; for Ray, which places trials by it."""

    cpus: Annotated[StrictFloat, Field(gt=0, le=1024, allow_inf_nan=False)] = 1.0
    """Processor cores, which are also the torch threads of a trial, rounded up."""
    gpus: Annotated[StrictFloat, Field(ge=0, le=64, allow_inf_nan=False)] = 0.0
    """Share of a GPU, such as 0.1 for ten trials on one; with any, a trial trains on CUDA."""


# ------------------------------------------------------------------------------------------- search


class Categorical(Spec):
    """One of several values."""

    kind: Literal["categorical"] = "categorical"
    """categorical."""
    choices: Annotated[tuple[Any, ...], Field(min_length=1, max_length=1000)]
    """The values, of any form that may stand at the path."""


class Numbers(Spec):
    """What two kinds of range have in common."""

    log: StrictBool = False
    """Whether the logarithm is uniform; `low` is then more than 0."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = (getattr(self, name) for name in ("low", "high"))
        if low > high:
            raise PydanticCustomError("range", "`low` is more than `high`")
        if self.log and low <= 0:
            raise PydanticCustomError("log", "`log` needs a `low` above 0")
        return self


class Integers(Numbers):
    """A whole number in a range."""

    kind: Literal["int"]
    """int."""
    low: StrictInt
    """Smallest value."""
    high: StrictInt
    """Largest value."""
    step: Annotated[StrictInt, Field(gt=0)] = 1
    """Distance between values; not with `log`."""

    @model_validator(mode="after")
    def _check_step(self) -> Self:
        if self.log and self.step != 1:
            raise PydanticCustomError("log_step", "`log` and `step` exclude each other")
        return self


class Floats(Numbers):
    """A number in a range."""

    kind: Literal["float"]
    """float."""
    low: Finite
    """Smallest value."""
    high: Finite
    """Largest value."""


def _categorical_unless_said(value: Any) -> Any:
    """Lets a list of values stand for `{kind: categorical, choices: …}`."""
    if isinstance(value, list):
        return {"kind": "categorical", "choices": value}
    if not isinstance(value, dict) or "kind" in value:
        return value
    if "low" in value or "high" in value:
        raise PydanticCustomError("no_kind", "a range needs its `kind`: int or float")
    return {"kind": "categorical", **value}


Dimension = Annotated[
    Categorical | Integers | Floats,
    Field(discriminator="kind"),
    BeforeValidator(_categorical_unless_said),
]


class Pruning(Spec):
    """Ends trials early that do worse than others did at the same epoch."""

    kind: Literal["median", "hyperband", "halving"]
    """median: worse than the median of the trials so far; hyperband: Li et al. 2018; halving: at
    `from_epoch`, twice that, and so on, not in the better half of those that cost no more (Li et
    al. 2020, asynchronous)."""
    from_epoch: Annotated[StrictInt, Field(gt=0)]
    """No trial is ended before this epoch, from 1."""


Cost = Literal["parameters", "macs", "bytes"]
"""What is to be small: parameters; multiply-accumulates of one image; bytes of memory, as in
`budget.bytes_below`."""


UNITS: Final[dict[Cost, str]] = {"parameters": "parameters", "macs": "MACs", "bytes": "bytes"}
"""How each cost is written."""


class MostAccurate(Spec):
    """The most accurate."""

    kind: Literal["accuracy"] = "accuracy"
    """accuracy."""


class Front(Spec):
    """The Pareto front of accuracy and a cost."""

    kind: Literal["front"]
    """front."""
    cost: Cost = "parameters"
    """parameters, macs, or bytes."""


class Smallest(Spec):
    """The smallest that is good enough: its mean over seeds is at least so good by its bound."""

    kind: Literal["smallest"]
    """smallest."""
    cost: Cost = "parameters"
    """parameters, macs, or bytes."""
    accuracy_percent: Annotated[StrictFloat, Field(gt=0, lt=100, allow_inf_nan=False)]
    """What the bound of the mean on the hold-out is to reach: one-sided, 95 %, over seeds."""
    seeds: Annotated[StrictInt, Field(ge=2, le=1000)] = 5
    """Seeds, from 0 on, by which an experiment is good enough. One that cannot be the smallest any
    more gets no further ones."""


_OBJECTIVES: Final[dict[str, dict[str, str]]] = {
    "accuracy": {"kind": "accuracy"},
    "front": {"kind": "front"},
    "accuracy-parameters": {"kind": "front", "cost": "parameters"},
}
"""Objectives that a word stands for."""


def _by_a_word(value: Any) -> Any:
    return _OBJECTIVES.get(value, value) if isinstance(value, str) else value


Objective = Annotated[
    MostAccurate | Front | Smallest, Field(discriminator="kind"), BeforeValidator(_by_a_word)
]


class Search(Spec):
    """Trials that are proposed one after the other, by what came out so far."""

    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    """What is varied: a path of the spec, such as `recipe.schedule.peak`, and its values."""
    trials: Annotated[StrictInt, Field(gt=0, le=MAX_TRIALS)]
    """Experiments within the budget; what is over it or comes again does not count."""
    sampler: Literal["random", "tpe", "nsga2"] = "tpe"
    """random; tpe (Bergstra et al. 2011); nsga2 (Deb et al. 2002)."""
    objective: Objective = MostAccurate()
    """What is looked for, by the hold-out: `accuracy`, the most accurate; `front`, the Pareto front
    of accuracy and a cost; `smallest`, the smallest that is good enough."""
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler, which has nothing to do with those of the trials."""
    pruning: Pruning | None = None
    """When a trial is ended early; never unless set."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pruning is None or self.pruning.kind == "halving":
            return self
        match self.objective:
            case Front():
                message = "`pruning` needs `objective: accuracy`, since a front has no order"
                raise PydanticCustomError("pruning", message)
            case Smallest():
                message = "what is small would be ended first: use `pruning: {kind: halving, …}`"
                raise PydanticCustomError("pruning", message)
        return self

    @property
    def cost(self) -> Cost:
        """What is to be small beside what is accurate."""
        return "parameters" if isinstance(self.objective, MostAccurate) else self.objective.cost

    @property
    def seeds(self) -> int:
        """The most that an experiment gets."""
        return self.objective.seeds if isinstance(self.objective, Smallest) else 1

    def stated(self) -> dict[str, Any]:
        """All of it for a digest, in which the objectives that had a word keep it."""
        values = self.model_dump(mode="json")
        for word in ("accuracy", "accuracy-parameters"):
            if values["objective"] == _OBJECTIVES[word]:
                values["objective"] = word
        return values


# ----------------------------------------------------------------------------------- the whole file


class Sweep(Spec):
    """A sweep's file. `base` and `experiments` are specs, which are validated each by itself."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the sweep and of its folder; the file's unless set."""
    base: Any = "s6"
    """What every arm starts from: a spec, the name of a network, or a path."""
    experiments: Annotated[tuple[dict[str, Any], ...], Field(max_length=MAX_TRIALS)] = ()
    """Named specs; each extends the base unless it says otherwise."""
    grid: Annotated[dict[str, Levels], Field(max_length=MAX_AXES)] = Field(default_factory=dict)
    """Paths of the spec and the values that each takes; every combination is an arm."""
    search: Search | None = None
    """Arms that are proposed by what came out so far; none unless set."""
    dataset: Literal[DatasetName, "auto"] = "auto"
    """What is trained on; auto is MNIST, or the embedded sample where MNIST is not available. The
    base's unless set."""
    holdout: SomeHoldOut | None = None
    """Training images that arms are ranked on; the base's unless set, or a twelfth of them.
    `{folds: 12}`: all of them, each seed on another twelfth."""
    seeds: Seeds = 3
    """Runs of each arm of a list or grid, with the seeds from 0 on. With folds, as many as there
    are unless set."""
    finalists: Finalists | None = None
    """The arms that are trained again and judged on test; none unless set."""
    budget: Budget | None = None
    """Rules in place of the base's; those that are not named stay as they are."""
    resources: Resources = Resources()
    """What one trial takes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.experiments or self.grid or self.search):
            message = "a sweep needs `experiments`, a `grid` or a `search`"
            raise PydanticCustomError("no_arms", message)
        return self
