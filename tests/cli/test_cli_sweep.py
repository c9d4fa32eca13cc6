"""`mnist-arch sweep` from its arguments to its exit code, on images that are easy to tell apart.

`UPDATE_GOLDEN=1 pytest tests/cli/test_cli_sweep.py` writes the golden tables anew.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
import small
import torch
from rich.text import Text
from tiny_sweeps import Bench, HereExecutor, blocks, planned, write_sweep
from typer.testing import CliRunner, Result

from mnist_arch.data.catalog import DatasetSplit
from mnist_arch.data.load import Loader, Resolved, load_split
from mnist_arch.data.split import Split
from mnist_arch.errors import (
    DataUnavailable,
    DeviceUnavailable,
    NonFiniteLoss,
    RunCorrupt,
    RunError,
    StorageError,
)
from mnist_arch.files import write_whole
from mnist_arch.runs import execute as running
from mnist_arch.runs import images as run_images
from mnist_arch.runs.folder import Run
from mnist_arch.sweeps import front as picture
from mnist_arch.sweeps.execution import local, ray_driver
from mnist_arch.sweeps.execution.worker import Setting
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch.training import engine_choice
from mnist_arch.training import engine_choice as engines
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.values import FORMAT
from mnist_arch_cli.app import app
from mnist_arch_cli.sweep.tables import compact
from mnist_arch_cli.tables import folded

GOLDEN = Path(__file__).parents[1] / "golden"
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = {"name": "small", **blocks(4)}
OTHER = {"name": "other", **blocks(6)}
FAT = {"name": "fat", **blocks(1_000)}
TOP = {
    "base": {"extends": "s6", **blocks(4), "recipe": {"epochs": 2, "batch_size": 16}},
    "holdout": 16,
    "seeds": 2,
}


class Terminal:
    """Sweeps in a folder of their own; the images are others, and few, and all is one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[tuple[str, str]] = []

    def write(self, *arms: dict[str, Any], **top: Any) -> None:
        write_sweep(self.folder / "tiny.yaml", *arms, **{**TOP, **top})

    def __call__(self, *arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["sweep", *(arguments or ("tiny.yaml",))])
        assert result.exit_code == exit_code, result.stderr + result.stdout
        return result

    @property
    def sweep(self) -> Path:
        return self.folder / "runs/tiny"

    @property
    def trials(self) -> dict[str, int]:
        """Names of trials with the time of their manifests; what began them has that, too."""
        found = self.sweep.glob("*/manifest.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    def load_split(self, name: str, split: DatasetSplit, **_: Any) -> Split:
        self.opened.append((name, split))
        return small.synthetic(96 if split == "train" else 50, seed=len(split), name=split)


@pytest.fixture
def mnist_arch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> Terminal:
    terminal = Terminal(tmp_path)
    monkeypatch.chdir(tmp_path)
    images_are(terminal.load_split)
    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: PNG)
    monkeypatch.setattr(picture, "draw_front", lambda _: PNG)
    monkeypatch.setattr(local, "LocalExecutor", HereExecutor)
    terminal.write(SMALL, OTHER)
    return terminal


def no_training(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("this trains")


def below(text: str) -> dict[str, str]:
    """The lines below a table, by their labels."""
    lines = text.partition("\n\n")[2] or text
    found = re.findall(r"^([a-z ]{13})(.*)$", lines, re.MULTILINE)
    return {label.rstrip(): line for label, line in found}


# -------------------------------------------------------------------------------------- a sweep


@pytest.mark.slow
def test_a_sweep_trains_and_ranks_and_judges_its_finalists(mnist_arch: Terminal) -> None:
    mnist_arch.write(SMALL, OTHER, FAT, finalists={"top": 1, "seeds": 2})
    result = mnist_arch()
    board = Leaderboard.model_validate_json((mnist_arch.sweep / "leaderboard.json").read_text())
    first, second, last = board.standings
    assert {first.name, second.name} == {"small", "other"}
    assert (first.rank, second.rank, last.rank) == (1, 2, None)
    assert first.test is not None
    assert first.test.seeds == [2, 3]
    assert second.test is None
    assert board.states == {"DONE": 6, "REJECTED": 2}
    lines = result.stdout.splitlines()
    assert lines[0].rstrip() == "tiny · mnist-5k (embedded sample), 16 images held out"
    for it in (first, second):
        assert it.holdout is not None
        (line,) = (line for line in lines if f" {it.name} " in line and "%" not in line[:20])
        mean = 100 * sum(it.holdout.correct) / (2 * 16)
        assert f"{mean:.3f} ± {it.holdout.spread_percent:.3f} (2)" in line
    (rejected,) = (line for line in lines if line.startswith("REJECTED"))
    assert rejected.startswith("REJECTED  fat: 22,010 parameters, 2,011 too many")
    found = below(result.stdout)
    assert found["trials"] == "6 DONE, 2 REJECTED"
    assert found["leaderboard"] == "runs/tiny/leaderboard.json, .csv, .png"
    assert found["next"] == f"mnist-arch eval runs/tiny/{first.final[0].folder}"
    for name in ("leaderboard.csv", "leaderboard.png", "sweep.json"):
        assert (mnist_arch.sweep / name).exists()


@pytest.mark.slow
def test_test_is_read_by_the_finalists_alone_and_judged_once(mnist_arch: Terminal) -> None:
    mnist_arch.write(SMALL, OTHER)
    mnist_arch()
    assert ("mnist-5k", "test") not in mnist_arch.opened
    mnist_arch.write(SMALL, OTHER, finalists={"top": 1, "seeds": 1})
    mnist_arch()
    assert ("mnist-5k", "test") in mnist_arch.opened
    judged = Counter()
    for path in mnist_arch.sweep.glob("*/metrics.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        result = Run(path.parent).result()
        assert result is not None
        judged[result.split, tuple(record["correct"] is None for record in records)] += 1
    assert judged == {("validation", (False, False)): 4, ("test", (True, False)): 1}


@pytest.mark.slow
def test_a_sweep_over_folds(mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    folds = {"holdout": {"folds": 3}, "seeds": 3}
    spec = {**TOP["base"], "name": "alone", "dataset": "mnist-5k", "holdout": {"folds": 3}}
    (mnist_arch.folder / "alone.yaml").write_text(json.dumps(spec))
    assert CliRunner().invoke(app, ["train", "alone.yaml", "--seeds", "2"]).exit_code == 0
    mnist_arch.write(SMALL, OTHER, **folds)
    result = mnist_arch()
    assert "3 folds of 1,334 images" in result.stdout
    assert "over folds (Nadeau and Bengio)" in result.stdout
    board = Leaderboard.model_validate_json((mnist_arch.sweep / "leaderboard.json").read_text())
    assert board.states == {"DONE": 6}
    for it in board.standings:
        assert it.holdout is not None
        pooled = 100 * sum(it.holdout.correct) / 96  # every image once
        assert (it.holdout.mean_percent, it.holdout.folds) == (pytest.approx(pooled), 3)
        for trial in it.trials:
            run = Run(mnist_arch.sweep / trial.folder)
            holdout = run.manifest().experiment.model_dump()["holdout"]
            assert holdout == {"folds": 3, "fold": trial.seed}
            assert trial.fold == trial.seed
    assert ("mnist-5k", "test") not in mnist_arch.opened
    taken = [path.parent for path in mnist_arch.sweep.glob("*/result.json")]
    assert sum(not (path / "checkpoint").exists() for path in taken) == 2  # those of `train`
    with monkeypatch.context() as patch:
        patch.setattr(running, "train", no_training)
        mnist_arch()
    shown = CliRunner().invoke(app, ["eval", str(run.folder), "--json"])
    assert json.loads(shown.stdout)["images"] == 32
    assert json.loads(shown.stdout)["holdout"] == {"folds": 3, "fold": run.manifest().seed}
    words = [str(mnist_arch.sweep / it.trials[0].folder) for it in board.standings]
    compared = CliRunner().invoke(app, ["runs", "compare", *words, "--json"])
    assert compared.exit_code == 0, compared.stderr
    # Finalists train on all images, and read test.
    mnist_arch.write(SMALL, OTHER, **folds, finalists={"top": 1, "seeds": 1})
    mnist_arch()
    assert ("mnist-5k", "test") in mnist_arch.opened


@pytest.mark.slow
def test_a_trial_is_a_line_on_stderr(mnist_arch: Terminal) -> None:
    said, *lines = mnist_arch().stderr.splitlines()
    assert said == "plain steps: so short a sweep is not worth building native ones"
    assert lines[0] == "ranking on the hold-out, 4 trials"
    assert [re.sub(r"\d+\.\d+ % · .*", "", line) for line in lines[1:]] == [
        "1/4 · small · seed 0 · validation ",
        "2/4 · other · seed 0 · validation ",
        "3/4 · small · seed 1 · validation ",
        "4/4 · other · seed 1 · validation ",
    ]


@pytest.mark.slow
def test_pictures_that_cannot_be_drawn_are_notes(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_picture(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("no font")

    with monkeypatch.context() as patch:
        patch.setattr("mnist_arch.runs.finished.draw_curves", no_picture)
        patch.setattr(picture, "draw_front", no_picture)
        result = mnist_arch()
    lines = result.stderr.splitlines()[1:]
    assert [line.split(" · ")[-2] for line in lines[1:5]] == ["no curves.png: no font"] * 4
    assert lines[5:] == ["there is no leaderboard.png: no font; the same command tries again"]
    found = below(result.stdout)
    assert (found["trials"], found["leaderboard"]) == (
        "4 DONE",
        "runs/tiny/leaderboard.json, .csv",
    )
    assert below(mnist_arch().stdout)["leaderboard"].endswith(", .png")
    with monkeypatch.context() as patch:
        patch.setattr(picture, "draw_front", no_picture)
        mnist_arch()
    assert not (mnist_arch.sweep / "leaderboard.png").exists()  # which is of another leaderboard


@pytest.mark.slow
def test_quiet_says_nothing_but_the_result(mnist_arch: Terminal) -> None:
    result = mnist_arch("tiny.yaml", "--quiet")
    assert result.stderr == ""
    assert "hold-out %" in result.stdout


@pytest.mark.slow
def test_json_is_the_written_leaderboard_exactly(mnist_arch: Terminal) -> None:
    result = mnist_arch("tiny.yaml", "--json")
    assert result.stderr == ""
    assert result.stdout == (mnist_arch.sweep / "leaderboard.json").read_text()
    assert json.loads(result.stdout)["format"] == FORMAT
    assert mnist_arch("tiny.yaml", "--show", "--json").stdout == result.stdout


@pytest.mark.slow
def test_csv_is_the_written_one_too(mnist_arch: Terminal) -> None:
    result = mnist_arch("tiny.yaml", "--csv")
    assert result.stderr == ""
    assert result.stdout == (mnist_arch.sweep / "leaderboard.csv").read_text()
    names = [row["name"] for row in csv.DictReader(io.StringIO(result.stdout))]
    assert sorted(names) == ["other", "small"]
    assert mnist_arch("tiny.yaml", "--show", "--csv").stdout == result.stdout


@pytest.mark.slow
def test_what_was_asked_for_is_kept(mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mnist-arch", "sweep", "tiny.yaml"])
    mnist_arch()
    asked = Ledger(mnist_arch.sweep).asked()
    assert asked is not None
    assert (asked.source, asked.dataset) == ("tiny.yaml", "mnist-5k")
    assert asked.command == ["mnist-arch", "sweep", "tiny.yaml"]
    (manifest,) = {Run(path).manifest().command[1] for path in mnist_arch.sweep.glob("small-*")}
    assert manifest == "sweep"


# ---------------------------------------------------------------------------------- the same again


@pytest.mark.slow
def test_the_same_command_again_trains_nothing(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch.write(SMALL, OTHER, finalists={"top": 1, "seeds": 1})
    first, before = mnist_arch(), mnist_arch.trials
    monkeypatch.setattr(running, "train", no_training)
    second = mnist_arch()
    assert second.stdout == first.stdout
    assert second.stderr == ""
    assert mnist_arch.trials == before
    assert len(before) == 5


@pytest.mark.slow
def test_an_edited_file_trains_what_is_new(mnist_arch: Terminal) -> None:
    mnist_arch()
    before = mnist_arch.trials
    mnist_arch.write(SMALL, {"name": "new", **blocks(3)})
    result = mnist_arch()
    note, _, progress = result.stderr.partition("\n")
    assert re.fullmatch(
        "tiny.yaml asks for something else than last time; the leaderboard of then is kept as "
        "runs/tiny/leaderboard-[0-9a-f]{8}.json",
        note,
    )
    assert progress.startswith("ranking on the hold-out, 2 trials, 2 have ended before\n")
    after = mnist_arch.trials
    assert {name: after[name] for name in before} == before
    assert sorted(name.split("-")[0] for name in after.keys() - before.keys()) == ["new", "new"]
    assert " other " not in result.stdout
    mnist_arch.write(SMALL, OTHER)
    assert " other " in mnist_arch().stdout  # its results were kept
    assert mnist_arch.trials == after


def boards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("leaderboard*")}


@pytest.mark.slow
def test_two_files_of_one_name_keep_a_leaderboard_each(mnist_arch: Terminal) -> None:
    Path("a").mkdir()
    Path("b").mkdir()
    write_sweep(Path("a/tiny.yaml"), SMALL, **TOP)
    write_sweep(Path("b/tiny.yaml"), OTHER, **TOP)
    mnist_arch("a/tiny.yaml")
    first = boards(mnist_arch.sweep)
    assert [*sorted(first)] == ["leaderboard.csv", "leaderboard.json", "leaderboard.png"]

    shown = mnist_arch("b/tiny.yaml", "--show").stdout
    assert " small " not in shown
    assert below(shown)["leaderboard"] == (
        "not written: runs/tiny/leaderboard.json answers what a/tiny.yaml asked for last"
    )
    mnist_arch("b/tiny.yaml", "--dry-run")
    assert boards(mnist_arch.sweep) == first

    said = mnist_arch("b/tiny.yaml").stderr
    assert "runs/tiny was last used by a/tiny.yaml, which asks for something else" in said
    assert "`name:` in the file, or --out, gives each a folder of its own" in said
    both = boards(mnist_arch.sweep)
    (aside,) = (name for name in both if re.fullmatch(r"leaderboard-[0-9a-f]{8}\.json", name))
    assert f"kept as runs/tiny/{aside}" in said
    for suffix in (".json", ".csv", ".png"):
        assert both[Path(aside).stem + suffix] == first["leaderboard" + suffix]
    assert [it["name"] for it in json.loads(both["leaderboard.json"])["standings"]] == ["other"]

    mnist_arch("a/tiny.yaml")  # each is in its place again when it is asked for
    again = boards(mnist_arch.sweep)
    assert again["leaderboard.json"] == first["leaderboard.json"]
    assert len(again) == len(both) == 6
    assert both["leaderboard.json"] in again.values()


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": 1},
        {"holdout": 20},
        {"dataset": "fashion-mnist"},
        {"finalists": {"top": 1, "seeds": 1}},
        {"budget": {"accuracy_percent": 50}},
        {"grid": {"defaults.dropout": [0.1]}},
    ],
)
def test_another_question_has_another_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    def question(**top: Any) -> str:
        return planned(tmp_path, *arms, **{**TOP, **top}).question

    arms = [SMALL, OTHER]
    assert question(**change) != question()
    arms = [{**OTHER, "name": "renamed"}, SMALL]
    assert question(resources={"cpus": 2}) == planned(tmp_path, SMALL, OTHER, **TOP).question


def test_another_question_is_another_search_too(tmp_path: Path) -> None:
    def question(high: float) -> str:
        space = {"defaults.dropout": {"kind": "float", "low": 0, "high": high}}
        return planned(tmp_path, search={"trials": 2, "space": space}).question

    assert question(0.2) != question(0.3)


@pytest.mark.slow
def test_a_dataset_that_is_named_is_not_what_auto_comes_to(mnist_arch: Terminal) -> None:
    mnist_arch.write(SMALL, dataset="auto")
    mnist_arch("tiny.yaml", "--dataset", "fashion-mnist")
    plan = mnist_arch("tiny.yaml", "--dry-run").stdout
    assert plan.startswith("tiny · mnist-5k (embedded sample),")
    assert "2 WAITING" in mnist_arch("tiny.yaml", "--show").stdout


@pytest.mark.slow
def test_what_auto_came_to_outlasts_a_dataset_that_is_named(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolved(name: str, **_: Any) -> Resolved:
        return Resolved("mnist-5k") if name == "auto" else Resolved("kmnist")

    monkeypatch.setattr("mnist_arch.data.load.resolve_dataset", resolved)
    mnist_arch.write(SMALL, dataset="auto")
    mnist_arch()
    mnist_arch("tiny.yaml", "--dataset", "kmnist")
    board = mnist_arch("tiny.yaml", "--show").stdout
    assert board.startswith("tiny · mnist-5k (embedded sample),")


@pytest.mark.slow
def test_ctrl_c_names_the_command_that_goes_on(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mnist-arch", "sweep", "tiny.yaml", "--out", "my runs"])

    def interrupted(*args: Any, **options: Any) -> Iterator[Any]:
        for event in train(*args, **options):
            yield event
            if isinstance(event, EpochRecord):
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "train", interrupted)
        result = mnist_arch("tiny.yaml", exit_code=130)
    assert result.stdout == ""
    assert result.stderr.endswith(
        "error: interrupted\n"
        "hint: resume with the same command: mnist-arch sweep tiny.yaml --out 'my runs'\n"
    )
    assert len(mnist_arch.trials) == 1
    result = mnist_arch()
    assert "small · seed 0 · resumes after epoch 1 of 2\n" in result.stderr
    assert below(result.stdout)["trials"] == "4 DONE"


# ---------------------------------------------------------------------------------------- failures


def diverges(*_: Any, **__: Any) -> NoReturn:
    raise NonFiniteLoss(epoch=1, step=2, rate=0.1)


WHY = "the loss is not finite at epoch 1, step 2, learning rate 0.1"


@pytest.mark.slow
def test_a_trial_that_fails_is_kept_with_its_reason_and_the_others_go_on(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_fails(state: Any, *args: Any, **options: Any) -> Iterator[Any]:
        if state.experiment.name == "other":
            diverges()
        yield from train(state, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(running, "train", one_fails)
        result = mnist_arch("tiny.yaml", exit_code=1)
    assert f"2/4 · other · seed 0 · FAILED: {WHY}" in result.stderr
    assert f"FAILED    other, seeds 0, 1: {WHY}\n" in result.stdout
    (line,) = (line for line in result.stdout.splitlines() if re.match(r" +– +other ", line))
    assert "2 FAILED" in line
    found = below(result.stdout)
    assert found["trials"] == "2 DONE, 2 FAILED"
    assert found["next"] == "mnist-arch sweep tiny.yaml --retry-failed"
    log, rest = found["log"].split(" ", 1)
    assert rest == "of the first that failed"
    assert "NonFiniteLoss" in Path(log).read_text()

    with monkeypatch.context() as patch:
        patch.setattr(running, "train", no_training)
        again = mnist_arch("tiny.yaml", exit_code=1)  # the answer is the same
    assert again.stdout == result.stdout
    result = mnist_arch("tiny.yaml", "--retry-failed")
    assert below(result.stdout)["trials"] == "4 DONE"
    assert "FAILED" not in result.stdout


@pytest.mark.slow
def test_a_finalist_that_fails_is_said(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch()
    mnist_arch.write(SMALL, OTHER, finalists={"top": 1, "seeds": 2})
    monkeypatch.setattr(running, "train", diverges)
    result = mnist_arch("tiny.yaml", exit_code=1)
    assert f", seeds 2, 3: {WHY}\n" in result.stdout
    assert "2 FAILED" in result.stdout
    assert below(result.stdout)["trials"] == "4 DONE, 2 FAILED"


@pytest.mark.slow
def test_a_failure_of_the_machine_is_not_that_of_the_trials(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_: Any, **__: Any) -> NoReturn:
        raise StorageError("cannot write runs: No space left on device", hint="free some space")

    with monkeypatch.context() as patch:
        patch.setattr(running, "train", no_disk)
        result = mnist_arch("tiny.yaml", "--json", exit_code=3)
    assert result.stdout == ""
    content = json.loads(result.stderr)
    assert content["error"] == "StorageError"
    (problem,) = content["problems"]
    assert problem["message"] == (
        "4 trials could not be trained (the first: small, seed 0): cannot write runs: No space "
        "left on device"
    )
    hint, log, again = problem["hint"].split("; ")
    assert (hint, again) == ("free some space", "the same command tries again")
    assert Path(log.removeprefix("its log is ")).exists()
    assert below(mnist_arch().stdout)["trials"] == "4 DONE"


@pytest.mark.parametrize(
    ("error", "kind", "exit_code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemory", 3),
        (MemoryError(), "OutOfMemory", 3),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), "OutOfMemory", 3),
        (RuntimeError("CUDA error: an illegal memory access"), "AcceleratorFailed", 3),
        (DeviceUnavailable("there is no cuda device"), "DeviceUnavailable", 3),
        (DataUnavailable("mnist is not here"), "DataUnavailable", 3),
        (OSError(errno.ENOSPC, "No space left on device"), "StorageError", 3),
        (OSError(errno.EIO, "Input/output error"), "SystemRefused", 3),
        (RunCorrupt("a checkpoint is damaged"), "RunCorrupt", 3),
        (RunError("it was started on cuda"), "RunError", 2),
    ],
    ids=lambda it: repr(it)[:40] if isinstance(it, Exception) else "",
)
def test_a_failure_carries_its_exit_code_from_the_worker_to_the_terminal(
    mnist_arch: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: str,
    exit_code: int,
) -> None:
    def fails(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(os, "_exit", lambda _: None)  # of a worker whose device has failed
    monkeypatch.setattr(running, "train", fails)
    result = mnist_arch("tiny.yaml", "--json", exit_code=exit_code)
    content = json.loads(result.stderr)
    assert (content["error"], content["exit_code"]) == (kind, exit_code)
    assert "small, seed 0" in content["problems"][0]["message"]
    assert Ledger(mnist_arch.sweep).folder.exists()
    assert list(mnist_arch.sweep.glob("*/failure.json")) == []  # the same command tries again


@pytest.mark.slow
def test_a_bug_in_a_worker_is_ours_and_the_others_go_on(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_fails(state: Any, *args: Any, **options: Any) -> Iterator[Any]:
        if state.experiment.name == "other":
            raise ZeroDivisionError("by zero")
        yield from train(state, *args, **options)

    monkeypatch.setattr(running, "train", one_fails)
    for _ in range(2):  # the answer is the same the second time, without training
        result = mnist_arch("tiny.yaml", exit_code=70)
        why = "this is a bug in mnist-arch: ZeroDivisionError: by zero"
        assert f"FAILED    other, seeds 0, 1: {why}\n" in result.stdout
        assert below(result.stdout)["trials"] == "2 DONE, 2 FAILED"
    content = json.loads((mnist_arch.sweep / "leaderboard.json").read_text())
    (other,) = (it for it in content["standings"] if it["name"] == "other")
    assert [trial["kind"] for trial in other["trials"]] == ["Bug", "Bug"]


# ---------------------------------------------------------------------------------------- refusals


def test_a_sweep_of_which_nothing_fits_is_refused_at_once(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_images, "read_images", no_training)
    mnist_arch.write(FAT, {"name": "fatter", **blocks(2_000)})
    result = mnist_arch("tiny.yaml", exit_code=1)
    assert result.stderr.startswith(
        "error: no arm of tiny is within the budget; fat: 22,010 parameters, 2,011 too many"
    )
    assert result.stderr.endswith("hint: --show lists them all\n")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("experiments:\n  - {name: a, recipe: {epoch: 3}}\n", "bad.yaml:2"),
        ("grid:\n  defaults.dropuot: [0.1]\n", "bad.yaml:2"),
        ("seeds: many\ngrid: {defaults.dropout: [0.1]}\n", "bad.yaml:1"),
        ("grid: [", "bad.yaml:1"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(mnist_arch: Terminal, text: str, where: str) -> None:
    Path("bad.yaml").write_text(text)
    result = mnist_arch("bad.yaml", exit_code=2)
    assert f"\n  --> {where}\n" in result.stderr
    assert result.stdout == ""
    content = json.loads(mnist_arch("bad.yaml", "--json", exit_code=2).stderr)
    assert content["problems"][0]["where"] == where
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["tiny.yaml", "--json", "--csv"], "--json excludes --csv"),
        (["tiny.yaml", "--dry-run", "--show"], "--dry-run excludes --show"),
        (["tiny.yaml", "--dry-run", "--csv"], "--dry-run excludes --csv"),
        (["tiny.yaml", "--ray-address", "auto"], "--ray-address needs --executor ray"),
        (["tiny.yaml", "--executor", "ray", "--workers", "2"], "--workers is for this machine"),
        (["tiny.yaml", "--executor", "slurm"], "slurm"),
        (["tiny.yaml", "--workers", "0"], "'--workers'"),
        (["tiny.yaml", "--epochs", "0"], "'--epochs'"),
        (["tiny.yaml", "--dataset", "imagenet"], "imagenet"),
        ([], "FILE"),
    ],
)
def test_bad_input_ends_with_2_and_leaves_nothing(
    mnist_arch: Terminal, arguments: list[str], said: str
) -> None:
    result = CliRunner().invoke(app, ["sweep", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert not Path("runs").exists()


@pytest.mark.parametrize("part", ["train", "test"])
def test_missing_data_ends_with_3_before_any_trial(
    mnist_arch: Terminal, images_are: Callable[[Loader], None], part: str
) -> None:
    def missing(name: str, split: str, **options: Any) -> Split:
        if split == part:
            raise DataUnavailable(f"{name} is not here", hint="--data-dir")
        return mnist_arch.load_split(name, split, **options)

    images_are(missing)
    mnist_arch.write(SMALL, finalists={"top": 1, "seeds": 1})
    result = mnist_arch("tiny.yaml", exit_code=3)
    assert result.stderr == "error: mnist-5k is not here\nhint: --data-dir\n"
    assert mnist_arch.trials == {}


def test_a_sweep_cannot_run_twice_at_once(mnist_arch: Terminal) -> None:
    with Ledger(mnist_arch.sweep).lock():
        result = mnist_arch("tiny.yaml", exit_code=3)
    assert result.stderr.startswith("error: another process is working in runs/tiny: process ")
    assert mnist_arch.trials == {}


def test_a_folder_that_is_a_file_is_bad_input(mnist_arch: Terminal) -> None:
    Path("file").write_text("")
    result = mnist_arch("tiny.yaml", "--out", "file", exit_code=2)
    assert "file is a file, not a folder" in result.stderr


# ---------------------------------------------------------------------------- where trials are run


def test_one_trial_at_a_time_on_a_gpu(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def noting(**options: Any) -> HereExecutor:
        made.append(options)
        raise StorageError("enough")

    monkeypatch.setattr(local, "LocalExecutor", noting)
    monkeypatch.setattr(
        engine_choice, "resolve_device", lambda wanted: {"auto": "cuda"}.get(wanted, wanted)
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    for arguments in ((), ("--device", "cpu", "--workers", "3"), ("--workers", "3")):
        mnist_arch("tiny.yaml", *arguments, exit_code=3)
    found = [(it["setting"].engine.device, it["workers"]) for it in made]
    assert found == [("cuda", 1), ("cpu", 3), ("cuda", 3)]
    mnist_arch.write(SMALL, resources={"cpus": 3, "gpus": 0.5})
    mnist_arch("tiny.yaml", exit_code=3)
    engine = made[-1]["setting"].engine
    assert (engine.device, engine.threads, engine.step) == ("cuda", 3, "captured")


@pytest.mark.slow
def test_on_a_cpu_trials_are_alike_on_any_machine(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a processor with which a training by itself would be in bfloat16."""
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    mnist_arch("tiny.yaml")
    manifests = [Run(mnist_arch.sweep / name).manifest() for name in mnist_arch.trials]
    assert {(it.engine.step, it.engine.precision) for it in manifests} == {("plain", "float32")}


@pytest.mark.slow
def test_all_trials_have_the_engine_that_is_written_in_the_ledger(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the sweep goes on on a machine that could have another, or is asked for more."""
    made: list[Engine] = []

    def noting(*, setting: Setting, **_: Any) -> NoReturn:
        made.append(setting.engine)
        raise StorageError("enough")

    def asked() -> Engine | None:
        found = Ledger(mnist_arch.sweep).asked()
        return None if found is None else found.engine

    mnist_arch("tiny.yaml")
    plain = Engine(device="cpu", threads=1)
    assert asked() == plain
    monkeypatch.setattr(local, "LocalExecutor", noting)
    monkeypatch.setattr(engines, "find_library", lambda *_, **__: None)
    monkeypatch.setattr(engines, "vectors_here", lambda: "avx2")
    mnist_arch("tiny.yaml", exit_code=3)
    mnist_arch("tiny.yaml", "--out", "elsewhere", exit_code=3)
    native = Engine(device="cpu", threads=1, step="native", vectors="avx2")
    assert made == [plain, native]


@pytest.mark.slow
def test_a_sweep_of_before_engines_were_written_down_stays_plain(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch("tiny.yaml")
    path = mnist_arch.sweep / "sweep.json"
    content = json.loads(path.read_text())
    del content["engine"]
    path.write_text(json.dumps(content))
    monkeypatch.setattr(engines, "find_library", lambda *_, **__: None)
    monkeypatch.setattr(engines, "vectors_here", lambda: "avx2")
    mnist_arch("tiny.yaml")
    found = Ledger(mnist_arch.sweep).asked()
    assert found is not None
    assert found.engine == Engine(device="cpu", threads=1)


def test_a_cluster_is_asked_for_by_name(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ray_driver.Cluster] = []

    def noting(cluster: ray_driver.Cluster) -> NoReturn:
        made.append(cluster)
        raise StorageError("enough")

    monkeypatch.setattr("mnist_arch.verbs.sweep.need_ray", lambda: None)
    monkeypatch.setattr(ray_driver, "RayDriver", noting)
    mnist_arch("tiny.yaml", "--executor", "ray", "--ray-address", "auto", exit_code=3)
    mnist_arch("tiny.yaml", "--executor", "ray", "--data-dir", "images", exit_code=3)
    assert [it.address for it in made] == ["auto", None]
    assert [it.data_dir for it in made] == [None, Path("images")]
    assert made[0].resources.cpus == 1


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


def compare(name: str, text: str) -> None:
    """Compares with the golden file, or writes it; the ends of lines are left aside."""
    found = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text(), (
        "UPDATE_GOLDEN=1 pytest tests/cli/test_cli_sweep.py rewrites it"
    )


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


# ------------------------------------------------------------------------------ the embedded sample


@pytest.mark.slow
def test_the_sample_in_the_place_of_mnist_cannot_be_overlooked(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallen_back = Resolved("mnist-5k", reason="mnist is nowhere to be had")
    monkeypatch.setattr("mnist_arch.data.load.resolve_dataset", lambda *_, **__: fallen_back)
    mnist_arch.write(SMALL, dataset="auto", finalists={"top": 1, "seeds": 1})
    result = mnist_arch("tiny.yaml", "--quiet", "--json")
    for part in ("NOT MNIST", "mnist is nowhere to be had", "--data-dir"):
        assert part in result.stderr
    content = json.loads(result.stdout)
    assert content["dataset"] == "mnist-5k"
    assert content["standings"][0]["verdicts"]["accuracy"] == "none"
    # What `auto` came to is known without looking for MNIST again.
    assert mnist_arch("tiny.yaml", "--show", "--json").stdout == result.stdout
    plan = mnist_arch("tiny.yaml", "--dry-run").stdout
    assert plan.startswith("tiny · mnist-5k (embedded sample), 16 images held out")
    assert below(plan)["dataset"].startswith("auto, which is mnist-5k here, the embedded sample")


@pytest.mark.slow
def test_the_folder_of_an_earlier_format_is_named_and_left_as_it_is(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch()
    asked = mnist_arch.sweep / "sweep.json"
    asked.write_text(asked.read_text().replace(f'"format": {FORMAT}', '"format": 1'))
    before = {path.name: path.stat().st_mtime_ns for path in mnist_arch.sweep.iterdir()}
    monkeypatch.setattr(local, "LocalExecutor", no_training)
    for options in ([], ["--show"], ["--dry-run"]):
        result = mnist_arch("tiny.yaml", *options, exit_code=2)
        assert "sweep.json has format 1, of an earlier version" in result.stderr
        assert "hint: name another folder with --out, or use the version" in result.stderr
        assert result.stdout == ""
    later = {path.name: path.stat().st_mtime_ns for path in mnist_arch.sweep.iterdir()}
    assert {name for name in later if later[name] != before.get(name)} <= {".lock"}


def test_a_damaged_note_of_what_was_asked_for_is_said(mnist_arch: Terminal) -> None:
    mnist_arch.write(SMALL, dataset="auto")
    mnist_arch.sweep.mkdir(parents=True)
    write_whole(mnist_arch.sweep / "sweep.json", b"{")
    result = mnist_arch("tiny.yaml", "--show", exit_code=3)
    assert "sweep.json is damaged" in result.stderr


# ----------------------------------------------------------------------------------- real processes


def command(*arguments: str) -> list[str]:
    # A shell starts its background jobs with SIGINT ignored, and this test may be in one.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    main = f"{heeding}; from mnist_arch_cli.app import app; app(prog_name='mnist-arch')"
    return [sys.executable, "-c", main, "sweep", *arguments]


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder with sweeps of the embedded sample that train on 100 of its images."""
    load_split("mnist-5k", "train")  # leaves the parsed sample in the cache, for all processes
    base = {"extends": "s6", **blocks(4), "recipe": {"epochs": 2, "batch_size": 50}}
    top = {"base": base, "holdout": 3_900}
    finalists = {"top": 1, "seeds": 2}
    write_sweep(tmp_path / "tiny.yaml", SMALL, OTHER, **top, seeds=2, finalists=finalists)
    write_sweep(tmp_path / "two.yaml", SMALL, OTHER, **top, seeds=1)
    return tmp_path


@pytest.mark.slow
def test_a_sweep_in_processes_from_its_file_to_its_picture(real: Path) -> None:
    result = subprocess.run(
        command("tiny.yaml", "--workers", "2", "--json"), cwd=real, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    sweep = real / "runs/tiny"
    assert result.stdout == (sweep / "leaderboard.json").read_text()
    board = Leaderboard.model_validate_json(result.stdout)
    assert board.states == {"DONE": 6}
    assert (sweep / "leaderboard.png").read_bytes().startswith(PNG)
    table = list(csv.DictReader(io.StringIO((sweep / "leaderboard.csv").read_text())))
    assert [row["name"] for row in table] == [it.name for it in board.standings]
    first, second = board.standings
    assert first.holdout is not None
    assert second.against_first is not None
    assert second.against_first.test == "mcnemar"  # of two seeds: by the mistakes that are kept
    for split, trials in (("validation", first.trials), ("test", first.final)):
        for trial in trials:
            run = Run(sweep / trial.folder)
            found = run.result()
            assert found is not None
            assert (found.split, found.images) == (split, 3_900 if split == "validation" else 1_000)
            assert found.mistakes is not None
            assert len(found.mistakes) == found.images - found.correct
            judged = [record["correct"] for record in run.metrics(epochs=2)]
            assert judged[1] == found.correct
            assert (judged[0] is None) == (split == "test")
            assert (run.folder / "log").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of POSIX")
@pytest.mark.by_hand
def test_at_a_terminal_it_is_live_and_ctrl_c_stops_all_of_it(real: Path) -> None:
    import pexpect

    program, *arguments = command("two.yaml", "--workers", "2", "--epochs", "19")
    environment = {**os.environ, "TERM": "xterm"}
    del environment["COLUMNS"]
    child = pexpect.spawn(
        program, arguments, cwd=real, env=environment, encoding="utf-8", dimensions=(40, 100)
    )
    child.expect(r"tiny · mnist-5k \(embedded sample\) ─", timeout=300)
    child.expect(r"0/2 done · \d+:\d\d left", timeout=300)
    child.expect(r"small +0 +[1-9]\d?/19 +\d+\.\d\d % +[▁▂▃▄▅▆▇█]", timeout=300)
    workers = psutil.Process(child.pid).children(recursive=True)
    child.sendintr()
    child.expect(r"error: interrupted.*hint: resume with the same command: mnist-arch ", timeout=60)
    child.expect(pexpect.EOF, timeout=60)
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in child.before
    assert len(workers) >= 2
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    begun = {path: path.read_bytes() for path in real.glob("runs/tiny/*/manifest.json")}
    result = subprocess.run(
        command("two.yaml", "--workers", "2", "--epochs", "19"),
        cwd=real,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"^small · seed 0 · resumes after epoch [1-9]\d* of 19$", result.stderr, re.M)
    assert "trials       2 DONE\n" in result.stdout
    assert {path: path.read_bytes() for path in begun} == begun
