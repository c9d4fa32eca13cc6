"""The average of the weights: its formula by hand, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small import equal, loaded, tensors
from torch import Tensor, nn

from mnist_arch.data.split import Split
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training import loop as module
from mnist_arch.training.ema import average_weight, update_average
from mnist_arch.training.events import Progress
from mnist_arch.training.loop import train
from mnist_arch.training.state import State


def spec(**values: Any) -> Experiment:
    return loaded(**values).experiment


@pytest.mark.parametrize("decay", [0.5, 0.998])
def test_the_average_is_the_formula_by_hand(
    training: Split, judged_on: Split, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.0)  # progress after every step
    state = State.fresh(spec(recipe__ema=decay), seed=1)
    assert state.average is not None
    expected = {name: tensor.double() for name, tensor in tensors(state.model).items()}
    step = 0
    for event in train(state, training, judged_on):
        if not isinstance(event, Progress):
            continue
        step += 1
        kept = min(decay, (1 + step) / (10 + step))
        for name, tensor in state.model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = kept * expected[name] + (1 - kept) * tensor.double()
            else:
                expected[name] = tensor.double()
        for name, tensor in state.average.state_dict().items():
            assert torch.allclose(tensor.double(), expected[name], atol=1e-6), (step, name)
    assert step == 9
    counters = [name for name in expected if name.endswith("num_batches_tracked")]
    assert len(counters) == 2
    assert all(int(state.average.state_dict()[name]) == 9 for name in counters)


def test_the_decay_warms_up() -> None:
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (80, 0.9), (81, 0.9), (10**6, 0.9)):
        assert average_weight(0.9, step=step) == pytest.approx(1 - decay, rel=1e-12)
    assert average_weight(0.9, step=79) > 1 - 0.9
    assert average_weight(0.0, step=1) == 1


def as_number(weight: float) -> float | Tensor:
    return weight


def as_tensor(weight: float) -> float | Tensor:
    return torch.tensor(weight)


@pytest.mark.parametrize("given", [as_number, as_tensor])
@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_it_goes_a_share_of_the_way(given: Any, weight: float) -> None:
    average, model = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.constant_(average.weight, 2.0)
    nn.init.constant_(model.weight, 5.0)
    update_average(average, model, weight=given(weight))
    assert float(average.weight.detach()) == pytest.approx(2 + 3 * weight, rel=1e-6)
    assert average.weight.grad_fn is None
    assert float(model.weight.detach()) == 5


@pytest.mark.parametrize("given", [as_number, as_tensor])
def test_floating_point_buffers_are_averaged_and_counters_copied(given: Any) -> None:
    average, model = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    model(torch.randn(3, 2, 4, 4))
    model(torch.randn(3, 2, 4, 4))
    assert model.running_var is not None
    assert average.running_var is not None
    expected = 0.75 * average.running_var + 0.25 * model.running_var
    update_average(average, model, weight=given(0.25))
    assert torch.allclose(average.running_var, expected)
    assert int(average.num_batches_tracked or 0) == 2


def test_averaging_leaves_the_model_alone_and_has_no_gradient() -> None:
    state = State.fresh(spec(), seed=1)
    assert state.average is not None
    assert not any(tensor.requires_grad for tensor in state.average.parameters())
    before = tensors(state.model)
    update_average(state.average, state.model, weight=0.1)
    assert equal(tensors(state.model), before)
    shared = {tensor.data_ptr() for tensor in state.model.state_dict().values()}
    assert shared.isdisjoint(tensor.data_ptr() for tensor in state.average.state_dict().values())


def test_modules_of_different_make_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        update_average(nn.Linear(1, 1), nn.Linear(1, 1, bias=False), weight=0.5)
