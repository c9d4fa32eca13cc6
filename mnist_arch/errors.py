"""Everything the library raises on purpose.

    MnistArchError
    ├── SpecError             a file, an override or a name cannot be read as a spec
    │   └── ShapeError        the blocks cannot be connected to each other
    ├── BudgetExceeded        the network or its recipe breaks a rule of the budget
    ├── NoVerdict             a rule that is required cannot be judged
    ├── RuleMissed            a rule that is required is not kept by what was trained
    ├── NonFiniteLoss         training diverged
    ├── DataUnavailable       the images are missing, corrupt or cannot be fetched
    ├── DeviceUnavailable     the device that was asked for is not on this machine
    ├── OutOfMemory           a limit leaves less memory than a training needs
    ├── ExtraMissing          an optional dependency is not installed
    ├── ClusterFailed         a cluster cannot be asked for anything any more
    ├── RunError              a run's folder cannot be used as asked
    │   ├── RunLocked         another process holds the folder
    │   ├── RunCorrupt        a file of the run is damaged
    │   ├── EarlierFormat     a file was written by an earlier version of this program
    │   └── LaterFormat       a file was written by a later version of this program
    ├── StorageError          the system refuses to read or to write a path
    │   ├── NotAllowed        for want of the right to it
    │   └── PathError         as there can be no such path: it is too long, or leads through a file
    ├── PictureError          a picture cannot be drawn
    ├── ImageError            what a network is to be asked about is no image that it could see
    ├── WeightsError          a weights file is damaged or does not fit the network
    ├── ExportDiffers         what was to be exported does not compute what the network does
    └── TrialsLost            trials of a sweep could not be trained, for no fault of their own

The message says what is wrong and where; `hint` says the way out; `kind` has the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Self

FROM_SCRATCH: Final = "start the run from scratch with again=True; its folder is kept aside"
"""The way out of a damaged folder."""

TRAIN_AGAIN: Final = "start from scratch with again=True"
"""The way out of the folder of an earlier version, besides using that version."""


class ExitCode(IntEnum):
    """What a command ends with where something has failed."""

    ANSWER_IS_NO = 1
    BAD_INPUT = 2
    MACHINE_CANNOT = 3
    OUR_BUG = 70


class FailureKind(StrEnum):
    """Every kind of failure, with the exit code of the command that it ends.

    The kind is carried as this value from a worker, of this machine or of a cluster, through the
    ledger to the terminal. Its text is what stored files and JSON have.
    """

    exit_code: ExitCode

    def __new__(cls, name: str, exit_code: ExitCode) -> Self:
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.exit_code = exit_code
        return kind

    # Of the classes below, by whose names they are called.
    SPEC = "SpecError", ExitCode.BAD_INPUT
    SHAPE = "ShapeError", ExitCode.BAD_INPUT
    BUDGET = "BudgetExceeded", ExitCode.ANSWER_IS_NO
    VERDICT = "NoVerdict", ExitCode.ANSWER_IS_NO
    MISSED = "RuleMissed", ExitCode.ANSWER_IS_NO
    LOSS = "NonFiniteLoss", ExitCode.ANSWER_IS_NO
    DATA = "DataUnavailable", ExitCode.MACHINE_CANNOT
    DEVICE = "DeviceUnavailable", ExitCode.MACHINE_CANNOT
    MEMORY = "OutOfMemory", ExitCode.MACHINE_CANNOT
    EXTRA = "ExtraMissing", ExitCode.MACHINE_CANNOT
    CLUSTER = "ClusterFailed", ExitCode.MACHINE_CANNOT
    RUN = "RunError", ExitCode.BAD_INPUT
    LOCKED = "RunLocked", ExitCode.MACHINE_CANNOT
    CORRUPT = "RunCorrupt", ExitCode.MACHINE_CANNOT
    EARLIER = "EarlierFormat", ExitCode.BAD_INPUT
    LATER = "LaterFormat", ExitCode.BAD_INPUT
    STORAGE = "StorageError", ExitCode.MACHINE_CANNOT
    NOT_ALLOWED = "NotAllowed", ExitCode.MACHINE_CANNOT
    PATH = "PathError", ExitCode.BAD_INPUT
    PICTURE = "PictureError", ExitCode.MACHINE_CANNOT
    IMAGE = "ImageError", ExitCode.BAD_INPUT
    WEIGHTS = "WeightsError", ExitCode.BAD_INPUT
    EXPORT = "ExportDiffers", ExitCode.ANSWER_IS_NO

    # Of what others raise, and of processes that end.
    ACCELERATOR = "AcceleratorFailed", ExitCode.MACHINE_CANNOT
    SYSTEM = "SystemRefused", ExitCode.MACHINE_CANNOT
    WORKER = "WorkerDied", ExitCode.MACHINE_CANNOT
    NODE = "NodeLost", ExitCode.MACHINE_CANNOT
    CRASH = "WorkerCrashed", ExitCode.OUR_BUG
    BUG = "Bug", ExitCode.OUR_BUG

    @property
    def is_of_the_trial(self) -> bool:
        """Whether the same trial would fail again: its answer is no, or we have made a mistake.

        Other failures say nothing about a trial, and are over once their cause is.
        """
        return self.exit_code in (ExitCode.ANSWER_IS_NO, ExitCode.OUR_BUG)


class MnistArchError(Exception):
    """Base of all deliberate errors: a message, and a hint that may be empty."""

    kind: FailureKind

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def sentence(self) -> str:
        """Message and hint in one, for a row of a table."""
        return f"{self}; {self.hint}" if self.hint else str(self)


class Origin(str):
    """Where a value was written, such as `net.yaml:14`, with the line and the place in it.

    It is equal to its text alone, so that a place can be compared and stored as text.
    """

    line: int
    """Number of the line, from 1."""
    column: int
    """Number of the character in the line, from 1."""
    quoted: str
    """The line as it was written."""

    def __new__(cls, text: str, *, line: int = 1, column: int = 1, quoted: str = "") -> Origin:
        origin = super().__new__(cls, text)
        origin.line, origin.column, origin.quoted = line, column, quoted
        return origin


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec."""

    message: str
    """What is wrong, in one sentence."""
    place: str = ""
    """Where in the spec, such as `blocks[0].kernel`; empty where it is the whole text."""
    origin: str = ""
    """Where the value came from: `file.yaml:14`, `set['…']`, `--set …`, or empty where nothing is
    known. An `Origin` has the line to quote, too."""
    hint: str = ""
    """The way out: the nearest valid name, or the values allowed."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class SpecError(MnistArchError):
    """A spec that cannot be used, with every problem found in it."""

    kind = FailureKind.SPEC

    def __init__(self, problems: tuple[Problem, ...], *, source: str = "") -> None:
        self.problems = problems
        self.source = source
        super().__init__("\n".join(str(problem) for problem in problems))

    @property
    def sentence(self) -> str:
        """Every problem, and the first way out."""
        hints = [problem.hint for problem in self.problems if problem.hint]
        return "; ".join([*map(str, self.problems), *hints[:1]])


class ShapeError(SpecError):
    """Blocks that cannot be connected: names the place and both shapes."""

    kind = FailureKind.SHAPE


class BudgetExceeded(MnistArchError):
    """A rule of the budget is broken. Raised before anything is trained, or even allocated."""

    kind = FailureKind.BUDGET


class NoVerdict(MnistArchError):
    """A rule is required that nothing can keep or miss in this run. Raised before it is trained."""

    kind = FailureKind.VERDICT


class RuleMissed(MnistArchError):
    """A rule that is required is missed, or has no verdict. Raised once the result is kept."""

    kind = FailureKind.MISSED


class NonFiniteLoss(MnistArchError):
    """The loss became infinite or not a number at a known epoch, step and learning rate."""

    kind = FailureKind.LOSS

    def __init__(self, *, epoch: int, step: int, rate: float) -> None:
        super().__init__(
            f"the loss is not finite at epoch {epoch}, step {step}, learning rate {rate:.3g}",
            hint="lower recipe.schedule.peak, or set recipe.schedule.warmup or recipe.clip_norm",
        )
        self.epoch, self.step, self.rate = epoch, step, rate


class DataUnavailable(MnistArchError):
    """The images are not available: missing, corrupt, or the download failed."""

    kind = FailureKind.DATA


class DeviceUnavailable(MnistArchError):
    """The device, or the compiler, that a run needs is not on this machine."""

    kind = FailureKind.DEVICE


class OutOfMemory(MnistArchError):
    """A limit leaves less memory than a training needs. Raised before the system would end it."""

    kind = FailureKind.MEMORY


class ExtraMissing(MnistArchError):
    """An optional dependency is not installed; the hint says how to."""

    kind = FailureKind.EXTRA


class ClusterFailed(MnistArchError):
    """A Ray cluster is lost, or cannot do what every trial needs of it. No trial has failed."""

    kind = FailureKind.CLUSTER


class RunError(MnistArchError):
    """A run's folder cannot be used as asked."""

    kind = FailureKind.RUN


class RunLocked(RunError):
    """Another process is working in the folder."""

    kind = FailureKind.LOCKED


class RunCorrupt(RunError):
    """A file of the run is damaged."""

    kind = FailureKind.CORRUPT


class EarlierFormat(RunError):
    """A file was written by an earlier version of this program, with another meaning."""

    kind = FailureKind.EARLIER


class LaterFormat(RunError):
    """A file was written by a later version of this program."""

    kind = FailureKind.LATER


class StorageError(MnistArchError):
    """The system refuses to read or to write a path: its disk is full, say."""

    kind = FailureKind.STORAGE


class NotAllowed(StorageError):
    """The path is somebody else's, or its file system is read-only."""

    kind = FailureKind.NOT_ALLOWED


class PathError(StorageError):
    """There can be no file at the path: it is too long, or leads through a file or in a circle."""

    kind = FailureKind.PATH


class PictureError(MnistArchError):
    """A picture cannot be drawn; nothing but the picture is missing."""

    kind = FailureKind.PICTURE


class ImageError(MnistArchError):
    """What a network is to be asked about is no picture, or there is nothing on it."""

    kind = FailureKind.IMAGE


class WeightsError(MnistArchError):
    """A weights file is damaged, or its tensors are not those of the network."""

    kind = FailureKind.WEIGHTS


class ExportDiffers(MnistArchError):
    """A file that was to be exported does not compute what its network does; it is not kept."""

    kind = FailureKind.EXPORT


class TrialsLost(MnistArchError):
    """Trials of a sweep could not be trained, for a reason that is none of theirs."""

    def __init__(self, message: str, *, kind: FailureKind, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
