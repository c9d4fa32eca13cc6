"""The plan against the module that torch builds, and against torchinfo, the outside auditor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import IMAGE_SHAPE
from mnist_arch.network.build import assemble, count_parameters
from mnist_arch.spec.network import Network


@dataclass(frozen=True)
class LeafCount:
    """One leaf module in order of execution, with its parameters by each of the three counts."""

    index: int
    layer: str
    plan: int
    torch: int
    torchinfo: int


@dataclass(frozen=True)
class Verification:
    """Three counts of one network. torchinfo's lines count a shared tensor at every use.

    Whether its total does so, too, depends on how the modules are nested.
    """

    lines: tuple[LeafCount, ...]
    plan: int
    torch: int
    torchinfo: int
    shares_tensors: bool

    @property
    def agrees(self) -> bool:
        """Whether plan and torch agree, line by line and in total; torchinfo decides nothing."""
        return self.plan == self.torch and all(line.plan == line.torch for line in self.lines)


def verify(network: Network) -> Verification:
    """Builds `network`, runs one image through it, and counts. Raises ShapeError."""
    import torchinfo

    plan = plan_network(network)
    model = assemble(plan, seed=0).eval()
    used = _leaves_in_order(model)
    with torch.random.fork_rng(devices=[]):
        audit = torchinfo.summary(model, input_size=(1, *IMAGE_SHAPE), verbose=0, device="cpu")
    audited = [info.num_params for info in audit.summary_list if info.is_leaf_layer]
    lines, seen = [], set()
    for row, leaf, outside in zip(plan.rows, used, audited, strict=True):
        own = sum(
            tensor.numel() for tensor in leaf.parameters(recurse=False) if id(tensor) not in seen
        )
        seen |= {id(tensor) for tensor in leaf.parameters(recurse=False)}
        lines.append(LeafCount(row.index, type(leaf).__name__, row.parameters, own, outside))
    return Verification(
        lines=tuple(lines),
        plan=plan.parameters,
        torch=count_parameters(model),
        torchinfo=int(audit.total_params),
        shares_tensors=plan.shares_tensors,
    )


@torch.no_grad()
def _leaves_in_order(model: nn.Module) -> list[nn.Module]:
    """Leaf modules in the order in which a forward pass uses them; a shared one comes again."""
    used: list[nn.Module] = []

    def note(module: nn.Module, _inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        used.append(module)

    leaves = [module for module in model.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    model(torch.zeros(1, *IMAGE_SHAPE))
    for hook in hooks:
        hook.remove()
    return used
