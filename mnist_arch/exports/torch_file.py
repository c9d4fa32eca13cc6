"""A network as a file of torch.export (.pt2), from the bytes of images to logits."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from mnist_arch.data.catalog import Normalization
from mnist_arch.network.build import Classifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnist_arch.exports.parity import Run

METADATA: Final = "metadata.json"
"""Of the extra files of the archive."""

_OF_THE_MACHINE: Final = (
    "stack_trace",
    "nn_module_stack",
    "source_fn_stack",
    "torch_fn",
    "from_node",
)
"""What a node remembers of the code that it was traced from, with the paths of this machine."""


class FromBytes(nn.Module):
    """A network with its normalisation. (N, 28, 28) uint8 → (N, classes) float32."""

    def __init__(self, model: Classifier, by: Normalization) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = by.mean, by.std

    def forward(self, image: Tensor) -> Tensor:
        x_NCHW = (image.unsqueeze(1).float() / 255 - self.mean) / self.std
        logits: Tensor = self.model(x_NCHW)
        return logits


def torch_bytes(model: Classifier, by: Normalization, *, metadata: Mapping[str, str]) -> bytes:
    """The file: from `image`, (N, 28, 28) uint8, to logits, (N, classes) float32.

    Nothing in it is of the machine that wrote it, but for the version of torch.
    """
    example = (torch.zeros(2, 28, 28, dtype=torch.uint8),)
    batch = torch.export.Dim("N", min=1)
    # In the usual order of memory, which is what the file keeps.
    module = FromBytes(copy.deepcopy(model), by).eval().to(memory_format=torch.contiguous_format)
    program = torch.export.export(module, example, dynamic_shapes={"image": {0: batch}})
    for node in program.graph.nodes:
        for key in _OF_THE_MACHINE:
            node.meta.pop(key, None)
    program.example_inputs = None
    content = io.BytesIO()
    text = json.dumps(dict(sorted(metadata.items())), ensure_ascii=False)
    torch.export.save(program, content, extra_files={METADATA: text})
    return content.getvalue()


def torch_runner(content: bytes) -> Run:
    """The network in such a file, read again."""
    module: Any = torch.export.load(io.BytesIO(content)).module()

    def run(images_NHW: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            logits: NDArray[Any] = module(torch.from_numpy(images_NHW)).numpy()
        return logits

    return run
