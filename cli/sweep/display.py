"""What one sees while a sweep runs: a live table on a terminal, a line a trial elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, assert_never

from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from mnist_arch.data.catalog import in_words
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.result import Result
from mnist_arch.sweeps.estimate import Pace
from mnist_arch.sweeps.execution.executor import Stopped, TrialEvent
from mnist_arch.sweeps.ledger import Failure
from mnist_arch.sweeps.planning import Trial
from mnist_arch.sweeps.stages import SearchEnded, StageBegan, StageName
from mnist_arch.training.events import EpochRecord, Slow

from ..consoles import progress_console
from ..formats import duration, percent, sparkline
from ..notes import LiveNotes, NotesInLines
from ..options import ProgressChoice
from ..prose import FRAME, WIDTH, framed
from ..tables import Column, tables_of
from ..train.display import slow_trial_text
from .tables import name_column

_CURVE: Final = 20
"""Epochs of a curve, the last."""
_STAGES: Final[dict[StageName, str]] = {
    "ranking": "ranking on the hold-out",
    "search": "searching",
    "final": "finalists, on all training images; test is read once each",
}


def make_sweep_display(
    *, quiet: bool, progress: ProgressChoice = ProgressChoice.AUTO, as_json: bool = False
) -> SweepDisplay:
    """Live or plain, as asked for."""
    console, is_live = progress_console(progress, quiet=quiet, as_json=as_json)
    return LiveSweepDisplay(console) if is_live else SweepDisplay(console)


@dataclass
class SweepDisplay(NotesInLines):
    """Plain lines, one for each trial that ends."""

    loading_text = "loading torch and the images; native steps are built where none were installed"

    stage: StageName = "ranking"
    waiting: dict[tuple[str, int], Trial] = field(default_factory=dict)
    """Trials of the stage that have not ended."""
    ended: int = 0
    """Trials of the stage that have, those of earlier commands included."""
    was_slow: bool = False
    results: dict[str, list[Result]] = field(default_factory=lambda: defaultdict(list))
    """Of this stage, by arm."""
    curves: dict[tuple[str, int], list[EpochRecord]] = field(
        default_factory=lambda: defaultdict(list)
    )
    not_drawn: dict[tuple[str, int], NotDrawn] = field(default_factory=dict)
    """Of trials whose result is about to come."""

    def follow(self, events: Iterator[StageBegan | TrialEvent | SearchEnded], pace: Pace) -> None:
        """Shows a sweep until its end."""
        self.pace = pace
        self.begin()
        try:
            for event in events:
                match event:
                    case StageBegan():
                        self.stage_began(event)
                    case TrialEvent():
                        self.happened(event)
                    case SearchEnded():
                        self.note(event.why)
                    case never:
                        assert_never(never)
        finally:
            self.end()

    def begin(self) -> None:
        """Puts up what is live."""

    def end(self) -> None:
        """Takes it down."""

    def stage_began(self, event: StageBegan) -> None:
        self.stage = event.name
        self.waiting = {trial.key: trial for trial in event.trials}
        self.ended = len(event.earlier)
        self.results.clear()
        for trial, result in event.earlier:
            if result is not None:
                self.results[trial.arm.name].append(result)
        several = "" if len(event.trials) == 1 else "s"
        count = f", {len(event.trials):,} trial{several}" if event.trials else ""
        earlier = f", {len(event.earlier):,} have ended before" if event.earlier else ""
        self.note(f"{_STAGES[event.name]}{count}{earlier}")

    def happened(self, event: TrialEvent) -> None:
        """Takes note of what happened to a trial, and says so where it resumes or ends."""
        trial = event.task.trial
        match event.what:
            case Started(epochs_done=done):
                if done:
                    after = f"after epoch {done} of {trial.arm.epochs}"
                    self.note(f"{trial.arm.name} · seed {trial.seed} · resumes {after}")
            case EpochRecord() as record:
                self.curves[trial.key].append(record)
            case Slow() as slow if not self.was_slow:  # what slows one down slows down the others
                self.was_slow = True
                text = slow_trial_text(slow, workers=self.pace.workers)
                self.note(f"{trial.arm.name} · seed {trial.seed} · {text}")
            case Slow():
                pass
            case NotDrawn() as not_drawn:
                self.not_drawn[trial.key] = not_drawn
            case Result() as result:
                self.pace.learn(trial, result.seconds)
                self.results[trial.arm.name].append(result)
                accuracy = percent(result.accuracy_percent)
                text = f"{result.split} {accuracy} · {duration(result.seconds)}"
                if lacks := self.not_drawn.pop(trial.key, None):
                    text += f" · no {lacks.path.name}: {lacks.trouble}"
                self._ended(trial, text)
            case Failure(reason=reason):
                self._ended(trial, f"FAILED: {reason}")
            case Stopped():
                self._ended(trial, "PRUNED")
            case never:
                assert_never(never)

    def _ended(self, trial: Trial, text: str) -> None:
        self.waiting.pop(trial.key, None)
        self.curves.pop(trial.key, None)
        self.ended += 1
        parts = [self.progress(), f"{trial.arm.name} · seed {trial.seed} · {text}"]
        if left := self.left():
            parts.append(f"{left} left")
        self.note(" · ".join(parts))

    def progress(self) -> str:
        """`12/30` of the stage; of a search, whose end is a number of trials in the file.

        Where each of them may take several seeds, so many at most: `12/≤150`.
        """
        search = self.pace.plan.definition.sweep.search
        if self.stage == "search" and search is not None:
            most = search.trials * search.seeds
            return f"{self.ended}/{'≤' if search.seeds > 1 else ''}{most}"
        return f"{self.ended}/{self.ended + len(self.waiting)}"

    def left(self) -> str:
        """Time left of this stage; empty where it is not known."""
        if self.stage == "search":
            return ""
        return duration(self.pace.left(self.waiting.values()).seconds)

    def best(self) -> str:
        """The best arm of the stage so far, among those with the most runs."""
        if not self.results:
            return ""
        most = max(map(len, self.results.values()))
        means = {
            name: Fraction(sum(it.correct for it in results), len(results) * results[0].images)
            for name, results in self.results.items()
            if len(results) == most
        }
        name = max(means, key=lambda name: means[name])
        runs = f"{most} run{'s' if most > 1 else ''}"
        return f"{name}, {float(100 * means[name]):.3f} % ({runs})"


@dataclass(frozen=True)
class _Running:
    """A trial that is being trained."""

    trial: Trial
    epoch: int
    """The last that is done."""


class LiveSweepDisplay(LiveNotes, SweepDisplay):
    """Every running trial with its epoch, curve and accuracy; best so far; time left."""

    live: Live | None = None

    def begin(self) -> None:
        self.running: dict[tuple[str, int], _Running] = {}
        self.live = Live(self.panel(), console=self.console, refresh_per_second=4, transient=True)
        self.live.start()

    def end(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def stage_began(self, event: StageBegan) -> None:
        super().stage_began(event)
        self._redraw()

    def happened(self, event: TrialEvent) -> None:
        trial = event.task.trial
        if event.is_last:
            self.running.pop(trial.key, None)
        super().happened(event)
        match event.what:
            case Started(epochs_done=epoch) | EpochRecord(epoch=epoch):
                self.running[trial.key] = _Running(trial, epoch)
        self._redraw()

    def _redraw(self) -> None:
        if self.live is not None:
            self.live.update(self.panel())

    def panel(self) -> Panel:
        """The display as it stands."""
        width = min(WIDTH, self.console.width)
        running = [(it, self._percents(key)) for key, it in self.running.items()]
        columns = [
            name_column([it.trial.arm.name for it, _ in running]),
            Column("seed", [str(it.trial.seed) for it, _ in running], is_key=True),
            Column("epoch", [f"{it.epoch}/{it.trial.arm.epochs}" for it, _ in running]),
            Column("accuracy", [percent(it[-1] if it else None) for _, it in running]),
            Column("curve", [_curve(it) for _, it in running], words=True, is_whole=True, goes=1),
        ]
        tables = tables_of(columns, self.console, width=width - FRAME) if running else []
        facts = [f"{self.progress()} done"]
        if best := self.best():
            facts.append(f"best so far: {best}")
        if left := self.left():
            facts.append(f"{left} left")
        plan = self.pace.plan
        return framed(
            f"{plan.definition.sweep.name} · {in_words(plan.dataset)}",
            Text(" · ".join(facts)),
            Text(_STAGES[self.stage], style="dim"),
            *(table.drawn() for table in tables),
            width=width,
        )

    def _percents(self, key: tuple[str, int]) -> list[float]:
        """Of the epochs that were judged."""
        records = self.curves[key]
        return [it.accuracy_percent for it in records if it.accuracy_percent is not None]


def _curve(percents: list[float]) -> str:
    return f"[green]{sparkline(percents[-_CURVE:])}[/]" if percents else ""
