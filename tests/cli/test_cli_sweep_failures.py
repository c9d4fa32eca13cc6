"""What ends a sweep of `mnist-arch sweep`, or a trial of it: its message and its exit code."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from sweep_command import FAT, OTHER, SMALL, Terminal, below, diverges, no_training
from sweep_command import mnist_arch as mnist_arch
from tiny_sweeps import blocks
from typer.testing import CliRunner

from mnist_arch.data.load import Loader
from mnist_arch.data.split import Split
from mnist_arch.errors import (
    DataUnavailable,
    DeviceUnavailable,
    RunCorrupt,
    RunError,
    StorageError,
)
from mnist_arch.runs import execute as running
from mnist_arch.runs import images as run_images
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.training.loop import train
from mnist_arch_cli.app import app

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
