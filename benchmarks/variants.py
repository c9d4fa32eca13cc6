"""Steps of s6 as levers.py has them: the product's, and what differs from it in one thing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.sgd import sgd
from turns import Call

from mnist_arch import Experiment, load, load_split
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.network.build import Classifier
from mnist_arch.network.fused import FusedNorm, FusedPool
from mnist_arch.spec.overrides import override
from mnist_arch.spec.recipe import Sgd
from mnist_arch.training.augment import augment
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.ema import update_average
from mnist_arch.training.engine import Precision
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.optimizer import Optimizer
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep


@dataclass(frozen=True, eq=False)
class Bench:
    """What the levers are measured on."""

    experiment: Experiment
    training: Split
    judged_on: Split
    steps: int
    """Of a block."""

    @classmethod
    def of(cls, dataset: DatasetName, *, batch: int, steps: int) -> Bench:
        values = {"batch_size": batch, "last_batch": "drop"}
        overrides = [override(f"recipe.{name}", value, origin="") for name, value in values.items()]
        experiment = load("s6", overrides=overrides).with_dataset(dataset).experiment
        return cls(experiment, load_split(dataset, "train"), load_split(dataset, "test"), steps)

    @property
    def batch(self) -> int:
        return self.experiment.recipe.batch_size

    def state(self) -> State:
        """A fresh one, in training."""
        state = State.fresh(self.experiment, seed=0)
        state.model.train()
        return state

    def stepping(self, step: PlainStep) -> Call:
        """One more step of an epoch at each call, over and over."""
        epoch = EpochPlan.next(step.state, len(self.training))
        step.begin(epoch)
        numbers = itertools.cycle(range(len(epoch.rates)))
        return lambda: step(next(numbers))

    def plain(self, state: State | None = None, *, precision: Precision = "float32") -> Call:
        """Plain steps of `state`, or of a fresh one."""
        return self.stepping(PlainStep(state or self.state(), self.training, precision=precision))

    def compiled(
        self,
        written: Callable[[Classifier], nn.Module] | None = None,
        *,
        precision: Precision = "float32",
        **options: bool,
    ) -> Call:
        """Compiled steps: the product's, or of its model as `written`, with inductor's options."""
        state = self.state()
        if written is None:
            compiled = CompiledStep(state, self.training, batch=self.batch, precision=precision)
            compiled.compile()
            return self.stepping(compiled)
        step = PlainStep(state, self.training, precision=precision)
        network = written(state.model)
        step.network = torch.compile(network, fullgraph=True, dynamic=False, options={**options})
        return self.stepping(step)


def contiguous(state: State) -> State:
    """`state` with everything that has the weights' shapes in torch's default memory format."""
    for model in (state.model, state.average):
        if model is not None:
            model.to(memory_format=torch.contiguous_format)
    state.optimizer = Optimizer(state.model, state.experiment.recipe)
    return state


CACHE_LINE: Final = 16
"""Values of float32 in the 64 bytes of a cache line."""


def unshared(state: State) -> State:
    """`state` with norms that go back in one thread where they have few channels.

    Each thread of torch adds up its own sums, next to those of the others: in one cache line.
    """

    def one_thread(_: nn.Module, __: object, y_NCHW: Tensor) -> None:
        threads, node = torch.get_num_threads(), y_NCHW.grad_fn
        assert node is not None  # the model learns
        node.register_prehook(lambda _: torch.set_num_threads(1))
        node.register_hook(lambda _, __: torch.set_num_threads(threads))

    for module in state.model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.num_features < CACHE_LINE:
            module.register_forward_hook(one_thread)
    return state


class ZeroFilling(Optimizer):
    """Keeps the gradients' memory from step to step, as zero_grad(set_to_none=False) of torch."""

    def zero_grad(self) -> None:
        for group in self.groups:
            for tensor in group.tensors:
                if tensor.grad is not None:
                    tensor.grad.zero_()


def stepping_alone(state: State, *, foreach: bool = False, fused: bool = False) -> Call:
    """Steps of SGD with gradients of 0 and a rate of 0: torch adds momentum to the gradients in
    place, which over many steps without a backward pass would overflow."""
    spec, groups = state.experiment.recipe.optimizer, state.optimizer.groups
    assert isinstance(spec, Sgd)
    for tensor in state.model.parameters():
        tensor.grad = torch.zeros_like(tensor)

    @torch.no_grad()
    def step() -> None:
        for group in groups:
            sgd(
                group.tensors,
                group.gradients(),
                [*group.kept("momentum_buffer")],
                foreach=foreach,
                fused=fused,
                weight_decay=group.weight_decay,
                momentum=spec.momentum,
                lr=0.0,
                dampening=0.0,
                nesterov=spec.nesterov,
                maximize=False,
            )

    return step


def apart(model: Classifier) -> Classifier:
    """`model` in training, its norms and 2×2 max pools written for a compiler one by one."""

    def written(module: nn.Module) -> nn.Module:
        match module:
            case nn.BatchNorm2d():
                return FusedNorm(module)
            case nn.MaxPool2d(kernel_size=2, stride=2):
                return FusedPool()
        return module

    return Classifier(nn.Sequential(*map(written, model.layers)))


Batch = tuple[Tensor, Tensor]
"""What the network sees of images, (N, 1, H, W) float32, and their labels, (N,)."""


class TwoPartStep:
    """A plain step in two parts: the batch is assembled, and then learned from."""

    def __init__(self, bench: Bench) -> None:
        self.state, self.training, self.info = bench.state(), bench.training, INFO["mnist"]
        epoch = EpochPlan.next(self.state, len(bench.training))
        self.indices = itertools.cycle(epoch.batches)

    def assemble(self) -> Batch:
        """The next batch, augmented."""
        index_B, recipe = next(self.indices), self.state.experiment.recipe
        x_NCHW = augment(
            to_unit(self.training.images[index_B]), recipe.augment, rng=self.state.augment
        )
        return normalize(x_NCHW, self.state.experiment.normalization), self.training.labels[index_B]

    def learn(self, batch: Batch) -> None:
        state, (x_NCHW, labels_N) = self.state, batch
        loss = F.cross_entropy(state.model(x_NCHW), labels_N)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        state.optimizer.step(0.01)
        if state.average is not None:
            update_average(state.average, state.model, weight=0.01)
        loss.item()  # the loop of the product reads it at each step, too


def in_line(step: TwoPartStep) -> Call:
    return lambda: step.learn(step.assemble())


def overlapped(step: TwoPartStep) -> Call:
    """Assembles the next batch in a thread of its own while this one is learned from."""
    # One thread of torch in it; as many again as the step has would take the cores from the step.
    worker = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
    ahead = worker.submit(step.assemble)
    ahead.result()  # so that the initializer, part of which is for all threads, has run

    def call() -> None:
        nonlocal ahead
        batch, ahead = ahead.result(), worker.submit(step.assemble)
        step.learn(batch)

    return call
