"""A program as an ONNX file, run by onnxruntime."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
import torch
from strategies import Mapping, text_of
from trained import arrays, trained

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.exports.lowering import lower
from mnist_arch.exports.onnx_file import onnx_bytes
from mnist_arch.exports.parity import Parity, in_batches
from mnist_arch.exports.program import Program
from mnist_arch.exports.torch_file import METADATA, torch_bytes, torch_runner
from mnist_arch.spec.loading import load, loads
from mnist_arch.zoo.index import zoo_names

MNIST = INFO["mnist"]
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)


def program_of(spec: Mapping, *, signs: int = -1) -> Program:
    experiment = loads(text_of({"name": "test", **spec}), source="test.yaml").experiment
    model = trained(experiment, signs=signs)
    return lower(plan_network(experiment).layers, arrays(model), MNIST)


def file_of(program: Program) -> bytes:
    return onnx_bytes(program, name="test", metadata={"b": "2", "a": "1"})


def test_the_file_says_what_it_takes_and_gives() -> None:
    content = file_of(program_of({"blocks": [{"channels": [4]}], "head": {"reduce": 10}}))
    model = onnx.load_from_string(content)
    assert [it.name for it in model.graph.input] == ["image"]
    (batch, *sides) = model.graph.input[0].type.tensor_type.shape.dim
    assert (batch.dim_param, [it.dim_value for it in sides]) == ("N", [28, 28])
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [it.name for it in model.graph.output] == ["logits"]
    assert {it.key: it.value for it in model.metadata_props} == {"a": "1", "b": "2"}
    assert model.opset_import[0].version == 17


def test_equal_networks_are_equal_bytes_and_name_nothing_of_the_machine() -> None:
    spec = {"blocks": [{"channels": [4]}], "head": {"reduce": 10}}
    content = file_of(program_of(spec))
    assert content == file_of(program_of(spec))
    assert b"/" not in content.replace(b"mnist-arch", b"")[:200]


def test_shared_weights_are_stored_once() -> None:
    def size(repeat: int) -> int:
        block = {"channels": [16], "repeat": repeat, "share": True, "norm": "none"}
        spec = {"blocks": [{"channels": [16]}, block], "head": {"reduce": 10}}
        return len(file_of(program_of(spec)))

    assert size(4) - size(2) < 200


def test_s6_has_no_norm_left_and_hardly_more_bytes_than_weights() -> None:
    experiment = load("s6").experiment
    program = lower(plan_network(experiment).layers, arrays(trained(experiment, signs=1)), MNIST)
    content = file_of(program)
    kinds = {node.op_type for node in onnx.load_from_string(content).graph.node}
    assert kinds == {
        *("Unsqueeze", "Cast", "Mul", "Add", "Conv", "Relu", "Max", "MaxPool"),
        *("AveragePool", "Flatten"),
    }
    assert len(content) - 4 * program.numbers < 3000


# ------------------------------------------------------------------------------------ torch.export


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.parametrize("name", zoo_names())
def test_a_torch_file_is_equal_to_the_bit_and_has_no_paths(name: str) -> None:
    model = trained(load(name).experiment)
    content = torch_bytes(model, MNIST, metadata={"name": name})
    found = in_batches(torch_runner(content), IMAGES)
    with torch.no_grad():
        x = torch.from_numpy(IMAGES)[:, None].float() / 255
        right = model((x - MNIST.mean) / MNIST.std).numpy()
    assert Parity.of(found, right, dataset="mnist", split="test").is_equal
    extra = {METADATA: ""}
    torch.export.load(io.BytesIO(content), extra_files=extra)
    assert name in extra[METADATA]
    for word in (b".py", b"site-packages", b"mnist_arch"):
        assert word not in content


# ------------------------------------------------------------------------------------------ parity


def test_what_differs_is_seen() -> None:
    right = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    same = Parity.of(right, right, dataset="mnist", split="test")
    assert same.is_equal
    assert str(same) == (
        "the same predictions on 2 of 2 images (mnist, test), logits at most 0 apart"
    )
    turned = Parity.of(right[:, ::-1], right, dataset="mnist", split="test")
    assert (turned.same, turned.is_equal) == (0, False)
    shifted = Parity.of(right + 0.1, right, dataset="mnist", split="test")
    assert (shifted.same, shifted.is_equal) == (2, False)
    lost = Parity.of(right * np.nan, right, dataset="mnist", split="test")
    assert not lost.is_equal
