"""The interpreter in Node against torch, and its framing against that of `predict`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_runs import make_run, tiny
from trained import arrays, trained

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.data.framing import FRAMINGS, WHOLE, framed
from mnist_arch.data.load import load_split
from mnist_arch.errors import ImageError, WeightsError
from mnist_arch.evaluation.metrics import predict
from mnist_arch.exports.javascript import engine, module, module_runner, network_object
from mnist_arch.exports.lowering import lower
from mnist_arch.network.build import Classifier
from mnist_arch.network.weights import build_with, read_weights, save_weights
from mnist_arch.play.page import network_of
from mnist_arch.runs.find import TrainedNetwork, find
from mnist_arch.spec.loading import loads

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node")
INFO_MNIST = INFO["mnist"]

# Each operation of a program, and each way to pad, group and stride a convolution.
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {"blocks": [{"channels": [4, 6], "pool": "max"}]},
    "floors": {
        "blocks": [{"channels": [4, 6], "padding": "same", "pool": {"kind": "average", "size": 3}}],
        "head": {"pool": "flatten", "linear": True},
    },
    "borders": {
        "defaults": {
            "padding": "same",
            "padding_mode": "replicate",
            "order": "conv-norm-activation",
        },
        "blocks": [{"channels": [4, 6], "kernel": 5}, {"channels": [4], "stride": 2}],
        "head": {"pool": "global-max", "reduce": 10},
    },
    "groups": {
        "defaults": {"norm": {"kind": "group", "groups": 2}, "activation": "gelu"},
        "blocks": [{"channels": [4, 8], "stride": 2}, {"channels": [8], "kind": "separable"}],
    },
    "residual": {
        "defaults": {"norm": "instance", "activation": "silu", "padding": "same"},
        "blocks": [{"channels": [4, 4], "residual": True, "squeeze_excitation": 2}],
    },
    "curves": {
        "defaults": {"activation": "hardswish", "norm": "none"},
        "blocks": [
            {"channels": [4], "stride": 3},
            {"channels": [6], "activation": "prelu", "kind": "grouped", "groups": 2},
        ],
    },
    "leaky": {"defaults": {"activation": "leaky_relu"}, "blocks": [{"channels": [4]}]},
}


def run(script: str, folder: Path, data: bytes = b"") -> Any:
    """What a module in a folder prints as JSON; it reads bytes from `data.bin`."""
    assert NODE is not None
    (folder / "run.mjs").write_text(script)
    (folder / "data.bin").write_bytes(data)
    done = subprocess.run(
        [NODE, "run.mjs"], cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOGITS = """
import fs from "fs";
import { logits, predict } from "./net.mjs";
const bytes = fs.readFileSync("data.bin"), found = [];
for (let at = 0; at < bytes.length; at += 784) {
  const pixels = bytes.subarray(at, at + 784), { label, probabilities } = predict(pixels);
  found.push([...logits(pixels), label, ...probabilities]);
}
console.log(JSON.stringify(found));
"""


def by_module(network: dict[str, Any], images: NDArray[Any], folder: Path) -> NDArray[Any]:
    """For each image logits, label and probabilities."""
    (folder / "net.mjs").write_text(module(network, {}))
    return np.array(run(LOGITS, folder, images.tobytes()))


def check(network: dict[str, Any], model: Classifier, images: torch.Tensor, folder: Path) -> None:
    right = predict(model, images, INFO_MNIST).double()
    found = by_module(network, images.numpy(), folder)
    classes = right.shape[1]
    assert np.abs(found[:, :classes] - right.numpy()).max() < 1e-4
    assert (found[:, classes] == right.argmax(1).numpy()).all()
    assert np.abs(found[:, classes + 1 :] - right.softmax(1).numpy()).max() < 1e-4


def s6() -> tuple[TrainedNetwork, Classifier]:
    it = find("zoo/s6", runs=Path("nothing"))
    tensors, _ = read_weights(it.weights)
    return it, build_with(it.experiment, tensors, it.weights)


@pytest.mark.slow
@pytest.mark.mnist
@needs_node
def test_the_zoo_is_as_torch_on_images_of_the_test_split(tmp_path: Path) -> None:
    it, model = s6()
    check(network_of(it), model, load_split("mnist", "test").images[:300], tmp_path)


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.by_hand
@needs_node
def test_the_zoo_is_as_torch_on_all_images_of_the_test_split(tmp_path: Path) -> None:
    it, model = s6()
    check(network_of(it), model, load_split("mnist", "test").images, tmp_path)


@pytest.mark.slow
@needs_node
@pytest.mark.parametrize("name", NETWORKS)
def test_every_operation_is_as_in_torch(name: str, tmp_path: Path) -> None:
    spec = {"name": name, "dataset": "mnist", "head": {"reduce": 10}, **NETWORKS[name]}
    experiment = loads(json.dumps(spec), source="test.yaml").experiment
    model = trained(experiment, seed=1)
    program = lower(plan_network(experiment).layers, arrays(model), INFO_MNIST)
    it = TrainedNetwork(tmp_path / "none", experiment, "mnist")
    fitting = np.stack([framed(image, "mnist").pixels for image in drawings(8)])
    check(network_object(program, it), model, torch.from_numpy(fitting)[:, None], tmp_path)


# ------------------------------------------------------------------------------------------ framing

FRAMED = """
const bytes = (await import("fs")).readFileSync("data.bin"), found = [];
let at = 0;
for (const [width, height, framing] of CASES) {
  const pixels = framed(bytes.subarray(at, at + width * height), width, height, framing);
  found.push(pixels && [...pixels]);
  at += width * height;
}
console.log(JSON.stringify(found));
"""


def drawings(count: int) -> list[NDArray[np.uint8]]:
    """Pictures of lines of every size and place, dark on light, too, and with noise."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(7)
    found = []
    for number in range(count):
        width, height = (int(it) for it in rng.integers(20, 320, 2))
        image = Image.new("L", (width, height), 0)
        around = rng.uniform(0.1, 1) * min(width, height) / 2
        steps = rng.uniform(-around, around, (5, 2))
        line = [(float(width / 2 + x), float(height / 2 + y)) for x, y in steps]
        ImageDraw.Draw(image).line(line, fill=int(rng.integers(120, 256)), width=1 + number % 9)
        pixels = np.asarray(image)
        if number % 4 == 1:
            pixels = 255 - pixels
        if number % 4 == 2:
            noise = rng.integers(0, 25, pixels.shape)
            pixels = np.clip(pixels.astype(int) + noise, 0, 255).astype(np.uint8)
        found.append(pixels)
    return found


@pytest.mark.slow
@needs_node
def test_a_picture_is_framed_as_predict_does_it(tmp_path: Path) -> None:
    pictures = [*drawings(60), np.zeros((40, 30), np.uint8), drawings(1)[0][:1]]
    digit = framed(pictures[0], "mnist").pixels  # which is taken as it is
    cases = [
        (picture, dataset)
        for picture in [*pictures, digit, np.roll(digit, 5, 0)]
        for dataset in ("mnist", "emnist-digits", "fashion-mnist")
    ]
    data, known, right = b"", [], []
    for picture, dataset in cases:
        framing = FRAMINGS[dataset]  # type: ignore[index]
        given = {"box": framing.box, "byMass": framing.by_mass, "whole": framing is WHOLE}
        known.append([picture.shape[1], picture.shape[0], given])
        data += picture.tobytes()
        try:
            right.append(framed(picture, dataset).pixels.ravel().tolist())  # type: ignore[arg-type]
        except ImageError:
            right.append(None)
    script = f"{engine()}\nconst CASES = {json.dumps(known)};\n{FRAMED}"
    found = run(script, tmp_path, data)
    assert None in right
    for number, (mine, theirs) in enumerate(zip(found, right, strict=True)):
        assert mine == theirs, (number, cases[number][1], known[number])


@pytest.mark.slow
@needs_node
def test_a_canvas_is_seen_as_a_picture_with_its_transparency(tmp_path: Path) -> None:
    """Black on nothing, white on nothing, colours on paper, and a canvas that is empty."""
    drawn = drawings(8)
    stroke = drawn[0]
    none = np.zeros_like(stroke)
    canvases = [
        np.stack([none, none, none, stroke], 2),
        np.stack([stroke, stroke, stroke, stroke], 2),
        np.stack([255 - drawn[3], 255 - drawn[3] // 2, drawn[3] * 0 + 255, drawn[3] * 0 + 255], 2),
        np.zeros((30, 40, 4), np.uint8),
    ]
    it, _ = s6()
    (tmp_path / "net.mjs").write_text(module(network_of(it), {}))
    sides = [[canvas.shape[1], canvas.shape[0]] for canvas in canvases]
    script = f"""
import fs from "fs";
import {{ predict }} from "./net.mjs";
const bytes = fs.readFileSync("data.bin"), found = [];
let at = 0;
for (const [width, height] of {json.dumps(sides)}) {{
  const data = Uint8ClampedArray.from(bytes.subarray(at, (at += 4 * width * height)));
  const one = predict({{ data, width, height }});
  found.push(one && [...one.pixels]);
}}
console.log(JSON.stringify(found));
"""
    *found, empty = run(script, tmp_path, b"".join(it.tobytes() for it in canvases))
    assert empty is None
    for mine, canvas in zip(found, canvases, strict=False):
        assert mine == framed(canvas, "mnist").pixels.ravel().tolist()


# --------------------------------------------------------------------------------------- the object


def test_shared_weights_stand_there_once(tmp_path: Path) -> None:
    blocks = [{"channels": [4], "padding": "same", "repeat": 3, "share": True, "reduce": 10}]
    spec = {"name": "shared", "dataset": "mnist", "blocks": blocks}
    experiment = loads(json.dumps(spec), source="test.yaml").experiment
    program = lower(
        plan_network(experiment).layers, arrays(trained(experiment, seed=1)), INFO_MNIST
    )
    found = network_object(program, TrainedNetwork(tmp_path / "none", experiment, "mnist"))
    convolutions = [it["weight"] for it in found["operations"] if it["op"] == "Convolution"]
    assert len(convolutions) > len(set(convolutions))
    assert sum(found["sizes"]) == program.numbers


def test_a_network_that_diverged_is_refused(tmp_path: Path) -> None:
    run_ = make_run(tmp_path, tiny("lost"))
    it = find(str(run_.folder), runs=tmp_path)
    tensors, _ = read_weights(it.weights)
    model = build_with(it.experiment, tensors, it.weights)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    save_weights(it.weights, model, it.experiment)
    with pytest.raises(WeightsError, match="lost has weights that are not finite"):
        network_of(it)


def test_where_there_is_no_node_the_program_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    experiment = tiny()
    model = trained(experiment, seed=1)
    program = lower(plan_network(experiment).layers, arrays(model), INFO_MNIST)
    runner, note = module_runner(b"", program)
    images = np.zeros((1, 28, 28), np.uint8)
    assert note == "compared in NumPy, since Node is not available to run it"
    assert runner(images).shape == (1, 10)
