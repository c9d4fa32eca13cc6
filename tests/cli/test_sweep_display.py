"""What one sees while a sweep runs, of a script of events: plain lines, and the live table."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tiny_sweeps import HOLDOUT, TIME, blocks, made_up, planned

from mnist_arch.errors import FailureKind
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.sweeps.estimate import Pace
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.ledger import Failure, Ledger
from mnist_arch.sweeps.planning import SweepPlan, Trial
from mnist_arch.sweeps.stages import StageBegan
from mnist_arch.training.events import EpochRecord, Slow
from mnist_arch_cli.formats import sparkline
from mnist_arch_cli.sweep.display import LiveSweepDisplay, SweepDisplay, make_sweep_display
from mnist_arch_cli.train.display import slow_trial_text

SECONDS = 10.0


@pytest.fixture
def plan(tmp_path: Path) -> SweepPlan:
    """Two arms of one cost with two seeds each, and a finalist with one."""
    return planned(
        tmp_path,
        {"name": "a", **blocks(4)},
        {"name": "b", **blocks(4), "defaults": {"dropout": 0.0}},
        seeds=2,
        finalists={"top": 1, "seeds": 1},
    )


class Script:
    """Events of trials, as an executor would yield them."""

    def __init__(self, plan: SweepPlan) -> None:
        self.plan = plan
        self.ledger = Ledger(Path("runs/tiny"))
        self.ranking = plan.trials()

    @property
    def final(self) -> list[Trial]:
        """Of the arm `a`."""
        return self.plan.final_trials(self.plan.arms[0])

    def task(self, trial: Trial) -> Task:
        counted = self.plan.counted(trial.arm, trial.stage)
        return Task(trial, counted, self.ledger.run(trial))

    def began(self, trial: Trial, epochs_done: int = 0) -> TrialEvent:
        return TrialEvent(self.task(trial), Started(self.task(trial).run, epochs_done))

    def epoch(self, trial: Trial, epoch: int, correct: int | None) -> TrialEvent:
        record = EpochRecord(
            epoch=epoch,
            train_loss=1.0,
            loss=None if correct is None else 0.5,
            correct=correct,
            images=HOLDOUT,
            rate=0.1,
            images_per_second=1_000.0,
            seconds=5.0 * epoch,
        )
        return TrialEvent(self.task(trial), record)

    def finished(self, trial: Trial, correct: int, seconds: float = SECONDS) -> TrialEvent:
        return TrialEvent(self.task(trial), made_up(trial, self.plan, correct, seconds=seconds))

    def failed(self, trial: Trial, reason: str) -> TrialEvent:
        return TrialEvent(
            self.task(trial), Failure(kind=FailureKind.CRASH, reason=reason, time=TIME)
        )

    def stopped(self, trial: Trial) -> TrialEvent:
        return TrialEvent(self.task(trial), Stopped())


def plain(
    events: Iterable[StageBegan | TrialEvent], plan: SweepPlan, *, workers: int = 1
) -> list[str]:
    """The lines that a file would get."""
    console = Console(stderr=True, file=io.StringIO(), width=40)
    SweepDisplay(console).follow(iter(events), Pace(plan, workers=workers))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_that_trials_are_far_too_slow_is_said_once(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, *_ = script.ranking
    slow = Slow(100.0, 3_700.0, threads=1, usable_cpus=2.0, free_cpus=0.5)
    lags = [TrialEvent(script.task(trial), slow) for trial in (a0, b0)]
    began = [script.began(trial) for trial in (a0, b0)]
    ends = [script.finished(trial, 91) for trial in (a0, b0)]
    lines = plain([StageBegan("ranking", (a0, b0)), *began, *lags, *ends], plan)
    (line,) = (line for line in lines if "slow: " in line)
    assert line == (
        "a · seed 0 · slow: 100 images/s, where this network with 1 thread leads one to expect "
        "3,700. Other programs keep 1.5 of 2 CPUs busy: end them"
    )


@pytest.mark.parametrize(
    ("workers", "usable", "free", "why"),
    [
        (2, 4.0, 3.0, "No other program is at work, so it may be the machine"),  # the other worker
        (
            2,
            4.0,
            1.0,
            "Other programs keep 2.0 of 4 CPUs busy: end them, or train fewer trials at a time",
        ),
        (4, 2.0, 0.0, "4 trials at a time share 2 CPUs: train fewer at a time"),
        (1, 2.0, 2.0, "No other program is at work, so it may be the machine"),
    ],
)
def test_the_other_trials_of_a_sweep_are_no_other_programs(
    workers: int, usable: float, free: float, why: str
) -> None:
    slow = Slow(100.0, 3_700.0, threads=1, usable_cpus=usable, free_cpus=free)
    assert slow_trial_text(slow, workers=workers).endswith(f" 3,700. {why}")


def test_where_there_is_no_terminal_a_trial_is_a_line(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, a1, b1 = script.ranking
    (final,) = script.final
    lines = plain(
        [
            StageBegan("ranking", (a0, b0, a1, b1)),
            script.began(a0),
            script.epoch(a0, 1, 80),
            script.finished(a0, 91),
            script.began(b0),
            script.finished(b0, 92, seconds=30.0),
            script.began(a1, 1),
            script.failed(a1, "its process was killed by [SIGKILL]"),
            script.stopped(b1),
            StageBegan("final", (final,)),
            script.finished(final, 985),
        ],
        plan,
    )
    assert lines == [
        "ranking on the hold-out, 4 trials",
        "1/4 · a · seed 0 · validation 91.00 % · 0:10 · 0:30 left",
        "2/4 · b · seed 0 · validation 92.00 % · 0:30 · 0:40 left",
        "a · seed 1 · resumes after epoch 1 of 2",
        "3/4 · a · seed 1 · FAILED: its process was killed by [SIGKILL] · 0:20 left",
        "4/4 · b · seed 1 · PRUNED · 0:00 left",
        "finalists, on all training images; test is read once each, 1 trial",
        "1/1 · a · seed 2 · test 98.50 % · 0:10 · 0:00 left",
    ]


def test_a_sweep_that_goes_on_counts_what_has_ended_before(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, a1, b1 = script.ranking
    earlier = ((a0, made_up(a0, plan, 91, seconds=SECONDS)), (b0, None))
    lines = plain([StageBegan("ranking", (a1, b1), earlier), script.finished(a1, 90)], plan)
    assert lines == [
        "ranking on the hold-out, 2 trials, 2 have ended before",
        "3/4 · a · seed 1 · validation 90.00 % · 0:10 · 0:10 left",
    ]


def test_a_picture_that_is_missing_is_said_with_the_result(plan: SweepPlan) -> None:
    script = Script(plan)
    first = script.ranking[0]
    trouble = NotDrawn(Path("runs/a/curves.png"), "latex could not be found")
    not_drawn = TrialEvent(script.task(first), trouble)
    lines = plain([StageBegan("ranking", (first,)), not_drawn, script.finished(first, 91)], plan)
    assert len(lines) == 2
    assert " · 0:10 · no curves.png: latex could not be found" in lines[1]


def test_of_a_search_the_end_is_a_number_of_trials(tmp_path: Path) -> None:
    space = {"recipe.schedule.peak": {"kind": "float", "low": 0.01, "high": 0.1}}
    plan = planned(tmp_path, search={"space": space, "trials": 7})
    arm = plan.arm_of("peak=0.05", (), proposal=1)
    trial = Trial(arm, 0, "ranking", arm.digest)
    lines = plain([StageBegan("search", ()), Script(plan).finished(trial, 90)], plan)
    assert lines == ["searching", "1/7 · peak=0.05 · seed 0 · validation 90.00 % · 0:10"]


def test_workers_share_the_time_that_is_left(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, a1, b1 = script.ranking
    events = [StageBegan("ranking", (a0, b0, a1, b1)), script.finished(a0, 91)]
    *_, last = plain(events, plan, workers=2)
    assert last.endswith("0:15 left")
    *_, last = plain([*events, script.finished(b0, 91), script.finished(a1, 91)], plan, workers=2)
    assert last.endswith("0:10 left")  # a trial is not shared


# ------------------------------------------------------------------------------------- the live one


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def drawn(display: LiveSweepDisplay, width: int = 100) -> list[str]:
    """The panel as it stands, without its borders."""
    screen = terminal(width)
    screen.print(display.panel())
    return [line.strip("╭─╮│╰╯ ") for line in shown(screen).splitlines()]


def panel_after(
    events: Iterable[StageBegan | TrialEvent], plan: SweepPlan, *, width: int = 100
) -> list[str]:
    """The panel after the last of these events."""
    panels: list[list[str]] = []
    display = LiveSweepDisplay(terminal(width))

    def script() -> Iterator[StageBegan | TrialEvent]:
        yield from events
        panels.append(drawn(display, width))

    display.follow(script(), Pace(plan, workers=2))
    assert display.live is None
    assert "\x1b[?25h" in shown(display.console)  # the cursor is there again
    return panels[0]


def test_the_panel_has_every_running_trial_with_epoch_accuracy_and_curve(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, a1, b1 = script.ranking
    lines = panel_after(
        [
            StageBegan("ranking", (a0, b0, a1, b1)),
            script.began(a0),
            script.began(b0),
            script.epoch(a0, 1, 80),
            script.epoch(a0, 2, 91),
            script.epoch(b0, 1, 70),
            script.finished(a0, 91),
            script.began(a1, 1),
        ],
        plan,
    )
    assert [" ".join(line.split()) for line in lines] == [
        "tiny · mnist-5k (embedded sample)",
        "1/4 done · best so far: a, 91.000 % (1 run) · 0:15 left",
        "ranking on the hold-out",
        "arm seed epoch accuracy curve",
        "",
        "b 0 1/2 70.00 % █",
        "a 1 1/2 –",
        "",
    ]


def test_the_curve_is_of_the_epochs_that_were_judged(plan: SweepPlan) -> None:
    script = Script(plan)
    (final,) = script.final
    events = [StageBegan("final", (final,)), script.epoch(final, 1, None)]
    assert panel_after(events, plan)[5].split() == ["a", "2", "1/2", "–"]
    a0 = script.ranking[0]
    events = [StageBegan("ranking", (a0,)), script.epoch(a0, 1, 80), script.epoch(a0, 2, 90)]
    assert panel_after(events, plan)[5].split() == ["a", "0", "2/2", "90.00", "%", "▁█"]
    assert sparkline([80.0, 90.0]) == "▁█"


def test_the_best_so_far_is_of_the_arms_with_the_most_runs(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, a1, _ = script.ranking
    events = [
        StageBegan("ranking", tuple(script.ranking)),
        script.finished(a0, 90),
        script.finished(b0, 95),
    ]
    assert "best so far: b, 95.000 % (1 run)" in panel_after(events, plan)[1]
    events.append(script.finished(a1, 91))
    assert "best so far: a, 90.500 % (2 runs)" in panel_after(events, plan)[1]


def test_a_stage_begins_anew(plan: SweepPlan) -> None:
    script = Script(plan)
    events = [
        StageBegan("ranking", tuple(script.ranking)),
        *(script.finished(trial, 90) for trial in script.ranking),
        StageBegan("final", tuple(script.final)),
        script.began(script.final[0]),
    ]
    lines = panel_after(events, plan)
    assert lines[1] == "0/1 done · 0:10 left"  # by what the ranking took; the best is another's
    assert lines[2] == "finalists, on all training images; test is read once each"
    earlier = ((script.ranking[0], made_up(script.ranking[0], plan, 99, seconds=SECONDS)),)
    goes_on = panel_after([StageBegan("ranking", (script.ranking[1],), earlier)], plan)
    assert goes_on[1].startswith("1/2 done · best so far: a, 99.000 % (1 run)")


def test_a_trial_that_ends_leaves_the_panel_and_is_a_line_above_it(plan: SweepPlan) -> None:
    script = Script(plan)
    a0, b0, *_ = script.ranking
    events = [StageBegan("ranking", (a0, b0)), script.began(a0), script.failed(a0, "NaN")]
    assert len(panel_after(events, plan)) == 4  # no row, and no table
    display = LiveSweepDisplay(terminal())
    display.follow(iter(events), Pace(plan, workers=1))
    assert "1/2 · a · seed 0 · FAILED: NaN" in shown(display.console)


def test_the_panel_fits_a_narrow_terminal_whatever_the_names(tmp_path: Path) -> None:
    plan = planned(tmp_path, {"name": "n" * 64, **blocks(4)}, name="s" * 64, seeds=1)
    script = Script(plan)
    (trial,) = script.ranking
    events = [StageBegan("ranking", (trial,)), script.epoch(trial, 1, 50)]
    for width in (60, 100):
        lines = panel_after(events, plan, width=width)
        assert max(map(len, lines)) <= width
        assert "50.00 %" in " ".join(lines)


def test_an_error_takes_the_panel_down(plan: SweepPlan) -> None:
    def events() -> Iterator[StageBegan | TrialEvent]:
        yield StageBegan("ranking", tuple(plan.trials()))
        raise KeyboardInterrupt

    display = LiveSweepDisplay(terminal())
    with pytest.raises(KeyboardInterrupt):
        display.follow(events(), Pace(plan, workers=1))
    assert display.live is None
    assert "\x1b[?25h" in shown(display.console)


def test_elsewhere_json_has_no_lines(plan: SweepPlan, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(plan)
    events = [StageBegan("ranking", tuple(script.ranking)), script.finished(script.ranking[0], 90)]
    for quiet, as_json in ((True, False), (False, True)):
        display = make_sweep_display(quiet=quiet, as_json=as_json)
        display.follow(iter(events), Pace(plan, workers=1))
        with display.working("loading"):
            pass
    assert capsys.readouterr() == ("", "")
    make_sweep_display(quiet=False, as_json=False).follow(iter(events), Pace(plan, workers=1))
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 2)
