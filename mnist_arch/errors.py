"""Everything the library raises on purpose.

    MnistArchError
    ├── SpecError             a file, an override or a name cannot be read as a spec
    │   └── ShapeError        the blocks cannot be connected to each other
    ├── BudgetExceeded        the network or its recipe breaks a rule of the budget
    ├── NonFiniteLoss         training diverged
    ├── DataUnavailable       the images are missing, corrupt or cannot be fetched
    ├── DeviceUnavailable     the device that was asked for is not on this machine
    ├── ExtraMissing          an optional dependency is not installed
    ├── RunError              a run's folder cannot be used as asked
    │   ├── RunLocked         another process holds the folder
    │   ├── RunCorrupt        a file of the run is damaged
    │   └── LaterFormat       a file was written by a later version of this program
    ├── StorageError          the disk is full or the folder cannot be written
    └── WeightsError          a weights file is damaged or does not fit the network

The message says what is wrong and where; `hint` says the way out. The terminal has the exit codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

START_ANEW: Final = "start the run anew with --again; its folder is kept aside"
"""The way out of a damaged folder."""


class MnistArchError(Exception):
    """Base of all deliberate errors: a message, and a hint that may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec."""

    message: str
    """What is wrong, in one sentence."""
    path: str = ""
    """The place in the spec, such as `blocks[0].kernel`; empty where it is the whole text."""
    origin: str = ""
    """Where the value came from: `file.yaml:14`, `--set …`, or empty where nothing is known."""
    hint: str = ""
    """The way out: the nearest valid name, or the values allowed."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecError(MnistArchError):
    """A spec that cannot be used, with every problem found in it."""

    def __init__(self, problems: tuple[Problem, ...], *, source: str = "") -> None:
        self.problems = problems
        self.source = source
        super().__init__("\n".join(str(problem) for problem in problems))


class ShapeError(SpecError):
    """Blocks that cannot be connected: names the place and both shapes."""


class BudgetExceeded(MnistArchError):
    """A rule of the budget is broken. Raised before anything is trained, or even allocated."""


class NonFiniteLoss(MnistArchError):
    """The loss became infinite or not a number at a known epoch, step and learning rate."""

    def __init__(self, *, epoch: int, step: int, rate: float) -> None:
        super().__init__(
            f"the loss is not finite at epoch {epoch}, step {step}, learning rate {rate:.3g}",
            hint="lower recipe.schedule.peak, or set recipe.schedule.warmup or recipe.clip_norm",
        )
        self.epoch, self.step, self.rate = epoch, step, rate


class DataUnavailable(MnistArchError):
    """The images cannot be had: missing, corrupt, or the download failed."""


class DeviceUnavailable(MnistArchError):
    """The device, or the compiler, that a run needs is not on this machine."""


class ExtraMissing(MnistArchError):
    """An optional dependency is not installed; the hint says how to."""


class RunError(MnistArchError):
    """A run's folder cannot be used as asked."""


class RunLocked(RunError):
    """Another process is working in the folder."""


class RunCorrupt(RunError):
    """A file of the run is damaged."""


class LaterFormat(RunError):
    """A file was written by a later version of this program."""


class StorageError(MnistArchError):
    """The disk is full, or the folder cannot be written."""


class WeightsError(MnistArchError):
    """A weights file is damaged, or its tensors are not those of the network."""
