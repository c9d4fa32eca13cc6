"""The plan against torch and torchinfo, line by line; and that a difference would be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.errors import ShapeError
from mnist_arch.network.verify import verify
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.network import Network
from mnist_arch.zoo.index import zoo_names

EVERYTHING = """\
name: everything
defaults: {activation: prelu, bias: false}
blocks:
  - {channels: [8, {out: 8, kind: separable}], squeeze_excitation: 4, pool: convolution}
  - {channels: [8, 12], residual: true, norm: group, pool: average}
  - {channels: [{out: 12, kind: grouped, groups: 3}], norm: instance, dropout: 0.1}
  - {channels: [{out: 12, kind: depthwise}], repeat: 2}
head: {reduce: {out: 11, norm: batch}, linear: true, pool: global-max}
"""
SHARED = """\
name: shared
blocks: [{channels: [8, 8], repeat: 3, share: true, residual: true, pool: max}]
head: {linear: true}
"""


def network(text: str) -> Network:
    return loads(text, source="test").experiment


@pytest.mark.parametrize("name", zoo_names())
def test_three_counts_agree_on_every_shipped_network(name: str) -> None:
    experiment = load(name).experiment
    found = verify(experiment)
    assert found.agrees
    assert found.plan == found.torch == plan_network(experiment).parameters
    if not found.shares_tensors:
        assert found.torchinfo == found.plan


def test_three_counts_agree_line_by_line() -> None:
    plan, found = plan_network(network(EVERYTHING)), verify(network(EVERYTHING))
    assert found.agrees
    assert not found.shares_tensors
    for line, row in zip(found.lines, plan.rows, strict=True):
        assert (line.index, line.layer, line.plan) == (row.index, row.layer, row.parameters)
        assert line.plan == line.torch == line.torchinfo
    assert found.plan == found.torch == found.torchinfo == sum(line.plan for line in found.lines)


def test_shared_tensors_count_once_and_torchinfo_decides_nothing() -> None:
    found = verify(network(SHARED))
    assert found.shares_tensors
    assert found.agrees
    assert found.plan == found.torch
    again = [line for line in found.lines if line.torchinfo != line.plan]
    assert again
    assert all((line.layer, line.plan, line.torch) == ("Conv2d", 0, 0) for line in again)
    assert sum(line.torchinfo for line in found.lines) > found.plan


def test_a_plan_that_is_wrong_in_total_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def heavier(spec: Network) -> Plan:
        plan = plan_network(spec)
        first, *rest = plan.rows
        return replace(plan, rows=(replace(first, parameters=first.parameters + 1), *rest))

    monkeypatch.setattr("mnist_arch.network.verify.plan_network", heavier)
    assert not verify(network(EVERYTHING)).agrees


def test_two_mistakes_that_cancel_each_other_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(spec: Network) -> Plan:
        plan = plan_network(spec)
        first, second, *rest = plan.rows
        moved = replace(first, parameters=first.parameters - 1), replace(second, parameters=2)
        return replace(plan, rows=(*moved, *rest))

    monkeypatch.setattr("mnist_arch.network.verify.plan_network", shifted)
    found = verify(network(EVERYTHING))
    assert found.plan == found.torch
    assert not found.agrees


def test_a_module_that_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def heavier(model: Any) -> int:
        return sum(tensor.numel() for tensor in model.parameters()) + 1

    monkeypatch.setattr("mnist_arch.network.verify.count_parameters", heavier)
    assert not verify(network(EVERYTHING)).agrees


def test_no_random_number_is_used_up() -> None:
    before = torch.get_rng_state()
    verify(network(EVERYTHING))
    assert torch.equal(torch.get_rng_state(), before)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="the network ends in 8×1×1"):
        verify(network("name: a\nblocks: [{channels: [8]}]\n"))
