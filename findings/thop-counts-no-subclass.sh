#!/usr/bin/env bash
# thop 0.1.1 beside torch 2.14.1. `profile` looks a module up by its exact type. So a class that inherits from
# nn.Conv2d, as for padding or standardised weights of one's own, counts as nothing: neither its multiply-accumulates nor
# its parameters, and nothing is printed about it where verbose is False. One expects 48,752 and 162 both times.
# Seen: nn.Conv2d 48,752 and 162; the class that inherits from it 80 and 90.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet thop==0.1.1.post2209072238 torch==2.14.1 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
import torch
from thop import profile
from torch import nn


class Inherited(nn.Conv2d):
    """Nothing of its own."""


def counted(kind: type[nn.Conv2d]) -> tuple[int, int, int]:
    model = nn.Sequential(kind(1, 8, 3, bias=False), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    macs, parameters = profile(model, (torch.zeros(1, 1, 28, 28),), verbose=False)
    return int(macs), int(parameters), sum(it.numel() for it in model.parameters())


for kind in (nn.Conv2d, Inherited):
    macs, parameters, true = counted(kind)
    print(f"{kind.__name__}: {macs:,} MACs, {parameters} parameters of {true}")
assert counted(nn.Conv2d) == (48_752, 162, 162), "the behaviour has changed"
assert counted(Inherited) == (80, 90, 162), "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py"
echo "thop 0.1.1: a class that inherits from nn.Conv2d counts as nothing"
