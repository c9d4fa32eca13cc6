"""Our optimizer beside torch's own: the same bits, step by step, and no compiler."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from small import equal, tensors
from torch import Tensor, nn

from mnist_arch.network.build import build
from mnist_arch.spec.loading import load
from mnist_arch.spec.recipe import OneCycle, Recipe
from mnist_arch.training.optimizer import Optimizer
from mnist_arch.zoo.index import zoo_names

RATES = (0.05, 0.1, 0.03, 0.2, 1e-3, 0.07)
SHAPES = ((8, 1, 3, 3), (8,), (16, 8, 1, 1), (16,), (1,), (10, 16), (10,))

SGD: dict[str, dict[str, Any]] = {
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "momentum": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.1},
    "plain": {"momentum": 0.0, "nesterov": False, "weight_decay": 0.1},
    "no decay": {"momentum": 0.5, "nesterov": True, "weight_decay": 0.0},
}
ADAMW: dict[str, dict[str, Any]] = {
    "adamw": {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1},
    "adamw without decay": {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0},
    "adamw with epsilon": {"epsilon": 1e-3, "weight_decay": 0.1, "decays": "all"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "sgd of all tensors": {"nesterov": False, "weight_decay": 0.1, "decays": "all"},
    "adam": {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1},
    "adam of all tensors": {"epsilon": 1e-7, "weight_decay": 0.1, "decays": "all"},
    "rmsprop": {"alpha": 0.8, "weight_decay": 0.1},
    "rmsprop with momentum": {"momentum": 0.7, "centered": True, "epsilon": 1e-3},
    "adadelta": {"rho": 0.8, "weight_decay": 0.1, "decays": "all"},
    "adagrad": {"initial_accumulator": 0.1, "weight_decay": 0.1},
}
SETTINGS = SGD | ADAMW | OTHERS
CLASSES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"} | {
    "adadelta": "Adadelta",
    "adagrad": "Adagrad",
}
ARGUMENTS = {"epsilon": "eps", "initial_accumulator": "initial_accumulator_value"}
"""What torch calls a key, where it is not called so."""


def kind_of(name: str) -> str:
    return "sgd" if name in SGD else name.partition(" ")[0]


def recipe(name: str) -> Recipe:
    return Recipe.model_validate({"optimizer": {"kind": kind_of(name), **SETTINGS[name]}})


def of_torch(model: nn.Module, name: str) -> torch.optim.Optimizer:
    """Torch's own with default arguments, where tensors of one axis do not decay unless they do."""
    settings = {ARGUMENTS.get(key, key): value for key, value in SETTINGS[name].items()}
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [tensor for tensor in parameters if tensor.ndim > 1]},
        {"params": [tensor for tensor in parameters if tensor.ndim <= 1]},
    ]
    if settings.pop("decays", "weights") == "weights":
        groups[1]["weight_decay"] = 0.0
    if kind_of(name) == "sgd":
        settings.setdefault("momentum", 0.9)
    if kind_of(name) in ("adam", "adamw"):
        settings["betas"] = settings.pop("beta1", 0.9), settings.pop("beta2", 0.999)
    made: torch.optim.Optimizer = getattr(torch.optim, CLASSES[kind_of(name)])(
        groups, lr=1.0, **settings
    )
    return made


def fresh_model(*, device: str = "cpu") -> nn.Module:
    rng = torch.Generator().manual_seed(7)
    model = nn.ParameterList(torch.randn(shape, generator=rng) for shape in SHAPES)
    # Torch's overloads know a device and a memory format each, but not both together.
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def set_gradients(model: nn.Module, *, step: int) -> None:
    rng = torch.Generator().manual_seed(100 + step)
    for tensor in model.parameters():
        gradient = torch.randn(tensor.shape, generator=rng).to(tensor.device)
        tensor.grad = gradient.contiguous(
            memory_format=torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
        )


def go(model: nn.Module, optimizer: Optimizer, *, steps: Iterable[int]) -> None:
    for step in steps:
        set_gradients(model, step=step)
        optimizer.step(RATES[step])


def go_with_torch(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, steps: Iterable[int]
) -> None:
    for step in steps:
        set_gradients(model, step=step)
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        optimizer.step()


def addresses(optimizer: Optimizer) -> list[int]:
    return [
        tensor.data_ptr()
        for group in optimizer.groups
        for state in group.states
        for tensor in state.values()
    ]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """As a checkpoint travels; refuses what is more than tensors, numbers, dictionaries, lists."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    found: dict[str, Any] = torch.load(buffer, weights_only=True)
    return found


ALL = pytest.mark.parametrize("name", [*SETTINGS])


# -------------------------------------------------------------------------------------------- steps


@pytest.mark.slow
@ALL
def test_its_steps_have_the_bits_of_torchs_own(name: str) -> None:
    ours, theirs = fresh_model(), fresh_model()
    optimizer, reference = Optimizer(ours, recipe(name)), of_torch(theirs, name)
    for step in range(len(RATES)):
        before = tensors(ours)
        go(ours, optimizer, steps=[step])
        go_with_torch(theirs, reference, steps=[step])
        assert equal(tensors(ours), tensors(theirs)), step
        assert not any(torch.equal(before[key], tensors(ours)[key]) for key in before)


@pytest.mark.parametrize("name", ["momentum", "plain", "adam", "adamw", "rmsprop"])
def test_momentum_may_change_from_step_to_step(name: str) -> None:
    """As where a schedule of torch overwrites it, also that of SGD without any."""
    ours, theirs = fresh_model(), fresh_model()
    cycling = recipe(name).model_copy(update={"schedule": OneCycle(cycle_momentum=True)})
    optimizer, reference = Optimizer(ours, cycling), of_torch(theirs, name)
    for step, momentum in enumerate((0.95, 0.9, 0.85, 0.87, 0.93)):
        optimizer.momentum = momentum
        for group in reference.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        go(ours, optimizer, steps=[step])
        go_with_torch(theirs, reference, steps=[step])
        assert equal(tensors(ours), tensors(theirs)), step


def test_gradients_are_forgotten() -> None:
    model = fresh_model()
    optimizer = Optimizer(model, recipe("nesterov"))
    set_gradients(model, step=0)
    optimizer.zero_grad()
    assert [tensor.grad for tensor in model.parameters()] == [None] * len(SHAPES)


@pytest.mark.parametrize("name", zoo_names())
def test_tensors_of_one_axis_do_not_decay(name: str) -> None:
    model = build(load(name).experiment)
    decaying, free = Optimizer(model, recipe("nesterov")).groups
    assert (decaying.weight_decay, free.weight_decay) == (0.1, 0.0)
    assert all(tensor.ndim > 1 for tensor in decaying.tensors)
    assert all(tensor.ndim == 1 for tensor in free.tensors)
    found = [id(tensor) for tensor in (*decaying.tensors, *free.tensors)]
    assert sorted(found) == sorted(id(tensor) for tensor in model.parameters())


@pytest.mark.parametrize("name", ["nesterov", "plain", "adamw"])
def test_the_kernel_of_a_device_takes_the_rate_as_a_tensor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU has such kernels, too, though it is not trained with them."""
    found = []
    for as_tensor in (False, True):
        model = fresh_model()
        optimizer = Optimizer(model, recipe(name))
        monkeypatch.setattr(optimizer, "_fused", True)
        rate = torch.zeros(())
        for step, value in enumerate(RATES):
            set_gradients(model, step=step)
            optimizer.step(rate.fill_(value) if as_tensor else value)
        found.append(tensors(model))
    reference = fresh_model()
    go(reference, Optimizer(reference, recipe(name)), steps=range(len(RATES)))
    for key, expected in tensors(reference).items():
        torch.testing.assert_close(found[0][key], expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found[1][key], found[0][key], rtol=1e-6, atol=1e-7)


# -------------------------------------------------------------------------------------------- state


def test_all_state_is_there_from_the_start() -> None:
    state = Optimizer(fresh_model(), recipe("nesterov")).state_dict()["state"]
    assert [set(kept) for kept in state.values()] == [{"momentum_buffer"}] * len(SHAPES)
    assert not any(kept["momentum_buffer"].any() for kept in state.values())
    assert Optimizer(fresh_model(), recipe("plain")).state_dict() == {"state": {}}
    state = Optimizer(fresh_model(), recipe("adamw")).state_dict()["state"]
    assert [set(kept) for kept in state.values()] == [{"step", "exp_avg", "exp_avg_sq"}] * len(
        SHAPES
    )


@ALL
def test_it_goes_on_from_its_state_with_the_same_bits(name: str) -> None:
    model = fresh_model()
    optimizer = Optimizer(model, recipe(name))
    go(model, optimizer, steps=range(3))
    saved, other = through_a_file(optimizer.state_dict()), copy.deepcopy(model)
    go(model, optimizer, steps=range(3, 6))
    going_on = Optimizer(other, recipe(name))
    going_on.load_state_dict(saved)
    forgetful = copy.deepcopy(other)
    go(other, going_on, steps=range(3, 6))
    assert equal(tensors(other), tensors(model))
    go(forgetful, Optimizer(forgetful, recipe(name)), steps=range(3, 6))
    assert equal(tensors(forgetful), tensors(model)) == (name == "plain")


@ALL
def test_it_goes_on_from_the_state_of_torchs_own(name: str) -> None:
    ours, theirs = fresh_model(), fresh_model()
    reference = of_torch(theirs, name)
    go(ours, Optimizer(ours, recipe(name)), steps=range(len(RATES)))
    go_with_torch(theirs, reference, steps=range(3))
    going_on = Optimizer(theirs, recipe(name))
    going_on.load_state_dict(through_a_file(reference.state_dict()))
    go(theirs, going_on, steps=range(3, 6))
    assert equal(tensors(theirs), tensors(ours))


@ALL
def test_its_state_keeps_its_addresses(name: str) -> None:
    model = fresh_model()
    optimizer = Optimizer(model, recipe(name))
    start = addresses(optimizer)
    go(model, optimizer, steps=range(2))
    assert addresses(optimizer) == start
    saved = through_a_file(optimizer.state_dict())
    go(model, optimizer, steps=range(2, 4))
    optimizer.load_state_dict(saved)
    assert addresses(optimizer) == start
    found = optimizer.state_dict()["state"]
    for place, kept in saved["state"].items():
        assert equal(found[place], kept)


def wrong_states() -> dict[str, dict[str, Any]]:
    own = Optimizer(fresh_model(), recipe("nesterov")).state_dict()
    first, *_, last = own["state"]
    return {
        "of adamw": Optimizer(fresh_model(), recipe("adamw")).state_dict(),
        "without momentum": Optimizer(fresh_model(), recipe("plain")).state_dict(),
        "of fewer tensors": {"state": {k: v for k, v in own["state"].items() if k != last}},
        "of more tensors": {"state": {**own["state"], last + 1: own["state"][last]}},
        "of other shapes": {"state": {**own["state"], first: {"momentum_buffer": torch.ones(1)}}},
        "nothing": {},
    }


@pytest.mark.parametrize("name", wrong_states())
def test_the_state_of_something_else_is_refused_and_changes_nothing(name: str) -> None:
    model = fresh_model()
    optimizer = Optimizer(model, recipe("nesterov"))
    go(model, optimizer, steps=range(2))
    before = through_a_file(optimizer.state_dict())["state"]
    with pytest.raises((KeyError, ValueError), match=r"^(the state is of another|'state')"):
        optimizer.load_state_dict(wrong_states()[name])
    after = optimizer.state_dict()["state"]
    assert after.keys() == before.keys()
    assert all(equal(after[place], before[place]) for place in before)


# ------------------------------------------------------------------------------------------ on CUDA


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["nesterov", "plain", "adamw"])
def test_a_captured_step_reads_the_rate_and_the_loaded_state(name: str) -> None:
    eager = fresh_model(device="cuda")
    reference = Optimizer(eager, recipe(name))
    model = fresh_model(device="cuda")
    optimizer = Optimizer(model, recipe(name))
    start = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    rate = torch.zeros((), device="cuda")
    set_gradients(model, step=0)
    gradients = [tensor.grad for tensor in model.parameters()]
    optimizer.step(rate)  # a warm-up, undone below
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step(rate)
    model.load_state_dict(start[0])
    optimizer.load_state_dict(start[1])
    for step, value in enumerate(RATES):
        set_gradients(eager, step=step)
        for there, tensor in zip(gradients, eager.parameters(), strict=True):
            assert isinstance(there, Tensor)
            assert tensor.grad is not None
            there.copy_(tensor.grad)
        reference.step(value)
        rate.fill_(value)
        graph.replay()
        for key, expected in tensors(eager).items():
            torch.testing.assert_close(tensors(model)[key], expected, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------- light

NOT_NEEDED = ("torch._dynamo", "torchvision", "matplotlib", "scipy.stats", "sklearn")

ONE_STEP = """
import json, sys
import torch
from mnist_arch.spec.loading import load
from mnist_arch.training.state import State

state = State.fresh(load("s6").experiment, seed=1)
loss = state.model(torch.rand(4, 1, 28, 28)).logsumexp(1).mean()
loss.backward()
{step}
print(json.dumps(sorted(sys.modules)))
"""


def imported_for(step: str) -> set[str]:
    """Modules of a process of its own that takes one training step."""
    command = [sys.executable, "-c", ONE_STEP.format(step=step)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout)) & set(NOT_NEEDED)


@pytest.mark.slow
def test_a_training_step_imports_no_compiler() -> None:
    assert imported_for("state.optimizer.step(0.1); state.optimizer.zero_grad()") == set()


@pytest.mark.gate
@pytest.mark.slow
def test_torchs_own_optimizer_would_import_it() -> None:
    step = "torch.optim.SGD(state.model.parameters(), lr=0.1).step()"
    assert imported_for(step) == {"torch._dynamo"}
