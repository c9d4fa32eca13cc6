#!/usr/bin/env bash
# torchsummary 1.5.1 beside torch 2.14.1. The table has a row for each layer that is called, and "Total params" is the
# sum of the rows. An nn.Parameter that stands in the module itself, such as a learned scale, has no row, so the total
# is too small, and a budget that is read off it holds where the network does not. One expects 170, or a line about the
# difference. Seen: 162 of 170.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchsummary==1.5.1 torch==2.14.1 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
import contextlib
import io

import torch
from torch import nn
from torchsummary import summary


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, bias=False)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.linear = nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear((self.scale * self.convolution(images)).amax((2, 3)))


model, printed = Scaled(), io.StringIO()
with contextlib.redirect_stdout(printed):
    summary(model, (1, 28, 28), device="cpu")
total = next(line for line in printed.getvalue().splitlines() if line.startswith("Total params"))
true = sum(it.numel() for it in model.parameters())
print(f"{total}; the model has {true}")
assert (total, true) == ("Total params: 162", 170), "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
echo "torchsummary 1.5.1: parameters of the module itself are not in the total"
