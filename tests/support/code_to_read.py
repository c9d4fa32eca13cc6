"""Code that a test has read: of torch, as a module of a few lines."""

from __future__ import annotations

import pytest

from mnist_arch.convert.importing import Imported, Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin, SpecError

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def source_of(code: str) -> Source:
    return Source("net.py", ((Origin("net.py:1"), code),))


def of_code(code: str, **request: object) -> Imported:
    return import_source(source_of(code), Request(**request))  # type: ignore[arg-type]


def refused(code: str, **request: object) -> list[str]:
    """Message and line of each problem."""
    with pytest.raises(SpecError) as caught:
        of_code(code, **request)
    return [f"{it.origin}: {it.message} | {it.hint}" for it in caught.value.problems]


def module(setup: str, forward: str) -> str:
    """A module of a few lines, which is made once."""
    return (
        f"{HEAD}class Net(nn.Module):\n"
        f"    def __init__(self):\n        super().__init__()\n        {setup}\n"
        f"    def forward(self, x):\n        {forward}\n"
        "model = Net()\n"
    )
