"""Datasets on disk and the embedded sample → uint8 tensors.

Files lie in torchvision's folder layout, `<folder>/MNIST/raw/train-images-idx3-ubyte`, or beside it
as `.gz`. They are looked for in the folder that the caller names, in `$MNIST_ARCH_DATA`, and in the
user's cache folder; what is missing is downloaded into the first of these that is named.

What is checked at every reading, beside the IDX header, the size and the range of the labels:

    mnist             the SHA-256 of the uncompressed bytes: any change is found
    mnist-5k          the SHA-256 of all images and labels: any change is found
    all others        nothing more, as no SHA-256 of their uncompressed bytes is known here: a
                      changed pixel is found in a `.gz`, by its CRC, and while downloading

Every download is checked against the MD5 that torchvision knows for the compressed file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch

from mnist_arch.data import download as downloads
from mnist_arch.data.catalog import IMAGE_SHAPE, INFO, DatasetName, SplitName
from mnist_arch.data.folders import files, find, folders
from mnist_arch.data.idx import ANOTHER_FOLDER, corrupt
from mnist_arch.data.sample import sample_split
from mnist_arch.data.split import Split
from mnist_arch.errors import DataUnavailable

_SPLITS: Final[tuple[SplitName, ...]] = ("train", "test")


@dataclass(frozen=True)
class Resolved:
    """What a dataset's name means on this machine."""

    name: DatasetName
    reason: str = ""
    """Why it is the embedded sample and not MNIST; empty unless `auto` fell back."""


def load_split(
    name: DatasetName, split: SplitName, *, data_dir: Path | None = None, download: bool = True
) -> Split:
    """One split, checked, and downloaded where it is missing.

    Raises DataUnavailable where it cannot be had or a file is corrupt, and StorageError where the
    download cannot be stored. A corrupt file is never replaced. Data in place is only read.
    """
    if name == "mnist-5k":
        return sample_split(split)
    folder = find(name, split, data_dir)
    if folder is None:
        folder = _fetch(name, data_dir, download=download)
    return _read_split(name, split, folder)


def resolve_dataset(
    name: DatasetName | Literal["auto"], *, data_dir: Path | None = None, download: bool = True
) -> Resolved:
    """What `name` means here: `auto` is MNIST if it is there or can be downloaded, else `mnist-5k`.

    No image is read where all files are there. Raises DataUnavailable where some are missing and
    others corrupt, and StorageError where the disk is full: these never fall back.
    """
    if name != "auto":
        return Resolved(name)
    if not all(find("mnist", part, data_dir) for part in _SPLITS):
        _refuse_corrupt("mnist", folders("mnist", data_dir)[0])
        try:
            _fetch("mnist", data_dir, download=download)
        except DataUnavailable as error:
            return Resolved("mnist-5k", reason=str(error))
    return Resolved("mnist")


def _fetch(name: DatasetName, data_dir: Path | None, *, download: bool) -> Path:
    """Downloads what is missing of both splits into the first folder that is named; returns it."""
    places = folders(name, data_dir)
    if not download:
        message = f"{name} is not in {', nor in '.join(map(str, places))}"
        raise DataUnavailable(message, hint=ANOTHER_FOLDER)
    wanted = [file for split in _SPLITS for file in files(name, split)]
    downloads.fetch(name, wanted, places[0], hint=ANOTHER_FOLDER)
    return places[0]


def _refuse_corrupt(name: DatasetName, folder: Path) -> None:
    """Raises DataUnavailable for a corrupt file in an incomplete folder."""
    for split in _SPLITS:
        for file in files(name, split):
            if file.is_in(folder):
                file.read(folder)


def _read_split(name: DatasetName, split: SplitName, folder: Path) -> Split:
    image_file, label_file = files(name, split)
    images, labels = image_file.read(folder), label_file.read(folder)
    if name == "qmnist":
        labels = labels[:, 0]
        if split == "test":
            images, labels = (
                images[: INFO[name].test_images].copy(),
                labels[: INFO[name].test_images],
            )
    if name.startswith("emnist"):
        images = images.swapaxes(1, 2)  # EMNIST stores columns first
    labels = labels.astype(np.int64) - (name == "emnist-letters")  # whose labels count from 1
    if not ((labels >= 0) & (labels < INFO[name].classes)).all():
        wrong = f"it has labels outside the {INFO[name].classes} classes"
        raise corrupt(folder / label_file.name, wrong)
    return Split(
        torch.from_numpy(np.ascontiguousarray(images)).reshape(-1, *IMAGE_SHAPE),
        torch.from_numpy(labels),
        source=str(folder),
    )
