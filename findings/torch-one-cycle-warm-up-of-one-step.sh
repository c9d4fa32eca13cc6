#!/usr/bin/env bash
# torch 2.14.1. OneCycleLR with `pct_start` such that the rate rises for exactly one step, as 0.1 of 10 steps, divides
# by zero when it is made: its first phase ends at step pct_start * total_steps - 1, which is then 0. The message names
# no argument. A little more or less than one step works. One expects a first step with the largest rate.
# Seen: ZeroDivisionError for 10 steps and 0.1; a schedule for 10 steps and 0.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
import torch
from torch.optim.lr_scheduler import OneCycleLR


def outcome(pct_start: float) -> str:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    try:
        schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=10, pct_start=pct_start)
    except ZeroDivisionError as error:
        return f"ZeroDivisionError: {error}"
    return f"begins with {schedule.get_last_lr()[0]:.3f}"


for share in (0.09, 0.1, 0.11):
    print(f"10 steps, pct_start={share}: {outcome(share)}")
assert outcome(0.1).startswith("ZeroDivisionError"), "the behaviour has changed"
assert outcome(0.11).startswith("begins"), "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py"
echo "torch 2.14.1: OneCycleLR divides by zero where pct_start is exactly one step"
