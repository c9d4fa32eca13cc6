"""One step of training: assemble a batch, change it, forward, backward, optimizer, average."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_arch.augment import augment
from mnist_arch.averaging import average_weight, update_average
from mnist_arch.counting.plan import plan
from mnist_arch.data.catalog import INFO
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.memory import LARGEST_KEPT_BYTES, give_back_freed
from mnist_arch.network.fused import fused
from mnist_arch.records import Precision
from mnist_arch.schedules import learning_rate
from mnist_arch.state import State

PLAIN_INSTEAD: Final = "go on where they can, or start anew with --again --engine plain"
"""What to do about steps that cannot be made here."""

CLEARED_EVERY: Final = 8
"""Steps between two of which what is freed is given back, where a batch has maps that are not kept:
the holes between those that are would grow from step to step."""


@dataclass(frozen=True)
class Pass:
    """What the steps of one epoch are given."""

    order_SB: Tensor
    """Images of each step, (steps, batch) int64 on the device."""
    rates: list[float]
    """Learning rate of each step."""
    weights: list[float]
    """Share of the new weights in the average after each step; empty without an average."""

    @classmethod
    def next(cls, state: State, images: int, *, batch: int) -> Pass:
        """Of the epoch that `state` comes to: freshly shuffled, the incomplete batch dropped."""
        recipe, steps = state.experiment.recipe, images // batch
        order_N = torch.randperm(images, generator=state.shuffle)
        done = range(state.epoch * steps, (state.epoch + 1) * steps)
        total = recipe.epochs * steps
        return cls(
            order_SB=order_N[: steps * batch].view(steps, batch).to(state.device),
            rates=[
                learning_rate(recipe.schedule, step, steps=total, steps_per_epoch=steps)
                for step in done
            ],
            weights=[]
            if recipe.ema is None
            else [average_weight(recipe.ema, step=step + 1) for step in done],
        )


@dataclass(frozen=True)
class Compiling:
    """The steps from here on are being compiled, which takes up to a minute."""


@dataclass(frozen=True)
class NotCompiled:
    """The steps cannot be compiled on this machine, so they stay plain to the end of the training.

    Whoever goes on with it later gives it an engine with plain steps.
    """

    trouble: str
    """Why not, in a line."""


class PlainStep:
    """A step as torch does it, operation by operation."""

    def __init__(self, state: State, training: Split, *, precision: Precision = "float32") -> None:
        self.state, self.training = state, training
        self.info = INFO[state.experiment.resolved_dataset]
        self.network: Callable[[Tensor], Tensor] = state.model
        self.autocast = torch.autocast(
            state.device.type,
            dtype=torch.bfloat16,
            enabled=precision == "bfloat16",
            cache_enabled=False,  # no weight is cast twice, and a graph is to hold the casts itself
        )

    def get_ready(self) -> Iterable[Compiling | NotCompiled]:
        """Before each epoch: whatever this kind of step then needs. Yields what is to be said."""
        return ()

    def begin(self, epoch: Pass) -> None:
        """The next calls are the steps of `epoch`."""
        self.epoch = epoch
        self.losses_S = torch.zeros(len(epoch.rates), device=self.state.device)
        largest = max(row.activation_bytes for row in plan(self.state.experiment).rows)
        batch = epoch.order_SB.shape[1]
        self.clears = self.state.device.type == "cpu" and batch * largest > LARGEST_KEPT_BYTES

    def __call__(self, number: int) -> None:
        """Step `number` of the epoch, from 0; leaves its loss in `losses_S`."""
        weight = self.epoch.weights[number] if self.epoch.weights else None
        rate = self.epoch.rates[number]
        self.losses_S[number] = self.learn(self.epoch.order_SB[number], rate=rate, weight=weight)
        if self.clears and number % CLEARED_EVERY == 0:
            give_back_freed()

    def learn(
        self, index_B: Tensor, *, rate: float | Tensor, weight: float | Tensor | None
    ) -> Tensor:
        """Learns from the images at `index_B`. Returns their loss, () float32.

        `rate` and `weight` may be tensors on the device, which are read when the work is done.
        """
        state, training = self.state, self.training
        recipe = state.experiment.recipe
        x_NCHW = augment(to_unit(training.images[index_B]), recipe.augment, rng=state.augment)
        with self.autocast:
            logits_NK = self.network(normalize(x_NCHW, self.info))
        loss = F.cross_entropy(  # whose logarithms need the digits of float32 at least
            logits_NK.to(torch.promote_types(logits_NK.dtype, torch.float32)),
            training.labels[index_B],
            label_smoothing=recipe.label_smoothing,
        )
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_norm)
        state.optimizer.step(rate)
        if state.average is not None and weight is not None:
            update_average(state.average, state.model, weight=weight)
        return loss.detach()


class CompiledStep(PlainStep):
    """A step whose network is compiled: norms, activations and pools become a few loops of C++.

    That takes up to a minute, in which nothing would be seen to happen. So the first epoch of a run
    is plain; and where there is no compiler, nothing else has happened yet than in a plain run.
    """

    def __init__(
        self, state: State, training: Split, *, batch: int, precision: Precision = "float32"
    ) -> None:
        super().__init__(state, training, precision=precision)
        self.fused = fused(state.model)
        self.batch, self.tried = batch, False

    def get_ready(self) -> Iterator[Compiling | NotCompiled]:
        """Compiles once, after the first epoch of the run, or where a process goes on with it.

        Raises DeviceUnavailable where that fails and epochs of the run were compiled already.
        """
        if self.tried or self.state.epoch == 0:
            return
        self.tried = True
        yield Compiling()
        try:
            self.compile()
        except (ImportError, OSError, RuntimeError) as error:  # torch's own are RuntimeErrors
            trouble = in_a_line(error)
            if self.state.epoch > 1:
                message = f"the steps of this run cannot be compiled here: {trouble}"
                raise DeviceUnavailable(message, hint=PLAIN_INSTEAD) from None
            yield NotCompiled(trouble)

    def compile(self) -> None:
        """From here on the steps are compiled ones. The state is left as it was found."""
        plain = self.network
        give_back_freed()  # what plain steps have left; the compiler needs memory of other sizes
        # It would say that there is no GPU, which nobody has asked.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        torch.compiler.reset()  # it keeps a few versions of one function, and refuses any more
        # The dropout of torch, which draws from the same stream as the plain step's and is faster
        # on a CPU than what is compiled for it. The threads are written into the loops, which the
        # cache of torch before 2.14 would otherwise hand to a run of other threads.
        self.network = torch.compile(
            self.fused,
            fullgraph=True,
            dynamic=False,
            options={"fallback_random": True, "cpp.threads": torch.get_num_threads()},
        )
        try:
            with self.state.rehearsal():
                self.learn(torch.arange(self.batch), rate=0.0, weight=None)
        except BaseException:
            self.network = plain
            raise
        finally:
            give_back_freed()


def in_a_line(error: Exception) -> str:
    """An error of torch's compiler: its first line, and the first error of a C++ compiler."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = lines[lines.index("Output:") + 1 :] if "Output:" in lines else []
    errors = [line for line in said if "error" in line] or said
    return ": ".join([lines[0], *errors[:1]])
