"""SGD and AdamW, in the functions below torch's classes.

An object of a class of `torch.optim` imports torch's compiler, which takes about as long as torch
itself. The functions do the same arithmetic, to the bit, without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, assert_never, cast

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from mnist_arch.spec.recipe import AdamW, Recipe, Sgd

EPSILON: Final = 1e-8
"""What AdamW adds to its denominator, as torch does."""

TensorState = dict[str, Tensor]
"""What is kept of one tensor from step to step, under the names of `torch.optim`."""


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Tensors that decay alike, and the state of each."""

    tensors: list[Tensor]
    weight_decay: float
    states: list[TensorState]

    def gradients(self) -> list[Tensor]:
        """The gradients of its tensors, which all have one."""
        return cast(list[Tensor], [tensor.grad for tensor in self.tensors])

    def kept(self, name: str) -> list[Tensor]:
        """One entry of every state; empty where the optimizer keeps none of that name."""
        return [state[name] for state in self.states if name in state]


class Optimizer:
    """Steps over all tensors of a model, which have to have a gradient.

    Weights of convolutions and linear layers decay; tensors of one axis do not, which are norms,
    biases and the slopes of PReLU. All state is there from the start and keeps its addresses, so
    that a graph can be captured.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.spec = recipe.optimizer
        self.momentum = self.spec.momentum if isinstance(self.spec, Sgd) else self.spec.beta1
        """Of the next step, or `beta1`; a recipe may change it from step to step."""
        self._cycles = recipe.cycles_momentum
        tensors: list[Tensor] = list(model.parameters())
        # One kernel for a whole group; on the CPU its bits are not those of torch's default.
        self._fused = all(tensor.is_cuda for tensor in tensors)
        self.groups = (
            self._group([tensor for tensor in tensors if tensor.ndim > 1], self.spec.weight_decay),
            self._group([tensor for tensor in tensors if tensor.ndim <= 1], 0.0),
        )

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Moves every tensor along its gradient, which may be overwritten.

        On a CUDA device `rate` may be a tensor there, () float32, which a captured graph reads
        again at each replay.
        """
        for group in self.groups:
            match self.spec:
                case Sgd() as spec:
                    sgd(
                        group.tensors,
                        group.gradients(),
                        cast(list[Tensor | None], group.kept("momentum_buffer")),
                        foreach=not self._fused,
                        fused=self._fused,
                        weight_decay=group.weight_decay,
                        momentum=self.momentum,
                        lr=rate,
                        dampening=0.0,
                        nesterov=spec.nesterov,
                        maximize=False,
                    )
                case AdamW() as spec:
                    adamw(
                        group.tensors,
                        group.gradients(),
                        group.kept("exp_avg"),
                        group.kept("exp_avg_sq"),
                        [],
                        group.kept("step"),
                        foreach=not self._fused,
                        fused=self._fused,
                        amsgrad=False,
                        beta1=self.momentum,
                        beta2=spec.beta2,
                        lr=rate,
                        weight_decay=group.weight_decay,
                        eps=EPSILON,
                        maximize=False,
                    )
                case never:
                    assert_never(never)

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for group in self.groups:
            for tensor in group.tensors:
                tensor.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The state itself, not a copy, by place and name as `torch.optim` has it."""
        return {"state": self._states()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Copies what `state_dict` gave, here or of `torch.optim`, into the tensors that are here.

        Raises KeyError or ValueError where it is of another optimizer or another model.
        """
        own, given = self._states(), saved["state"]
        if _shapes(given) != _shapes(own):
            raise ValueError("the state is of another optimizer")
        for place, state in own.items():
            for name, tensor in state.items():
                tensor.copy_(given[place][name])

    def _group(self, tensors: list[Tensor], weight_decay: float) -> ParameterGroup:
        return ParameterGroup(
            tensors, weight_decay, [self._fresh_state(tensor) for tensor in tensors]
        )

    def _fresh_state(self, tensor: Tensor) -> TensorState:
        match self.spec:
            case Sgd(momentum=0) if not self._cycles:
                return {}
            case Sgd():
                return {"momentum_buffer": torch.zeros_like(tensor)}
            case AdamW():
                return {
                    # Without a fused kernel it is read at each step, for which a device would wait.
                    "step": torch.zeros((), device=tensor.device if self._fused else "cpu"),
                    "exp_avg": torch.zeros_like(tensor),
                    "exp_avg_sq": torch.zeros_like(tensor),
                }
            case never:
                assert_never(never)

    def _states(self) -> dict[int, TensorState]:
        """The states that are not empty, by the place of their tensor over both groups."""
        states = [state for group in self.groups for state in group.states]
        return {place: state for place, state in enumerate(states) if state}


def _shapes(states: dict[int, TensorState]) -> dict[int, dict[str, torch.Size]]:
    return {
        place: {name: tensor.shape for name, tensor in state.items()}
        for place, state in states.items()
    }
