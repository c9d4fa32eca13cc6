"""Teachers that cost nothing, of random weights, and recipes that learn from them."""

from __future__ import annotations

from typing import Any

import torch
from small import loaded
from trained import trained

from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import loads
from mnist_arch.training.teacher import TeacherNetwork

TEACHER = """
name: master
blocks:
  - {channels: [6, {out: 8, stride: 2}], dropout: 0.3, pool: max}
  - {channels: [8], norm: group, activation: silu, residual: true}
head: {pool: global-average, linear: true}
recipe: {epochs: 1, normalize: {mean: 0.3, std: 0.5}}
dataset: mnist-5k
"""

SHA256 = "0123456789abcdef" * 4


def teacher(text: str = TEACHER) -> TeacherNetwork:
    """One that is sure of little."""
    experiment = loads(text, source="teacher.yaml").experiment
    model = trained(experiment).requires_grad_(False)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in `state.py`
    return TeacherNetwork(experiment, model)


def student(*, weight: float = 0.5, temperature: float = 2.0, **values: Any) -> Experiment:
    """The small experiment with a recipe that has a teacher."""
    spec = {"network": "master", "weight": weight, "temperature": temperature, "sha256": SHA256}
    return loaded(recipe__teacher=spec, **values).experiment
