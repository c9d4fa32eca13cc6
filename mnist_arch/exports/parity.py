"""What an exported file says of images, compared with what torch says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from mnist_arch.data.catalog import DatasetName, SplitName
from mnist_arch.errors import ExportDiffers, WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Run = Callable[[NDArray[Any]], NDArray[Any]]
    """(N, 28, 28) uint8 → (N, classes) float32."""

BATCH: Final = 500
TOLERANCE: Final = 1e-3
"""Largest difference of two logits, as a share of the largest logit, that is rounding."""

LEAST_SAME: Final = 0.98
"""Share of predictions in whole numbers that are those of the reference."""


@dataclass(frozen=True)
class Parity:
    """How near the logits of an exported file are to torch's."""

    same: int
    """Images with the same prediction."""
    images: int
    largest: float
    """Largest difference of two logits."""
    largest_logit: float
    """Largest absolute logit of torch."""
    dataset: DatasetName
    split: SplitName
    """Of the images."""

    @classmethod
    def of(
        cls,
        found_NK: NDArray[Any],
        right_NK: NDArray[Any],
        *,
        dataset: DatasetName,
        split: SplitName,
    ) -> Self:
        """Raises WeightsError where the network's own logits are not finite."""
        import numpy as np

        if not np.isfinite(right_NK).all():
            hint = "its weights are damaged, or its training diverged"
            raise WeightsError("the network gives values that are not finite", hint=hint)
        difference = np.abs(found_NK.astype(np.float64) - right_NK)
        return cls(
            same=int((found_NK.argmax(1) == right_NK.argmax(1)).sum()),
            images=len(right_NK),
            largest=float(difference.max()),
            largest_logit=float(np.abs(right_NK).max()),
            dataset=dataset,
            split=split,
        )

    @property
    def is_equal(self) -> bool:
        """Whether all predictions are the same, and logits differ by rounding alone."""
        near = self.largest <= TOLERANCE * max(self.largest_logit, 1.0)
        return self.same == self.images and near

    def check(self, what: str, *, whole_numbers: bool = False, exactly: bool = False) -> None:
        """Raises ExportDiffers where the file, in words, is not the network.

        `exactly` allows no difference at all.

        A sum right between two whole numbers goes to the even one in onnxruntime, and to the
        greater one in the reference of `whole_numbers`, so a few predictions may differ there.
        """
        least = LEAST_SAME * self.images
        is_right = self.same >= least if whole_numbers else self.is_equal
        if not is_right or (exactly and self.largest > 0):
            raise ExportDiffers(
                f"{what} is not equal to the network: {self}",
                hint="nothing is written; please report it with the spec of the network",
            )

    def __str__(self) -> str:
        return (
            f"the same predictions on {self.same:,} of {self.images:,} images "
            f"({self.dataset}, {self.split}), logits at most {self.largest:.2g} apart"
        )


def in_batches(run: Run, images_NHW: NDArray[Any]) -> NDArray[Any]:
    """Logits of all images: the first alone, so that two sizes of a batch are tried."""
    import numpy as np

    return np.concatenate([run(batch) for batch in _batches(images_NHW)])


def _batches(images_NHW: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield images_NHW[:1]
    for start in range(1, len(images_NHW), BATCH):
        yield images_NHW[start : start + BATCH]


def onnx_runner(content: bytes) -> Run:
    """The network in an ONNX file, run by onnxruntime on the CPU, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()

    def run(images_NHW: NDArray[Any]) -> NDArray[Any]:
        logits: NDArray[Any] = session.run([result.name], {given.name: images_NHW})[0]
        return logits

    return run
