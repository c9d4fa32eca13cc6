"""Files of another dataset, or of the other split: none is ever taken for what it is not."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mirror import digits, idx, put, zipped
from numpy.typing import NDArray

from mnist_arch.data import catalog
from mnist_arch.data.catalog import INFO, MEAN_TOLERANCE, SHA256, DatasetName, all_files, files
from mnist_arch.data.load import load_split
from mnist_arch.errors import DataUnavailable

Files = dict[str, bytes]
FOLDERS: dict[DatasetName, str] = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "emnist-digits": "EMNIST",
    "emnist-letters": "EMNIST",
    "emnist-balanced": "EMNIST",
}
COUNTS: dict[DatasetName, tuple[int, int]] = {
    "mnist": (60, 10),
    "fashion-mnist": (60, 10),
    "kmnist": (60, 10),
    "qmnist": (60, 10),
    "emnist-digits": (90, 15),
    "emnist-letters": (80, 14),
    "emnist-balanced": (70, 13),
}
"""Training and test images of the family, many fewer than there are."""


def images_of(name: DatasetName, count: int) -> NDArray[np.uint8]:
    """Random images, told apart by a seed of each dataset, whose mean is that of its pixels."""
    rng = np.random.RandomState(list(COUNTS).index(name))
    share = INFO[name].mean
    lit = rng.permutation(count * 784) < round(share * count * 784)
    return np.where(lit, 255, 0).astype(np.uint8).reshape(count, 28, 28)


def contents(name: DatasetName) -> Files:
    """The four files of a dataset of the small family."""
    found: Files = {}
    for split in catalog.SPLITS:
        image_file, label_file = files(name, split)
        count = image_file.shape[0]
        rng = np.random.RandomState(100 + list(COUNTS).index(name))
        labels = rng.randint(0, 10, count) + (name == "emnist-letters")
        found[image_file.name] = idx(images_of(name, count))
        wide = np.stack([labels.astype(np.int32)] * 8, 1)
        found[label_file.name] = idx(wide if name == "qmnist" else labels.astype(np.uint8))
    return found


@pytest.fixture(autouse=True)
def _small_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNIST_ARCH_DATA", raising=False)
    monkeypatch.setattr(catalog, "QMNIST_TEST_IMAGES", 60)
    for name, (train, test) in COUNTS.items():
        info = replace(INFO[name], train_images=train, test_images=test)
        monkeypatch.setitem(INFO, name, info)
    for name in list(SHA256):
        monkeypatch.setitem(SHA256, name, {})
    for name in list(SHA256):
        sums = {
            file.rpartition("-idx")[0]: hashlib.sha256(content).hexdigest()
            for file, content in contents(name).items()
        }
        monkeypatch.setitem(SHA256, name, sums)


def put_as(name: DatasetName, root: Path, found: Files) -> Path:
    folder = root / FOLDERS[name] / "raw"
    put(folder, found)
    return folder


def renamed(source: DatasetName, target: DatasetName) -> Files:
    """The files of one dataset under the names of another."""
    found = contents(source)
    return {
        there.name: found[here.name]
        for split in catalog.SPLITS
        for here, there in zip(files(source, split), files(target, split), strict=True)
    }


def altered(content: bytes) -> bytes:
    """As of another tool that changed one pixel or label: no checksum knows it."""
    return content[:-1] + bytes([content[-1] ^ 1])


# ----------------------------------------------------------------------------- the constants


def test_every_two_means_are_told_apart() -> None:
    means = {name: info.mean for name, info in INFO.items() if name != "mnist-5k"}
    for (one, first), (two, second) in itertools.combinations(means.items(), 2):
        if {one, two} == {"mnist", "qmnist"}:
            assert SHA256["mnist"]  # which refuses MNIST's images as QMNIST's, and all but its own
        else:
            assert abs(first - second) > 2 * MEAN_TOLERANCE + 1e-4, (one, two)  # digits rounded off


@pytest.mark.parametrize("name", FOLDERS)
def test_the_right_files_are_taken(name: DatasetName, tmp_path: Path) -> None:
    put_as(name, tmp_path, contents(name))
    for split, count in zip(catalog.SPLITS, COUNTS[name], strict=True):
        assert len(load_split(name, split, data_dir=tmp_path)) == count


# --------------------------------------------------------------------------- another dataset

PAIRS = [
    (source, target)
    for source, target in itertools.permutations(FOLDERS, 2)
    if "qmnist" not in (source, target)
]


@pytest.mark.parametrize("split", catalog.SPLITS)
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_no_dataset_is_taken_for_another(
    source: DatasetName,
    target: DatasetName,
    split: catalog.DatasetSplit,
    tmp_path: Path,
) -> None:
    put_as(target, tmp_path, renamed(source, target))
    with pytest.raises(DataUnavailable, match=r"-images-idx3-ubyte\S* is ") as caught:
        load_split(target, split, data_dir=tmp_path)
    if split == "train":  # of a test split alone nothing is known but the checksums of two of them
        assert f"is not the training images of {target}: it" in str(caught.value)
        assert source in str(caught.value)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_not_even_in_files_that_no_checksum_knows(
    source: DatasetName, target: DatasetName, tmp_path: Path
) -> None:
    found = {file: altered(content) for file, content in renamed(source, target).items()}
    put_as(target, tmp_path, found)
    for split in catalog.SPLITS:
        with pytest.raises(DataUnavailable, match=r"SHA-256|have the mean|has the size of") as why:
            load_split(target, split, data_dir=tmp_path)
        if not SHA256.get(target):
            assert source in str(why.value)


def test_the_images_of_mnist_are_not_those_of_qmnist(tmp_path: Path) -> None:
    """Whose mean is the same: QMNIST restores MNIST's images, and not to the last bit."""
    mnist, own = contents("mnist"), contents("qmnist")
    for split, image_file in (("train", "train-images"), ("test", "t10k-images")):
        target = files("qmnist", split)[0].name  # type: ignore[arg-type]
        folder = put_as(
            "qmnist", tmp_path / split, {**own, target: mnist[f"{image_file}-idx3-ubyte"]}
        )
        with pytest.raises(DataUnavailable, match=r"images of qmnist: it has the .* of mnist"):
            load_split("qmnist", split, data_dir=tmp_path / split)  # type: ignore[arg-type]
        assert folder.exists()


def test_the_images_of_qmnist_are_not_those_of_mnist(tmp_path: Path) -> None:
    found = contents("mnist") | {
        "train-images-idx3-ubyte": contents("qmnist")["qmnist-train-images-idx3-ubyte"]
    }
    put_as("mnist", tmp_path, found)
    with pytest.raises(DataUnavailable, match="SHA-256 is not the known one"):
        load_split("mnist", "train", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("source", "target"),
    [("mnist", "fashion-mnist"), ("mnist", "kmnist"), ("fashion-mnist", "kmnist")],
)
def test_the_labels_of_another_dataset(
    source: DatasetName, target: DatasetName, tmp_path: Path
) -> None:
    found = contents(target) | {
        file: content for file, content in contents(source).items() if "labels" in file
    }
    put_as(target, tmp_path, found)
    for split in catalog.SPLITS:
        with pytest.raises(DataUnavailable, match=f"labels of {target}: it has .* of {source}"):
            load_split(target, split, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("source", "target"),
    list(itertools.permutations(["emnist-digits", "emnist-letters", "emnist-balanced"], 2)),
)
def test_the_labels_of_another_part_of_emnist(
    source: DatasetName, target: DatasetName, tmp_path: Path
) -> None:
    label_file = files(target, "train")[1].name
    labels = contents(source)[files(source, "train")[1].name]
    put_as(target, tmp_path, contents(target) | {label_file: labels})
    message = f"{label_file} is not the training labels of {target}: it has the size of the "
    with pytest.raises(DataUnavailable, match=f"{message}training labels of {source}"):
        load_split(target, "train", data_dir=tmp_path)


# -------------------------------------------------------------------------------- another split


@pytest.mark.parametrize("name", [name for name in FOLDERS if name != "qmnist"])
@pytest.mark.parametrize("part", ["images", "labels", "both"])
def test_the_splits_are_not_exchanged(name: DatasetName, part: str, tmp_path: Path) -> None:
    found = contents(name)
    for one, two in zip(files(name, "train"), files(name, "test"), strict=True):
        if part in (one.part, "both"):
            found[one.name], found[two.name] = found[two.name], found[one.name]
    put_as(name, tmp_path, found)
    for split, other in (("train", "test"), ("test", "training")):
        with pytest.raises(DataUnavailable, match=f"it has .*the {other} .* of {name}"):
            load_split(name, split, data_dir=tmp_path)  # type: ignore[arg-type]


def test_images_in_the_place_of_labels(tmp_path: Path) -> None:
    found = contents("kmnist")
    found["train-labels-idx1-ubyte"] = found["train-images-idx3-ubyte"]
    put_as("kmnist", tmp_path, found)
    with pytest.raises(DataUnavailable, match="does not begin as an IDX file of 1 dimensions"):
        load_split("kmnist", "train", data_dir=tmp_path)


# ------------------------------------------------------------------------------ the mean of a test


def test_a_test_split_is_held_against_the_training_images_beside_it(tmp_path: Path) -> None:
    found = contents("kmnist")
    wrong, _ = digits(60, seed=1)
    put_as("kmnist", tmp_path, found | {"train-images-idx3-ubyte": idx(wrong)})
    message = r"training images of kmnist: its pixels have the mean 0\.5\d*, and not 0\.1918"
    with pytest.raises(DataUnavailable, match=message):
        load_split("kmnist", "test", data_dir=tmp_path)


def test_a_test_split_alone_is_read(tmp_path: Path) -> None:
    found = contents("kmnist")
    put_as("kmnist", tmp_path, {file: found[file] for file in found if file.startswith("t10k")})
    assert len(load_split("kmnist", "test", data_dir=tmp_path)) == 10


def test_files_that_are_replaced_are_held_against_the_mean_again(tmp_path: Path) -> None:
    folder = put_as("kmnist", tmp_path, contents("kmnist"))
    load_split("kmnist", "train", data_dir=tmp_path)
    (folder / "train-images-idx3-ubyte").unlink()
    wrong, _ = digits(60, seed=1)
    put(folder, {"train-images-idx3-ubyte.gz": zipped({"a": idx(wrong)})["a.gz"]})
    with pytest.raises(DataUnavailable, match="have the mean"):
        load_split("kmnist", "test", data_dir=tmp_path)


def test_no_two_files_of_the_family_share_a_name_and_a_folder() -> None:
    names = [(FOLDERS[file.dataset], file.name) for file in all_files()]
    assert len(names) == len(set(names))
