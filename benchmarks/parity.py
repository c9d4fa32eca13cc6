"""Every network that ships with weights, in every format: bytes, and how near to torch it is.

    python benchmarks/parity.py --out benchmarks/results/parity.json

With --networks only those are measured; the others keep the figures that the file has. It needs
the test images of MNIST, and the extra `export`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import report

import mnist_arch as ma
from mnist_arch.zoo.index import zoo

FORMATS: dict[str, dict[str, Any]] = {
    "onnx": {"format": "onnx"},
    "onnx, int8": {"format": "onnx", "int8": True},
    "torch": {"format": "torch"},
    "js": {"format": "js"},
    "C": {"format": "c"},
    "C, int8": {"format": "c", "int8": True},
}


def with_weights() -> list[str]:
    """Networks that ship with weights."""
    return [name for name, shipped in zoo().items() if shipped.weights_path.exists()]


def exports(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        for format, options in FORMATS.items():
            exported = ma.export(f"zoo/{name}", out=folder / format, **options)
            percent = json.loads(exported.metadata["accuracy"])["percent"]
            if exported.int8 is not None:
                percent = 100 * exported.int8.correct / exported.int8.images
            found.append(
                {
                    "network": name,
                    "parameters": ma.summary(f"zoo/{name}").parameters,
                    "format": format,
                    "bytes": exported.bytes,
                    "parity": asdict(exported.parity),
                    "accuracy_percent": percent,
                    "c": None if exported.c is None else asdict(exported.c),
                }
            )
            print(f"{name} {format}: {exported!r}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=with_weights())
    given = parser.parse_args()
    out, names = given.out, given.networks or with_weights()
    kept = json.loads(out.read_text("utf-8"))["exports"] if given.networks else []
    with tempfile.TemporaryDirectory() as folder:
        found = [it for it in kept if it["network"] not in names] + exports(Path(folder), names)
    found.sort(key=lambda it: it["network"])
    origin = report.origin()
    for package in ("onnx", "onnxruntime"):
        origin["versions"][package] = metadata.version(package)
    out.write_text(json.dumps({**origin, "exports": found}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
