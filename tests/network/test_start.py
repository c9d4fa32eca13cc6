"""How weights begin, line by line of docs/porting.md: beside torch.nn.init, and beside Keras."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small import loaded
from torch import nn

from mnist_arch.network.build import build
from mnist_arch.network.start import initialize
from mnist_arch.spec.recipe import Initialize, Recipe

PORTING = Path(__file__).parents[2] / "docs" / "porting.md"


def layers() -> nn.Sequential:
    """A convolution, a grouped one, a depthwise one and a linear layer, all with biases."""
    return nn.Sequential(
        nn.Conv2d(8, 64, 3),
        nn.Conv2d(64, 128, 3, groups=4),
        nn.Conv2d(128, 128, 5, groups=128),
        nn.PReLU(),
        nn.Linear(300, 50),
    )


def table() -> list[tuple[str, Initialize]]:
    part = PORTING.read_text(encoding="utf-8").split("## The start of the weights")[1]
    rows = re.findall(r"^\| (.*?) \| `(initialize: .*?)` \|$", part, flags=re.MULTILINE)
    return [
        (code, Recipe.model_validate(yaml.safe_load(recipe)).initialize) for code, recipe in rows
    ]


@pytest.mark.parametrize(("code", "spec"), table())
def test_a_line_of_torch_is_what_torch_draws(code: str, spec: Initialize) -> None:
    calls = re.findall(r"`(\w+)_\((w|b)(?:, )?(.*?)\)`", code)
    if not calls:
        return
    torch.manual_seed(3)
    own = layers()
    initialize(own, spec)
    torch.manual_seed(3)
    right = layers()
    for module in right:
        if isinstance(module, nn.Conv2d | nn.Linear):
            for name, what, more in calls:
                draw = getattr(nn.init, f"{name}_")
                draw(module.weight if what == "w" else module.bias, **eval(f"dict({more})"))
    for one, other in zip(own.parameters(), right.parameters(), strict=True):
        assert torch.equal(one, other)


def deviation_and_bound(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    """Of Keras' initializers, by the formulas of its documentation; a normal is cut at two."""
    deviation = math.sqrt(2 / {"Glorot": fan_in + fan_out, "He": fan_in}[kind.split("_")[0]])
    if kind.endswith("Uniform"):
        return deviation, deviation * math.sqrt(3)
    return deviation, 2 * deviation / 0.87962566103423978


@pytest.mark.parametrize(("code", "spec"), [row for row in table() if "Keras" in row[0]])
def test_a_line_of_keras_has_its_deviation_and_bound(code: str, spec: Initialize) -> None:
    names = {"GlorotNormal": "Glorot_Normal", "HeNormal": "He_Normal", "HeUniform": "He_Uniform"}
    kind = next((names[it] for it in names if it in code), "Glorot_Uniform")
    torch.manual_seed(3)
    own = layers()
    initialize(own.requires_grad_(False), spec)
    for module in own:
        if isinstance(module, nn.PReLU):
            assert float(module.weight) == (0 if spec.kind == "keras" else 0.25)
            continue
        assert float(module.bias.abs().max()) == 0
        fans = nn.init._calculate_fan_in_and_fan_out(module.weight)
        deviation, bound = deviation_and_bound(kind, *fans)
        assert float(module.weight.std()) == pytest.approx(deviation, rel=0.04)
        assert 0.97 * bound < float(module.weight.abs().max()) <= bound * (1 + 1e-6)


@pytest.mark.slow
def test_keras_itself_has_those_formulas() -> None:
    keras: Any = pytest.importorskip("keras")
    for name, kind in (("glorot_uniform", "Glorot_Uniform"), ("he_normal", "He_Normal")):
        shape = (3, 3, 32, 64)
        values = torch.tensor(keras.initializers.get(name)(shape).__array__())
        deviation, bound = deviation_and_bound(kind, 9 * 32, 9 * 64)
        assert float(values.std()) == pytest.approx(deviation, rel=0.03)
        assert float(values.abs().max()) <= bound * (1 + 1e-6)


def test_a_network_begins_as_its_recipe_says_and_by_its_seed() -> None:
    usual = loaded().experiment
    he = loaded(recipe__initialize={"kind": "he"}).experiment
    before = torch.get_rng_state()
    one, again, other = build(he, seed=1), build(he, seed=1), build(he, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    first, same, differs = (next(it.parameters()) for it in (one, again, other))
    assert torch.equal(first, same)
    assert not torch.equal(first, differs)
    assert not torch.equal(first, next(build(usual, seed=1).parameters()))
    assert float(one.layers[0].bias.detach().abs().max()) == 0
