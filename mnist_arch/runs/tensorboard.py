"""Curves for TensorBoard: event files in the folder of a run, of what its `metrics.jsonl` says.

They are written anew whenever a process takes up the run, so that an epoch is in them once however
often the training was killed. Nothing here imports torch before there is something to write.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

from mnist_arch.data.catalog import SplitName
from mnist_arch.errors import ExtraMissing
from mnist_arch.files import storage_errors
from mnist_arch.runs.events import RunEvent, Started
from mnist_arch.runs.finished import records
from mnist_arch.runs.folder import Run
from mnist_arch.training.events import EpochRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FILES: Final = "events.out.tfevents.*"
"""Names of the event files in a run's folder."""


def need_tensorboard() -> None:
    """Raises ExtraMissing."""
    try:
        import tensorboard  # noqa: F401  # to see whether it is there
    except ImportError:
        message = "curves for TensorBoard need tensorboard, of the extra `tensorboard`"
        hint = "pip install 'mnist-arch[tensorboard]', or leave out log="
        raise ExtraMissing(message, hint=hint) from None


def with_tensorboard(
    events: Iterator[RunEvent], *, split: SplitName
) -> Generator[RunEvent, None, None]:
    """The events of a run as they come, whose epochs are written for TensorBoard, too.

    `split` is what the run is judged on. Earlier epochs come first, also those of a run that is
    finished. Raises StorageError and RunCorrupt.
    """
    with contextlib.ExitStack() as at_end:
        writer: _Writer | None = None
        for event in events:
            if isinstance(event, Started):
                writer = at_end.enter_context(contextlib.closing(_Writer(event.run, split)))
                writer.add(*records(event.run, epochs=event.epochs_done))
            elif isinstance(event, EpochRecord):
                assert writer is not None, "a run starts before its first epoch"
                writer.add(event)
            yield event


class _Writer:
    """The event file of one run, which takes the place of those of earlier processes."""

    def __init__(self, run: Run, split: SplitName) -> None:
        """Raises StorageError."""
        from torch.utils.tensorboard import SummaryWriter

        self._run, self._split = run, split
        self._began = _seconds(run.manifest().started)
        with storage_errors(run.folder):
            for path in run.folder.glob(FILES):
                path.unlink(missing_ok=True)
            # A TensorBoard that is open has the epochs of the file that is gone: they are dropped.
            self._writer: SummaryWriter = SummaryWriter(str(run.folder), purge_step=1)

    def add(self, *epochs: EpochRecord) -> None:
        """Raises StorageError."""
        with storage_errors(self._run.folder):
            for it in epochs:
                values = {
                    "loss/train": it.train_loss,
                    f"loss/{self._split}": it.loss,
                    f"accuracy_percent/{self._split}": it.accuracy_percent,
                    "rate": it.rate,
                }
                for name, value in values.items():
                    if value is not None:
                        at = self._began + it.seconds
                        self._writer.add_scalar(name, value, it.epoch, walltime=at)
            self._writer.flush()

    def close(self) -> None:
        """Raises StorageError."""
        with storage_errors(self._run.folder):
            self._writer.close()


def _seconds(started: str) -> float:
    """A time of a manifest, since 1970."""
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(started).timestamp()
    return 0.0
