"""The images of a run, and the hash by which it knows them again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mirror import digits, put, small_mnist

from mnist_arch import load
from mnist_arch.data.catalog import CONTENT_SHA256, INFO, SHA256
from mnist_arch.data.load import Loader, load_split
from mnist_arch.data.split import content_hash
from mnist_arch.runs.evidence import evidence_beside
from mnist_arch.runs.images import read_images
from mnist_arch.zoo.index import zoo

KNOWN = "of the checksums"


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small MNIST whose checksums are known, and the hash that stands for them."""
    files = small_mnist()
    sums = {file.rpartition("-idx")[0]: hashlib.sha256(files[file]).hexdigest() for file in files}
    monkeypatch.setitem(SHA256, "mnist", sums)
    monkeypatch.setitem(CONTENT_SHA256, tuple(sums.values()), KNOWN)
    monkeypatch.setitem(INFO, "mnist", replace(INFO["mnist"], train_images=30, test_images=10))
    put(tmp_path, files)
    return tmp_path


def sha256(folder: Path, holdout: int = 0) -> str:
    """Of the images as a training reads them."""
    changed: dict[str, Any] = {"dataset": "mnist", "holdout": holdout}
    experiment = load("s6").experiment.model_copy(update=changed)
    return read_images(experiment, data_dir=folder, device="cpu").sha256


def test_whole_files_that_were_checked_are_not_hashed_again(known: Path) -> None:
    assert sha256(known) == KNOWN
    assert len(sha256(known, holdout=10)) == 64


def test_images_that_may_have_been_changed_are_hashed(
    known: Path, images_are: Callable[[Loader], None]
) -> None:
    splits = {split: load_split("mnist", split, data_dir=known) for split in ("train", "test")}  # type: ignore[arg-type]
    images_are(lambda _, split, **__: splits[split])
    before = sha256(known)
    assert before == content_hash(*splits.values())
    splits["train"].images[0, 0, 0, 0] += 1
    assert before != sha256(known) == content_hash(*splits.values())


def test_files_without_checksums_are_hashed(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mean = digits(30, seed=30)[0].mean() / 255  # by which they are known instead
    monkeypatch.setitem(INFO, "mnist", replace(INFO["mnist"], mean=mean))
    monkeypatch.setitem(SHA256, "mnist", {})
    assert len(sha256(known)) == 64


def test_the_hash_of_mnist_is_that_of_the_networks_that_ship() -> None:
    found = [evidence_beside(it.weights_path) for it in zoo().values()]
    assert {it.data_sha256 for it in found if it is not None} == {
        CONTENT_SHA256[tuple(SHA256["mnist"].values())]
    }


@pytest.mark.slow
@pytest.mark.mnist
def test_the_hash_of_mnist_is_that_of_its_images() -> None:
    folder = Path(os.environ["MNIST_ARCH_DATA"])
    splits = [load_split("mnist", split, data_dir=folder) for split in ("train", "test")]  # type: ignore[arg-type]
    assert content_hash(*splits) == sha256(folder)
