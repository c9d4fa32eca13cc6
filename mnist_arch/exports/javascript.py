"""A trained network in JavaScript: a small interpreter, and what it runs, as JSON.

Weights are float32 in base64, little-endian; those that several operations share stand there once.
The interpreter has no dependency. A module for a page of one's own exports functions; `play` puts
the same two parts into its page.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.data.framing import FRAMINGS, WHOLE
from mnist_arch.errors import ExportDiffers, WeightsError
from mnist_arch.exports.program import AnyOperation, Convolution, Program
from mnist_arch.exports.reference import logits
from mnist_arch.runs.find import TrainedNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnist_arch.exports.parity import Run

FORMAT: Final = 1

_MODULE: Final = """
const decodedNetwork = decoded(NETWORK);

/** Names of the classes, in the order of logits and probabilities. */
export const classNames = NETWORK.classes;

/** A number for each class, of 28×28 bytes that are as the images that it was trained on. */
export function logits(pixels) {
  return Array.from(logitsOf(decodedNetwork, pixels));
}

/**
 * The class of a picture: its number, its name, the probability of each class, and the 28×28
 * `pixels` that the network saw. The picture is an ImageData, such as `getImageData` of a canvas
 * gives, or `width` × `height` grey bytes, row by row. It is inverted where its background is
 * light, scaled and centred; null where nothing is to be seen on it.
 */
export function predict(picture, width = picture.width ?? SIDE, height = picture.height ?? SIDE) {
  const grey = picture.data === undefined ? picture : greyOf(picture.data);
  const pixels = framed(grey, width, height, NETWORK.framing);
  if (pixels === null) return null;
  const probabilities = softmax(logits(pixels));
  const label = probabilities.indexOf(largest(probabilities));
  return { label, name: classNames[label], probabilities, pixels };
}

/** Grey bytes of red, green, blue and opacity (ITU-R BT.601): what is dark is put on white. */
function greyOf(data) {
  const count = data.length / 4, grey = new Float64Array(count);
  let sum = 0, opacities = 0;
  for (let at = 0; at < count; at++) {
    const [red, green, blue, opacity] = data.subarray(4 * at, 4 * at + 4);
    grey[at] = 0.299 * red + 0.587 * green + 0.114 * blue;
    sum += grey[at] * opacity;
    opacities += opacity;
  }
  const behind = sum < 128 * opacities || opacities === 0 ? 255 : 0;
  return grey.map((value, at) => {
    const share = data[4 * at + 3] / 255;
    return rounded(value * share + behind * (1 - share));
  });
}
"""


_RUN: Final = """
import { readFileSync } from "fs";
import { logits } from "./network.mjs";
const bytes = readFileSync(0), found = [];
for (let at = 0; at < bytes.length; at += 784) found.push(logits(bytes.subarray(at, at + 784)));
console.log(JSON.stringify(found));
"""


def engine() -> str:
    """The interpreter, as functions of a script."""
    return (resources.files("mnist_arch.exports") / "engine.js").read_text("utf-8")


def network_object(program: Program, trained: TrainedNetwork) -> dict[str, Any]:
    """What the interpreter runs, ready for JSON: the program of a trained network.

    Raises WeightsError where weights are not finite.
    """
    import numpy as np

    arrays: list[NDArray[Any]] = []
    operations = [_object(it, arrays) for it in program.operations]
    if not all(np.isfinite(array).all() for array in arrays):
        hint = "its weights are damaged, or its training diverged"
        name = trained.experiment.name
        raise WeightsError(f"{name} has weights that are not finite", hint=hint)
    content = b"".join(array.astype("<f4").tobytes() for array in arrays)
    framing = FRAMINGS[trained.dataset]
    return {
        "format": FORMAT,
        "name": trained.experiment.name,
        "seed": trained.seed,
        "dataset": trained.dataset,
        "parameters": plan_network(trained.experiment).parameters,
        "classes": list(INFO[trained.dataset].class_names),
        "framing": {"box": framing.box, "byMass": framing.by_mass, "whole": framing is WHOLE},
        "operations": operations,
        "sizes": [array.size for array in arrays],
        "weights": base64.b64encode(content).decode(),
    }


def module(network: dict[str, Any], metadata: Mapping[str, str]) -> str:
    """A module for browsers and for Node: `predict`, `logits`, `classNames` and `metadata`."""
    return (
        f"{engine()}\nconst NETWORK = {json.dumps(network)};\n\n"
        "/** What the network is, and how good: texts, of which some are JSON. */\n"
        f"export const metadata = {json.dumps(metadata)};\n"
        f"{_MODULE}"
    )


def module_runner(content: bytes, program: Program) -> tuple[Run, str]:
    """What runs a module, and a note.

    That is Node; where there is none its program is run in NumPy.
    """
    node = shutil.which("node")
    if node is None:
        return partial(logits, program), "compared in NumPy, since Node is not available to run it"

    def run(images_NHW: NDArray[Any]) -> NDArray[Any]:
        import numpy as np

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "network.mjs").write_bytes(content)
            (Path(folder) / "run.mjs").write_text(_RUN, "utf-8")
            done = subprocess.run(
                [node, "run.mjs"], cwd=folder, input=images_NHW.tobytes(), capture_output=True
            )
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip()
            raise ExportDiffers(f"Node cannot run the module: {reason}")
        return np.array(json.loads(done.stdout), dtype=np.float32)

    return run, ""


def _object(operation: AnyOperation, arrays: list[NDArray[Any]]) -> dict[str, Any]:
    """The fields of an operation, with numbers in the place of its arrays."""
    found: dict[str, Any] = {"op": type(operation).__name__}
    for field in fields(operation):
        value = getattr(operation, field.name)
        if hasattr(value, "dtype"):
            value = _number(value, arrays)
        found[field.name] = value
    if isinstance(operation, Convolution):
        found["kernel"] = operation.kernel
    return found


def _number(array: NDArray[Any], arrays: list[NDArray[Any]]) -> int:
    for number, other in enumerate(arrays):
        if other is array:
            return number
    arrays.append(array)
    return len(arrays) - 1
