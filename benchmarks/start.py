"""How long `mnist-arch summary` takes beside `import torch`, run in turn.

    python benchmarks/start.py --pairs 15 --out benchmarks/results/start.json

Whole processes are timed from outside. The figure is the ratio of each pair, so that the machine's
changes of speed cancel out.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

SUMMARY = [sys.executable, "-c", "from cli.app import app; app(prog_name='mnist-arch')", "summary"]
TORCH = [sys.executable, "-c", "import torch"]


def seconds(command: list[str]) -> float:
    """Wall-clock of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=15)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    seconds(SUMMARY), seconds(TORCH)  # fills the file cache
    pairs = [(seconds(SUMMARY), seconds(TORCH)) for _ in range(arguments.pairs)]
    ratios = [summary / torch for summary, torch in pairs]
    report = {
        "command": ["python", *sys.argv],
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "pairs_seconds": pairs,
        "summary_median_seconds": statistics.median(summary for summary, _ in pairs),
        "torch_median_seconds": statistics.median(torch for _, torch in pairs),
        "ratio_median": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
    text = json.dumps(report, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
