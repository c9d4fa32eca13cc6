"""The live display: what it shows, and that it gives the terminal back."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_runs import made_up_result

from mnist_arch.runs.events import Started
from mnist_arch.runs.folder import Run
from mnist_arch.spec.loading import load
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import Compiling, EpochRecord, NotCompiled, Progress, Slow
from mnist_arch_cli.errors import Interrupted
from mnist_arch_cli.formats import duration, sparkline
from mnist_arch_cli.notes import warn_of_sample
from mnist_arch_cli.train.display import Display, LiveDisplay, slow_text

EXPERIMENT = load("s6").with_dataset("mnist").experiment
ENGINE = Engine(device="cpu", threads=1)
RECORD = EpochRecord(
    epoch=1,
    train_loss=0.4332,
    loss=0.0521,
    correct=9_834,
    images=10_000,
    rate=0.0193,
    images_per_second=1_016.4,
    seconds=60.0,
)


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def begun() -> LiveDisplay:
    display = LiveDisplay(terminal())
    display.begin(EXPERIMENT, seed=3, split="test")
    display.started(Started(Run(Path("runs/s6-00000000-s3")), 0))
    return display


def drawn(display: LiveDisplay) -> str:
    """The panel as it stands."""
    screen = terminal()
    screen.print(display.panel())
    return shown(screen)


def test_the_panel_has_epoch_batch_loss_accuracy_rate_speed_and_time_left() -> None:
    display = begun()
    display.epoch(RECORD)
    progress = Progress(
        epoch=2, step=469, steps=938, images=60_000, rate=0.0321, images_per_second=1_000.0
    )
    display.progress(progress)
    text = drawn(display)
    display.end()
    assert "s6 · seed 3" in text
    # 17.5 epochs of 60,000 images at 1,000 images a second.
    assert "2/19 · 17:30 left" in text
    assert "469/938 · 1,000 images/s · rate 0.032" in text
    for part in ("0.4332", "0.0521", "98.34 %", "0.0193", "1,016"):
        assert part in text


def test_the_time_left_is_that_of_the_images_that_there_are() -> None:
    """Where they are fewer than a batch, too."""
    display = begun()
    progress = Progress(epoch=4, step=1, steps=1, images=10, rate=0.1, images_per_second=1.0)
    display.progress(progress)
    text = drawn(display)
    display.end()
    assert "4/19 · 2:30 left" in text


def test_the_panel_shows_the_last_epochs_and_a_bar_for_each() -> None:
    display = begun()
    for epoch in range(1, 13):
        display.epoch(EpochRecord(**{**vars(RECORD), "epoch": epoch, "correct": 9_000 + epoch}))
    text = drawn(display)
    display.end()
    assert "90.12 %" in text
    assert "90.04 %" not in text
    assert sparkline([float(epoch) for epoch in range(1, 13)]) in text


@pytest.mark.parametrize("display", [Display, LiveDisplay])
def test_it_is_said_that_steps_are_compiled_or_cannot_be(display: type[Display]) -> None:
    def events() -> Iterator[Any]:
        yield Started(Run(Path("runs/s6-00000000-s3")), 0)
        yield RECORD
        yield Compiling()
        yield NotCompiled("no g++")
        raise KeyboardInterrupt

    shows = display(terminal())
    with pytest.raises(Interrupted):
        shows.follow(events(), EXPERIMENT, seed=3, split="test")
    text = shown(shows.console)
    first = text.index("the steps from here on are compiled first, which takes up to a minute")
    assert first < text.index("steps are not compiled here: no g++")


def test_an_interrupt_ends_the_display_and_says_how_to_go_on() -> None:
    def events() -> Iterator[Started | EpochRecord]:
        yield Started(Run(Path("my runs/s6-00000000-s3")), 0)
        yield RECORD
        raise KeyboardInterrupt

    display = LiveDisplay(terminal())
    with pytest.raises(Interrupted) as caught:
        display.follow(events(), EXPERIMENT, seed=3, split="test")
    assert caught.value.hint == "resume with: mnist-arch train --resume 'my runs/s6-00000000-s3'"
    assert display.live is None
    assert "\x1b[?25h" in shown(display.console)  # the cursor is there again


def run_of(*records: EpochRecord, earlier: Sequence[EpochRecord] = ()) -> Iterator[Any]:
    """What a run yields that ends well."""
    epochs = len(earlier)
    yield Started(Run(Path("runs/s6-00000000-s3")), epochs, tuple(earlier))
    yield from records
    yield made_up_result(EXPERIMENT, seed=3)


def epoch(number: int) -> EpochRecord:
    return dataclasses.replace(RECORD, epoch=number, correct=9_000 + number)


def test_the_table_of_all_epochs_stays_when_the_live_display_ends() -> None:
    display = LiveDisplay(terminal())
    records = [epoch(number) for number in range(1, 13)]
    display.follow(run_of(*records[4:], earlier=records[:4]), EXPERIMENT, seed=3, split="test")
    *_, rest = shown(display.console).split("\x1b[?25h")  # the cursor, where the display has ended
    for record in records:
        assert f"{record.accuracy_percent:.2f} %" in rest
    assert "s6 · seed 3" in rest
    assert "batch" not in rest


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_it_stays_whatever_ends_the_run(error: BaseException) -> None:
    def events() -> Iterator[Any]:
        yield Started(Run(Path("runs/s6-00000000-s3")), 0)
        yield epoch(1)
        raise error

    display = LiveDisplay(terminal())
    with pytest.raises((Interrupted, ValueError)):
        display.follow(events(), EXPERIMENT, seed=3, split="test")
    assert "90.01 %" in shown(display.console).split("\x1b[?25h")[-1]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_digit_is_lost_in_a_narrow_terminal(width: int) -> None:
    display = LiveDisplay(terminal(width))
    display.follow(run_of(epoch(1)), EXPERIMENT, seed=3, split="validation")
    lines = re.sub(r"\x1b\[\w*", "", shown(display.console).split("\x1b[?25h")[-1]).splitlines()
    assert max(map(len, lines)) <= width
    (row,) = (line.split() for line in lines if "90.01 %" in line)
    assert row[1:-1] == ["1", "0.4332", "0.0521", "90.01", "%", "0.0193", "1,016"]


def test_a_run_that_goes_on_shows_what_was_before() -> None:
    console = Console(stderr=True, file=io.StringIO(), width=80)
    events = run_of(epoch(3), earlier=[epoch(1), epoch(2)])
    Display(console).follow(events, EXPERIMENT, seed=3, split="test")
    lines = shown(console).splitlines()
    assert lines[0] == "resuming runs/s6-00000000-s3 after epoch 2 of 19"
    assert [line.split(" · ")[1] for line in lines[1:]] == [
        "epoch  1/19",
        "epoch  2/19",
        "epoch  3/19",
    ]
    assert ["left" in line for line in lines[1:]] == [False, False, True]


@pytest.mark.parametrize("kind", [Display, LiveDisplay])
def test_of_several_seeds_each_has_its_result(kind: type[Display]) -> None:
    display = kind(terminal())
    display.follow(run_of(epoch(1)), EXPERIMENT, seed=3, split="test", turn=(2, 5))
    text = shown(display.console)
    assert "seed 2 of 5 (number 3): training in runs/s6-00000000-s3\n" in text
    assert text.endswith("seed 2 of 5 (number 3): 50.00 % (test, 1 of 2 correct)\n")


def test_where_there_is_no_terminal_an_epoch_is_a_line() -> None:
    console = Console(stderr=True, file=io.StringIO(), width=80)
    display = Display(console)
    display.begin(EXPERIMENT, seed=3, split="validation")
    display.epoch(RECORD)
    assert shown(console) == (
        "seed 3 · epoch  1/19 · loss 0.4332 · validation 98.34 % · rate 0.019 · "
        "1,016 images/s · 18:00 left\n"
    )


def test_the_time_left_is_not_by_the_start_of_the_run() -> None:
    """A first epoch of 60 s of which 40 s were the start's, and then 20 s an epoch."""
    console = Console(stderr=True, file=io.StringIO(), width=80)
    display = Display(console)
    display.begin(EXPERIMENT, seed=3, split="test")
    for epoch, seconds in ((1, 60.0), (2, 80.0), (3, 100.0), (19, 420.0)):
        display.epoch(dataclasses.replace(RECORD, epoch=epoch, seconds=seconds))
    lines = shown(console).splitlines()
    assert [line.split(" · ")[-1] for line in lines] == [
        "18:00 left",
        "5:40 left",
        "5:20 left",
        "0:00 left",
    ]


def test_the_time_left_of_a_run_that_goes_on_is_not_by_an_earlier_process() -> None:
    """Which may have been many times as slow."""
    console = Console(stderr=True, file=io.StringIO(), width=160)
    display = Display(console)
    display.begin(EXPERIMENT, seed=3, split="test")
    earlier = [record_of(epoch, seconds=1_000.0 * epoch) for epoch in (1, 2)]
    display.started(Started(Run(Path("runs/s6-00000000-s3")), 2, tuple(earlier)))
    for epoch, seconds in ((3, 2_030.0), (4, 2_050.0)):
        display.epoch(record_of(epoch, seconds=seconds))
    lines = [line for line in shown(console).splitlines() if "left" in line]
    assert [line.rpartition(" · ")[2] for line in lines] == ["8:00 left", "5:00 left"]


def record_of(epoch: int, *, seconds: float) -> EpochRecord:
    return dataclasses.replace(RECORD, epoch=epoch, seconds=seconds)


def test_the_time_left_is_not_by_the_time_of_the_compiler() -> None:
    """A plain epoch of 40 s, one of 60 s of which 35 s were the compiler's, and then 25 s each."""
    console = Console(stderr=True, file=io.StringIO(), width=80)
    display = Display(console)
    display.begin(EXPERIMENT, seed=3, split="test")
    display.epoch(dataclasses.replace(RECORD, seconds=40.0))
    display.compiling()
    for epoch, seconds in ((2, 100.0), (3, 125.0), (4, 150.0)):
        display.epoch(dataclasses.replace(RECORD, epoch=epoch, seconds=seconds))
    lines = [line for line in shown(console).splitlines() if "left" in line]
    assert [line.split(" · ")[-1] for line in lines] == [
        "12:00 left",
        "11:20 left",
        "6:40 left",
        "6:15 left",
    ]


def test_the_sample_is_warned_of_even_if_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_sample("no [network]")
    out, err = capsys.readouterr()
    assert out == ""
    assert "NOT MNIST" in err
    assert "mnist-5k" in err
    assert "no [network]" in err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0:00"),
        (0.4, "0:00"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3_600, "1:00:00"),
        (36_061, "10:01:01"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sparklines() -> None:
    assert sparkline([]) == ""
    assert sparkline([2.0, 2.0]) == "██"
    assert sparkline([0.0, 1.0, 7.0]) == "▁▂█"


@pytest.mark.parametrize(
    ("threads", "free", "end"),
    [
        (1, 0.5, "Other programs keep 1.5 of 2 CPUs busy: end them"),
        (2, 0.5, "Other programs keep 1.5 of 2 CPUs busy: end them, or start from scratch with "),
        (1, 2.0, "No other program is at work, so it may be the machine"),
        (2, 2.0, "so it may be the machine; --again --threads 1 may be faster"),
    ],
)
def test_a_slow_training_says_why_and_the_way_out(threads: int, free: float, end: str) -> None:
    text = slow_text(Slow(100.0, 3_700.0, threads=threads, usable_cpus=2.0, free_cpus=free))
    assert "100 images/s" in text
    assert end in text
    assert text.endswith(("end them", "--threads 1", "the machine", "may be faster"))
