"""What only weights and images can say: confusion, mistakes, calibration, filters, activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_arch.data.catalog import INFO, Normalization
from mnist_arch.report.svg import png
from mnist_arch.runs.find import find

if TYPE_CHECKING:
    from torch import Tensor

    from mnist_arch.evaluation.metrics import Evaluation
    from mnist_arch.network.build import Classifier

SHOWN = 24
"""Mistakes, filters and maps that are shown."""


@dataclass(frozen=True)
class Illustrations:
    """Of one run, on the images that it was judged on."""

    evaluation: Evaluation
    class_names: tuple[str, ...]
    mistakes: tuple[tuple[str, str], ...]
    """Picture and caption of the most confident ones."""
    filters: tuple[str, ...]
    """Pictures of the first convolution."""
    activations: tuple[tuple[str, tuple[str, ...]], ...]
    """Layer, and pictures of what it makes of one digit, where a pool ends."""


def illustrate(folder: Path, *, data_dir: Path | None) -> Illustrations:
    """Judges the run in a folder on its own images, which are not downloaded.

    A run with a hold-out is judged on that; its test split is not read. Raises DataUnavailable,
    WeightsError, RunError and StorageError.
    """
    from mnist_arch.data.load import load_split
    from mnist_arch.data.split import hold_out
    from mnist_arch.evaluation.metrics import evaluate
    from mnist_arch.network.weights import build_with, read_weights

    trained = find(str(folder), runs=folder.parent)
    if trained.holdout:
        whole = load_split(trained.dataset, "train", data_dir=data_dir, download=False)
        images = hold_out(whole, trained.holdout)[1]
    else:
        images = load_split(trained.dataset, "test", data_dir=data_dir, download=False)
    tensors, _ = read_weights(trained.weights)
    model = build_with(trained.experiment, tensors, trained.weights)
    by = trained.normalization
    evaluation = evaluate(model, images, by)
    names = INFO[trained.dataset].class_names
    mistakes = tuple(
        (
            _png(images.images[it.index, 0]),
            f"{names[it.label]} → {names[it.predicted]}, {100 * it.probability:.1f} %",
        )
        for it in evaluation.mistakes[:SHOWN]
    )
    return Illustrations(
        evaluation, names, mistakes, _filters(model), _activations(model, images.images[:1], by)
    )


def _filters(model: Classifier) -> tuple[str, ...]:
    first = next((it for it in model.parameters() if it.ndim == 4 and it.shape[-1] > 1), None)
    return () if first is None else tuple(_png(it.mean(0)) for it in first.detach()[:SHOWN])


def _activations(
    model: Classifier, image_NCHW: Tensor, by: Normalization
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    import torch

    from mnist_arch.data.pixels import normalize, to_unit

    found = []
    with torch.no_grad():
        values = normalize(to_unit(image_NCHW), by)
        for number, layer in enumerate(model.layers):
            values = layer(values)
            if "Pool" in type(layer).__name__ and values.ndim == 4 and values.shape[-1] > 1:
                maps = tuple(_png(it) for it in values[0, :8])
                found.append((f"layer {number + 1}, {type(layer).__name__}", maps))
    return tuple(found)


def _png(values_HW: Tensor) -> str:
    """Values from the least, black, to the most, white."""
    values = values_HW.float()
    low, high = float(values.min()), float(values.max())
    grey = ((values - low) * (255 / ((high - low) or 1))).round().byte()
    rows: Sequence[Sequence[int]] = grey.tolist()
    return png([bytes(row) for row in rows])
