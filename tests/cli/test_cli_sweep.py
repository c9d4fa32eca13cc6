"""`mnist-arch sweep` from its arguments to its leaderboard and the next command."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from ctypes import CDLL
from pathlib import Path
from typing import Any, NoReturn, cast

import psutil
import pytest
import torch
from sweep_command import FAT, OTHER, PNG, SMALL, TOP, Terminal, below, no_training
from sweep_command import mnist_arch as mnist_arch
from tiny_sweeps import HereExecutor, blocks, planned, write_sweep
from typer.testing import CliRunner

from mnist_arch.data.load import Resolved, load_split
from mnist_arch.errors import StorageError
from mnist_arch.files import write_whole
from mnist_arch.runs import execute as running
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
from mnist_arch.training.native_library import Found
from mnist_arch.values import FORMAT
from mnist_arch_cli.app import app

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
    monkeypatch.setattr(engines, "find_library", lambda *_, **__: Found(cast(CDLL, None)))
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
    monkeypatch.setattr(engines, "find_library", lambda *_, **__: Found(cast(CDLL, None)))
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


@pytest.mark.gate
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
