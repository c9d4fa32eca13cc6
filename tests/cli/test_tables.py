"""Tables and frames keep every number and every word, however narrow the terminal is."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from tiny_runs import made_up_result, make_run

from mnist_arch.runs.events import Started
from mnist_arch.runs.folder import Run
from mnist_arch.runs.score import Score
from mnist_arch.spec.loading import load
from mnist_arch.training.events import EpochRecord, Progress
from mnist_arch.verbs.train import TrainedRun
from mnist_arch_cli.notes import warn_of_sample
from mnist_arch_cli.tables import Column, folded, print_tables
from mnist_arch_cli.train import tables as results
from mnist_arch_cli.train.display import LiveDisplay

WIDTHS = (40, 50, 60, 80, 100, 120, 160, 200)
EXPERIMENT = load("s6").with_dataset("mnist").experiment


def words(text: str) -> list[str]:
    """Words and numbers, without the frames around them."""
    return re.findall(r"[^\s─━╸╺│╭╮╰╯]+", re.sub(r"\x1b\[[?\w;]*", "", text))


def numbers(text: str) -> set[str]:
    return {word.strip("(),;") for word in words(text) if re.search(r"\d", word)}


def drawn(columns: list[Column], width: int, title: str = "") -> str:
    console = Console(file=io.StringIO(), width=width)
    print_tables(columns, console, title=title)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _result(capsys: pytest.CaptureFixture[str], run: Run) -> str:
    result = made_up_result(EXPERIMENT, seed=3)
    trained = TrainedRun(run, result)
    results.show_results([trained], EXPERIMENT.budget, as_json=False, as_score=False, note=print)
    return capsys.readouterr().out


def _group(capsys: pytest.CaptureFixture[str], run: Run) -> str:
    whole = Score.of(
        [made_up_result(EXPERIMENT, seed=seed) for seed in range(3)], EXPERIMENT.budget
    )
    results.show_score(whole, EXPERIMENT.budget, [run], Path("g.json"))
    return capsys.readouterr().out


def _sample(capsys: pytest.CaptureFixture[str], run: Run) -> str:
    warn_of_sample("mnist is not in /a/folder, which is empty, nor anywhere else")
    return capsys.readouterr().err


@pytest.mark.parametrize("shows", [_result, _group, _sample])
def test_no_width_costs_a_word_or_a_number(
    shows: Callable[[pytest.CaptureFixture[str], Run], str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # so that paths are short
    run = make_run(Path("runs"), EXPERIMENT, seed=3)
    texts = {}
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        texts[width] = shows(capsys, run)
    for width, text in texts.items():
        assert numbers(texts[200]) <= numbers(text), width
        assert set(words(texts[200])) - {"rule"} <= set(words(text)), width  # a heading
        if shows is not _sample:  # notes are one line where nobody has a terminal
            assert max(map(cell_len, text.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_frame_of_a_training_keeps_every_number(width: int) -> None:
    console = Console(
        stderr=True, file=io.StringIO(), force_terminal=True, width=width, color_system=None
    )
    display = LiveDisplay(console)
    display.begin(EXPERIMENT, seed=3, split="validation")
    display.started(Started(Run(Path("runs/s6-00000000-s3")), 0))
    display.progress(
        Progress(epoch=2, step=469, steps=938, images=60_000, rate=0.0321, images_per_second=1e6)
    )
    display.epoch(EpochRecord(1, 0.4332, 0.0521, 9_834, 10_000, 0.0193, 1_016.4, 60.0))
    screen = Console(file=io.StringIO(), width=width)
    screen.print(display.panel())
    display.end()
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    shown = {"2/19", "469/938", "1,000,000", "0.032", "0.4332", "0.0521", "98.34", "0.0193"}
    assert shown | {"1,016", "validation", "accuracy", "seed", "images/s"} <= set(words(text))


@pytest.mark.slow
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.lists(
                st.sampled_from(["conv-norm", "rate=0.25,", "a", "[[64],", "b" * 9]), max_size=6
            ),
            st.lists(st.integers(0, 10**12), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=4,
    ),
    width=st.integers(40, 200),
)
def test_any_table_keeps_its_numbers_and_says_again_what_its_rows_are(
    rows: list[tuple[int, list[str], list[int]]], width: int
) -> None:
    columns = [
        Column("seed", [str(seed) for seed, _, _ in rows], is_key=True),
        Column("arm", [" ".join(arm).replace("[", r"\[") for _, arm, _ in rows], words=True,
               is_key=True, wants=16),
        *(Column(f"column {place}", [f"{counts[place]:,}" for _, _, counts in rows], goes=6 - place)
          for place in range(6)),
    ]  # fmt: skip
    text = drawn(columns, width)
    assert max(map(cell_len, text.splitlines())) <= width
    found = words(text)
    for seed, arm, counts in rows:
        assert str(seed) in found
        assert {f"{count:,}" for count in counts} <= set(found)
        assert {word for word in arm if "-" not in word and "=" not in word} <= set(found)
    tables = [line for line in text.splitlines() if line.startswith(" ") or "column" in line]
    assert all("seed" in line for line in tables if "arm" in line)


def test_a_table_goes_on_below_with_its_keys() -> None:
    columns = [
        Column("seed", ["0", "1"], is_key=True),
        Column("accuracy", ["99.52 %", "99.48 %"]),
        Column("correct", ["9,952", "9,948"], goes=2),
        Column("seconds", ["1,234,567,890", "2"], goes=1),
    ]
    lines = [line.rstrip() for line in drawn(columns, 25, title="s6").splitlines()]
    assert [line for line in lines if "─" not in line] == [
        "s6",
        "seed  accuracy  correct",
        "   0   99.52 %    9,952",
        "   1   99.48 %    9,948",
        "",
        "seed        seconds",
        "   0  1,234,567,890",
        "   1              2",
    ]


def test_where_there_is_no_room_beside_the_keys_a_row_stands_alone() -> None:
    columns = [
        Column("rank", ["1"], is_key=True),
        Column("arm", ["dropout=0.1,order=conv-norm"], words=True, is_whole=True, is_key=True),
        Column("hold-out %", ["98.000 ± 1.000 (3)"]),
    ]
    lines = [line.rstrip() for line in drawn(columns, 40).splitlines()]
    assert lines == [
        "rank 1  dropout=0.1,order=conv-norm",
        "  hold-out %  98.000 ± 1.000 (3)",
        "",
    ]


def test_a_value_is_not_separated_from_its_name() -> None:
    lines = [line.plain for line in folded(Text("peak=0.05,order=conv-activation-norm"), 18)]
    assert lines == ["peak=0.05,", "order=conv-", "activation-norm"]


def test_a_score_that_may_not_be_written_is_noted(
    tmp_path: Path, freeze: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(tmp_path)
    notes: list[str] = []
    made = [made_up_result(EXPERIMENT, seed=seed) for seed in range(2)]
    folders = [tmp_path / "a", tmp_path / "b"]
    trained = [TrainedRun(Run(folder), it) for folder, it in zip(folders, made, strict=True)]
    results.show_results(trained, EXPERIMENT.budget, as_json=True, as_score=True, note=notes.append)
    assert '"seeds"' in capsys.readouterr().out
    assert len(notes) == 1
    assert notes[0].startswith("the score is not kept in a file: cannot write ")
