"""The loop: what happens in a step and in an epoch, what it yields, and that it can go on."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small import equal, loaded, synthetic, tensors
from torch import Tensor, nn

from mnist_arch.data.catalog import INFO
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.errors import NonFiniteLoss
from mnist_arch.evaluation.metrics import count_correct, mean_loss, predict
from mnist_arch.network.build import build
from mnist_arch.network.weights import build_with, save_weights
from mnist_arch.network.weights import read_weights as read
from mnist_arch.runs.checkpoint import read_checkpoint, save_checkpoint
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.recipe import OneCycle, Recipe
from mnist_arch.training import loop as module
from mnist_arch.training import step as steps_module
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.events import EpochRecord, Progress
from mnist_arch.training.loop import check_finite, train
from mnist_arch.training.schedule import learning_rate, momentum
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

PLAIN_AUGMENT = {"rotate_degrees": 0.0, "shift_pixels": 0.0, "scale": 0.0, "shear_degrees": 0.0}


def spec(**values: Any) -> Experiment:
    return loaded(**values).experiment


def plain(**values: Any) -> Experiment:
    """Without anything random but the shuffle."""
    return spec(defaults__dropout=0.0, recipe__augment=PLAIN_AUGMENT, **values)


def records(state: State, training: Split, judged_on: Split) -> list[EpochRecord]:
    return [it for it in train(state, training, judged_on) if isinstance(it, EpochRecord)]


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is yielded after every step."""
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.0)


# ------------------------------------------------------------------------------ what it yields


@pytest.mark.usefixtures("every_step")
def test_it_yields_progress_in_steps_and_a_record_an_epoch(
    training: Split, judged_on: Split
) -> None:
    experiment = spec()
    events = list(train(State.fresh(experiment, seed=1), training, judged_on))
    kinds = [type(event) for event in events]
    assert kinds == [*[Progress] * 3, EpochRecord] * 3
    steps = [(it.epoch, it.step, it.steps) for it in events if isinstance(it, Progress)]
    assert steps == [(epoch, step, 3) for epoch in (1, 2, 3) for step in (1, 2, 3)]
    rates = [it.rate for it in events if isinstance(it, Progress)]
    schedule = experiment.recipe.schedule
    assert rates == [learning_rate(schedule, s, steps=9, steps_per_epoch=3) for s in range(9)]
    ends = [it for it in events if isinstance(it, EpochRecord)]
    assert [end.epoch for end in ends] == [1, 2, 3]
    assert [end.rate for end in ends] == [rates[2], rates[5], rates[8]]
    assert all(end.images == 50 and 0 <= end.correct <= 50 for end in ends)
    assert all(it.images_per_second > 0 for it in events if not isinstance(it, int))
    assert 0 < ends[0].seconds < ends[1].seconds < ends[2].seconds
    assert ends[0].accuracy_percent == 100 * ends[0].correct / 50


@pytest.mark.slow
def test_progress_comes_at_most_ten_times_a_second(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=0.03)
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    experiment = spec(recipe__batch_size=2, recipe__epochs=1)
    seen = []
    for event in train(State.fresh(experiment, seed=1), training, judged_on):
        if isinstance(event, Progress):
            seen.append(next(clock))
    assert 10 < len(seen) < 48
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(seen))


def test_a_record_judges_the_result(training: Split, judged_on: Split) -> None:
    for ema in (0.9, None):
        state = State.fresh(spec(recipe__ema=ema), seed=1)
        assert state.result is (state.model if ema is None else state.average)
        *_, record = records(state, training, judged_on)
        logits = predict(state.result, judged_on.images, INFO["mnist-5k"])
        assert record.correct == count_correct(logits, judged_on.labels)
        assert record.loss == mean_loss(logits, judged_on.labels)


def test_the_train_loss_is_that_of_what_is_trained_on(training: Split, judged_on: Split) -> None:
    experiment = plain(recipe__epochs=1, recipe__batch_size=96, recipe__label_smoothing=0.2)
    state = State.fresh(experiment, seed=1)
    model = copy.deepcopy(state.model).train()
    (record,) = records(state, training, judged_on)
    logits = model(normalize(to_unit(training.images), INFO["mnist-5k"])).detach()
    smoothed = F.cross_entropy(logits, training.labels, label_smoothing=0.2)
    assert record.train_loss == pytest.approx(float(smoothed), rel=1e-5)
    assert record.train_loss != pytest.approx(float(F.cross_entropy(logits, training.labels)))


# ----------------------------------------------------------------------------------- an epoch


def passes(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch, **values: Any
) -> Any:
    """Numbers of the images of each step, by epoch."""
    images = training.images.clone()
    images[:, 0, 0, 0] = torch.arange(len(images), dtype=torch.uint8)
    seen: list[list[int]] = []

    def spy(batch: Tensor) -> Tensor:
        seen.append(batch[:, 0, 0, 0].tolist())
        return to_unit(batch)

    monkeypatch.setattr(steps_module, "to_unit", spy)
    experiment = spec(recipe__epochs=3, **values)
    list(train(State.fresh(experiment, seed=4), replace(training, images=images), judged_on))
    steps = len(seen) // 3
    return [seen[epoch * steps : (epoch + 1) * steps] for epoch in range(3)]


def test_an_epoch_is_one_freshly_shuffled_pass(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = passes(training, judged_on, monkeypatch)
    flat = [[number for step in epoch for number in step] for epoch in epochs]
    for numbers, epoch in zip(flat, epochs, strict=True):
        assert [len(step) for step in epoch] == [32, 32, 32]
        assert sorted(numbers) == list(range(96))
        assert numbers != list(range(96))
    assert flat[0] != flat[1] != flat[2] != flat[0]


def test_the_incomplete_last_batch_is_trained_on(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in passes(training, judged_on, monkeypatch, recipe__batch_size=40):
        assert [len(step) for step in epoch] == [40, 40, 16]
        assert {number for step in epoch for number in step} == {*range(96)}


def test_the_incomplete_last_batch_is_dropped_where_asked(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"recipe__batch_size": 40, "recipe__last_batch": "drop"}
    epochs = passes(training, judged_on, monkeypatch, **values)
    for epoch in epochs:
        assert [len(step) for step in epoch] == [40, 40]
        assert len({number for step in epoch for number in step}) == 80
    left_out = [set(range(96)) - {n for step in epoch for n in step} for epoch in epochs]
    assert left_out[0] != left_out[1]


@pytest.mark.parametrize("last_batch", ["use", "drop"])
def test_a_last_batch_of_one_image_is_left_out(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch, last_batch: str
) -> None:
    values = {"recipe__batch_size": 19, "recipe__last_batch": last_batch}
    for epoch in passes(training, judged_on, monkeypatch, **values):
        assert [len(step) for step in epoch] == [19] * 5


def test_steps_of_the_exercise() -> None:
    """60,000 images are 937.5 batches of 64."""
    assert Recipe().batches(60_000) == [64] * 937 + [32]
    assert Recipe(last_batch="drop").batches(60_000) == [64] * 937
    assert Recipe().batches(64) == [64]
    assert Recipe(batch_size=65_536).batches(4_000) == [4_000]
    assert Recipe(batch_size=65_536, last_batch="drop").batches(4_000) == [4_000]
    assert Recipe(batch_size=2).batches(5) == [2, 2]
    with pytest.raises(ValueError, match="two images"):
        Recipe().batches(1)


@pytest.mark.usefixtures("every_step")
def test_all_that_counts_steps_counts_the_incomplete_batch(
    training: Split, judged_on: Split
) -> None:
    experiment = spec(recipe__batch_size=40, recipe__epochs=2)
    events = list(train(State.fresh(experiment, seed=1), training, judged_on))
    progress = [it for it in events if isinstance(it, Progress)]
    assert [(it.step, it.steps, it.images) for it in progress] == [
        (step, 3, 96) for _ in range(2) for step in (1, 2, 3)
    ]
    schedule = experiment.recipe.schedule
    rates = [learning_rate(schedule, s, steps=6, steps_per_epoch=3) for s in range(6)]
    assert [it.rate for it in progress] == rates


def test_the_train_loss_weighs_a_smaller_batch_by_its_images(
    training: Split, judged_on: Split
) -> None:
    """A rate of next to nothing, without batch statistics: all steps are of one network."""
    experiment = plain(
        recipe__epochs=1,
        recipe__batch_size=90,
        recipe__schedule={"peak": 1e-12},
        defaults__norm={"kind": "none"},
    )
    state = State.fresh(experiment, seed=1)
    (record,) = records(state, training, judged_on)
    logits = state.model(normalize(to_unit(training.images), INFO["mnist-5k"])).detach()
    expected = float(F.cross_entropy(logits, training.labels))
    assert record.train_loss == pytest.approx(expected, rel=1e-6)


def test_images_a_second_are_those_trained_on(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module._Clock, "seconds", lambda _: 2.0)
    for last_batch, images in (("use", 96), ("drop", 80)):
        values = {"recipe__batch_size": 40, "recipe__last_batch": last_batch}
        (record,) = records(
            State.fresh(spec(recipe__epochs=1, **values), seed=1), training, judged_on
        )
        assert record.images_per_second == images / 2


def test_fewer_images_than_a_batch_are_one_batch(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in passes(training, judged_on, monkeypatch, recipe__batch_size=200):
        assert [len(step) for step in epoch] == [96]


def test_an_epoch_trains_in_train_mode_and_judges_in_eval_mode(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    state = State.fresh(spec(recipe__ema=None, recipe__epochs=2), seed=1)
    state.model.register_forward_hook(lambda model, *_: modes.append(model.training))
    list(train(state, training, judged_on))
    assert modes == [True, True, True, False] * 2


# ------------------------------------------------------------------------------ the optimizer


def test_only_weights_of_convolutions_and_linear_layers_decay() -> None:
    experiment = spec(
        blocks=[
            {"channels": [{"out": 4, "activation": "prelu"}], "squeeze_excitation": 2},
            {"channels": [4], "kind": "separable", "norm": {"kind": "group", "groups": 2}},
            {"channels": [4], "norm": {"kind": "instance"}, "pool": "max", "residual": True},
        ]
    )
    state = State.fresh(experiment, seed=1)
    names = {id(tensor): name for name, tensor in state.model.named_parameters()}
    decaying, free = state.optimizer.groups
    assert (decaying.weight_decay, free.weight_decay) == (1e-4, 0.0)
    owners = dict(state.model.named_modules())
    for group, decays in ((decaying, True), (free, False)):
        for tensor in group.tensors:
            owner, _, last = names.pop(id(tensor)).rpartition(".")
            heavy = isinstance(owners[owner], nn.Conv2d | nn.Linear) and last == "weight"
            assert heavy == decays, (owner, last)
    assert not names  # each is in one group


def test_a_network_without_norm_and_bias_has_nothing_that_is_free_of_decay(
    training: Split, judged_on: Split
) -> None:
    experiment = spec(
        defaults__bias=False, defaults__norm="none", head__bias=False, recipe__epochs=1
    )
    state = State.fresh(experiment, seed=1)
    assert [len(group.tensors) for group in state.optimizer.groups] == [3, 0]
    assert len(records(state, training, judged_on)) == 1


def one_step(
    training: Split, judged_on: Split, **values: Any
) -> list[tuple[Tensor, Tensor, Tensor, float]]:
    """Before, gradient, after and decay of every parameter, for the first step of a training."""
    experiment = plain(recipe__epochs=1, recipe__batch_size=96, **values)
    state = State.fresh(experiment, seed=1)
    before = [tensor.detach().clone() for tensor in state.model.parameters()]
    gradients: list[Tensor] = []
    learn = state.optimizer.step

    def keep(rate: float) -> None:
        gradients.extend(
            tensor.grad.clone() for tensor in state.model.parameters() if tensor.grad is not None
        )
        learn(rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state.optimizer, "step", keep)
        list(train(state, training, judged_on))
    decays = {
        id(tensor): group.weight_decay
        for group in state.optimizer.groups
        for tensor in group.tensors
    }
    return [
        (old, gradient, tensor.detach(), decays[id(tensor)])
        for old, gradient, tensor in zip(before, gradients, state.model.parameters(), strict=True)
    ]


CONSTANT = {"kind": "constant", "peak": 0.03, "warmup": 0.0}


@pytest.mark.parametrize("of", ["weights", "all"])
def test_l1_adds_its_sign_to_the_gradient_and_its_sum_to_the_loss(
    training: Split, judged_on: Split, of: str
) -> None:
    settings = {"recipe__epochs": 1, "recipe__batch_size": 96, "recipe__schedule": CONSTANT}
    optimizer = {"momentum": 0, "nesterov": False, "weight_decay": 0}
    losses, changes = [], []
    for l1 in (None, {"strength": 0.01, "of": of}):
        experiment = plain(recipe__optimizer=optimizer, recipe__l1=l1, **settings)
        state = State.fresh(experiment, seed=1)
        before = [it.detach().clone() for it in state.model.parameters()]
        losses.append(records(state, training, judged_on)[0].train_loss)
        after = state.model.parameters()
        changes.append([new - old for new, old in zip(after, before, strict=True)])
    penalized = [it.ndim > 1 or of == "all" for it in before]
    total = sum(
        float(it.abs().sum()) for it, counts in zip(before, penalized, strict=True) if counts
    )
    assert losses[1] - losses[0] == pytest.approx(0.01 * total, rel=1e-4)
    for old, counts, without, with_l1 in zip(before, penalized, *changes, strict=True):
        expected = -0.03 * 0.01 * old.sign() if counts else torch.zeros_like(old)
        torch.testing.assert_close(with_l1 - without, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("nesterov", [True, False])
def test_a_step_of_sgd_by_hand(training: Split, judged_on: Split, nesterov: bool) -> None:
    optimizer = {"kind": "sgd", "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.5}
    for old, gradient, new, decay in one_step(
        training, judged_on, recipe__optimizer=optimizer, recipe__schedule=CONSTANT
    ):
        slope = gradient + decay * old
        expected = old - 0.03 * (1.9 if nesterov else 1.0) * slope
        assert torch.allclose(new, expected, atol=1e-6)


def test_a_step_of_adamw_by_hand(training: Split, judged_on: Split) -> None:
    optimizer = {"kind": "adamw", "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.5}
    for old, gradient, new, decay in one_step(
        training, judged_on, recipe__optimizer=optimizer, recipe__schedule=CONSTANT
    ):
        # At the first step both averages, corrected for their start, are the gradient itself.
        expected = old * (1 - 0.03 * decay) - 0.03 * gradient / (gradient.abs() + 1e-8)
        assert torch.allclose(new, expected, atol=1e-5)


def test_the_gradient_is_clipped_by_its_norm(training: Split, judged_on: Split) -> None:
    def norm(**values: Any) -> float:
        squares = [float(gradient.square().sum()) for _, gradient, _, _ in values["steps"]]
        return math.sqrt(sum(squares))

    free = one_step(training, judged_on)
    clipped = one_step(training, judged_on, recipe__clip_norm=0.01)
    assert norm(steps=free) > 0.1
    assert norm(steps=clipped) == pytest.approx(0.01, rel=1e-3)
    factor = 0.01 / norm(steps=free)
    for (_, whole, _, _), (_, short, _, _) in zip(free, clipped, strict=True):
        assert torch.allclose(short, whole * factor, atol=1e-6)
    wide = one_step(training, judged_on, recipe__clip_norm=1000.0)
    assert norm(steps=wide) == norm(steps=free)


# ------------------------------------------------------------------------------ what goes wrong


def poisoned(monkeypatch: pytest.MonkeyPatch, *, at: int) -> None:
    """The images of the step number `at` of all, from 1, are infinite."""
    count = itertools.count(1)

    def spy(x_NCHW: Tensor, info: Any) -> Tensor:
        z = normalize(x_NCHW, info)
        return z.fill_(math.inf) if next(count) == at else z

    monkeypatch.setattr(steps_module, "normalize", spy)


@pytest.mark.usefixtures("every_step")
def test_a_loss_that_is_not_finite_stops_at_its_step(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, at=5)
    experiment = spec()
    state = State.fresh(experiment, seed=1)
    done: list[Progress | EpochRecord] = []
    with pytest.raises(NonFiniteLoss) as caught:
        done.extend(train(state, training, judged_on))
    assert (caught.value.epoch, caught.value.step) == (2, 2)
    rate = learning_rate(experiment.recipe.schedule, 4, steps=9, steps_per_epoch=3)
    assert caught.value.rate == rate
    message = f"the loss is not finite at epoch 2, step 2, learning rate {rate:.3g}"
    assert str(caught.value) == message
    assert "recipe.schedule.peak" in caught.value.hint
    kinds = [type(event) for event in done]
    assert kinds == [*[Progress] * 3, EpochRecord, Progress]  # and nothing of the bad step
    assert state.epoch == 1


def test_a_rate_that_is_too_high_is_found(training: Split, judged_on: Split) -> None:
    schedule = {"kind": "constant", "peak": 1e6, "warmup": 0.0}
    state = State.fresh(plain(recipe__schedule=schedule, defaults__norm="none"), seed=1)
    with pytest.raises(NonFiniteLoss, match=r"epoch 1, step [23], learning rate 1e\+06"):
        list(train(state, training, judged_on))


def test_a_last_step_that_ruins_the_result_is_found(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State.fresh(plain(recipe__epochs=2, recipe__ema=None), seed=1)
    learn, count = state.optimizer.step, itertools.count(1)

    def ruin(rate: float) -> None:
        learn(rate)
        if next(count) == 6:
            for tensor in state.model.parameters():
                tensor.data.fill_(math.nan)

    monkeypatch.setattr(state.optimizer, "step", ruin)
    seen: list[EpochRecord] = []
    with pytest.raises(NonFiniteLoss, match="epoch 2, step 3"):
        seen.extend(it for it in train(state, training, judged_on) if isinstance(it, EpochRecord))
    assert [record.epoch for record in seen] == [1]
    assert state.epoch == 1


def check(losses: list[float]) -> None:
    """As at the end of the seventh epoch, whose rates are 0.1, 0.2 and so on."""
    rates = [0.1 * (index + 1) for index in range(len(losses))]
    check_finite(torch.tensor(losses), EpochPlan((), rates, []), 6)


def test_the_first_bad_step_of_an_epoch_is_named() -> None:
    check([1.0, 2.0, 3.0])
    with pytest.raises(NonFiniteLoss) as caught:
        check([1.0, math.nan, 3.0, math.inf, -math.inf])
    assert (caught.value.epoch, caught.value.step) == (7, 2)
    assert caught.value.rate == pytest.approx(0.2)


@pytest.mark.parametrize("step", [1, 3])
def test_a_bad_step_at_either_end_is_found(step: int) -> None:
    losses = [1.0, 1.0, 1.0]
    losses[step - 1] = math.inf
    with pytest.raises(NonFiniteLoss, match=f"epoch 7, step {step},"):
        check(losses)


@pytest.mark.usefixtures("every_step")
def test_where_steps_are_not_waited_for_nothing_is_yielded_for_a_bad_epoch(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where only the whole epoch is looked at."""

    def late(losses_S: Tensor, given: EpochPlan, epoch: int, *, first: int | None = None) -> None:
        if first is None:
            check_finite(losses_S, given, epoch)

    monkeypatch.setattr(module, "check_finite", late)
    poisoned(monkeypatch, at=5)
    state = State.fresh(spec(), seed=1)
    seen: list[Progress | EpochRecord] = []
    with pytest.raises(NonFiniteLoss, match="epoch 2, step 2"):
        seen.extend(train(state, training, judged_on))
    assert [it.epoch for it in seen if isinstance(it, EpochRecord)] == [1]
    assert sum(isinstance(it, Progress) for it in seen) == 6  # all steps were taken
    assert state.epoch == 1


# ------------------------------------------------------------------------- learning, and seeds


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.9, None])
@pytest.mark.parametrize("optimizer", [{"kind": "sgd"}, {"kind": "adamw"}])
def test_it_learns(
    training: Split, judged_on: Split, optimizer: dict[str, str], ema: float
) -> None:
    peak = 0.1 if optimizer["kind"] == "sgd" else 0.01
    experiment = spec(
        recipe__optimizer=optimizer,
        recipe__schedule={"peak": peak},
        recipe__ema=ema,
        recipe__epochs=15,
        recipe__batch_size=16,
    )
    curve = records(State.fresh(experiment, seed=1), training, judged_on)
    assert curve[0].accuracy_percent < 50
    assert curve[-1].accuracy_percent >= 90
    assert curve[-1].loss < curve[0].loss / 5


def trained(experiment: Experiment, training: Split, judged_on: Split, *, seed: int) -> Any:
    state = State.fresh(experiment, seed=seed)
    curve = [(it.train_loss, it.loss, it.correct) for it in records(state, training, judged_on)]
    return tensors(state.result), curve


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(training: Split, judged_on: Split) -> None:
    one, first = trained(spec(), training, judged_on, seed=5)
    torch.manual_seed(99)  # what the caller does with torch's generator does not matter
    torch.rand(7)
    two, second = trained(spec(), training, judged_on, seed=5)
    assert equal(one, two)
    assert first == second


@pytest.mark.slow
def test_another_seed_gives_others(training: Split, judged_on: Split) -> None:
    one, first = trained(spec(), training, judged_on, seed=5)
    two, second = trained(spec(), training, judged_on, seed=6)
    assert not equal(one, two)
    assert first != second


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_each_use_of_the_seed_has_a_stream_of_its_own(seed: int) -> None:
    state = State.fresh(spec(), seed=seed)
    other = State.fresh(spec(), seed=seed + 1)
    streams = [
        stream
        for it in (state, other)
        for stream in (it.shuffle.get_state(), it.augment.get_state(), it.dropout)
    ]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(streams, 2))


def test_a_fresh_state_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    one = tensors(build(spec(), seed=3))
    assert equal(one, tensors(State.fresh(spec(), seed=3).model))
    assert not equal(one, tensors(build(spec(), seed=4)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_dropout_does_not_change_the_shuffle(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_dropout = passes(training, judged_on, monkeypatch)
    without = passes(training, judged_on, monkeypatch, defaults__dropout=0.0)
    assert with_dropout == without


# -------------------------------------------------------------------------- plateau and momentum


def test_a_plateau_watches_the_hold_out_and_never_test(training: Split, judged_on: Split) -> None:
    schedule = {"kind": "plateau", "threshold": 9, "threshold_mode": "abs", "watch": "holdout"}
    experiment = plain(recipe__schedule=schedule, holdout=50)
    assert judged_on.name == "test"
    with pytest.raises(ValueError, match="cannot watch the loss on test"):
        records(State.fresh(experiment, seed=1), training, judged_on)
    held_out = replace(judged_on, name="validation")
    state = State.fresh(experiment, seed=1)
    found = [
        it
        for it in train(state, training, held_out, judge_after="last-epoch")
        if isinstance(it, EpochRecord)
    ]
    assert all(it.loss is not None for it in found)
    assert state.plateau is not None
    assert state.plateau.lowest == found[0].loss  # nothing after it is lower by 9 nats
    state = State.fresh(plain(recipe__schedule={**schedule, "watch": "training"}), seed=1)
    found = records(state, training, judged_on)
    assert state.plateau is not None
    assert state.plateau.lowest == found[0].train_loss


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_each_step_has_the_momentum_of_its_cycle(
    training: Split, judged_on: Split, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = {"peak": 1e-3, "warmup": 0.5, "cycle_momentum": True}
    state = State.fresh(plain(recipe__optimizer=kind, recipe__schedule=schedule), seed=1)
    seen = []
    step = state.optimizer.step
    monkeypatch.setattr(
        state.optimizer, "step", lambda rate: (seen.append(state.optimizer.momentum), step(rate))
    )
    records(state, training, judged_on)
    cycle = OneCycle(warmup=0.5)
    assert seen == [momentum(cycle, it, steps=9) for it in range(9)]
    assert min(seen) == 0.85


# ---------------------------------------------------------------------------------- resuming


CYCLE = {"peak": 0.02, "cycle_momentum": True}
PLATEAU = {"kind": "plateau", "peak": 0.05, "patience": 0, "factor": 0.5}
PLATEAU |= {"threshold": 9, "threshold_mode": "abs"}  # so that only the first loss is lower


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "schedule", "ema"),
    [
        ("sgd", {"peak": 0.02}, 0.9),
        ("adamw", {"peak": 0.02}, None),
        ("sgd", CYCLE, None),
        ("adamw", CYCLE, 0.9),
        ("adam", {"peak": 0.02}, None),
        ("rmsprop", CYCLE, None),
        ("adadelta", {"peak": 1.0}, None),
        ("adagrad", {"peak": 0.02}, None),
        ("sgd", PLATEAU, None),
        ("sgd", {**PLATEAU, "watch": "holdout"}, 0.9),
    ],
)
def test_going_on_from_any_epoch_changes_no_bit(
    training: Split,
    judged_on: Split,
    tmp_path: Path,
    optimizer: str,
    schedule: dict[str, Any],
    ema: float | None,
) -> None:
    judged_on = replace(judged_on, name="validation")
    experiment = spec(
        recipe__optimizer=optimizer,
        recipe__schedule=schedule,
        recipe__ema=ema,
        recipe__augment={"elastic": {"pixels": 0.5}, "erase": {"probability": 0.3}},
        recipe__clip_norm=1.0,
        blocks=[
            {"channels": [4], "dropout": {"rate": 0.2, "kind": "spatial", "after": "each"}},
            {"channels": [{"out": 4, "activation": "prelu"}], "pool": {"kind": "max", "size": 4}},
        ],
    )
    whole = State.fresh(experiment, seed=8)
    curve = []
    for record in train(whole, training, judged_on):
        if isinstance(record, EpochRecord):
            curve.append((record.train_loss, record.loss, record.correct, record.rate))
            save_checkpoint(tmp_path / f"epoch{record.epoch}", whole.state_dict())
    final = tensors(whole.result)
    if schedule.get("kind") == "plateau":
        assert [it[-1] for it in curve] == [0.05, 0.05, 0.025]
    for epoch in (0, 1, 2, 3):
        state = State.fresh(experiment, seed=8)
        if epoch:
            state.load_state_dict(read_checkpoint(tmp_path / f"epoch{epoch}"))
        torch.manual_seed(epoch)  # another process has drawn other numbers
        rest = records(state, training, judged_on)
        assert [(it.train_loss, it.loss, it.correct, it.rate) for it in rest] == curve[epoch:]
        assert equal(tensors(state.result), final)
        assert equal(tensors(state.model), tensors(whole.model))


def test_the_clock_goes_on(training: Split, judged_on: Split) -> None:
    state = State.fresh(spec(), seed=1)
    state.seconds = 100.0
    curve = records(state, training, judged_on)
    assert 100 < curve[0].seconds < curve[-1].seconds == state.seconds < 160


@pytest.mark.slow
def test_between_epochs_the_caller_may_use_the_state(training: Split, judged_on: Split) -> None:
    """Evaluating it, or saving it, changes no bit of what follows."""

    def looking() -> Iterator[EpochRecord]:
        state = State.fresh(spec(recipe__ema=None), seed=5)
        for record in train(state, training, judged_on):
            if isinstance(record, EpochRecord):
                predict(state.result, training.images, INFO["mnist-5k"])
                copy.deepcopy(state.state_dict())
                yield record

    untouched = records(State.fresh(spec(recipe__ema=None), seed=5), training, judged_on)
    assert [it.loss for it in looking()] == [it.loss for it in untouched]


# ------------------------------------------------------------------------------ shared weights


def test_shared_weights_train_as_one_and_are_saved_once(
    training: Split, judged_on: Split, tmp_path: Path
) -> None:
    experiment = spec(
        blocks=[
            {"channels": [4], "pool": {"kind": "max", "size": 4}},
            {"channels": [4], "repeat": 3, "share": True},
        ]
    )
    state = State.fresh(experiment, seed=1)
    start = tensors(state.model)
    list(train(state, training, judged_on))
    end, convolutions = tensors(state.model), []
    for name, tensor in end.items():
        if tensor.ndim == 4 and tensor.shape[1] == 4:
            convolutions.append(tensor)
            assert not torch.equal(tensor, start[name])
    assert len(convolutions) == 3  # three names for one tensor
    assert all(torch.equal(tensor, convolutions[0]) for tensor in convolutions)
    path = tmp_path / "weights.safetensors"
    save_weights(path, state.result, experiment)
    saved, _ = read(path)
    assert sum(tensor.ndim == 4 for tensor in saved.values()) == 2
    again = build_with(experiment, saved, path)
    assert equal(tensors(again), tensors(state.result))


# ---------------------------------------------------------------------------------------- a GPU


@pytest.mark.slow
def test_what_a_step_takes_to_be_made_is_time_of_the_run_but_no_images_speed(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, delay = module.make_step, 0.3

    def slowly(*args: Any, **options: Any) -> PlainStep:
        time.sleep(delay)
        return make(*args, **options)

    monkeypatch.setattr(module, "make_step", slowly)
    state = State.fresh(loaded(recipe__epochs=1).experiment, seed=1)
    (record,) = (it for it in train(state, training, judged_on) if isinstance(it, EpochRecord))
    assert record.seconds >= delay + 96 / record.images_per_second


@pytest.mark.gpu
def test_on_a_gpu_it_learns_and_goes_on() -> None:
    splits = [synthetic(96, seed=1), synthetic(50, seed=2)]
    training, judged_on = (it.to("cuda") for it in splits)
    experiment = spec(recipe__epochs=15, recipe__batch_size=16, recipe__schedule={"peak": 0.1})
    state = State.fresh(experiment, seed=1, device="cuda")
    curve = records(state, training, judged_on)
    assert curve[-1].accuracy_percent >= 90
    wild = plain(
        recipe__schedule={"kind": "constant", "peak": 1e6, "warmup": 0.0}, defaults__norm="none"
    )
    ruined = State.fresh(wild, seed=1, device="cuda")
    with pytest.raises(NonFiniteLoss, match="epoch 1"):
        list(train(ruined, training, judged_on))
