"""Where the files of a dataset lie, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import platformdirs

from mnist_arch.data.catalog import IMAGE_SHAPE, INFO, DatasetName, SplitName
from mnist_arch.data.idx import DATA_VARIABLE, IdxFile

SHA256: Final = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of MNIST's uncompressed files, measured where the `.gz` has the MD5 that torchvision knows."""

QMNIST_TEST_IMAGES: Final = 60_000
"""Images in QMNIST's test files, of which the first 10,000 are the test split (`test10k`)."""

_FOLDERS: Final[dict[DatasetName, str]] = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    "kmnist": "KMNIST/raw",
    "qmnist": "QMNIST/raw",
    "emnist-digits": "EMNIST/raw",
    "emnist-letters": "EMNIST/raw",
    "emnist-balanced": "EMNIST/raw",
}


def files(name: DatasetName, split: SplitName) -> tuple[IdxFile, IdxFile]:
    """The files of the images and of the labels."""
    count = INFO[name].train_images if split == "train" else INFO[name].test_images
    prefix = "t10k" if split == "test" else "train"
    known = SHA256 if name == "mnist" else {}
    if name.startswith("emnist"):
        prefix = f"{name}-{split}"
    elif name == "qmnist":
        prefix, count = f"qmnist-{split}", count if split == "train" else QMNIST_TEST_IMAGES
    images = f"{prefix}-images"
    labels = f"{prefix}-labels"
    return (
        IdxFile(f"{images}-idx3-ubyte", (count, *IMAGE_SHAPE[1:]), sha256=known.get(images, "")),
        IdxFile(f"{labels}-idx2-int", (count, 8), ">i4")
        if name == "qmnist"
        else IdxFile(f"{labels}-idx1-ubyte", (count,), sha256=known.get(labels, "")),
    )


def folders(name: DatasetName, data_dir: Path | None) -> tuple[Path, ...]:
    """Where the files of a dataset may lie; the first is where they are downloaded to."""
    variable = os.environ.get(DATA_VARIABLE, "")
    roots = [data_dir, Path(variable).expanduser() if variable else None, cache_folder()]
    return tuple(root / _FOLDERS[name] for root in roots if root is not None)


def cache_folder() -> Path:
    """The folder of this program among the user's caches."""
    return Path(platformdirs.user_cache_dir("mnist-arch"))


def find(name: DatasetName, split: SplitName, data_dir: Path | None) -> Path | None:
    """The first folder that has both files of a split."""
    for folder in folders(name, data_dir):
        if all(file.is_in(folder) for file in files(name, split)):
            return folder
    return None
