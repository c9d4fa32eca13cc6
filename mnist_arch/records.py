"""What is stored of a run, and read again: its manifest, its result, its later readings."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mnist_arch.counting.budget import Verdict
from mnist_arch.data.catalog import DatasetName
from mnist_arch.files import to_json
from mnist_arch.spec.loading import Loaded, loads
from mnist_arch.values import FORMAT

SplitName = Literal["train", "validation", "test"]

Device = Literal["cpu", "cuda", "mps"]
"""Where a run computes."""

StepKind = Literal["plain", "compiled", "captured"]
"""How a step of training runs: operation by operation, compiled, or as one captured graph."""

_DEVICES: Final[dict[StepKind, tuple[Device, ...]]] = {
    "plain": ("cpu", "cuda", "mps"),
    "compiled": ("cpu",),
    "captured": ("cuda",),
}
"""Where there are steps of each kind."""

Precision = Literal["float32", "bfloat16"]
"""What a network computes in while it trains; its weights are float32 in either case."""

MAX_SEED: Final = 2**32 - 1
"""Largest seed of a run; torch takes 64 bits, of which its several streams need some."""


class Record(BaseModel):
    """A frozen value that is stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def json_text(self) -> str:
        return to_json(self.model_dump(mode="json"))


RecordT = TypeVar("RecordT", bound=Record)


class Engine(Record):
    """What the bits of a run depend on beside its experiment and seed."""

    device: Device
    threads: Annotated[int, Field(ge=1)]
    """Threads of torch within an operation."""
    memory_format: Literal["channels_last"] = "channels_last"
    """Memory format of weights and images."""
    step: StepKind = "plain"
    """How a step runs."""
    precision: Precision = "float32"
    """Of forward and backward in a step; evaluation is in float32."""

    @model_validator(mode="after")
    def _is_one_that_there_is(self) -> Engine:
        if self.device not in _DEVICES[self.step]:
            raise ValueError(f"there are no {self.step} steps on {self.device}")
        return self


class GitState(Record):
    """The checkout that the program ran from."""

    commit: str
    """Full hash of HEAD."""
    changed: bool
    """Whether tracked files differed from it."""


class Manifest(Record):
    """What a run is, written before it trains; only `with_plain_steps` may come later."""

    format: int = FORMAT
    experiment: dict[str, Any]
    """The resolved spec, every default filled in."""
    origins: dict[str, str]
    """Where each value that is not a default came from."""
    digest: str
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    engine: Engine
    versions: dict[str, str]
    """Of Python, this program and the packages that results depend on."""
    data_sha256: str
    """Over the images and labels that the run trains on and is judged on."""
    git: GitState | None
    command: list[str]
    """The command line."""
    started: str
    """UTC, ISO 8601."""

    def loaded(self, source: str) -> Loaded:
        """The experiment, validated again. Raises SpecError."""
        experiment = loads(json.dumps(self.experiment), source=source).experiment
        return Loaded(experiment, self.origins)

    def with_plain_steps(self) -> Manifest:
        """The same, of a run whose steps cannot be compiled."""
        engine = self.engine.model_copy(update={"step": "plain"})
        return self.model_copy(update={"engine": engine})


class Verdicts(Record):
    """The three rules of the budget."""

    parameters: Verdict
    epochs: Verdict
    accuracy: Verdict


class Result(Record):
    """What a finished run came to: its final epoch. `best_…` is an extra, chosen after the fact."""

    format: int = FORMAT
    name: str
    digest: str
    seed: int
    dataset: DatasetName
    split: SplitName
    """What the run was judged on: test, or validation with a hold-out."""
    correct: int
    images: int
    accuracy_percent: float
    """100 · correct / images."""
    interval_percent: tuple[float, float]
    """Wilson's 95 % interval over the images."""
    loss: float
    """Mean cross-entropy, in nats."""
    best_epoch: int
    """Epoch of the highest accuracy on this split; nothing depends on it."""
    best_accuracy_percent: float
    mistakes: list[int] | None = None
    """Places, from 0, of the images that are wrong in this split, by which two runs are compared;
    null in results of before they were kept."""
    parameters: int
    macs: int
    epochs: int
    seconds: float
    """Data, training and evaluation, over all segments of the run."""
    command_seconds: float
    """The whole command that finished the run, imports included."""
    verdicts: Verdicts


class Reading(Record):
    """A reading of the test split by a run that was trained with a hold-out."""

    time: str
    """UTC, ISO 8601."""
    dataset: DatasetName
    split: SplitName
    correct: int
    images: int
    accuracy_percent: float
    """100 · correct / images."""
    command: list[str]
    """The command line."""
