"""A network of whole numbers as an ONNX file, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from strategies import Mapping, text_of
from tiny_runs import make_run, tiny
from trained import arrays, trained
from typer.testing import CliRunner

import mnist_arch as ma
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.exports import integer
from mnist_arch.exports.integer import IntegerProgram
from mnist_arch.exports.lowering import lower
from mnist_arch.exports.onnx_file import onnx_bytes
from mnist_arch.exports.onnx_integer import integer_onnx_bytes
from mnist_arch.exports.parity import in_batches, onnx_runner
from mnist_arch.exports.program import Program
from mnist_arch.exports.quantization import quantized
from mnist_arch.spec.loading import load, loads
from mnist_arch_cli.app import app

MNIST = INFO["mnist"]
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 28, 28), np.uint8)


def program_of(spec: Mapping) -> Program:
    experiment = loads(text_of({"name": "test", **spec}), source="test.yaml").experiment
    return lower(plan_network(experiment).layers, arrays(trained(experiment)), MNIST)


def distance(program: IntegerProgram) -> NDArray[np.float64]:
    """Of all logits to the reference, as a share of the largest."""
    content = integer_onnx_bytes(program, name="test", metadata={})
    found = in_batches(onnx_runner(content), IMAGES) / program.logit_scale
    right = integer.logits(program, IMAGES)
    share: NDArray[np.float64] = np.abs(found - right) / max(1, np.abs(right).max())
    return share


def test_weights_of_any_size_are_not_cut() -> None:
    """Sums of uint8 times int8 are cut by onnxruntime on some CPUs, those of uint8 nowhere."""
    program = program_of({"blocks": [{"channels": [16, 16]}], "head": {"reduce": 10}})
    whole = quantized(program, np.full((8, 28, 28), 255, np.uint8))
    for operation in whole.operations:
        if isinstance(operation, integer.IntegerConvolution):
            operation.weight[:] = np.where(operation.weight < 0, -127, 127)
    assert distance(whole).max() < 0.02


def test_a_large_network_is_less_than_half_in_whole_numbers() -> None:
    program = lower(
        plan_network(load("s6").experiment).layers, arrays(trained(load("s6").experiment)), MNIST
    )
    whole = quantized(program, IMAGES)
    content = integer_onnx_bytes(whole, name="s6", metadata={})
    assert len(content) < 0.4 * len(onnx_bytes(program, name="s6", metadata={}))
    kinds = [it.op_type for it in onnx.load_from_string(content).graph.node]
    assert kinds.count("QLinearConv") >= 9


# ---------------------------------------------------------------------------------------- a command


@pytest.mark.slow
def test_the_command_says_what_whole_numbers_cost(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", tiny(dataset="mnist-5k"))
    path = tmp_path / "tiny.onnx"
    given = ["export", "tiny", "--int8", "--out", str(path), "--runs", str(tmp_path / "runs")]
    done = CliRunner(env={"NO_COLOR": "1"}).invoke(app, given)
    assert done.exit_code == 0, done.stderr
    exported = ma.export("tiny", int8=True, out=path, runs=tmp_path / "runs")
    assert exported.int8 is not None
    assert exported.bytes > exported.int8.float_bytes
    _, accuracy, size, wrote = done.stdout.splitlines()
    assert "% in whole numbers, " in accuracy
    assert "(test, 1,000 images: " in accuracy
    assert size.endswith("; nodes and names take more than the weights save")
    assert wrote.endswith(f"{exported.bytes:,} bytes")
    props = {it.key: it.value for it in onnx.load(path).metadata_props}
    assert props["quantization"] == "int8 weights, uint8 values"
    assert f'"correct": {exported.int8.correct}' in props["accuracy"]
    assert CliRunner().invoke(app, [*given, "--format", "torch"]).exit_code == 2
