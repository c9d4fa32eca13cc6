"""A loss with a teacher in the native engine, beside float64, and what it is asked about."""

from __future__ import annotations

import ctypes

import pytest
import torch
from beside import Native, compare
from small import loaded, synthetic, tensors
from teaching import student, teacher

from mnist_arch.training.native import NativeStep
from mnist_arch.training.state import State
from mnist_arch.training.teacher import soft_targets


@pytest.mark.parametrize(
    ("weight", "temperature"), [(0.5, 2.0), (1.0, 1.0), (0.3, 8.0), (0.9, 0.5), (0.5, 1000.0)]
)
@pytest.mark.parametrize("images", [32, 13])
def test_gradients_are_those_of_float64(
    weight: float, temperature: float, images: int, library: ctypes.CDLL
) -> None:
    experiment = student(weight=weight, temperature=temperature, recipe__label_smoothing=0.1)
    native = Native(experiment, library, images=images, teacher=teacher())
    worst, allowed = compare(native)
    assert worst <= allowed


def test_logits_that_are_far_apart_keep_the_loss_finite(library: ctypes.CDLL) -> None:
    master = teacher()
    with torch.no_grad():
        next(reversed([*master.model.parameters()])).copy_(torch.arange(10) * 100.0)
    native = Native(student(temperature=0.5), library, images=16, teacher=master)
    worst, allowed = compare(native)
    assert worst <= allowed


@pytest.mark.parametrize("threads", [1, 2])
def test_what_it_says_is_what_torch_has_it_say(threads: int, library: ctypes.CDLL) -> None:
    """Of the images of a batch as they are stored, changed, and normalised for the teacher."""
    training, master, experiment = synthetic(64, seed=1), teacher(), student()
    spec = experiment.recipe.teacher
    assert spec is not None
    state = State.fresh(experiment, seed=0, teacher=master)
    before = tensors(master.model)
    step = NativeStep(state, training, batch=32, threads=threads, library=library)
    index_B = torch.randperm(64)[:23]
    (changes,) = step.changes([23])
    found = step.targets(step.stored(index_B, changes), index_B)
    assert found is not None
    grid = torch.nn.functional.affine_grid(changes.affine_N23, [23, 1, 28, 28], align_corners=False)  # type: ignore[arg-type]
    x_NCHW = training.images[index_B].float() / 255
    x_NCHW = torch.nn.functional.grid_sample(x_NCHW, grid, align_corners=False)
    right = soft_targets(master.logits(x_NCHW), spec)
    torch.testing.assert_close(found, right, rtol=2e-3, atol=1e-5)
    assert all(torch.equal(before[name], it) for name, it in tensors(master.model).items())


def test_a_step_has_targets_where_its_recipe_has_a_teacher_and_nowhere_else(
    library: ctypes.CDLL,
) -> None:
    native = Native(student(), library, images=8, teacher=teacher())
    targets = native.targets_NK
    native.targets_NK = None
    with pytest.raises(ValueError, match="targets of a teacher"):
        native.learn(native.step.masks(8))
    alone = Native(loaded().experiment, library, images=8)
    alone.targets_NK = targets
    with pytest.raises(ValueError, match="targets of a teacher"):
        alone.learn(alone.step.masks(8))
