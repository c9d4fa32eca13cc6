"""What one sees while a network trains: a live panel on a terminal, a line an epoch elsewhere.

What is live is taken down at the end, and the table of its epochs stays.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import assert_never

from rich.console import RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from mnist_arch.runs.events import NotDrawn, RunEvent, Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training.events import (
    Compiling,
    EpochRecord,
    NotCaptured,
    NotCompiled,
    Progress,
    Slow,
)
from mnist_arch.training.thread_choice import SPARE_CPUS

from ..consoles import progress_console
from ..errors import Interrupted
from ..formats import duration, percent, sparkline, threads_text
from ..notes import LiveNotes, NotesInLines
from ..options import ProgressChoice
from ..prose import FRAME, WIDTH, framed
from ..tables import Column, tables_of

BeforeResult = (
    Started | Progress | EpochRecord | Compiling | NotCompiled | NotCaptured | Slow | NotDrawn
)
_SHOWN_EPOCHS = 8


def make_display(
    *, quiet: bool, progress: ProgressChoice = ProgressChoice.AUTO, as_json: bool = False
) -> Display:
    """Live or plain, as asked for."""
    console, is_live = progress_console(progress, quiet=quiet, as_json=as_json)
    return LiveDisplay(console) if is_live else Display(console)


class Display(NotesInLines):
    """Plain lines, one an epoch."""

    def follow(
        self,
        events: Iterator[RunEvent],
        experiment: Experiment,
        *,
        seed: int,
        split: str,
        turn: tuple[int, int] = (1, 1),
    ) -> Result:
        """Shows a run until its result, which is returned. On Ctrl-C says how to resume.

        `turn` says which of how many seeds it is, from 1.
        """
        run: Run | None = None
        result: Result | None = None
        self.begin(experiment, seed=seed, split=split, turn=turn)
        try:
            for event in events:
                if isinstance(event, Result):
                    result = event
                else:
                    run = self._show(event) or run
        except KeyboardInterrupt:
            folder = shlex.quote(str(run.folder)) if run else ""
            hint = f"resume with: mnist-arch train --resume {folder}" if run else ""
            raise Interrupted(hint=hint) from None
        finally:
            self.end()
        assert result is not None, "a run ends with its result"
        if self.is_one_of_several:
            correct = f"{result.correct:,} of {result.images:,} correct"
            accuracy = percent(result.accuracy_percent)
            self.note(f"{self.which}: {accuracy} ({result.split}, {correct})")
        return result

    def _show(self, event: BeforeResult) -> Run | None:
        """Shows an event; returns the run where it has begun."""
        match event:
            case Started():
                self.started(event)
                return event.run
            case Progress():
                self.progress(event)
            case EpochRecord():
                self.epoch(event)
            case Compiling():
                self.compiling()
            case NotCompiled():
                self.note(f"steps are not compiled here: {event.trouble}")
            case NotCaptured():
                self.note(f"steps are plain, in float32, not captured: {event.trouble}")
            case Slow():
                self.note(slow_text(event))
            case NotDrawn():
                trouble = f"there is no {event.path}: {event.trouble}"
                self.note(f"{trouble}; the same command tries again")
            case never:
                assert_never(never)
        return None

    def begin(
        self, experiment: Experiment, *, seed: int, split: str, turn: tuple[int, int] = (1, 1)
    ) -> None:
        self.experiment, self.seed, self.split, self.turn = experiment, seed, split, turn
        self.before: EpochRecord | None = None
        self.since: EpochRecord | None = None
        self.epoch_seconds: float | None = None

    @property
    def is_one_of_several(self) -> bool:
        return self.turn[1] > 1

    @property
    def which(self) -> str:
        """`seed 0`, or of several `seed 2 of 3 (number 1)`."""
        number, count = self.turn
        several = f"seed {number} of {count} (number {self.seed})"
        return several if self.is_one_of_several else f"seed {self.seed}"

    def started(self, event: Started) -> None:
        epochs = self.experiment.recipe.epochs
        which = f"{self.which}: " if self.is_one_of_several else ""
        if event.epochs_done == epochs and event.run.is_finished:
            self.note(f"{which}{event.run.folder} is finished; --again would start it from scratch")
        elif event.epochs_done:
            after = f"after epoch {event.epochs_done} of {epochs}"
            self.note(f"{which}resuming {event.run.folder} {after}")
        else:
            self.note(f"{which}training in {event.run.folder}")
        self.before = event.earlier[-1] if event.earlier else None
        self.earlier(event.earlier)

    def earlier(self, records: Sequence[EpochRecord]) -> None:
        """Earlier epochs of a run that is resumed."""
        for record in records:
            self.note(self._line(record))

    def compiling(self) -> None:
        self.note("the steps from here on are compiled first, which takes up to a minute")
        self.since = None

    def progress(self, event: Progress) -> None:
        """Plain output has nothing to say within an epoch."""

    def epoch(self, record: EpochRecord) -> None:
        self.epoch_seconds = self._seconds_of_an_epoch(record)
        self.since = self.since or record
        left = self.epoch_seconds * (self.experiment.recipe.epochs - record.epoch)
        self.note(f"{self._line(record)} · {duration(left)} left")

    def _line(self, record: EpochRecord) -> str:
        return (
            f"seed {self.seed} · epoch {record.epoch:>2}/{self.experiment.recipe.epochs} · "
            f"loss {record.train_loss:.4f} · {self.split} {percent(record.accuracy_percent)} · "
            f"rate {record.rate:.2g} · {record.images_per_second:,.0f} images/s"
        )

    def end(self) -> None:
        """Takes down what is live."""

    def _seconds_of_an_epoch(self, record: EpochRecord) -> float:
        """By the epochs after `since`, whose own time has a start or a compiler's."""
        if self.since is not None:
            return _seconds_between(self.since, record)
        if self.epoch_seconds is not None:  # of before the compiler
            return self.epoch_seconds
        if self.before is not None:  # another process, which may have been slower
            return _seconds_between(self.before, record)
        return record.seconds / record.epoch


class LiveDisplay(LiveNotes, Display):
    """Bars for epoch and batch, the last epochs as a table, and the curve in one line."""

    live: Live | None = None

    def begin(
        self, experiment: Experiment, *, seed: int, split: str, turn: tuple[int, int] = (1, 1)
    ) -> None:
        super().begin(experiment, seed=seed, split=split, turn=turn)
        self.records: list[EpochRecord] = []
        self.width = min(WIDTH, self.console.width)
        self.bars = Bars(
            TextColumn("{task.description:<6}"),
            BarColumn(bar_width=max(6, self.width - FRAME - 14)),
            TaskProgressColumn(),
        )
        epochs = experiment.recipe.epochs
        self.epochs_bar = self.bars.add_task("epoch", total=epochs)
        self.steps_bar = self.bars.add_task("batch", total=None)
        self.facts = ""

    def started(self, event: Started) -> None:
        super().started(event)
        self.bars.update(self.epochs_bar, completed=event.epochs_done)
        if event.epochs_done and event.run.is_finished:
            return
        self.live = Live(self.panel(), console=self.console, refresh_per_second=8, transient=True)
        self.live.start()

    def progress(self, event: Progress) -> None:
        epochs = self.experiment.recipe.epochs
        done = event.epoch - 1 + event.step / event.steps
        left = (epochs - done) * event.images / event.images_per_second
        self.bars.update(self.epochs_bar, completed=done)
        self.bars.update(self.steps_bar, completed=event.step, total=event.steps)
        self.facts = (
            f"epoch {event.epoch}/{epochs} · {duration(left)} left · "
            f"batch {event.step}/{event.steps} · "
            f"{event.images_per_second:,.0f} images/s · rate {event.rate:.2g}"
        )
        self._redraw()

    def epoch(self, record: EpochRecord) -> None:
        self.records.append(record)
        self.bars.update(self.epochs_bar, completed=record.epoch)
        self._redraw()

    def earlier(self, records: Sequence[EpochRecord]) -> None:
        self.records.extend(records)

    def end(self) -> None:
        """Takes down what is live, in whose place the table of all epochs stays."""
        if self.live is None:
            return
        self.live.stop()
        self.live = None
        if self.records:
            self.console.print(self._framed(*self._tables(self.records), self._curve()))

    def _redraw(self) -> None:
        if self.live is not None:
            self.live.update(self.panel())

    def panel(self) -> Panel:
        """The display as it stands."""
        shown = self.records[-_SHOWN_EPOCHS:]
        return self._framed(self.bars, Text(self.facts), *self._tables(shown), self._curve())

    def _framed(self, *parts: RenderableType) -> Panel:
        return framed(f"{self.experiment.name} · {self.which}", *parts, width=self.width)

    def _curve(self) -> Text:
        percents = [record.accuracy_percent for record in self.records]
        return Text(sparkline([it for it in percents if it is not None]), style="green")

    def _tables(self, records: Sequence[EpochRecord]) -> Iterator[RenderableType]:
        """A row an epoch; of none there is none."""
        if not records:
            return
        columns = [
            Column("epoch", [str(it.epoch) for it in records], is_key=True),
            Column("train\nloss", [f"{it.train_loss:.4f}" for it in records]),
            Column(
                f"{self.split}\nloss",
                ["–" if it.loss is None else f"{it.loss:.4f}" for it in records],
                goes=3,
            ),
            Column(
                f"{self.split}\naccuracy", [percent(it.accuracy_percent) for it in records], goes=4
            ),
            Column("rate", [f"{it.rate:.4f}" for it in records], goes=1),
            Column("images/s", [f"{it.images_per_second:,.0f}" for it in records], goes=2),
        ]
        for fitted in tables_of(columns, self.console, width=self.width - FRAME):
            yield fitted.drawn()


def slow_text(slow: Slow) -> str:
    """How slow, why that may be, and the way out."""
    others = slow.usable_cpus - slow.free_cpus
    text = _how_slow(slow)
    fewer = "" if slow.threads == 1 else "--again --threads 1"
    if others > SPARE_CPUS:
        text += f"Other programs keep {others:.1f} of {slow.usable_cpus:g} CPUs busy: end them"
        return text + (f", or start from scratch with {fewer}" if fewer else "")
    text += "No other program is at work, so it may be the machine"
    return text + (f"; {fewer} may be faster" if fewer else "")


def slow_trial_text(slow: Slow, *, workers: int) -> str:
    """The same of a trial of a sweep, beside which others of it train."""
    siblings = (workers - 1) * slow.threads
    others = slow.usable_cpus - slow.free_cpus - siblings
    text = _how_slow(slow)
    if others > SPARE_CPUS:
        text += f"Other programs keep {others:.1f} of {slow.usable_cpus:g} CPUs busy: end them"
        return text + (", or train fewer trials at a time" if workers > 1 else "")
    if siblings + slow.threads > slow.usable_cpus:
        busy = f"{workers} trials at a time share {slow.usable_cpus:g} CPUs"
        return f"{text}{busy}: train fewer at a time"
    return f"{text}No other program is at work, so it may be the machine"


def _how_slow(slow: Slow) -> str:
    where = f"this network with {threads_text(slow.threads)} leads one to expect"
    return f"slow: {slow.images_per_second:,.0f} images/s, where {where} {slow.expected:,.0f}. "


def _seconds_between(first: EpochRecord, last: EpochRecord) -> float:
    """Of an epoch, by the epochs after the first."""
    return (last.seconds - first.seconds) / (last.epoch - first.epoch)
