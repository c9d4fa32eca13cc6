"""A step of the native engine beside the plain one, and over threads, batches and kills."""

from __future__ import annotations

import copy
import ctypes
from typing import Any

import pytest
import torch
from beside import Native, experiment_of, noise
from small import equal, loaded, synthetic, tensors
from teaching import teacher

from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.native import BatchChanges, NativeStep
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

NOTHING = BatchChanges(None, None, None, 0)
STILL = {"rotate_degrees": 0.0, "shift_pixels": 0.0, "scale": 0.0, "shear_degrees": 0.0}
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "without momentum": {"optimizer": {"momentum": 0.0, "nesterov": False}},
    "without nesterov": {"optimizer": {"kind": "sgd", "nesterov": False}},
    "adamw": {"optimizer": {"kind": "adamw"}},
    "adam": {"optimizer": {"kind": "adam", "epsilon": 0.1, "beta1": 0.8, "weight_decay": 0.5}},
    "rmsprop": {"optimizer": {"kind": "rmsprop", "epsilon": 0.1, "weight_decay": 0.1}},
    "rmsprop, centred": {
        "optimizer": {"kind": "rmsprop", "epsilon": 0.1, "centered": True, "momentum": 0.5}
    },
    "adadelta": {"optimizer": {"kind": "adadelta", "epsilon": 0.1, "rho": 0.5}},
    "adagrad": {"optimizer": {"kind": "adagrad", "initial_accumulator": 0.1, "decays": "all"}},
    "weights penalized": {"l1": 0.01},
    "all penalized, clipped": {"l1": {"strength": 0.01, "of": "all"}, "clip_norm": 0.01},
    "all tensors decay": {"optimizer": {"weight_decay": 0.5, "decays": "all"}},
    "clipped": {"clip_norm": 0.01},
    "no average": {"ema": None},
    "smoothed": {"label_smoothing": 0.1},
    "elastic": {"augment": {"elastic": {"pixels": 1.0}, "rotate_degrees": 30.0}},
    "erased": {"augment": {**STILL, "erase": {"probability": 0.5, "pixels": 8}}},
    "shifted far": {"augment": {**STILL, "shift_pixels": 20}},
    "images as they are": {"augment": STILL},
    "changes by torch": {"augment": [{"rotate_degrees": 9, "resample": "nearest"}, {"fill": 0.5}]},
    "taught": {"teacher": {"network": "master", "weight": 0.7, "temperature": 4.0}},
    "taught, changes by torch": {
        "teacher": "master",
        "label_smoothing": 0.1,
        "augment": [{"rotate_degrees": 9, "resample": "nearest"}, {"fill": 0.5}],
    },
    "normalised otherwise": {"normalize": {"mean": 0.5, "std": 0.25}},
}
SEPARABLE = """
name: separable
defaults: {order: conv-norm-activation, bias: false, dropout: 0.1}
blocks:
  - {channels: [8]}
  - {channels: [{out: 8, kind: depthwise}, {out: 8, kernel: 1}], residual: true, pool: max}
  - {channels: [{out: 8, kind: depthwise}, {out: 16, kernel: 1}], residual: true, pool: max}
head: {pool: global-average, linear: true}
"""
BRANCHED = """
name: branched
blocks:
  - {channels: [{out: 6, kernel: [3, 2], padding: same-end, stride: 2}], norm: {splits: 5}}
  - branches: [[4], {channels: [5], norm: {kind: layer, affine: value}}, []]
    pool: {kind: max, size: 3, padding: 1, norm: {affine: none}}
  - {branches: [[6], [6]], join: add, residual: true, activation: {kind: prelu, slopes: channel}}
head: {pool: global-average, linear: true}
recipe: {l1: 0.001, optimizer: {kind: rmsprop, centered: true, momentum: 0.5}}
"""


def small(name: str = "sgd") -> Experiment:
    return experiment_of(loaded().experiment.model_dump(), **RECIPES[name])


def steps(
    experiment: Experiment,
    *,
    count: int,
    images: int = 32,
    threads: int = 1,
    library: ctypes.CDLL | None = None,
    state: State | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> tuple[State, list[float]]:
    """So many steps, native where a library is given; and their losses."""
    training = synthetic(128, seed=1)
    master = None if experiment.recipe.teacher is None else teacher()
    state = state or State.fresh(experiment, seed=seed, teacher=master)
    state.model.train().to(dtype)
    step: PlainStep = PlainStep(state, training)
    if library is not None:
        step = NativeStep(state, training, batch=images, threads=threads, library=library)
    state.use_dropout_stream()
    step.begin(EpochPlan((torch.arange(images),), [0.0], []))
    rng = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(count):
        index_B = torch.randperm(128, generator=rng)[:images]
        weight = None if state.average is None else 0.1
        losses.append(float(step.learn(index_B, rate=0.01, weight=weight)))
    state.keep_dropout_stream()
    return state, losses


def largest_difference(one: State, two: State) -> float:
    """Of all that a state keeps, as a share of the largest value of its tensor."""
    first, second = one.state_dict(), two.state_dict()
    worst = 0.0
    for part in ("model", "average"):
        for name, tensor in (first[part] or {}).items():
            scale = max(float(tensor.abs().max()), 1e-2)
            worst = max(worst, float((tensor - second[part][name]).abs().max()) / scale)
    return worst


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("images", [32, 13])
def test_a_step_comes_to_what_a_plain_one_does(
    recipe: str, images: int, library: ctypes.CDLL
) -> None:
    native, losses = steps(small(recipe), count=1, images=images, library=library)
    plain, right = steps(small(recipe), count=1, images=images)
    assert losses == pytest.approx(right, rel=1e-5)
    # AdamW divides by the size of a gradient, so where one is nearly 0 its first step is its sign.
    assert largest_difference(native, plain) < (2.1e-2 if recipe == "adamw" else 2e-4)
    assert torch.equal(native.dropout, plain.dropout)
    assert torch.equal(native.augment.get_state(), plain.augment.get_state())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_momentum_changes_from_step_to_step(optimizer: str, library: ctypes.CDLL) -> None:
    kinds = {"adam": {"epsilon": 0.1}, "rmsprop": {"epsilon": 0.1, "momentum": 0.5}}
    experiment = experiment_of(
        loaded().experiment.model_dump(),
        optimizer={"kind": optimizer, **kinds.get(optimizer, {})},
        schedule={"cycle_momentum": True},
    )
    training = synthetic(96, seed=1)
    batches = torch.split(torch.randperm(96), 32)
    states = []
    for is_native, momenta in ((False, [0.5, 0.0, 0.8]), (True, [0.5, 0.0, 0.8]), (False, [])):
        epoch = EpochPlan(batches, [1e-3] * 3, [0.1] * 3, momenta)
        state = State.fresh(experiment, seed=0)
        state.model.train()
        step = PlainStep(state, training)
        if is_native:
            step = NativeStep(state, training, batch=32, threads=1, library=library)
        with torch.random.fork_rng(devices=[]):
            state.use_dropout_stream()
            step.begin(epoch)
            for number in range(3):
                step(number)
        states.append(state)
    plain, native, other = states
    assert largest_difference(plain, native) < largest_difference(plain, other) / 10


@pytest.mark.parametrize("recipe", ["sgd", "elastic", "erased", "images as they are"])
def test_changes_drawn_ahead_are_those_of_one_batch_after_the_other(
    recipe: str, library: ctypes.CDLL
) -> None:
    """Also where a step is the last of what was drawn, or of an epoch and smaller."""
    experiment = small(recipe)
    training = synthetic(100, seed=1)
    batches = tuple(torch.split(torch.randperm(100), 32))
    epoch = EpochPlan(batches, [0.01] * 4, [0.1] * 4)
    losses, streams = [], []
    for ahead in (64, 1):
        state = State.fresh(experiment, seed=0)
        step = NativeStep(state, training, batch=32, threads=1, library=library)
        step.images_ahead = ahead
        with torch.random.fork_rng(devices=[]):
            state.use_dropout_stream()
            step.begin(epoch)
            for number in range(len(batches)):
                step(number)
        losses.append(step.losses_S)
        streams.append(state.augment.get_state())
    assert torch.equal(*streams)
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)


def test_s6_and_a_separable_network_learn_like_plain_ones(library: ctypes.CDLL) -> None:
    s6 = load("s6").with_dataset("mnist-5k").experiment
    for experiment in (s6, experiment_of(SEPARABLE)):
        native, losses = steps(experiment, count=1, library=library)
        plain, right = steps(experiment, count=1)
        assert losses == pytest.approx(right, rel=1e-4)
        assert largest_difference(native, plain) < 1e-2  # max pools may flip


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int, library: ctypes.CDLL) -> None:
    s6 = load("s6").with_dataset("mnist-5k").experiment
    for experiment in (s6, experiment_of(SEPARABLE), experiment_of(BRANCHED)):
        one, losses = steps(experiment, count=3, images=61, library=library)
        other, found = steps(experiment, count=3, images=61, threads=threads, library=library)
        assert found == losses
        assert equal(tensors(one.model), tensors(other.model))
        assert equal(tensors(one.result), tensors(other.result))


def test_a_smaller_batch_takes_the_same_memory_to_the_same_bits(library: ctypes.CDLL) -> None:
    """As the last one of an epoch does."""
    alone, losses = steps(small(), count=1, images=13, library=library)
    training = synthetic(128, seed=1)
    state = State.fresh(small(), seed=0)
    state.model.train()
    step = NativeStep(state, training, batch=64, threads=1, library=library)
    before = state.state_dict()
    with state.rehearsal():
        step.begin(EpochPlan((torch.arange(64),), [0.0], []))
        step.learn(torch.arange(64), rate=0.01, weight=0.1)
    assert before["epoch"] == 0
    step.begin(EpochPlan((torch.arange(64),), [0.0], []))
    index_B = torch.randperm(128, generator=torch.Generator().manual_seed(0))[:13]
    assert [float(step.learn(index_B, rate=0.01, weight=0.1))] == losses
    assert equal(tensors(alone.model), tensors(state.model))


def test_it_goes_on_from_a_checkpoint_to_the_same_bits(library: ctypes.CDLL) -> None:
    experiment = small("adamw")
    whole, _ = steps(experiment, count=2, library=library)
    whole, losses = steps(experiment, count=2, library=library, state=whole)
    first, _ = steps(experiment, count=2, library=library)
    kept = copy.deepcopy(first.state_dict())
    other = State.fresh(experiment, seed=5)
    other.load_state_dict(kept)
    other, found = steps(experiment, count=2, library=library, state=other)
    assert found == losses
    assert equal(tensors(whole.model), tensors(other.model))


def test_a_loss_that_is_not_finite_is_seen(library: ctypes.CDLL) -> None:
    state = State.fresh(small(), seed=0)
    with torch.no_grad():
        next(state.model.parameters()).fill_(float("nan"))
    _, losses = steps(small(), count=1, library=library, state=state)
    assert losses[0] != losses[0]


def test_a_program_that_is_wrong_is_refused_before_a_pointer_is_touched(
    library: ctypes.CDLL,
) -> None:
    from dataclasses import replace

    from mnist_arch.counting.plan import plan_network
    from mnist_arch.native.machine import Machine
    from mnist_arch.native.program import program_of

    experiment = small()
    recipe, program = experiment.recipe, program_of(plan_network(experiment).layers)

    def opened(**changes: int) -> None:
        operations = [replace(program.operations[0], **changes), *program.operations[1:]]
        Machine(
            library, replace(program, operations=operations), recipe, images=8, threads=1
        ).close()

    opened()
    for name, value in {
        "input": 99,
        "output": -3,
        "weight": 1,
        "bias": 77,
        "rows": 31,
        "columns": 0,
        "stride": 0,
        "top": -1,
        "right": 9,
        "groups": 3,
        "kind": 44,
    }.items():
        with pytest.raises(ValueError, match="operation 0"):
            opened(**{name: value})
    with pytest.raises(ValueError, match="count of images"):
        Machine(library, program, recipe, images=0, threads=1)
    with pytest.raises(ValueError, match="count of threads"):
        Machine(library, program, recipe, images=8, threads=0)


@pytest.mark.gate
def test_memory_that_cannot_be_had_is_an_error(library: ctypes.CDLL) -> None:
    from mnist_arch.counting.plan import plan_network
    from mnist_arch.native.machine import Machine
    from mnist_arch.native.program import program_of

    wide = experiment_of(
        "name: wide\nblocks:\n  - {channels: [4096, 4096]}\nhead: {linear: true}\n"
    )
    program = program_of(plan_network(wide).layers)
    with pytest.raises(MemoryError):
        Machine(library, program, wide.recipe, images=1 << 20, threads=1)


def test_stored_images_are_seen_as_prepared_ones(library: ctypes.CDLL) -> None:
    native = Native(small(), library, images=19)
    index_B = torch.arange(19).flip(0)
    prepared_NCHW = native.step.prepared(native.split.images[index_B])
    found = []
    for pixels in (prepared_NCHW.data_ptr(), native.step.stored(index_B, NOTHING)):
        logits_NK = torch.zeros(19, 10)
        native.step.machine.predict(
            images=19, pixels=pixels, logits=logits_NK.data_ptr(), by_average=False
        )
        found.append(logits_NK)
    assert found[0].any()
    assert torch.equal(*found)


@pytest.mark.parametrize("place", [-1, 8])
def test_images_that_are_not_there_are_refused(place: int, library: ctypes.CDLL) -> None:
    native = Native(small(), library, images=8)
    index_B, masks = torch.full((8,), place), native.step.masks(8)
    with pytest.raises(ValueError, match="place of an image"):
        native.step.machine.learn(
            images=8,
            pixels=native.step.stored(index_B, NOTHING),
            labels=native.split.labels.data_ptr(),
            masks=[it.data_ptr() for it in masks],
            rate=0.1,
            momentum=0.9,
            average_weight=0.1,
        )


def test_labels_beyond_the_classes_are_refused(library: ctypes.CDLL) -> None:
    experiment = small()
    state = State.fresh(experiment, seed=0)
    split = noise(8, classes=12)
    split.labels[0] = 11
    step = NativeStep(state, split, batch=8, threads=1, library=library)
    step.begin(EpochPlan((torch.arange(8),), [0.1], []))
    with pytest.raises(ValueError, match="label"):
        step.learn(torch.arange(8), rate=0.1, weight=0.1)
