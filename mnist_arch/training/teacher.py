"""A teacher: a trained network whose answers another one learns from, besides the labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.pixels import normalize
from mnist_arch.network.build import Classifier
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.recipe import Teacher


@dataclass(frozen=True)
class TeacherNetwork:
    """A network whose weights stay as they are, in evaluation mode, on the student's device."""

    experiment: Experiment
    """What it is, and what it was trained on; its dataset is resolved."""
    model: Classifier

    @cached_property
    def plan(self) -> Plan:
        return plan_network(self.experiment)

    @torch.no_grad()
    def logits(self, x_NCHW: Tensor) -> Tensor:
        """Of pixels from 0 to 1, which it sees normalised as in its own training.

        (N, 1, H, W) float32 → (N, classes).
        """
        logits_NK: Tensor = self.model(normalize(x_NCHW, self.experiment.normalization))
        return logits_NK


def soft_targets(logits_NK: Tensor, spec: Teacher) -> Tensor:
    """What a teacher says of each class, at the temperature: (N, classes) float32, each row 1."""
    return F.softmax(logits_NK.float() / spec.temperature, dim=1)


def distilled(loss: Tensor, logits_NK: Tensor, targets_NK: Tensor, spec: Teacher) -> Tensor:
    """(1 - weight) · loss + weight · temperature² · KL(teacher ‖ student), () of the logits' type.

    KL is the mean over images, between what both say at the temperature. Its gradient shrinks with
    the square of that, so that the factor keeps the two parts in balance (Hinton, Vinyals and Dean
    2015, *Distilling the Knowledge in a Neural Network*, section 2).
    """
    logs_NK = F.log_softmax(logits_NK / spec.temperature, dim=1)
    apart = F.kl_div(logs_NK, targets_NK.to(logs_NK.dtype), reduction="batchmean")
    return (1 - spec.weight) * loss + spec.weight * spec.temperature**2 * apart
