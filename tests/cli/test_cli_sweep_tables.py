"""The plan and the leaderboard of `mnist-arch sweep`, as tables and as JSON.

`UPDATE_GOLDEN=1 pytest tests/cli/test_cli_sweep_tables.py` writes the golden tables again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from rich.text import Text
from sweep_command import FAT, OTHER, SMALL, TOP, Terminal, below, diverges, no_training
from sweep_command import mnist_arch as mnist_arch
from tiny_sweeps import Bench, blocks, planned
from typer.testing import CliRunner

from mnist_arch.runs import execute as running
from mnist_arch.runs import images as run_images
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch_cli.app import app
from mnist_arch_cli.sweep.tables import compact
from mnist_arch_cli.tables import folded

GOLDEN = Path(__file__).parents[1] / "golden"


def compare(name: str, text: str) -> None:
    """Compares with the golden file, or writes it; the ends of lines are left aside."""
    found = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text(), (
        "UPDATE_GOLDEN=1 pytest tests/cli/test_cli_sweep_tables.py rewrites it"
    )


# ---------------------------------------------------------------------------------------- the plan


WIDE = "dropout=0.3,channels[0]=2000"


@pytest.fixture
def grid(mnist_arch: Terminal) -> Terminal:
    """A file with something of everything that a plan can show."""
    mnist_arch.write(
        {"name": "wide-and-with-a-name-of-forty-characters", **blocks(64)},
        FAT,
        {"name": "same", "defaults": {"dropout": 0.1}},
        grid={"defaults.dropout": [0.1, 0.3], "blocks.0.channels.0": [4, 2_000]},
        finalists={"top": 2, "seeds": 5},
    )
    return mnist_arch


@pytest.mark.parametrize("width", [160, 100, 80, 60])
def test_the_plan_is_as_before(grid: Terminal, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = grid("tiny.yaml", "--dry-run", "--workers", "2").stdout
    compare(f"sweep-plan-{width}", text)
    table = text.split("\nREJECTED")[0].splitlines()
    assert max(map(len, table)) <= width
    assert not Path("runs").exists()


def test_a_plan_says_what_is_rejected_and_why_and_how_much_is_left(grid: Terminal) -> None:
    text = grid("tiny.yaml", "--dry-run", "--workers", "2").stdout
    for name, parameters in (("fat", "22,010"), (WIDE, "44,010")):
        assert f"REJECTED  {name}: {parameters} parameters, " in text
    found = below(text)
    assert found["arms"] == "7"
    assert found["trials"] == "6 of the ranking (2 seeds an arm)"
    assert found["finalists"] == "the first 2, 5 other seeds each, on all images"
    assert re.fullmatch(
        r"\d+:\d\d, 2 at a time \(a guess: nothing was run here yet\)", found["time left"]
    )


def test_a_plan_in_json_is_exact(grid: Terminal) -> None:
    content = json.loads(grid("tiny.yaml", "--dry-run", "--workers", "2", "--json").stdout)
    assert (content["format"], content["name"], content["dataset"]) == (1, "tiny", "mnist-5k")
    arms = {arm["name"]: arm for arm in content["arms"]}
    assert [arm["parameters"] for arm in arms.values()] == [
        1_418,
        22_010,
        98,
        98,
        44_010,
        98,
        44_010,
    ]
    assert arms["dropout=0.1,channels[0]=4"]["same_as"] == "same"
    assert arms["dropout=0.3,channels[0]=4"]["differs"] == {
        "defaults.dropout": "0.3",
        "blocks[0].channels[0]": "4",
    }
    assert arms["fat"]["rejected"].startswith("22,010 parameters")
    assert arms["fat"]["trials"] == []
    waiting = [{"seed": seed, "fold": None, "state": "WAITING"} for seed in (0, 1)]
    assert arms["same"]["trials"] == waiting
    assert content["seconds_left"] > 0
    assert content["seconds_measured"] is False
    assert content["workers"] == 2


@pytest.mark.slow
def test_a_plan_knows_what_has_been_done(mnist_arch: Terminal) -> None:
    mnist_arch()
    text = mnist_arch("tiny.yaml", "--dry-run").stdout
    assert text.count("2 DONE") == 2
    assert below(text)["time left"].startswith("0:00, ")
    assert "by what was run here" in below(text)["time left"]


@pytest.mark.slow
def test_a_plan_of_many_arms_shows_the_first(mnist_arch: Terminal) -> None:
    mnist_arch.write(
        grid={
            "recipe.schedule.peak": [n / 1_000 for n in range(1, 251)],
            "blocks.0.channels.0": [4, 2_000],
        }
    )
    text = mnist_arch("tiny.yaml", "--dry-run").stdout
    assert below(text)["arms"] == "500, the first 200 of them shown"
    assert "peak=0.1,channels[0]=2000" in text
    assert "peak=0.101,channels[0]=4" not in text
    content = json.loads(mnist_arch("tiny.yaml", "--dry-run", "--json").stdout)
    assert len(content["arms"]) == 500


def test_a_plan_of_a_search_alone_has_no_table(mnist_arch: Terminal) -> None:
    space = {"recipe.schedule.peak": [0.05, 0.1]}
    mnist_arch.write(search={"space": space, "trials": 9}, dataset="auto")
    found = below(mnist_arch("tiny.yaml", "--dry-run").stdout)
    assert found["sweep"] == "tiny · mnist-5k (embedded sample), 16 images held out"
    assert found["dataset"].startswith("auto, which is mnist-5k here, the embedded sample")
    assert found["search"] == "9 more, by tpe"
    how = r"a guess: nothing was run here yet; proposals like the base"
    assert re.fullmatch(rf"\d+:\d\d, \d+ at a time \({how}\)", found["time left"])


def test_paths_are_as_short_as_they_can_be_told_apart() -> None:
    found = compact(
        [
            {"defaults.dropout": "0.1", "blocks[0].channels[0]": "4"},
            {"blocks[1].channels[0]": "8", "recipe.optimizer.kind": "adamw"},
            {"blocks": "[{channels: [8, [red]], pool: max}, {channels: [4], reduce: {out: 10}}]"},
            {},
        ]
    )
    assert found == [
        "dropout=0.1; blocks[0].channels[0]=4",
        "blocks[1].channels[0]=8; optimizer.kind=adamw",
        "blocks=[[8, [red]], [4], reduce: {out: 10}]",
        "–",
    ]


# --------------------------------------------------------------------------------- the leaderboard


ORDERS = ("conv-activation-norm", "conv-norm-activation")
GRID = [f"peak={peak},order={order}" for peak in (0.1, 0.05) for order in ORDERS]


def filled(folder: Path) -> Bench:
    """Made-up results of a sweep: finalists, a failure, one that waits, one over the budget."""
    arms = [SMALL, {**OTHER, "defaults": {"dropout": 0.0}}, {"name": "failing", **blocks(5)}]
    arms.append({"name": "with-a-name-that-is-longer-than-its-column", **blocks(7)})
    grid = {
        "recipe.schedule.peak": [0.1, 0.05],
        "defaults.order": ["conv-activation-norm", "conv-norm-activation"],
    }
    plan = planned(folder, *arms, FAT, grid=grid, finalists={"top": 2, "seeds": 2})
    bench = Bench(folder, plan)
    bench.rank("small", 95, 96, 97)
    bench.rank("other", 97, 98, 99, seconds=1_234.5)
    bench.rank("failing", 50, 51)
    bench.fail(bench.trial("failing", 2), "the loss is [not] finite")
    bench.rank(GRID[1], 90, 91, 92)
    bench.rank(GRID[2], 95, 95, 98)
    bench.rank(GRID[3], 80, 84, 88)
    bench.judge("other", 973, 975)
    bench.judge(GRID[2], 960)
    return bench


@pytest.mark.parametrize("width", [160, 120, 100, 80, 60])
def test_the_leaderboard_is_as_before(
    tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(width))
    filled(tmp_path)
    text = CliRunner().invoke(app, ["sweep", "tiny.yaml", "--show"]).stdout
    compare(f"sweep-board-{width}", text)
    table = text.split("\nFAILED")[0].splitlines()
    assert max(map(len, table)) <= width
    for score in ("98.000 ± 1.000 (3)", "84.000 ± 4.000 (3)", "97.400 ± 0.141 (2)"):
        assert score in text
    headings = [line for line in table if line.startswith("rank")]
    assert all("arm" in line for line in headings)
    assert len(headings) == {160: 1, 120: 2, 100: 2, 80: 3, 60: 5}[width]


@pytest.mark.parametrize("width", [10, 16, 40])
def test_a_name_is_broken_and_never_cut(width: int) -> None:
    name = "small, dropout=0.25,order=conv-norm-activation,blocks=[[8, 16], [red: 10]]~0123456789"
    lines = [line.plain for line in folded(Text(name), width)]
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    if width == 16:
        assert lines[:4] == ["small,", "dropout=0.25,", "order=conv-norm-", "activation,"]
    numbers = re.findall(r"\d+\.?\d*", name)
    assert width == 10 or numbers == re.findall(r"\d+\.?\d*", "\n".join(lines))


def test_every_printed_number_is_that_of_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    filled(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # where names stand on one line
    runner = CliRunner()
    text = runner.invoke(app, ["sweep", "tiny.yaml", "--show"]).stdout
    board = Leaderboard.model_validate_json(
        runner.invoke(app, ["sweep", "tiny.yaml", "--show", "--json"]).stdout
    )
    ranked = [it for it in board.standings if it.rank]
    lines = [line for line in text.splitlines() if re.match(r" +\d ", line)]
    assert len(lines) == len(ranked) == 5
    for line, it in zip(lines, ranked, strict=True):
        assert it.holdout is not None
        numbers = [
            f"{it.parameters:,}",
            f"{it.macs / 1e6:.2f} M",
            f"{it.holdout.mean_percent:.3f} ± {it.holdout.spread_percent:.3f} (3)",
            f"{round(it.seconds):,}",
        ]
        if it.against_first:
            low, high = it.against_first.interval_percent
            numbers.append(f"{it.against_first.percent:+.3f} [{low:+.3f}, {high:+.3f}]")
        if it.test:
            numbers.append(f"{it.test.mean_percent:.3f} ± {it.test.spread_percent:.3f} (2)")
        for number in numbers:
            assert number in line
        marks = line.split(it.name.split("-that")[0])[0].split()[1:]
        assert "".join(marks) == "*" * it.front + "=" * it.tied
    for effect in board.effects:
        assert f"{effect.percent:+.3f}" in text.split("main effects")[1]
    assert below(text)["trials"] == ", ".join(
        f"{count} {state}" for state, count in sorted(board.states.items())
    )
    assert "FAILED    failing, seed 2: the loss is [not] finite\n" in text


def test_before_anything_is_run_everything_waits(mnist_arch: Terminal) -> None:
    text = mnist_arch("tiny.yaml", "--show").stdout
    assert text.count("2 WAITING") == 2
    assert below(text) == {
        "trials": "4 WAITING",
        "rules": below(text)["rules"],
        "next": "mnist-arch sweep tiny.yaml",
    }
    assert not Path("runs").exists()


@pytest.mark.slow
def test_while_it_runs_the_leaderboard_says_so(mnist_arch: Terminal) -> None:
    mnist_arch()
    mnist_arch.write(SMALL, OTHER, {"name": "new", **blocks(3)})
    plan = planned(mnist_arch.folder, SMALL, OTHER, {"name": "new", **blocks(3)}, **TOP)
    Bench(mnist_arch.folder, plan).begin("new", 0)
    assert below(mnist_arch("tiny.yaml", "--show").stdout)["trials"] == "4 DONE, 2 WAITING"
    with Ledger(mnist_arch.sweep).lock():
        text = mnist_arch("tiny.yaml", "--show").stdout
    assert below(text)["trials"] == "4 DONE, 1 RUNNING, 1 WAITING"
    assert "1 RUNNING, 1 WAITING" in text.split("\n\n")[0]
    assert below(text)["next"] == "mnist-arch sweep tiny.yaml --show"


@pytest.mark.slow
def test_show_trains_nothing_and_writes_nothing(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mnist_arch()
    names = sorted(path.name for path in mnist_arch.sweep.rglob("*"))
    monkeypatch.setattr(run_images, "read_images", no_training)
    monkeypatch.setattr(running, "train", no_training)
    assert mnist_arch("tiny.yaml", "--show").stdout == first.stdout
    assert sorted(path.name for path in mnist_arch.sweep.rglob("*")) == names


def test_the_next_command_is_of_the_same_sweep(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch.write(SMALL, dataset="fashion-mnist")
    monkeypatch.setattr(running, "train", diverges)
    options = ["--dataset", "mnist-5k", "--epochs", "3", "--out", "my runs", "--workers", "1"]
    result = mnist_arch("tiny.yaml", *options, "--device", "cpu", exit_code=1)
    assert below(result.stdout)["next"] == (
        "mnist-arch sweep tiny.yaml --dataset mnist-5k --epochs 3 --out 'my runs' --workers 1 "
        "--device cpu --retry-failed"
    )
    assert "2 FAILED" in mnist_arch("tiny.yaml", *options, "--show").stdout
    assert "2 WAITING" in mnist_arch("tiny.yaml", "--show").stdout


@pytest.mark.slow
def test_many_arms_are_shown_in_part(mnist_arch: Terminal) -> None:
    peaks = [n / 1_000 for n in range(1, 211)]
    mnist_arch.write(grid={"recipe.schedule.peak": peaks, "blocks.0.channels.0": [4, 2_000]})
    text = mnist_arch("tiny.yaml", "--show").stdout
    assert below(text)["rows"] == "the first 200 of 420; --csv and --json have them all"
    assert len(re.findall(r"^ +–.*2 WAITING", text, re.MULTILINE)) == 200
    assert text.count("REJECTED  peak=") == 200
    assert "… and 10 more, which --json has\n" in text
