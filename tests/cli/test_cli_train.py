"""`mnist-arch train` from its arguments to its exit code, on images that are easy to tell apart."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import small
import torch
from train_command import Terminal, error_of, interrupt, no_training
from train_command import mnist_arch as mnist_arch

from mnist_arch.data.load import Loader, Resolved
from mnist_arch.errors import NonFiniteLoss, PictureError, StorageError
from mnist_arch.runs import execute as running
from mnist_arch.runs import images as run_images
from mnist_arch.runs.folder import Run
from mnist_arch.runs.score import Score
from mnist_arch.values import FORMAT

# ------------------------------------------------------------------------------------ a training


def test_a_training_prints_its_result_and_a_line_an_epoch(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml")
    run = mnist_arch.run
    assert run.folder.name.startswith("small-")
    assert run.folder.name.endswith("-s0")
    found = run.result()
    assert found is not None
    for part in (
        "parameters",
        "3,232",
        "< 20,000",
        "epochs",
        "< 20",
        "kept",
        "mnist test accuracy",
    ):
        assert part in result.stdout
    assert f"{found.correct:,} correct" in result.stdout
    assert f"mnist-arch eval {run.folder.relative_to(mnist_arch.folder)}" in result.stdout
    epochs = [line for line in result.stderr.splitlines() if "epoch" in line and "/3" in line]
    assert len(epochs) == 3
    assert "test" in epochs[0]
    assert mnist_arch.opened == [("mnist", "train"), ("mnist", "test")]


def test_json_is_the_stored_result_exactly(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml", "--json")
    assert result.stdout == mnist_arch.run.result_path.read_text()
    content = json.loads(result.stdout)
    assert content["format"] == FORMAT
    assert content["accuracy_percent"] == 100 * content["correct"] / content["images"]
    assert mnist_arch("small.yaml", "--json").stdout == result.stdout


def test_quiet_says_nothing_but_the_result(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml", "--quiet")
    assert result.stderr == ""
    assert "accuracy" in result.stdout


def test_the_same_command_shows_the_stored_result(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mnist_arch("small.yaml")
    monkeypatch.setattr(running, "train", no_training)
    second = mnist_arch("small.yaml")
    assert second.stdout == first.stdout
    assert "is finished; --again would start it from scratch" in second.stderr


@pytest.mark.slow
def test_again_keeps_the_old_folder_aside(mnist_arch: Terminal) -> None:
    mnist_arch("small.yaml", "--again")
    weights = mnist_arch.run.weights_path.read_bytes()
    name = mnist_arch.run.folder.name
    mnist_arch("small.yaml", "--again")
    assert mnist_arch.folders == [name, f"{name}.1"]
    assert mnist_arch.run.weights_path.read_bytes() == weights


def test_flags_stand_above_overrides_and_these_above_the_file(mnist_arch: Terminal) -> None:
    arguments = ["small.yaml", "--set", "recipe.epochs=2", "--set", "recipe.ema=null"]
    mnist_arch(*arguments, "--epochs", "1", "--seed", "7")
    manifest = mnist_arch.run.manifest()
    assert manifest.experiment.recipe.epochs == 1
    assert manifest.experiment.recipe.ema is None
    assert manifest.origins["recipe.epochs"] == "--epochs"
    assert manifest.origins["recipe.ema"] == "--set recipe.ema=null"
    assert manifest.origins["dataset"] == "small.yaml:12"
    assert manifest.seed == 7
    assert mnist_arch.run.folder.name.endswith("-s7")


def test_another_folder_for_the_runs(mnist_arch: Terminal) -> None:
    mnist_arch("small.yaml", "--out", "my runs/[red]", "--epochs", "1")
    (folder,) = (mnist_arch.folder / "my runs/[red]").iterdir()
    assert Run(folder).result() is not None
    assert mnist_arch.folders == []


def test_with_a_hold_out_test_is_never_read(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml", "--holdout", "16", "--json")
    content = json.loads(result.stdout)
    assert (content["split"], content["images"]) == ("validation", 16)
    assert content["verdicts"]["accuracy"] == "none"
    assert mnist_arch.opened == [("mnist", "train")]


def test_each_seed_is_judged_on_the_next_fold(mnist_arch: Terminal) -> None:
    folds = ["--holdout", "{folds: 4}", "--epochs", "1"]
    result = mnist_arch("small.yaml", *folds, "--seeds", "3", "--json")
    score = Score.model_validate_json(result.stdout)
    found = [it.folds for it in score.results]
    assert [(it.folds, it.fold) for it in found if it is not None] == [(4, 0), (4, 1), (4, 2)]
    assert str(score).endswith("(validation, 3 seeds on 3 of 4 folds)")
    assert {name for _, name in mnist_arch.opened} == {"train"}
    manifests = [Run(path).manifest() for path in sorted(mnist_arch.folder.glob("runs/*-s?"))]
    assert len({it.data_sha256 for it in manifests}) == 3
    assert len({it.digest for it in manifests}) == 1
    # A run that has lost its result is finished as it was, on its own fold.
    run = Run(mnist_arch.folder / "runs" / f"small-{score.digest[:8]}-s1")
    before = run.result_path.read_text()
    run.result_path.unlink()
    mnist_arch("--resume", str(run.folder))
    assert json.loads(before)["mistakes"] == json.loads(run.result_path.read_text())["mistakes"]
    pinned = ["--set", "holdout={folds: 4, fold: 2}"]
    other = mnist_arch("small.yaml", *pinned, exit_code=2)
    assert "seed 0 is judged on fold 0 of 4, not on fold 2" in other.stderr


# ---------------------------------------------------------------------------------------- refusals


def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_images, "read_images", no_training)


def test_a_network_over_budget_is_refused_before_anything_is_read(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_loaded(monkeypatch)
    result = mnist_arch("small.yaml", "--set", "budget.parameters_below=3232", exit_code=1)
    assert "3,232 parameters, 1 too many for fewer than 3,232" in result.stderr
    assert "hint: " in result.stderr
    result = mnist_arch("small.yaml", "--epochs", "20", exit_code=1)
    assert "20 epochs, 1 too many for fewer than 20" in result.stderr
    assert mnist_arch.folders == []


def test_in_json_mode_an_error_is_one_object_on_stderr(mnist_arch: Terminal) -> None:
    found = error_of(mnist_arch("small.yaml", "--epochs", "20", "--json", exit_code=1))
    assert found["error"] == "BudgetExceeded"
    assert found["problems"][0]["hint"] == "--epochs 19 would fit"


def test_a_network_for_another_dataset_is_refused(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_loaded(monkeypatch)
    result = mnist_arch("small.yaml", "--dataset", "emnist-letters", exit_code=2)
    assert "10 outputs, but emnist-letters has 26 classes" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.yaml"],
        ["no-such-network"],
        ["small.yaml", "--set", "recipe.epochs"],
        ["small.yaml", "--set", "recipe.epoch=1"],
        ["small.yaml", "--dataset", "imagenet"],
        ["small.yaml", "--epochs", "0"],
        ["small.yaml", "--seed", "-1"],
        ["small.yaml", "--seed", str(2**64)],
        ["small.yaml", "--seeds", "0"],
        ["small.yaml", "--seed", "1", "--seeds", "2"],
        ["small.yaml", "--device", "abacus"],
        ["small.yaml", "--holdout", "90"],
        ["small.yaml", "--no-such-option"],
    ],
)
def test_bad_input_ends_with_2_and_leaves_nothing(
    mnist_arch: Terminal, arguments: list[str]
) -> None:
    result = mnist_arch(*arguments, exit_code=2)
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""
    assert mnist_arch.folders == []


def test_a_loss_that_is_not_finite_ends_with_1(mnist_arch: Terminal) -> None:
    wild = "recipe.schedule={kind: constant, peak: 1e6, warmup: 0}"
    result = mnist_arch("small.yaml", "--set", wild, "--set", "defaults.norm=none", exit_code=1)
    assert "the loss is not finite at epoch 1, step " in result.stderr
    assert "learning rate 1e+06" in result.stderr
    assert "hint: lower recipe.schedule.peak" in result.stderr
    assert sorted(os.listdir(mnist_arch.run.folder)) == [".lock", "manifest.json"]


def test_what_the_machine_cannot_do_ends_with_3(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no cuda device" in mnist_arch("small.yaml", "--device", "cuda", exit_code=3).stderr


def test_a_folder_that_is_a_file_is_bad_input(mnist_arch: Terminal) -> None:
    Path("file").write_bytes(b"")
    result = mnist_arch("small.yaml", "--out", "file", exit_code=2)
    assert "file is a file, not a folder" in result.stderr


@pytest.mark.slow
def test_a_run_that_cannot_be_used_has_its_exit_code(mnist_arch: Terminal) -> None:
    mnist_arch("small.yaml")
    run = mnist_arch.run
    with run.lock():
        result = mnist_arch("small.yaml", "--again", exit_code=3)
        assert "another process is working in" in result.stderr
    whole = run.manifest_path.read_text()
    run.manifest_path.write_text(whole.replace('"format": 2', '"format": 3'))
    assert "this program reads up to 2" in mnist_arch("small.yaml", exit_code=2).stderr
    run.manifest_path.write_text(whole.replace('"format": 2', '"format": 1'))
    for arguments in (["small.yaml"], ["--resume", str(run.folder)], ["--resume", "latest"]):
        result = mnist_arch(*arguments, exit_code=2)
        assert "manifest.json has format 1, of an earlier version" in result.stderr
        assert "hint: start from scratch with --again, or use the version" in result.stderr
    result = mnist_arch("--from-manifest", str(run.manifest_path), exit_code=2)
    assert "has format 1, of an earlier version" in result.stderr
    run.manifest_path.write_text(whole[:50])
    result = mnist_arch("small.yaml", exit_code=3)
    assert "is damaged" in result.stderr
    assert "hint: start the run from scratch with --again" in result.stderr
    mnist_arch("small.yaml", "--again")


# ----------------------------------------------------------------------------------- the verdicts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "exit_code"),
    [
        (["budget.accuracy_percent=0"], 0),
        (["budget.accuracy_percent=100", "recipe.epochs=1"], 1),
        (["budget.accuracy_percent=0", "dataset=fashion-mnist"], 1),  # no verdict
        (["budget.accuracy_percent=0", "holdout=16"], 1),  # no verdict
    ],
)
def test_with_require_a_rule_that_is_not_kept_ends_with_1(
    mnist_arch: Terminal, overrides: list[str], exit_code: int
) -> None:
    arguments = ["small.yaml", *(part for text in overrides for part in ("--set", text))]
    mnist_arch(*arguments)
    result = mnist_arch(*arguments, "--require", "--json", exit_code=exit_code)
    assert result.stdout == mnist_arch.run.result_path.read_text()
    verdict = json.loads(result.stdout)["verdicts"]["accuracy"]
    assert (verdict == "kept") == (exit_code == 0)


def test_the_embedded_sample_in_the_place_of_mnist_cannot_be_overlooked(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallen_back = Resolved("mnist-5k", reason="mnist is nowhere to be had")
    monkeypatch.setattr("mnist_arch.data.load.resolve_dataset", lambda *_, **__: fallen_back)
    arguments = ["small.yaml", "--dataset", "auto", "--quiet"]
    for _ in range(2):  # the second time, too
        result = mnist_arch(*arguments, "--json")
        for part in ("NOT MNIST", "mnist is nowhere to be had", "--data-dir"):
            assert part in result.stderr
        content = json.loads(result.stdout)
        assert content["dataset"] == "mnist-5k"
        assert content["verdicts"]["accuracy"] == "none"
    assert "mnist-5k" in mnist_arch(*arguments).stdout
    assert mnist_arch.run.manifest().experiment.dataset == "mnist-5k"


# ------------------------------------------------------------------------------------ its picture


@pytest.mark.slow
def test_a_picture_that_cannot_be_drawn_is_a_note(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mnist_arch.runs.finished.draw_curves", no_picture)
        for arguments in (["small.yaml"], ["small.yaml", "--seeds", "2"]):
            result = mnist_arch(*arguments)
            folder = mnist_arch.folders[0]
            assert (
                f"there is no runs/{folder}/curves.png: cannot draw: no font; "
                "the same command tries again\n"
            ) in result.stderr
            assert "correct" in result.stdout
            assert "curves.png" not in result.stdout
    again = mnist_arch("small.yaml")
    assert "there is no" not in again.stderr
    assert "curves.png" in again.stdout


def no_picture(*_: Any, **__: Any) -> NoReturn:
    raise PictureError("cannot draw: no font")


# -------------------------------------------------------------------------------------- many seeds


def test_seeds_make_a_group(mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    result = mnist_arch("small.yaml", "--seeds", "2")
    files = mnist_arch.folders
    (group_file,) = (name for name in files if name.endswith("-seeds2.json"))
    assert [name[-3:] for name in files if name != group_file] == ["-s0", "-s1"]
    whole = Score.model_validate_json((mnist_arch.folder / "runs" / group_file).read_text())
    assert whole.seeds == [0, 1]
    mean = sum(it.correct for it in whole.results) / 2 / 50 * 100
    assert whole.mean_percent == pytest.approx(mean)
    assert (
        f"{whole.mean_percent:.3f} ± {whole.spread_percent:.3f} % (test, 2 seeds)" in result.stdout
    )
    assert group_file in result.stdout
    assert mnist_arch.opened == [("mnist", "train"), ("mnist", "test")]  # once for all seeds

    monkeypatch.setattr(running, "train", no_training)
    stored = mnist_arch("small.yaml", "--seeds", "2", "--json")
    assert stored.stdout == (mnist_arch.folder / "runs" / group_file).read_text()
    assert json.loads(stored.stdout)["results"][1]["seed"] == 1


def test_a_group_that_cannot_be_written_is_shown(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_: Any) -> NoReturn:
        raise StorageError("cannot write runs: No space left on device", hint="free some space")

    monkeypatch.setattr(Score, "write", no_disk)
    result = mnist_arch("small.yaml", "--seeds", "2", "--epochs", "1", exit_code=3)
    assert "(test, 2 seeds)" in result.stdout
    assert result.stderr.endswith("No space left on device\nhint: free some space\n")


def test_a_group_of_one_is_a_group(mnist_arch: Terminal) -> None:
    content = json.loads(mnist_arch("small.yaml", "--seeds", "1", "--json").stdout)
    assert (content["seeds"], content["spread_percent"]) == ([0], None)


@pytest.mark.parametrize(("percent", "exit_code"), [("0", 0), ("100", 1)])
def test_a_group_is_required_as_a_whole(mnist_arch: Terminal, percent: str, exit_code: int) -> None:
    rule = f"budget.accuracy_percent={percent}"
    arguments = ["small.yaml", "--set", rule, "--epochs", "1", "--seeds", "2", "--require"]
    mnist_arch(*arguments, exit_code=exit_code)


@pytest.mark.slow
def test_an_interrupted_group_goes_on_with_the_same_command(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch("small.yaml")  # seed 0 is finished
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        result = mnist_arch("small.yaml", "--seeds", "2", exit_code=130)
    assert "-s1" in result.stderr.splitlines()[-1]
    assert mnist_arch("small.yaml", "--seeds", "2").stderr.count("resuming") == 1


# --------------------------------------------------------------------------------------- resuming


@pytest.mark.slow
def test_ctrl_c_names_the_folder_and_the_command(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = mnist_arch("small.yaml", "--out", "reference", "--json")
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        result = mnist_arch("small.yaml", exit_code=130)
    run = mnist_arch.run
    assert result.stdout == ""
    assert result.stderr.endswith(f"mnist-arch train --resume runs/{run.folder.name}\n")
    assert not run.result_path.exists()
    resumed = mnist_arch("--resume", "latest", "--json")
    assert resumed.stdout == run.result_path.read_text()
    (whole,) = Path("reference").iterdir()
    assert run.weights_path.read_bytes() == Run(whole).weights_path.read_bytes()
    for name in ("correct", "loss", "epochs"):
        assert json.loads(resumed.stdout)[name] == json.loads(reference.stdout)[name]


@pytest.mark.slow
def test_the_same_command_goes_on(mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        mnist_arch("small.yaml", exit_code=130)
    result = mnist_arch("small.yaml")
    assert "resuming" in result.stderr
    assert "after epoch 1 of 3" in result.stderr


@pytest.mark.slow
def test_resume_takes_everything_from_the_manifest(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        arguments = ["--set", "recipe.epochs=4", "--seed", "5", "--holdout", "16"]
        mnist_arch("small.yaml", *arguments, exit_code=130)
    run = mnist_arch.run
    Path("small.yaml").unlink()
    mnist_arch("--resume", str(run.folder))
    found = run.result()
    assert found is not None
    assert (found.epochs, found.seed, found.split) == (4, 5, "validation")
    shown = mnist_arch("--resume", str(run.folder), "--json")  # finished: shown again
    assert shown.stdout == run.result_path.read_text()


@pytest.mark.slow
def test_latest_is_the_run_that_was_started_last(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        for seed in ("3", "1"):
            mnist_arch("small.yaml", "--seed", seed, "--out", "elsewhere", exit_code=130)
    mnist_arch("--resume", "latest", "--runs", "elsewhere")
    finished = {path.parent.name[-3:] for path in Path("elsewhere").glob("*/result.json")}
    assert finished == {"-s1"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["small.yaml"], "a SPEC"),
        (["--set", "recipe.epochs=5"], "--set"),
        (["--epochs", "5"], "--epochs"),
        (["--dataset", "mnist"], "--dataset"),
        (["--holdout", "5"], "--holdout"),
        (["--seed", "0"], "--seed"),
        (["--seeds", "2"], "--seeds"),
    ],
)
@pytest.mark.parametrize("option", ["--resume", "--from-manifest"])
def test_a_run_that_is_given_refuses_what_is_in_its_manifest(
    mnist_arch: Terminal, option: str, arguments: list[str], named: str
) -> None:
    result = mnist_arch(option, "runs/x", *arguments, exit_code=2)
    assert f"{option} excludes {named}" in result.stderr


def test_resume_excludes_again_and_a_manifest(mnist_arch: Terminal) -> None:
    for more in (["--again"], ["--from-manifest", "manifest.json"]):
        assert f"excludes {more[0]}" in mnist_arch("--resume", "x", *more, exit_code=2).stderr


@pytest.mark.parametrize("what", ["latest", "runs/nowhere", "small.yaml", "x" * 5_000])
def test_what_is_no_run_cannot_be_resumed(mnist_arch: Terminal, what: str) -> None:
    result = mnist_arch("--resume", what, exit_code=2)
    assert result.stderr.startswith("error: ")


# ----------------------------------------------------------------------------- from a manifest


@pytest.mark.slow
def test_a_manifest_repeats_its_run_bit_by_bit(mnist_arch: Terminal) -> None:
    mnist_arch("small.yaml", "--set", "recipe.batch_size=16", "--seed", "4")
    first = mnist_arch.run
    mnist_arch("--from-manifest", str(first.manifest_path), "--out", "elsewhere")
    (folder,) = Path("elsewhere").iterdir()
    second = Run(folder)
    assert second.folder.name == first.folder.name
    assert second.weights_path.read_bytes() == first.weights_path.read_bytes()
    one, two = first.manifest(), second.manifest()
    assert (one.digest, one.seed, one.engine) == (two.digest, two.seed, two.engine)
    assert one.data_sha256 == two.data_sha256
    assert one.started < two.started


def test_a_manifest_of_other_images_is_refused(
    mnist_arch: Terminal, images_are: Callable[[Loader], None]
) -> None:
    mnist_arch("small.yaml", "--epochs", "1")
    images_are(lambda *_, **__: small.synthetic(96, seed=9))
    path = str(mnist_arch.run.manifest_path)
    result = mnist_arch("--from-manifest", path, "--out", "elsewhere", exit_code=2)
    assert "the images found here are not those of the manifest" in result.stderr
    assert not Path("elsewhere").exists()


def test_a_manifest_that_is_not_there_or_damaged(mnist_arch: Terminal) -> None:
    mnist_arch("--from-manifest", "nowhere/manifest.json", exit_code=2)
    Path("manifest.json").write_text("{}")
    result = mnist_arch("--from-manifest", "manifest.json", exit_code=3)
    assert "manifest.json is damaged" in result.stderr


# -------------------------------------------------------------------------------------- a dry run


def test_a_dry_run_says_where_every_value_comes_from(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_loaded(monkeypatch)
    arguments = ["small.yaml", "--epochs", "5", "--set", "blocks.0.channels=[8]", "--seeds", "3"]
    content = json.loads(mnist_arch(*arguments, "--dry-run", "--json").stdout)
    assert content["format"] == 1
    assert content["experiment"]["recipe"]["epochs"] == 5
    assert content["experiment"]["recipe"]["schedule"]["warmup"] == 0.2  # a default
    assert content["origins"]["recipe.epochs"] == "--epochs"
    assert content["origins"]["recipe.batch_size"] == "small.yaml:9"
    assert content["origins"]["blocks[0].channels[0]"] == "--set blocks.0.channels=[8]"
    assert "recipe.schedule.warmup" not in content["origins"]
    assert content["seeds"] == [0, 1, 2]
    assert content["within_budget"] is True
    table = mnist_arch(*arguments, "--dry-run").stdout
    row = next(line for line in table.splitlines() if "recipe.schedule.warmup" in line)
    assert row.split() == ["recipe.schedule.warmup", "0.2", "default"]
    assert mnist_arch.folders == []


def test_a_dry_run_of_what_would_be_refused_says_so(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml", "--epochs", "30", "--dry-run", exit_code=1)
    assert "train would refuse this" in result.stdout
    result = mnist_arch("small.yaml", "--epochs", "30", "--dry-run", "--json", exit_code=1)
    assert error_of(result)["error"] == "BudgetExceeded"


def test_no_error_of_a_training_is_taken_for_a_bug(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: Any, **__: Any) -> NoReturn:
        raise NonFiniteLoss(epoch=2, step=3, rate=0.1)

    monkeypatch.setattr(running, "train", late)
    found = error_of(mnist_arch("small.yaml", "--json", exit_code=1))
    assert (found["error"], len(found["problems"])) == ("NonFiniteLoss", 1)


def test_a_finished_run_is_shown_without_its_images(mnist_arch: Terminal) -> None:
    first = json.loads(mnist_arch("small.yaml", "--json").stdout)
    mnist_arch.opened.clear()
    for arguments in (("small.yaml",), ("small.yaml", "--dataset", "auto"), ("--resume", "small")):
        assert json.loads(mnist_arch(*arguments, "--json").stdout) == first
    assert mnist_arch.opened == []


def test_runs_are_where_the_variable_says(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_ARCH_RUNS", "elsewhere")
    mnist_arch("small.yaml", "--epochs", "1")
    assert mnist_arch.folders == []
    assert len(list(Path("elsewhere").iterdir())) == 1
    mnist_arch("--resume", "latest")
    result = mnist_arch("--resume", "latest", "--out", "x", exit_code=2)
    assert "--resume excludes --out" in result.stderr
