"""The whole step as one graph of a CUDA device, handed over at once and never waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import torch

from mnist_arch.data.split import Split
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.training.compiled import PLAIN_INSTEAD, in_a_line
from mnist_arch.training.engine import Precision
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.events import NotCaptured
from mnist_arch.training.self_check import outcome, tolerance, trouble_of
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

WARM_UPS: Final = 3
"""Steps before a capture, in which torch's libraries choose and allocate, as its documentation of
CUDA graphs asks for."""


Capture = Callable[[Callable[[], None], State], Callable[[], None]]
"""Makes a call that repeats a step."""


class CapturedStep(PlainStep):
    """A step that is a replay, but for an incomplete batch, which is plain.

    All that varies lies in buffers at fixed addresses, and the graph itself counts the whole
    batches of an epoch. Random numbers continue from replay to replay as from step to step. A
    replay is trusted once it agrees with a plain step in float32 from the same state, within
    `tolerance`; else steps are plain, in float32.
    """

    def __init__(
        self,
        state: State,
        training: Split,
        *,
        batch: int,
        precision: Precision = "float32",
        capture: Capture | None = None,
    ) -> None:
        super().__init__(state, training, precision=precision)
        sizes, device = state.experiment.recipe.batches(len(training)), state.device
        steps, whole = len(sizes), sizes.count(batch)
        self.precision, self.capture = precision, capture or captured
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.order_WB = torch.zeros(whole, batch, dtype=torch.int64, device=device)
        self.rates_S, self.weights_S, self.losses_S = torch.zeros(3, steps, device=device).unbind()
        self.replay: Callable[[], None] | None = None
        self.plain: PlainStep | None = None
        """What steps are where they cannot be captured."""

    def get_ready(self) -> Iterator[NotCaptured]:
        """Captures once, before the first epoch of a process, and compares.

        Raises DeviceUnavailable where that fails and epochs of the run were captured already. What
        torch says of the device itself, which a capture may leave unfit, is raised as it is.
        """
        if self.replay is not None or self.plain is not None:
            return
        plain = PlainStep(self.state, self.training)
        images = len(self.training)
        expected = outcome(plain, images=images)
        try:
            self.replay = self.capture(self.next, self.state)
            found = outcome(self, images=images)
            trouble = trouble_of(
                found, expected, tolerance(self.state.experiment.recipe, self.precision)
            )
        except (torch.AcceleratorError, torch.OutOfMemoryError):
            raise  # of the device, not of what is captured
        except RuntimeError as error:
            trouble = in_a_line(error)
        if not trouble:
            return
        if self.state.epoch > 0:
            message = f"the captured steps of this run are not available here: {trouble}"
            raise DeviceUnavailable(message, hint=PLAIN_INSTEAD)
        self.replay, self.plain = None, plain
        yield NotCaptured(trouble)

    def begin(self, epoch: EpochPlan) -> None:
        if self.plain is not None:
            self.plain.begin(epoch)
            self.losses_S = self.plain.losses_S
            return
        self.epoch = epoch
        self.number.zero_()
        self.order_WB.copy_(torch.stack(epoch.batches[: len(self.order_WB)]))
        self.rates_S.copy_(torch.tensor(epoch.rates))
        if epoch.weights:
            self.weights_S.copy_(torch.tensor(epoch.weights))

    def __call__(self, number: int) -> None:
        if self.plain is not None:
            self.plain(number)
            return
        if number < len(self.order_WB):
            assert self.replay is not None, "get_ready comes first"
            self.replay()
            return
        rate, weight = self.rates_S[number], self.weights_S[number]
        self.losses_S[number] = self.learn(self.epoch.batches[number], rate=rate, weight=weight)

    def next(self) -> None:
        """The step whose turn it is by the count in `number`."""
        loss = self.learn(
            self.order_WB.index_select(0, self.number)[0],
            rate=self.rates_S.index_select(0, self.number)[0],
            weight=self.weights_S.index_select(0, self.number)[0],
        )
        self.losses_S.index_copy_(0, self.number, loss[None])
        self.number.add_(1).remainder_(len(self.order_WB))


def captured(step: Callable[[], None], state: State) -> Callable[[], None]:
    """What repeats `step` as a graph. `state` is left as it was found."""
    graph = torch.cuda.CUDAGraph()
    if torch.__version__ < "2.14":  # later ones register each generator when it is first used
        graph.register_generator_state(state.augment)
    with state.rehearsal():
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it without types
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
        torch.cuda.current_stream().wait_stream(side)
        state.optimizer.zero_grad()  # so that the gradients are the graph's own
        with torch.cuda.graph(graph):
            step()
    replay: Callable[[], None] = graph.replay
    return replay
