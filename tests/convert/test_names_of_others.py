"""What names of other libraries mean: each line of the table in the documentation, run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mnist_arch.spec.recipe import OneCycle, Recipe
from mnist_arch.training.optimizer import Optimizer
from mnist_arch.training.schedule import learning_rate, momentum

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/porting.md"
TABLE = PAGE.read_text("utf-8").partition("## What others' names mean")[2].partition("\n## ")[0]


def says(name: str, *words: str) -> None:
    """The table has a row of this name, with these words."""
    rows = [row for row in TABLE.splitlines() if row.startswith(f"| {name}")]
    assert rows, name
    for word in words:
        assert any(word in row for row in rows), word


def parameter(value: float = 0.0) -> nn.Parameter:
    return nn.Parameter(torch.full((1,), value))


def moved(optimizer: torch.optim.Optimizer, weight: Tensor, *, rates: list[float]) -> float:
    """Where a weight is after steps of a gradient of 1 with these rates."""
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return float(weight.detach())


@pytest.mark.parametrize("own", [0.5, 0.0])
def test_one_cycle_overwrites_momentum(own: float) -> None:
    says("`OneCycleLR`", "0.95 → 0.85 → 0.95", "`cycle_momentum: true`")
    optimizer = torch.optim.SGD([parameter()], lr=1.0, momentum=own)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
    schedule = OneCycle(warmup=0.3, first_step="start", cycle_momentum=True)
    seen = []
    for step in range(100):
        seen.append(optimizer.param_groups[0]["momentum"])
        assert seen[-1] == pytest.approx(momentum(schedule, step, steps=100))
        optimizer.step()
        if step < 99:
            scheduler.step()
    assert (seen[0], min(seen), seen[-1]) == pytest.approx((0.95, 0.85, 0.95))


def test_one_cycle_of_adam_overwrites_beta1() -> None:
    says("`OneCycleLR`", "`beta1`")
    optimizer = torch.optim.Adam([parameter()])
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)


def test_one_cycle_stepped_once_an_epoch_stays_at_its_start() -> None:
    says("`OneCycleLR` stepped once an epoch", "never leaves its start")
    optimizer = torch.optim.SGD([parameter()], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=20, steps_per_epoch=469)
    for _ in range(20):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] < 0.1 / 24.9


def test_step_lr_is_step() -> None:
    says("`StepLR(optimizer, 6)`", "`{kind: step, every_epochs: 6}`")
    schedule = Recipe.model_validate({"schedule": {"kind": "step", "every_epochs": 6}}).schedule
    optimizer = torch.optim.SGD([parameter()], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 6)
    for epoch in range(19):
        rate = learning_rate(schedule, 9 * epoch + 4, steps=171, steps_per_epoch=9)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("name", "kind"), [("Adam", "adam"), ("AdamW", "adamw")])
def test_decay_of_adam_and_adamw(name: str, kind: str) -> None:
    """One step from a weight of 2 without a gradient: L2 moves it by the rate, whatever it is."""
    says(f"`{name}(weight_decay=", f"`kind: {kind}", "`decays: all`")
    optimizer = getattr(torch.optim, name)([weight := parameter(2.0)], lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    expected = {"adam": 2 - 0.1, "adamw": 2 * (1 - 0.1 * 0.5)}[kind]
    assert float(weight.detach()) == pytest.approx(expected)
    module = nn.ParameterList([parameter(2.0)])  # of one axis, as a bias
    ours = {"kind": kind, "weight_decay": 0.5, "decays": "all"}
    module[0].grad = torch.zeros(1)
    Optimizer(module, Recipe.model_validate({"optimizer": ours})).step(0.1)
    assert float(module[0].detach()) == float(weight.detach())


def test_a_plateau_fed_with_accuracy_falls_while_accuracy_rises() -> None:
    says("`ReduceLROnPlateau`", "falls while accuracy rises")
    optimizer = torch.optim.SGD([parameter()], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    for epoch in range(10):
        scheduler.step(90 + epoch)
    assert optimizer.param_groups[0]["lr"] < 0.011


RATES = [0.1, 0.1, 0.01, 0.01]


def test_momentum_after_a_drop_of_the_rate() -> None:
    says("Keras' `SGD(momentum=0.9)`", "−0.6439", "−0.3515")
    weight = parameter()
    found = moved(torch.optim.SGD([weight], lr=0.1, momentum=0.9), weight, rates=RATES)
    assert found == pytest.approx(-0.3515, abs=1e-4)
    velocity = position = 0.0  # as Keras' documentation has it
    for rate in RATES:
        velocity = 0.9 * velocity - rate
        position += velocity
    assert position == pytest.approx(-0.6439, abs=1e-4)


def test_batch_norm_of_torch_forgets_its_start() -> None:
    says("Keras' and flax's `BatchNormalization`", "53.6 %", "0.1 %")
    for share, kept in ((0.1, 0.001), (0.01, 0.536)):
        norm = nn.BatchNorm2d(1, momentum=share)
        with torch.no_grad():
            norm.running_mean.fill_(1.0)
            for _ in range(62):
                norm(torch.randn(2, 1, 2, 2).sub_(0).mul_(0))
        assert float(norm.running_mean) == pytest.approx(kept, abs=6e-4)


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="needs keras")


def test_momentum_of_keras_after_a_drop(keras: Any) -> None:
    weight = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    for rate in RATES:
        optimizer.learning_rate = rate
        optimizer.apply([keras.ops.convert_to_tensor([1.0])], [weight])
    assert float(weight.numpy()[0]) == pytest.approx(-0.6439, abs=1e-4)


def test_batch_norm_of_keras_keeps_its_start(keras: Any) -> None:
    norm = keras.layers.BatchNormalization()
    norm.build((None, 1))
    norm.moving_mean.assign([1.0])
    for _ in range(62):
        norm(keras.ops.zeros((4, 1)), training=True)
    assert float(norm.moving_mean.numpy()[0]) == pytest.approx(0.536, abs=6e-4)


def test_every_row_has_a_test() -> None:
    rows = re.findall(r"^\| (?!there|---)(.+?) \|", TABLE, re.MULTILINE)
    source = Path(__file__).read_text("utf-8")
    named = re.findall(r'says\(f?"([^"]+)"', source)
    for row in rows:
        assert any(row.startswith(it.split("{")[0]) for it in named), row
