"""Datasets on disk and the embedded sample → uint8 tensors.

What is checked at every reading, besides the header, the size and the range of the labels:

    mnist, fashion-mnist   the SHA-256 of the uncompressed bytes: any change is found
    mnist-5k               the SHA-256 of all images and labels: any change is found
    all others             that the SHA-256 is not that of a file above, and the mean of the
                           training pixels, by which no other dataset of the family passes; a
                           changed pixel is found in a `.gz`, by its CRC, and while downloading

Every download is checked against the MD5 that torchvision knows for the compressed file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_arch.data.catalog import (
    IMAGE_SHAPE,
    INFO,
    MEAN_TOLERANCE,
    SPLITS,
    DatasetName,
    DatasetSplit,
    files,
)
from mnist_arch.data.folders import (
    Pair,
    Stored,
    check_named_folder,
    download_folder,
    find,
    found_in,
    found_partly,
    roots,
    what_is_there,
)
from mnist_arch.data.idx import ANOTHER_FOLDER, corrupt, of_another_mean
from mnist_arch.data.sample import sample_split
from mnist_arch.data.split import Split
from mnist_arch.errors import DataUnavailable


@dataclass(frozen=True)
class Resolved:
    """What a dataset's name means on this machine."""

    name: DatasetName
    reason: str = ""
    """Why it is the embedded sample and not MNIST; empty unless `auto` fell back."""


Loader = Callable[..., Split]
"""What is called as `load_split` is."""

_LOADER: ContextVar[Loader | None] = ContextVar("loader", default=None)


@contextmanager
def images_from(loader: Loader) -> Iterator[None]:
    """Has `load_split` ask `loader`, with all its arguments, in place of the disk, while it lasts.

    So trainings and judgements of this process can have images of one's own.
    """
    token = _LOADER.set(loader)
    try:
        yield
    finally:
        _LOADER.reset(token)


def load_split(
    name: DatasetName, split: DatasetSplit, *, data_dir: Path | None = None, download: bool = True
) -> Split:
    """One split, checked, and downloaded where it is missing.

    Raises DataUnavailable where it is not available, or a file is corrupt or of another dataset;
    SpecError where `data_dir` cannot be meant; and StorageError where the download cannot be
    stored. A file that is there is never replaced. Data in place is only read.
    """
    if (loader := _LOADER.get()) is not None:
        found = loader(name, split, data_dir=data_dir, download=download)
        return replace(found, checksums=())  # which may have been changed since it was read
    if name == "mnist-5k":
        return sample_split(split)
    check_named_folder(name, data_dir)
    pair = find(name, split, data_dir) or _fetch(name, split, data_dir, download=download)
    return _read_split(*pair)


def resolve_dataset(
    name: DatasetName | Literal["auto"], *, data_dir: Path | None = None, download: bool = True
) -> Resolved:
    """What `name` means here: `auto` is MNIST if it is there or can be downloaded, else `mnist-5k`.

    No image is read where all files are there. Raises DataUnavailable where some are missing and
    others corrupt, SpecError where `data_dir` cannot be meant, and StorageError where the disk is
    full: these never fall back.
    """
    if name != "auto":
        return Resolved(name)
    check_named_folder("mnist", data_dir)
    missing = [split for split in SPLITS if find("mnist", split, data_dir) is None]
    if missing:
        for part in found_partly("mnist", data_dir):
            part.read()
        try:
            for split in missing:
                _fetch("mnist", split, data_dir, download=download)
        except DataUnavailable as error:
            return Resolved("mnist-5k", reason=str(error))
    return Resolved("mnist")


def _fetch(
    name: DatasetName, split: DatasetSplit, data_dir: Path | None, *, download: bool
) -> Pair:
    """Downloads what is missing of both splits into the first folder; returns those of `split`."""
    from mnist_arch.data import download as downloads  # which is needed once

    missing = what_is_there(name, data_dir)
    if not download:
        raise DataUnavailable(missing, hint=ANOTHER_FOLDER)
    places = roots(data_dir)
    if not places:
        raise DataUnavailable(f"there is no folder to download {name} into", hint=ANOTHER_FOLDER)
    folder = download_folder(name, places[0])
    wanted = [it for part in SPLITS if not find(name, part, data_dir) for it in files(name, part)]
    try:
        downloads.fetch(name, wanted, folder, hint=ANOTHER_FOLDER)
    except DataUnavailable as error:
        raise DataUnavailable(f"{missing}; {error}", hint=error.hint) from None
    pair = found_in(folder, name, split)
    assert pair is not None
    return pair


def _read_split(image_file: Stored, label_file: Stored) -> Split:
    name, split = image_file.file.dataset, image_file.file.split
    images, labels = image_file.read(), label_file.read()
    if not image_file.file.sha256:
        _check_training_mean(image_file, images)
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
        raise corrupt(label_file.path, wrong)
    checksums = image_file.file.sha256, label_file.file.sha256
    return Split(
        torch.from_numpy(np.ascontiguousarray(images)).reshape(-1, *IMAGE_SHAPE),
        torch.from_numpy(labels),
        split,
        source=str(image_file.path.parent),
        checksums=checksums if all(checksums) else (),
    )


_OF_THE_RIGHT_MEAN: set[tuple[Path, int, int]] = set()
"""Training images that were held against their mean in this process: path, time and size."""


def _check_training_mean(images: Stored, pixels: NDArray[np.uint8]) -> None:
    """Raises DataUnavailable where the training images are not of their dataset, by their mean.

    They are `pixels`, or beside them: a test split has no mean that is known.
    """
    name = images.file.dataset
    training: Stored | None = images
    if images.file.split != "train":
        pair = found_in(images.path.parent, name, "train")
        training = pair[0] if pair else None
    if training is None:
        return
    stat = training.path.stat()
    state = (training.path, stat.st_mtime_ns, stat.st_size)
    if state in _OF_THE_RIGHT_MEAN:
        return
    mean = float((pixels if training is images else training.read()).mean()) / 255
    if abs(mean - INFO[name].mean) > MEAN_TOLERANCE:
        raise of_another_mean(training.file, training.path, mean)
    _OF_THE_RIGHT_MEAN.add(state)
