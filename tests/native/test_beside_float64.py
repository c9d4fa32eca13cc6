"""Six steps beside float64, each from a state that both float32s start from, over several seeds.

A step in float32 differs from one in float64 by rounding, and by a max pool or a ReLU that rounding
decides otherwise: the latter moves few gradients by much. So the middle of the differences tells
errors, and the largest tells flips, of which torch's own float32 has as many.
"""

from __future__ import annotations

import ctypes
import statistics
from dataclasses import dataclass

import pytest
import torch
from beside import Native, experiment_of, torch_found
from torch import Tensor

from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load

SMOOTH = """
name: smooth
defaults: {activation: gelu}
blocks:
  - {channels: [8, 16], pool: average, reduce: 8}
  - {channels: [16, {out: 16, kind: depthwise}], pool: average}
head: {pool: global-average, linear: true}
"""
"""Nothing in it can flip."""

STEPS, SEEDS, IMAGES = 6, (0, 1, 2), 32


@dataclass
class Differences:
    """Of float32 from float64, gradient by gradient, as shares of the largest of its tensor."""

    middle: list[float]
    largest: list[float]
    loss: list[float]


def shares(found: dict[str, Tensor], right: dict[str, Tensor]) -> Tensor:
    """Of all gradients but those that are 0 save for rounding, as that of a bias before a norm."""
    most = max(float(it.abs().max()) for it in right.values())
    parts = []
    for name, gradient in right.items():
        scale = float(gradient.abs().max())
        if scale > 1e-3 * most:
            parts.append(((found[name].double() - gradient).abs() / scale).flatten())
    return torch.cat(parts)


def six_steps(experiment: Experiment, library: ctypes.CDLL) -> tuple[Differences, Differences]:
    """Of native steps and of torch's own float32."""
    ours, torchs = Differences([], [], []), Differences([], [], [])
    for seed in SEEDS:
        native = Native(experiment, library, images=IMAGES, seed=seed, images_seed=seed + 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(STEPS):
                masks = native.step.masks(IMAGES)
                right = torch_found(native, masks, dtype=torch.float64)
                plain = torch_found(native, masks, dtype=torch.float32)
                found = native.learn(masks, rate=0.05)  # from which the next step goes on
                for differences, it in ((ours, found), (torchs, plain)):
                    all_shares = shares(it.gradients, right.gradients)
                    differences.middle.append(float(all_shares.median()))
                    differences.largest.append(float(all_shares.max()))
                    differences.loss.append(abs(it.loss - right.loss) / right.loss)
    return ours, torchs


def of_s6() -> Experiment:
    return load("s6").with_dataset("mnist-5k").experiment


@pytest.mark.parametrize("network", ["smooth", "s6"])
def test_native_steps_are_as_near_to_float64_as_torchs_float32(
    library: ctypes.CDLL, network: str
) -> None:
    experiment = experiment_of(SMOOTH) if network == "smooth" else of_s6()
    ours, torchs = six_steps(experiment, library)
    assert statistics.median(ours.middle) <= 4 * statistics.median(torchs.middle)
    assert max(ours.loss) <= 4 * max(torchs.loss) + 1e-7
    assert statistics.median(ours.largest) <= 4 * statistics.median(torchs.largest)
    if network == "smooth":  # each single one, since nothing flips
        assert max(ours.largest) <= 4 * max(torchs.largest)
