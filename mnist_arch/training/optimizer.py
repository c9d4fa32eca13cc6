"""The optimizers, in the functions below torch's classes.

An object of a class of `torch.optim` imports torch's compiler, which takes about as long as torch
itself. The functions do the same arithmetic, to the bit, without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never, cast

import torch
from torch import Tensor, nn
from torch.optim.adadelta import adadelta
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from mnist_arch.spec.recipe import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AnyOptimizer,
    Recipe,
    RmsProp,
    Sgd,
)

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

    Weights of convolutions and linear layers decay; tensors of one axis, which are norms, biases
    and the slopes of PReLU, do so where the recipe says it. All state is there from the start and
    keeps its addresses, so that a graph can be captured.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.spec = recipe.optimizer
        self.momentum = _momentum(self.spec)
        """Of the next step, or `beta1`; a recipe may change it from step to step."""
        self._cycles = recipe.cycles_momentum
        tensors: list[Tensor] = list(model.parameters())
        # One kernel for a whole group; on the CPU its bits are not those of torch's default.
        has_kernel = isinstance(self.spec, Sgd | Adam | AdamW)
        self._fused = has_kernel and all(tensor.is_cuda for tensor in tensors)
        free = 0.0 if self.spec.decays == "weights" else self.spec.weight_decay
        self.groups = (
            self._group([tensor for tensor in tensors if tensor.ndim > 1], self.spec.weight_decay),
            self._group([tensor for tensor in tensors if tensor.ndim <= 1], free),
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
                case Adam() | AdamW() as spec:
                    (adam if isinstance(spec, Adam) else adamw)(
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
                        eps=spec.epsilon,
                        maximize=False,
                    )
                case RmsProp() as spec:
                    rmsprop(
                        group.tensors,
                        group.gradients(),
                        group.kept("square_avg"),
                        group.kept("grad_avg"),
                        group.kept("momentum_buffer"),
                        group.kept("step"),
                        foreach=True,
                        lr=float(rate),
                        alpha=spec.alpha,
                        eps=spec.epsilon,
                        weight_decay=group.weight_decay,
                        momentum=self.momentum,
                        centered=spec.centered,
                    )
                case Adadelta() as spec:
                    adadelta(
                        group.tensors,
                        group.gradients(),
                        group.kept("square_avg"),
                        group.kept("acc_delta"),
                        group.kept("step"),
                        foreach=True,
                        lr=float(rate),
                        rho=spec.rho,
                        eps=spec.epsilon,
                        weight_decay=group.weight_decay,
                        maximize=False,
                    )
                case Adagrad() as spec:
                    adagrad(
                        group.tensors,
                        group.gradients(),
                        group.kept("sum"),
                        group.kept("step"),
                        foreach=True,
                        lr=float(rate),
                        weight_decay=group.weight_decay,
                        lr_decay=0.0,
                        eps=spec.epsilon,
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
            case Adam() | AdamW():
                return self._counted(tensor, "exp_avg", "exp_avg_sq")
            case RmsProp(momentum=momentum, centered=centered):
                has_momentum = momentum > 0 or self._cycles
                names = [*(["grad_avg"] if centered else []), *(["momentum_buffer"] * has_momentum)]
                return self._counted(tensor, "square_avg", *names)
            case Adadelta():
                return self._counted(tensor, "square_avg", "acc_delta")
            case Adagrad(initial_accumulator=initial):
                state = self._counted(tensor, "sum")
                state["sum"].fill_(initial)
                return state
            case never:
                assert_never(never)

    def _counted(self, tensor: Tensor, *names: str) -> TensorState:
        """A count of steps, and zeros for each of the names."""
        # Without a fused kernel it is read at each step, for which a device would wait.
        step = torch.zeros((), device=tensor.device if self._fused else "cpu")
        return {"step": step, **{name: torch.zeros_like(tensor) for name in names}}

    def _states(self) -> dict[int, TensorState]:
        """The states that are not empty, by the place of their tensor over both groups."""
        states = [state for group in self.groups for state in group.states]
        return {place: state for place, state in enumerate(states) if state}


def _momentum(spec: AnyOptimizer) -> float:
    match spec:
        case Sgd(momentum=momentum) | RmsProp(momentum=momentum):
            return momentum
        case Adam(beta1=beta1) | AdamW(beta1=beta1):
            return beta1
    return 0.0


def _shapes(states: dict[int, TensorState]) -> dict[int, dict[str, torch.Size]]:
    return {
        place: {name: tensor.shape for name, tensor in state.items()}
        for place, state in states.items()
    }
