"""From the start of `mnist-arch train` to its first training step, compared with torch and the data
alone.

    python benchmarks/first_step.py --pairs 7 --other CHECKOUT \\
        --out benchmarks/results/first_step.json

Beside it stands a process that imports torch, reads the four IDX files of MNIST with numpy and
makes tensors of them. Whole processes are timed from outside, in turn; the figure is the ratio of
each pair. The step is seen by the first Progress of the loop, whose least time is set to 0 when the
loop's module is loaded; nothing is imported for that. The files have to be there unpacked.
The other checkout is one of before the engine, c05f2a9, and is timed in turn with both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from report import environment, origin, publish, spread, table

WATCHED: Final = (
    "torchvision",
    "matplotlib",
    "scipy.stats",
    "sklearn",
    "pandas",
    "ray",
    "optuna",
    "torch._dynamo",
)
"""What no training needs before its first step."""

OURS: Final = """
import os, sys
from importlib.machinery import PathFinder

class FirstStep:
    def __init__(self, *values):
        os.write(1, "\\n".join(sys.modules).encode())
        os._exit(0)

class Finder:
    def find_spec(name, path, target=None):
        if name != "mnist_arch.training.loop":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            assert hasattr(module, "PROGRESS_SECONDS") and hasattr(module, "Progress")
            module.PROGRESS_SECONDS, module.Progress = 0.0, FirstStep
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder)
from mnist_arch_cli.app import app
app(prog_name="mnist-arch")
"""

OTHER: Final = "import sys; sys.path.insert(0, {checkout!r})\n" + OURS.replace(
    "mnist_arch.training.loop", "mnist_arch.training"
).replace("mnist_arch_cli", "cli")
"""The same in the other checkout, where modules have their former names."""

BARE: Final = """
import os, sys
import numpy as np
import torch
for prefix in ("train", "t10k"):
    images = np.fromfile(f"{sys.argv[1]}/{prefix}-images-idx3-ubyte", dtype=np.uint8)[16:]
    labels = np.fromfile(f"{sys.argv[1]}/{prefix}-labels-idx1-ubyte", dtype=np.uint8)[8:]
    torch.from_numpy(images).reshape(-1, 1, 28, 28), torch.from_numpy(labels.astype(np.int64))
os._exit(0)
"""


def bare(root: Path) -> list[str]:
    """The command that imports torch and reads the data."""
    return [sys.executable, "-c", BARE, str(root / "MNIST" / "raw")]


def ours(root: Path, folder: str, *, flags: Sequence[str] = (), program: str = OURS) -> list[str]:
    """The command that ends with the first step, and prints what was imported until then."""
    options = ["train", "s6", "--dataset", "mnist", "--data-dir", str(root)]
    return [sys.executable, *flags, "-c", program, *options, "--out", folder, "--again"]


def timed(command: list[str]) -> tuple[float, str]:
    """Wall-clock seconds of a process, and its output."""
    start = time.perf_counter()
    result = subprocess.run(
        command,
        env=environment(),
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start, result.stdout.decode()


def imported(modules: Sequence[str]) -> dict[str, bool]:
    """Which of those watched are among the modules."""
    found = set(modules)
    return {name: name in found for name in WATCHED}


def import_microseconds(text: str) -> Counter[str]:
    """Microseconds by top-level package, of what `python -X importtime` wrote.

    Each module counts without those that it imports.
    """
    microseconds: Counter[str] = Counter()
    for line in text.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and len(fields) == 3 and fields[0].strip().isdigit():
            microseconds[fields[2].strip().split(".")[0]] += int(fields[0])
    return microseconds


def most_expensive(command: list[str]) -> dict[str, float]:
    """Seconds of the ten top-level packages that take longest to import, as Python says."""
    result = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
    return {name: count / 1e6 for name, count in import_microseconds(result.stderr).most_common(10)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--data-dir", type=Path, default=os.environ.get("MNIST_ARCH_DATA"))
    options.add_argument("--other", type=Path)
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    if arguments.data_dir is None:
        options.error("--data-dir is needed where MNIST_ARCH_DATA is not set")
    root = Path(arguments.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        command = ours(root, folder)
        timed(bare(root))  # each command once: fills the file cache, and keeps what is compiled
        modules = timed(command)[1].splitlines()
        if "mnist_arch.training.loop" not in modules:
            raise ValueError("the first step was not seen")
        commands = [command, bare(root)]
        if arguments.other is not None:
            program = OTHER.replace("{checkout!r}", repr(str(arguments.other.resolve())))
            commands.append(ours(root, folder, program=program))
            timed(commands[-1])
        turns = [[timed(it)[0] for it in commands] for _ in range(arguments.pairs)]
        pairs = [(first, alone) for first, alone, *_ in turns]
        packages = most_expensive(ours(root, folder, flags=["-X", "importtime"]))
    ratios = [first / alone for first, alone in pairs]
    extra = [first - alone for first, alone in pairs]
    watched = imported(modules)
    report: dict[str, Any] = {
        **origin(),
        "pairs_seconds": pairs,
        "first_step_seconds": spread([first for first, _ in pairs]),
        "bare_seconds": spread([alone for _, alone in pairs]),
        "extra_seconds": spread(extra),
        "ratios": ratios,
        "ratio": spread(ratios),
        "other_ratios": [other / alone for _, alone, *others in turns for other in others],
        "import_seconds": packages,
        "imported": watched,
    }
    rows = [
        [name, *(f"{value:.2f}" for value in report[key].values())]
        for name, key in (
            ("first step, seconds", "first_step_seconds"),
            ("torch and data, seconds", "bare_seconds"),
            ("ratio", "ratio"),
        )
    ]
    text = table(["", "median", "least", "most"], rows)
    text += table(
        ["import of", "ms"], [[name, f"{1e3 * cost:,.0f}"] for name, cost in packages.items()]
    )
    text += table(["imported", ""], [[name, "yes" if it else "no"] for name, it in watched.items()])
    publish(text, report, arguments.out)
    if watched["torchvision"]:
        sys.exit("torchvision is imported on the way to the first step")


if __name__ == "__main__":
    main()
