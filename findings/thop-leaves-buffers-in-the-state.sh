#!/usr/bin/env bash
# thop 0.1.1 beside torch 2.14.1. `profile` registers its counters as buffers of every module, and takes them away only
# of those that it knows how to count. A class of one's own keeps them. They are saved with the weights, and such a file
# no longer fits the same class: load_state_dict names keys that are not expected. One expects a count to leave the
# model as it was. Seen: "total_ops" and "total_params" are left, and "Unexpected key(s)".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet thop==0.1.1.post2209072238 torch==2.14.1 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
import torch
from thop import profile
from torch import nn


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x).amax((2, 3))


model = Network()
before = set(model.state_dict())
profile(model, (torch.zeros(1, 1, 28, 28),), verbose=False)
left = sorted(set(model.state_dict()) - before)
print(f"before: {sorted(before)}")
print(f"left:   {left}")
try:
    Network().load_state_dict(model.state_dict())
    said = "loads"
except RuntimeError as error:
    said = " ".join(str(error).split())[:110]
print(f"into the same network: {said}")
assert left, "the behaviour has changed"
assert "Unexpected key" in said, "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py"
echo "thop 0.1.1: a count leaves its buffers in the state of a model"
