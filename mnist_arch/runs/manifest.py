"""The manifest: what a run is, written before it trains."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded
from mnist_arch.training.engine import Engine
from mnist_arch.values import FORMAT, Record

MAX_SEED: Final = 2**32 - 1
"""Largest seed of a run."""


class GitState(Record):
    """The checkout that the program ran from."""

    commit: str
    """Full hash of HEAD."""
    changed: bool
    """Whether tracked files differed from it."""


class TeacherRecord(Record):
    """The network that a run learns from, besides the labels."""

    name: str
    """Of its network."""
    sha256: str
    """Of the file of its weights, of which the run keeps a copy."""
    parameters: int
    macs: int
    seconds: float | None
    """Of its own training, with that of its own teacher; null where nothing tells."""


class Manifest(Record):
    """What a run is, written before it trains; only `with_plain_steps` may come later."""

    format: int = FORMAT
    experiment: Experiment
    """The resolved spec; every default is written out."""
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
    teacher: TeacherRecord | None = None
    """Whom it learns from; null without a teacher, and in manifests of before there were any."""

    @property
    def loaded(self) -> Loaded:
        """The experiment with the origins of its values, as they were when it was loaded."""
        return Loaded(self.experiment, self.origins)

    def with_plain_steps(self) -> Manifest:
        """The same, of a run whose steps cannot be compiled, or captured.

        The first epoch of a run that was to be compiled is plain in its precision; what takes the
        place of captured steps is in float32.
        """
        values: dict[str, str] = {"step": "plain"}
        if self.engine.step == "captured":
            values["precision"] = "float32"
        engine = self.engine.model_copy(update=values)
        return self.model_copy(update={"engine": engine})
