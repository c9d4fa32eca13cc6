"""A part of a run that one process trains: a value, which can travel, and touches no disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from mnist_arch.errors import START_ANEW, RunCorrupt
from mnist_arch.runs.manifest import Manifest
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training.engine_choice import prepare
from mnist_arch.training.state import State

_OF_THE_RESULT: Final = ("model", "average", "epoch", "seconds", "mistakes")
"""Parts of a state that count when nothing is left to train; the others belong to a device."""


@dataclass(frozen=True)
class Segment:
    """All that a training needs beside its images, to go on from where its run is."""

    experiment: Experiment
    manifest: Manifest
    checkpoint: dict[str, Any] | None
    """What `checkpoint_of` gave after the last epoch; None before the first."""
    path: Path
    """Where the checkpoint lies, for messages."""

    @property
    def epochs_done(self) -> int:
        """Raises RunCorrupt."""
        if self.checkpoint is None:
            return 0
        with self._damage_found():
            if self.checkpoint["digest"] != self.manifest.digest:
                message = f"{self.path} belongs to another experiment"
                raise RunCorrupt(message, hint=START_ANEW)
            return int(self.checkpoint["state"]["epoch"])

    def state(self) -> State:
        """What the training goes on from, in as many threads as the run was started with.

        It is on the run's device, but on the CPU where nothing is left to train. Raises RunCorrupt,
        or DeviceUnavailable where this machine has not what the run was started with.
        """
        finished = self.epochs_done == self.experiment.recipe.epochs
        device = "cpu" if finished else self.manifest.engine.device
        if not finished:
            prepare(self.manifest.engine)
        state = State.fresh(self.experiment, seed=self.manifest.seed, device=device)
        if self.checkpoint is not None:
            with self._damage_found():
                saved = self.checkpoint["state"]
                if finished:
                    parts = {part: saved[part] for part in _OF_THE_RESULT}
                    saved = {**state.state_dict(), **parts}
                state.load_state_dict(saved)
        return state

    def checkpoint_of(self, state: State) -> dict[str, Any]:
        """What the next segment goes on from, if this one ends after the epoch just done."""
        return {"digest": self.manifest.digest, "state": state.state_dict()}

    @contextlib.contextmanager
    def _damage_found(self) -> Iterator[None]:
        try:
            yield
        except (torch.AcceleratorError, torch.OutOfMemoryError):
            raise  # of the device, though they are RuntimeErrors, too
        except (KeyError, TypeError, ValueError, RuntimeError):
            message = f"{self.path} is no checkpoint of this program"
            raise RunCorrupt(message, hint=START_ANEW) from None
