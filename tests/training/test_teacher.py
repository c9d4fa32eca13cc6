"""Learning from a teacher: its loss, what it sees, and what it leaves as it was."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import equal, loaded, synthetic, tensors
from teaching import student, teacher

from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.training.augment import augment
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.engine import Engine
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.loop import make_step
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep
from mnist_arch.training.teacher import distilled, soft_targets

INDEX = torch.arange(24)


@pytest.mark.parametrize(("weight", "temperature"), [(0.5, 2.0), (1.0, 1.0), (0.1, 20.0)])
def test_the_loss_is_that_of_the_formula_in_float64(weight: float, temperature: float) -> None:
    spec = student(weight=weight, temperature=temperature).recipe.teacher
    assert spec is not None
    rng = torch.Generator().manual_seed(1)
    own, others = (torch.randn(7, 10, generator=rng, dtype=torch.float64) for _ in range(2))
    p = torch.exp(others / temperature)
    p /= p.sum(dim=1, keepdim=True)
    q = torch.exp(own / temperature)
    q /= q.sum(dim=1, keepdim=True)
    apart = (p * (p / q).log()).sum(dim=1).mean()
    right = (1 - weight) * 3.0 + weight * temperature**2 * apart
    found = distilled(torch.tensor(3.0), own, soft_targets(others, spec), spec)
    assert float(found) == pytest.approx(float(right), rel=1e-6)


def test_a_teacher_that_agrees_costs_nothing() -> None:
    spec = student(weight=1.0).recipe.teacher
    assert spec is not None
    logits = torch.randn(5, 10, generator=torch.Generator().manual_seed(1))
    assert float(distilled(torch.tensor(9.0), logits, soft_targets(logits, spec), spec)) < 1e-6


def test_it_sees_the_images_of_the_batch_as_they_are_changed_and_in_evaluation_mode() -> None:
    training, master = synthetic(64, seed=1), teacher()
    assert master.experiment.normalization.mean == 0.3  # not what the student sees
    experiment = student(weight=1.0, recipe__augment={"rotate_degrees": 30, "shift_pixels": 4})
    state = State.fresh(experiment, seed=0, teacher=master)
    before, model = tensors(master.model), copy.deepcopy(state.model)
    rng = torch.Generator()
    rng.set_state(state.augment.get_state())
    step = PlainStep(state, training)
    state.model.train()
    with torch.random.fork_rng(devices=[]):
        state.use_dropout_stream()
        loss = step.learn(INDEX, rate=0.1, weight=None)
        state.use_dropout_stream()
        x_NCHW = augment(to_unit(training.images[INDEX]), experiment.recipe.augment, rng=rng)
        own = model.train()(normalize(x_NCHW, experiment.normalization))
        said = master.model(normalize(x_NCHW, master.experiment.normalization))
    right = 4 * F.kl_div(
        F.log_softmax(own / 2, dim=1), F.softmax(said / 2, dim=1), reduction="batchmean"
    )
    assert float(loss) == pytest.approx(right.item(), rel=1e-5)
    assert equal(before, tensors(master.model))
    assert not master.model.training


def test_the_streams_are_those_of_a_training_without() -> None:
    training, streams = synthetic(64, seed=1), []
    for experiment, master in ((student(), teacher()), (loaded().experiment, None)):
        state = State.fresh(experiment, seed=0, teacher=master)
        step = PlainStep(state, training)
        state.use_dropout_stream()
        state.model.train()
        step.begin(EpochPlan.next(state, len(training)))
        step(0)
        state.keep_dropout_stream()
        streams.append([state.shuffle.get_state(), state.augment.get_state(), state.dropout])
    assert all(map(torch.equal, *streams))


def test_a_teacher_is_asked_about_images_of_training_alone() -> None:
    state = State.fresh(student(), seed=0, teacher=teacher())
    with pytest.raises(ValueError, match="not asked about images of test"):
        PlainStep(state, replace(synthetic(64, seed=1), name="test"))
    with pytest.raises(ValueError, match="the recipe has a teacher, and the state has none"):
        PlainStep(State.fresh(student(), seed=0), synthetic(64, seed=1))


def test_a_compiled_step_asks_it_and_a_captured_one_is_plain() -> None:
    training = synthetic(64, seed=1)
    losses = []
    plain = Engine(device="cpu", threads=1)
    for kind in ("plain", "compiled", "captured"):
        state = State.fresh(student(), seed=0, teacher=teacher())
        engine = plain.model_copy(update={"step": kind})
        step = make_step(engine, state, training, batch=32)
        assert type(step) is (CompiledStep if kind == "compiled" else PlainStep)
        state.model.train()
        with torch.random.fork_rng(devices=[]):
            state.use_dropout_stream()
            losses.append(float(step.learn(INDEX, rate=0.1, weight=None)))
    assert losses[0] == losses[1] == losses[2]


def test_weights_that_are_rounded_in_training_learn_from_it_too() -> None:
    state = State.fresh(student(recipe__quantize="int8"), seed=0, teacher=teacher())
    state.model.train()
    loss = PlainStep(state, synthetic(64, seed=1)).learn(INDEX, rate=0.1, weight=None)
    assert torch.isfinite(loss)
