"""A step whose network is compiled."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import torch

from mnist_arch.data.split import Split
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.network.fused import fused
from mnist_arch.training.allocator import give_back_freed
from mnist_arch.training.engine import Precision
from mnist_arch.training.events import Compiling, NotCompiled
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

PLAIN_INSTEAD: Final = (
    "resume where they can, or start from scratch: train(again=True, engine='plain')"
)
"""What to do about steps that cannot be made here."""


class CompiledStep(PlainStep):
    """A step whose network is compiled: norms, activations and pools become a few loops of C++.

    That takes up to a minute, in which nothing would be seen to happen. So the first epoch of a run
    is plain; and where there is no compiler, nothing else has happened yet than in a plain run. The
    loops are for whole batches: an incomplete one is plain in every epoch.
    """

    def __init__(
        self, state: State, training: Split, *, batch: int, precision: Precision = "float32"
    ) -> None:
        super().__init__(state, training, precision=precision)
        self.fused = fused(state.model)
        self.batch, self.tried = batch, False

    def get_ready(self) -> Iterator[Compiling | NotCompiled]:
        """Compiles once, after the first epoch of the run, or where a process resumes it.

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
        whole = torch.compile(
            self.fused,
            fullgraph=True,
            dynamic=False,
            options={"fallback_random": True, "cpp.threads": torch.get_num_threads()},
        )
        self.network = lambda x_NCHW: (whole if len(x_NCHW) == self.batch else plain)(x_NCHW)
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
