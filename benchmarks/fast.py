"""The quickest network of the zoo beside 19 epochs of a plain training script, in turn.

    python benchmarks/fast.py benchmarks/plain_script.py --root DATA --pairs 3 --out REPORT

Whole commands are measured, from the start of the process to its end: imports, data, training and
evaluation. The script trains one epoch, without loader workers, its faster setting on two cores.
Its 19 epochs are taken to be that command and 18 times what it says of its epoch. Of each pair, the
first command of ours has an empty cache, so that it tries the native library as on a new machine
(`--engine native`), or builds it where none was installed, and the second knows it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from peer import measured, read_ours, read_peer
from report import PROGRAM, origin, publish, spread, table

EPOCHS = 19
"""Of the script, as it stands."""


def whole_seconds(command: float, epoch: float) -> float:
    """Of all epochs, from a command of one epoch and what it says of that epoch."""
    return command + (EPOCHS - 1) * epoch


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("peer", type=Path, metavar="PEER_SCRIPT")
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--entry", default="fast")
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--threads", type=int, default=2, help="of ours")
    options.add_argument("--batch-size", type=int, default=128, help="of the script")
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    theirs = [sys.executable, str(given.peer), "--root", str(given.root), "--epochs", "1"]
    theirs += ["--workers", "0", "--batch-size", str(given.batch_size)]
    ours = [*PROGRAM, "train", given.entry, "--dataset", "mnist", "--data-dir", str(given.root)]
    ours += ["--engine", "native", "--threads", str(given.threads), "--json", "--quiet"]
    measured([sys.executable, str(given.peer), "--help"])  # fills the file cache
    measured([*PROGRAM, "train", given.entry, "--dry-run"])
    pairs = []
    for seed in range(given.pairs):
        seconds, _, output = measured([*theirs, "--seed", str(seed)])
        peer = read_peer(output)
        pair = {
            "seed": seed,
            "peer_command_seconds": seconds,
            "peer_says_seconds": peer.seconds,
            "peer_whole_seconds": whole_seconds(seconds, peer.seconds),
        }
        for name in ("first", "next"):
            with tempfile.TemporaryDirectory() as folder:
                # A cache of its own is that of a machine where nothing was built yet.
                cold = ["env", f"XDG_CACHE_HOME={folder}/cache"] if name == "first" else []
                options_of_run = ["--seed", str(seed), "--out", f"{folder}/runs"]
                seconds, _, output = measured([*cold, *ours, *options_of_run])
            said = read_ours(output)
            pair[f"{name}_seconds"] = seconds
            pair[f"{name}_says_seconds"] = said.seconds
            pair[f"{name}_accuracy_percent"] = said.accuracy_percent
            pair[f"{name}_ratio"] = pair["peer_whole_seconds"] / seconds
        print(json.dumps(pair), file=sys.stderr)
        pairs.append(pair)
    report = {
        **origin(),
        "epochs": EPOCHS,
        "batch_size": given.batch_size,
        "pairs": pairs,
        **{
            f"{name}_ratio": spread([it[f"{name}_ratio"] for it in pairs])
            for name in ("first", "next")
        },
    }
    columns = ("peer_whole_seconds", "first_seconds", "first_ratio", "next_seconds", "next_ratio")
    rows = [[str(it["seed"]), *(f"{it[name]:.1f}" for name in columns)] for it in pairs]
    publish(table(["seed", *columns], rows) + "\n", report, given.out)


if __name__ == "__main__":
    main()
