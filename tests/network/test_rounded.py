"""Training with 8-bit rounding in the loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import loaded, synthetic
from trained import arrays, trained

from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.exports.integer import LargestOf
from mnist_arch.exports.lowering import lower
from mnist_arch.exports.quantization import quantized
from mnist_arch.network import rounded as rounded_module
from mnist_arch.network.rounded import RoundedNetwork, rounded_values, rounded_weights
from mnist_arch.spec.loading import loads
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import ONLY_PLAIN, EngineName, choose_engine
from mnist_arch.training.loop import make_step, train
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep
from mnist_arch.training.work import Work

NETWORKS = {
    "norm first": """
name: test
defaults: {order: conv-norm-activation, bias: false}
blocks:
  - {channels: [4], pool: max}
  - {channels: [6, 4], kind: separable, residual: true, squeeze_excitation: 2}
head: {pool: global-average, linear: true}""",
    "norm last": """
name: test
defaults: {order: conv-activation-norm}
blocks:
  - {channels: [4, 6], pool: average, reduce: 4}
  - {channels: [{out: 8, groups: 2, kind: grouped}]}
head: {pool: flatten, linear: true}""",
}


@pytest.mark.slow  # the first to import torch
def test_weights_are_rounded_in_each_output_channel() -> None:
    weight = torch.tensor([[1.0, -0.5, 0.001], [0.0, 0.0, 0.0]], requires_grad=True)
    found = rounded_weights(weight, largest=127)
    expected = torch.tensor([[127, -64, 0], [0, 0, 0]]) / 127
    torch.testing.assert_close(found.detach(), expected)
    found.sum().backward()
    assert weight.grad is not None
    assert weight.grad.eq(1).all()  # straight through


def test_weights_are_rounded_as_the_norm_before_them_scales_them() -> None:
    weight, scale = torch.tensor([[[[1.0]], [[1.0]]]]), torch.tensor([1.0, 0.01])
    found = rounded_weights(weight, scale[None, :, None, None], largest=127)
    torch.testing.assert_close(found.flatten(), torch.tensor([1.0, 1 / 1.27]))


def test_values_are_rounded_to_256_and_zero_is_one_of_them() -> None:
    x = torch.linspace(-1, 3, 5001, requires_grad=True)
    found = rounded_values(x)
    assert len(found.unique()) == 256
    assert (found == 0).any()
    assert (found - x).abs().max() <= 4 / 255
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.eq(1).all()
    assert rounded_values(torch.zeros(3)).eq(0).all()


@pytest.mark.slow
@pytest.mark.parametrize("text", NETWORKS.values(), ids=NETWORKS)
def test_values_are_rounded_where_an_export_stores_them(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = loads(text, source="test.yaml").experiment
    model, layers = trained(experiment, signs=1), plan_network(experiment).layers
    images = synthetic(64, seed=0).images
    whole = quantized(lower(layers, arrays(model), INFO["mnist"]), images[:, 0].numpy())
    stored = [it.shape for it in whole.operations[:-1] if not isinstance(it, LargestOf)]
    found = []

    def noted(x: torch.Tensor) -> torch.Tensor:
        found.append(tuple(x.shape[1:]))
        return rounded_values(x)

    monkeypatch.setattr(rounded_module, "rounded_values", noted)
    x = normalize(to_unit(images), INFO["mnist"])
    with torch.no_grad():
        logits = RoundedNetwork(model, layers)(x).numpy()
        right = model(x).numpy()
    assert found == stored
    assert 0 < np.abs(logits - right).max() < 0.1 * np.abs(right).max()


def test_a_step_trains_what_is_rounded_and_keeps_float_weights() -> None:
    experiment = loaded(recipe__quantize="int8", recipe__epochs=2).experiment
    state = State.fresh(experiment, seed=0)
    step = make_step(None, state, synthetic(64, seed=1), batch=32)
    assert isinstance(step.network, RoundedNetwork)
    before = state.model.state_dict()["layers.0.weight"].clone()
    records = list(train(state, synthetic(64, seed=1), synthetic(32, seed=2)))
    assert len(records) >= 2
    after = state.model.state_dict()["layers.0.weight"]
    assert not torch.equal(before, after)
    assert len(after.unique()) > 30


@pytest.mark.slow
@pytest.mark.parametrize("ema", [None, 0.998])
def test_what_is_judged_and_kept_has_weights_of_four_bits(ema: float | None) -> None:
    """So what a run says of itself is of what an export stores."""
    experiment = loaded(recipe__quantize="int4", recipe__epochs=2, recipe__ema=ema).experiment
    state = State.fresh(experiment, seed=0)
    list(train(state, synthetic(64, seed=1), synthetic(32, seed=2)))
    kept = state.result.state_dict()["layers.0.weight"]
    for channel, one in enumerate(kept):
        levels = one / one.abs().max() * 7
        assert levels.round().sub(levels).abs().max() < 1e-4, channel
    assert not torch.equal(kept, state.model.state_dict()["layers.0.weight"])


@pytest.mark.parametrize(("padding", "scales"), [("valid", True), ("same", False)])
def test_a_norm_behind_a_relu_scales_what_follows_unless_that_pads_zeros(
    padding: str, scales: bool
) -> None:
    """There an export folds it into what stands before the ReLU."""
    text = f"""
name: test
blocks:
  - {{channels: [4]}}
  - {{channels: [4], padding: {padding}}}
head: {{linear: true}}"""
    experiment = loads(text, source="test.yaml").experiment
    model = trained(experiment)
    norms = RoundedNetwork(model, plan_network(experiment).layers).norms
    assert norms[model.layers[0]] is None
    assert norms[model.layers[3]] is (model.layers[2] if scales else None)


def test_other_steps_are_plain_ones() -> None:
    """Also where an engine of a sweep has others."""
    experiment = loaded(recipe__quantize="int8").experiment
    engine = Engine(device="cpu", threads=1, step="compiled")
    step = make_step(engine, State.fresh(experiment, seed=0), synthetic(64, seed=1), batch=32)
    assert type(step) is PlainStep


@pytest.mark.parametrize("wanted", ["auto", "fast", "native", "compiled", "plain"])
def test_the_engine_is_the_plain_one_and_a_note_names_the_option(wanted: EngineName) -> None:
    experiment = loaded(recipe__quantize="int8").experiment
    work = Work.of(plan_network(experiment), experiment.recipe, images=100)
    choice = choose_engine(device="cpu", threads=1, wanted=wanted, work=work)
    assert choice.engine == Engine(device="cpu", threads=1)
    assert choice.note == (None if wanted == "plain" else ONLY_PLAIN)
    assert "recipe.quantize" in ONLY_PLAIN


def test_the_digest_has_it_where_it_is_set() -> None:
    assert digest(loaded().experiment) == digest(loaded(recipe__quantize=None).experiment)
    digests = [digest(loaded(recipe__quantize=it).experiment) for it in (None, "int8", "int4")]
    assert len(set(digests)) == 3
