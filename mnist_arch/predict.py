"""A trained network, asked about pictures from anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnist_arch.data.catalog import INFO
from mnist_arch.data.framing import Framed, framed
from mnist_arch.errors import WeightsError
from mnist_arch.html import table
from mnist_arch.runs.find import TrainedNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnist_arch.network.build import Classifier


@dataclass(frozen=True)
class Prediction:
    """What a network says of one picture."""

    label: int
    """Number of the class, from 0: of MNIST the digit."""
    name: str
    """Name of the class."""
    probabilities: tuple[float, ...]
    """Softmax over the classes, in [0, 1]."""
    done: tuple[str, ...]
    """What was done to the picture before, in order; nothing where it was as it must be."""
    pixels: NDArray[Any] = field(repr=False, compare=False)
    """What the network saw: (28, 28) uint8, light on black."""

    @property
    def probability(self) -> float:
        """Of the label, in [0, 1]."""
        return self.probabilities[self.label]

    def _repr_html_(self) -> str:
        rows = [(name, f"{100 * it:.2f} %") for name, it in enumerate(self.probabilities)]
        return table(f"{self.name}; {', '.join(self.done) or 'as it is'}", ("class", ""), rows)


@dataclass(frozen=True, repr=False)
class Predictor:
    """A trained network on the CPU, with the normalisation that it was trained with."""

    trained: TrainedNetwork
    model: Classifier

    @classmethod
    def of(cls, trained: TrainedNetwork) -> Predictor:
        """Reads the weights. Raises WeightsError and StorageError."""
        from mnist_arch.network.weights import build_with, read_weights

        tensors, _ = read_weights(trained.weights)
        return cls(trained, build_with(trained.experiment, tensors, trained.weights))

    def __repr__(self) -> str:
        it = self.trained
        return f"Predictor({it.name}, trained on {it.dataset}, {it.weights})"

    def predict(self, image: object) -> Prediction:
        """The class of a picture: a file's name, a PIL image, or an array of uint8.

        An array is (H, W), (1, H, W) or (H, W, C). It is inverted where its background is light,
        scaled and centred as the images that the network was trained on; what was done is in
        `done`. An image of the dataset itself is taken as it is. Raises ImageError, StorageError
        for a file that cannot be read, and WeightsError for a network whose values are not finite.
        """
        return self.predict_all([image])[0]

    def predict_all(self, images: Iterable[object]) -> list[Prediction]:
        """The class of each picture, also of those of an array (N, 28, 28) or (N, 1, 28, 28)."""
        return self._judged([framed(_plain(image), self.trained.dataset) for image in images])

    def _judged(self, images: list[Framed]) -> list[Prediction]:
        import numpy as np
        import torch

        from mnist_arch.evaluation.metrics import predict

        if not images:
            return []
        info = INFO[self.trained.dataset]
        pixels_NCHW = torch.from_numpy(np.stack([image.pixels for image in images])[:, None])
        logits_NK = predict(self.model, pixels_NCHW, self.trained.normalization)
        if not bool(torch.isfinite(logits_NK).all()):
            hint = "its weights are damaged, or its training diverged"
            raise WeightsError("the network gives values that are not finite", hint=hint)
        labels: list[int] = logits_NK.argmax(1).tolist()
        shares = logits_NK.double().softmax(1).tolist()
        return [
            Prediction(label, info.class_names[label], tuple(share), image.done, image.pixels)
            for image, label, share in zip(images, labels, shares, strict=True)
        ]


def _plain(image: object) -> object:
    return os.fspath(image) if isinstance(image, os.PathLike) else image
