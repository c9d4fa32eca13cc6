"""Experiments that take no time: images that are easy to tell apart, and a small network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.data.catalog import SplitName
from mnist_arch.data.split import Split, content_hash
from mnist_arch.runs.images import RunImages
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded, loads

TEXT = """
name: small
defaults: {dropout: 0.1}
blocks:
  - {channels: [4], pool: {kind: max, size: 4}}
  - {channels: [6]}
head: {pool: flatten, linear: true}
recipe:
  epochs: 3
  batch_size: 32
  schedule: {peak: 0.05}
  ema: 0.9
dataset: mnist-5k
"""


def loaded(**values: Any) -> Loaded:
    """The small experiment with other values, given by paths with `__` for the dots."""
    tree = loads(TEXT, source="small.yaml")
    experiment = tree.experiment.model_dump()
    for path, value in values.items():
        node, (*way, last) = experiment, path.split("__")
        for part in way:
            node = node[part]
        node[last] = value
    return Loaded(type(tree.experiment).model_validate(experiment), tree.origins)


def counted(**values: Any) -> CountedExperiment:
    """The small experiment with other values, counted."""
    return count(loaded(**values))


def folder_name(experiment: Experiment, seed: int) -> str:
    """The folder of a run of an experiment."""
    return count(Loaded(experiment, {})).folder_name(seed)


def synthetic(number: int, *, seed: int, name: SplitName = "train") -> Split:
    """Each of ten classes is a brighter rectangle at a place of its own, in noise."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 10
    images = torch.randint(0, 200, (number, 1, 28, 28), generator=rng, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        top, left = 2 + 13 * (label // 5), 1 + 5 * (label % 5)
        image[0, top : top + 10, left : left + 5] += 50
    return Split(images, labels, name, source="synthetic")


def images_of(training: Split, judged_on: Split, *, split: SplitName = "test") -> RunImages:
    named = replace(judged_on, name=split)
    return RunImages(training, named, content_hash(training, judged_on), 0.0)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    """Whether all bits are the same."""
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
