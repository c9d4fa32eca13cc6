"""What must be true of every network: plan, built module and outside counters say the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torchinfo
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.network.build import build, count_parameters
from mnist_arch.spec.network import Network


class Seen(NamedTuple):
    """A leaf module at the time of its execution. Named as the columns of `plan.Row`."""

    layer: str
    output_shape: tuple[int, int, int]
    kernel: int | tuple[int, int] | None
    parameters: int
    """Elements of its tensors, whether or not they were used before."""
    buffers: int
    shared: bool
    """Whether it has been executed before."""


def assert_agreement(network: Network, model: nn.Module | None = None) -> Plan:
    """Compares every number of the plan of `network` with the module that is built from it."""
    plan = plan_network(network)
    model = model or build(network)
    assert count_parameters(model) == plan.parameters
    assert sum(buffer.numel() for buffer in model.buffers()) == plan.buffers
    x_NCHW = torch.rand(1, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        seen = executed(model.eval(), x_NCHW)
    assert counter.get_total_flops() == 2 * plan.macs
    _assert_rows(plan, seen)
    _assert_torchinfo(plan, model)
    _assert_training(network, model)
    return plan


def executed(model: nn.Module, x_NCHW: Tensor) -> list[Seen]:
    """The leaf modules of one forward pass, in order of execution."""
    records: list[Seen] = []
    met: set[nn.Module] = set()

    def look(module: nn.Module, _: Any, output: Tensor) -> None:
        channels, height, width = (*output.shape[1:], 1, 1)[:3]
        kernel = getattr(module, "kernel_size", None)
        records.append(
            Seen(
                layer=type(module).__name__,
                output_shape=(channels, height, width),
                kernel=kernel[0] if isinstance(kernel, tuple) and len({*kernel}) == 1 else kernel,
                parameters=sum(tensor.numel() for tensor in module.parameters()),
                buffers=sum(tensor.numel() for tensor in module.buffers()),
                shared=module in met,
            )
        )
        met.add(module)

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(look) for module in leaves]
    with torch.no_grad():
        model(x_NCHW)
    for handle in handles:
        handle.remove()
    return records


def _assert_rows(plan: Plan, seen: list[Seen]) -> None:
    assert [row.index for row in plan.rows] == list(range(1, len(seen) + 1))
    for row, leaf in zip(plan.rows, seen, strict=True):
        assert row.layer == leaf.layer
        assert row.output_shape == leaf.output_shape, row
        assert row.kernel == leaf.kernel, row
        assert row.shared == leaf.shared, row
        assert row.parameters == (0 if leaf.shared else leaf.parameters), row
        assert row.buffers == leaf.buffers, row


def _assert_torchinfo(plan: Plan, model: nn.Module) -> None:
    """torchinfo agrees; where tensors are shared it may count them again."""
    total = torchinfo.summary(model, input_size=(1, 1, 28, 28), verbose=0).total_params
    if plan.shares_tensors:
        assert total >= plan.parameters
    else:
        assert total == plan.parameters


def _assert_training(network: Network, model: nn.Module) -> None:
    """Forward and backward in training mode are finite, and every parameter is used."""
    logits_NK = model.train()(torch.rand(2, 1, 28, 28))
    assert logits_NK.shape == (2, network.classes)
    assert logits_NK.isfinite().all()
    logits_NK.sum().backward()
    assert all(tensor.grad is not None for tensor in model.parameters())
