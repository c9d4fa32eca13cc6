"""The checkpoint of a run, and the point from which a process resumes it."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import FROM_SCRATCH, RunCorrupt, WeightsError
from mnist_arch.files import write_whole
from mnist_arch.network.weights import build_with, weights_in
from mnist_arch.runs.find import spec_of
from mnist_arch.runs.folder import TEACHER
from mnist_arch.runs.manifest import Manifest
from mnist_arch.training.engine_choice import prepare
from mnist_arch.training.state import State
from mnist_arch.training.teacher import TeacherNetwork
from mnist_arch.values import FORMAT, check_format


def checkpoint_bytes(state: dict[str, Any]) -> bytes:
    """The state of a training, as a file has it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save_checkpoint(path: Path, state: dict[str, Any] | bytes) -> None:
    """Writes the state of a training, or its bytes. Raises StorageError."""
    write_whole(path, state if isinstance(state, bytes) else checkpoint_bytes(state))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. Raises RunCorrupt."""
    try:
        # torch.save writes a zip archive with the checksums of its members; torch.load skips them.
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} differs")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # neither has one kind of error for files that are damaged
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunCorrupt(
            f"the checkpoint {path} cannot be read: {reason}", hint=FROM_SCRATCH
        ) from None
    return state


_OF_THE_RESULT: Final = ("model", "average", "epoch", "seconds", "mistakes")
"""Parts of a state that count when nothing is left to train; the others belong to a device."""


@dataclass(frozen=True)
class ResumePoint:
    """All that a training needs besides its images, to resume from where its run is."""

    counted: CountedExperiment
    manifest: Manifest
    checkpoint: dict[str, Any] | None
    """What `checkpoint_of` gave after the last epoch; None before the first."""
    path: Path
    """Where the checkpoint lies, for messages."""
    teacher: bytes | None = None
    """The file of the weights that it learns from, where the recipe has a teacher."""

    @property
    def epochs_done(self) -> int:
        """Epochs that the checkpoint is after; 0 before the first.

        Raises RunCorrupt, EarlierFormat or LaterFormat.
        """
        if self.checkpoint is None:
            return 0
        with self._damage_found():
            digest = self.checkpoint["digest"]
            check_format(int(self.checkpoint.get("format", 1)), self.path)
            if digest != self.manifest.digest:
                message = f"{self.path} belongs to another experiment"
                raise RunCorrupt(message, hint=FROM_SCRATCH)
            return int(self.checkpoint["state"]["epoch"])

    def state(self) -> State:
        """What the training resumes from, in as many threads as the run was started with.

        It is on the run's device, but on the CPU where nothing is left to train. Raises RunCorrupt,
        or DeviceUnavailable where this machine has not what the run was started with.
        """
        experiment = self.counted.experiment
        finished = self.epochs_done == experiment.recipe.epochs
        device = "cpu" if finished else self.manifest.engine.device
        if not finished:
            prepare(self.manifest.engine)
        state = State.fresh(
            experiment,
            seed=self.manifest.seed,
            device=device,
            plan=self.counted.plan,
            teacher=self._teacher(device),
        )
        if self.checkpoint is not None:
            with self._damage_found():
                saved = self.checkpoint["state"]
                if finished:
                    parts = {part: saved[part] for part in _OF_THE_RESULT}
                    saved = {**state.state_dict(), **parts}
                state.load_state_dict(saved)
        return state

    def _teacher(self, device: str) -> TeacherNetwork | None:
        """Raises WeightsError where its file does not hold what it says."""
        if self.teacher is None:
            return None
        return teacher_in(self.teacher, self.path.with_name(TEACHER), device=device)

    def checkpoint_of(self, state: State) -> dict[str, Any]:
        """What the next process resumes from, if this one ends after the epoch just done."""
        state_dict = state.state_dict()
        return {"format": FORMAT, "digest": self.manifest.digest, "state": state_dict}

    @contextlib.contextmanager
    def _damage_found(self) -> Iterator[None]:
        try:
            yield
        except (torch.AcceleratorError, torch.OutOfMemoryError):
            raise  # of the device, though they are RuntimeErrors, too
        except (KeyError, TypeError, ValueError, RuntimeError):
            message = f"{self.path} is no checkpoint of this program"
            raise RunCorrupt(message, hint=FROM_SCRATCH) from None


def teacher_in(content: bytes, path: Path, *, device: str) -> TeacherNetwork:
    """The teacher in the content of a file, on a device; `path` is for messages.

    Raises WeightsError.
    """
    tensors, metadata = weights_in(content, path)
    experiment = spec_of(metadata, path)
    if (parameters := plan_network(experiment).parameters) > len(content):
        message = f"{path} is too short for the {parameters:,} parameters that it names"
        raise WeightsError(message)
    model = build_with(experiment, tensors, path).requires_grad_(False)
    return TeacherNetwork(experiment, model.to(torch.device(device)))
