"""What the commands say of data: where it is, whose it is, and what `auto` came to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small
from mirror import Mirror, md5, put, small_mnist, zipped
from tiny_runs import make_run, tiny
from tiny_sweeps import blocks, write_sweep
from typer.testing import CliRunner, Result

from mnist_arch.data.catalog import INFO, SHA256, DatasetSplit, in_words
from mnist_arch.data.load import Loader
from mnist_arch.spec.loading import FELL_BACK, load
from mnist_arch.sweeps.ledger import Asked, Ledger
from mnist_arch_cli.app import app

NOT_HERE = "auto, which is mnist-5k here, the embedded sample: MNIST is not on this machine"
SPEC = small.TEXT.replace("name: small\n", "").replace("mnist-5k", "auto")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small datasets in the place of MNIST and Fashion-MNIST, and no others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    files = small_mnist()
    sums = {name.rpartition("-idx")[0]: hashlib.sha256(files[name]).hexdigest() for name in files}
    for name in ("mnist", "fashion-mnist"):
        info = replace(INFO[name], train_images=30, test_images=10)  # type: ignore[index]
        monkeypatch.setitem(INFO, name, info)
    monkeypatch.setitem(SHA256, "mnist", sums)
    (tmp_path / "net.yaml").write_text(SPEC)
    write_sweep(
        tmp_path / "tiny.yaml",
        {"name": "small", **blocks(4)},
        base={"extends": "s6", **blocks(4), "recipe": {"epochs": 1, "batch_size": 16}},
        dataset="auto",
        holdout=10,
        seeds=1,
    )


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("mnist_arch.data.transfer.dial", refuse)


def run(*arguments: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(it) for it in arguments])
    assert result.exit_code == exit_code, result.stderr + result.stdout
    return result


def left_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


COMMANDS: dict[str, Sequence[str]] = {
    "train": ("train", "net.yaml"),
    "train --dry-run": ("train", "net.yaml", "--dry-run"),
    "sweep": ("sweep", "tiny.yaml"),
    "sweep --dry-run": ("sweep", "tiny.yaml", "--dry-run"),
}

# ----------------------------------------------------------------------------- whose files they are


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_the_files_of_another_dataset_are_refused(command: str, tmp_path: Path) -> None:
    put(tmp_path / "data/FashionMNIST/raw", small_mnist())
    options = ("--dataset", "fashion-mnist", "--data-dir", "data")
    result = run(*COMMANDS[command], *options, exit_code=3)
    assert result.stdout == ""
    assert (
        "train-images-idx3-ubyte is not the training images of fashion-mnist: "
        "it has the training images of mnist" in result.stderr
    )


def test_eval_does_not_judge_on_the_files_of_another_dataset(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", tiny(dataset="fashion-mnist"))
    put(tmp_path / "data/FashionMNIST/raw", small_mnist())
    result = run("eval", "--data-dir", "data", exit_code=3)
    assert "t10k-images-idx3-ubyte is not the test images of fashion-mnist" in result.stderr
    assert result.stdout == ""


# ----------------------------------------------------------------------- folders that are not there


@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_folder_is_named_with_the_place_of_the_data(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data/MNIST/raw", small_mnist())
    monkeypatch.setenv("MNIST_ARCH_DATA", str(tmp_path / "data"))
    before = left_in(tmp_path)
    result = run(*COMMANDS[command], "--data-dir", "dta", exit_code=2)
    place = tmp_path / "data/MNIST/raw"
    assert f"error: the data folder dta does not exist; mnist is in {place}" in result.stderr
    assert f"hint: name {tmp_path / 'data'}, or no folder at all" in result.stderr
    assert left_in(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_in_a_folder_that_is_not_there_is_refused(command: str, tmp_path: Path) -> None:
    before = left_in(tmp_path)
    result = run(*COMMANDS[command], "--data-dir", "no/such", exit_code=2)
    assert "the data folder no/such does not exist, nor does" in result.stderr
    assert left_in(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_is_no_data_folder(command: str, tmp_path: Path) -> None:
    result = run(*COMMANDS[command], "--data-dir", "net.yaml", exit_code=2)
    assert "the data folder net.yaml is no folder" in result.stderr


@pytest.mark.slow
def test_a_line_says_which_folder_a_download_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setenv("no_proxy", "*")
    packed = zipped(small_mnist())
    with Mirror(packed) as mirror:
        monkeypatch.setattr(MNIST, "mirrors", [mirror.url])
        monkeypatch.setattr(MNIST, "resources", [(name, md5(packed[name])) for name in packed])
        line = "new was made for the images that were downloaded\n"
        first, second = (run("train", "net.yaml", "--data-dir", "new") for _ in range(2))
    assert line in first.stderr
    assert line not in second.stderr
    assert left_in(tmp_path / "new/MNIST/raw") == sorted(small_mnist())


# ---------------------------------------------------------------------------- what `auto` comes to


def test_a_dry_run_says_what_auto_is(tmp_path: Path) -> None:
    text = run("train", "net.yaml", "--dry-run").stdout
    assert f"dataset     {NOT_HERE}, and is downloaded first where that is possible\n" in text
    assert json.loads(run("train", "net.yaml", "--dry-run", "--json").stdout)["dataset"] == (
        "mnist-5k"
    )
    put(tmp_path / "data", small_mnist())
    here = ("train", "net.yaml", "--dry-run", "--data-dir", "data")
    assert "dataset     auto, which is mnist here\n" in run(*here).stdout
    assert json.loads(run(*here, "--json").stdout)["dataset"] == "mnist"
    named = run("train", "net.yaml", "--dry-run", "--dataset", "kmnist").stdout
    assert "auto" not in named.partition("\n\n")[2]


def test_a_plan_of_a_sweep_says_what_auto_is(tmp_path: Path) -> None:
    text = run("sweep", "tiny.yaml", "--dry-run").stdout
    assert text.startswith("tiny · mnist-5k (embedded sample), 10 images held out")
    assert NOT_HERE in text
    assert json.loads(run("sweep", "tiny.yaml", "--dry-run", "--json").stdout)["dataset"] == (
        "mnist-5k"
    )
    put(tmp_path / "data", small_mnist())
    text = run("sweep", "tiny.yaml", "--dry-run", "--data-dir", "data").stdout
    assert text.startswith("tiny · mnist, 10 images held out")
    assert "auto, which is mnist here" in text
    assert not (tmp_path / "runs").exists()


def test_a_plan_does_not_say_what_auto_was_where_mnist_is_there_now(tmp_path: Path) -> None:
    """The sweep would train on MNIST, whatever an earlier one had to be content with."""
    ask(tmp_path, "mnist-5k")
    put(tmp_path / "data", small_mnist())
    text = run("sweep", "tiny.yaml", "--dry-run", "--data-dir", "data").stdout
    assert text.startswith("tiny · mnist, ")


def ask(folder: Path, dataset: Any) -> None:
    """A sweep that was run, and what `auto` came to."""
    ledger = Ledger(folder / "runs/tiny")
    ledger.folder.mkdir(parents=True)
    asked = Asked(source="tiny.yaml", dataset=dataset, auto=dataset, command=[], started="2026")
    ledger.ask(asked)


@pytest.mark.parametrize(("dataset", "says"), [("mnist-5k", True), ("mnist", False)])
def test_a_leaderboard_shown_again_says_what_auto_was(
    dataset: str, says: bool, tmp_path: Path
) -> None:
    ask(tmp_path, dataset)
    result = run("sweep", "tiny.yaml", "--show")
    assert ("NOT MNIST" in result.stderr) == says
    assert ("mnist-5k (embedded sample)" in result.stdout) == says


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auto", "mnist-5k"])
@pytest.mark.usefixtures("offline")
def test_a_run_that_goes_on_says_what_auto_was(
    name: str, tmp_path: Path, images_are: Callable[[Loader], None]
) -> None:
    def load_split(name: str, split: DatasetSplit, **_: Any) -> Any:
        assert name == "mnist-5k"
        return small.synthetic(96 if split == "train" else 50, seed=len(split), name=split)

    images_are(load_split)
    first = run("train", "net.yaml", "--dataset", name)
    assert "net · seed 0 · mnist-5k (embedded sample)" in first.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["origins"]["dataset"] == (FELL_BACK if name == "auto" else "--dataset")
    later = (
        ("--resume", "latest"),
        ("--resume", "latest", "--quiet", "--json"),
        ("--from-manifest", folder / "manifest.json"),
    )
    for arguments in later:
        result = run("train", *arguments)
        assert ("NOT MNIST" in result.stderr) == (name == "auto")
    text = run("train", "--resume", "latest", "--dry-run").stdout
    assert (FELL_BACK in text) == (name == "auto")


def test_an_origin_says_that_auto_fell_back() -> None:
    loaded = load("s6")
    assert loaded.experiment.dataset == "auto"
    assert loaded.with_dataset("mnist-5k").fell_back
    assert not loaded.with_dataset("mnist").fell_back
    assert not loaded.fell_back


@pytest.mark.slow
def test_titles_name_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> None:
    def load_split(name: str, split: DatasetSplit, **_: Any) -> Any:
        return small.synthetic(96 if split == "train" else 50, seed=len(split), name=split)

    images_are(load_split)
    make_run(tmp_path / "runs", tiny(dataset="mnist-5k"))
    assert f"tiny · seed 0 · {in_words('mnist-5k')} test" in run("eval").stdout
    titles: list[str] = []

    def draw_gallery(*_: Any, title: str, **__: Any) -> bytes:
        titles.append(title)
        return b""

    monkeypatch.setattr("mnist_arch.evaluation.gallery.draw_gallery", draw_gallery)
    run("eval", "--gallery", "mistakes.png")
    assert titles[0].startswith("tiny · seed 0 · mnist-5k (embedded sample) test: ")


def test_only_the_sample_is_described() -> None:
    assert {name for name in INFO if in_words(name) != name} == {"mnist-5k"}
