"""A program as one ONNX file, from the bytes of images to logits.

It is written from the operations, and not by tracing: nothing in it is of the machine that wrote
it, the batch is free, names are short, and equal networks are equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, assert_never

from mnist_arch.counting.layers import Sides
from mnist_arch.exports.integer import IntegerConvolution, LargestOf, MeanOf
from mnist_arch.exports.program import (
    Add,
    AnyOperation,
    Concat,
    Convolution,
    Curve,
    GroupNorm,
    LeakyRelu,
    Multiply,
    Pixels,
    Pool,
    Program,
    Relu,
    Scale,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPSET: Final = 17
IR_VERSION: Final = 8
"""Of ONNX 1.12, which onnxruntime reads from 1.12 on; later ones have nothing that is needed."""

INPUT: Final = "image"
OUTPUT: Final = "logits"


def onnx_bytes(program: Program, *, name: str, metadata: Mapping[str, str]) -> bytes:
    """The file: from `image`, (N, 28, 28) uint8, to `logits`, (N, classes) float32."""
    graph = Graph()
    values = [INPUT]
    for operation in program.operations:
        values.append(_written(graph, operation, [values[it] for it in operation.inputs]))
    graph.add("Flatten", values[-1], output=OUTPUT, axis=1)
    return graph.file(classes=program.classes, name=name, metadata=metadata)


class Graph:
    """Nodes and constants, whose names are numbers."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.known: dict[bytes, str] = {}

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node; returns the name of its output."""
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """The name of a constant; equal ones, such as shared weights, are one."""
        import numpy as np
        from onnx import numpy_helper

        array = np.ascontiguousarray(values, dtype=dtype).reshape(np.shape(values))
        key = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        if key not in self.known:
            self.known[key] = f"c{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self.known[key]))
        return self.known[key]

    def channels(self, values: NDArray[Any], dtype: str = "float32") -> str:
        """A constant of one number a channel, or of one for each value of a map."""
        return self.constant(values.reshape(len(values), *values.shape[1:] or (1, 1)), dtype)

    def file(self, *, classes: int, name: str, metadata: Mapping[str, str]) -> bytes:
        """The graph as a checked file."""
        import onnx
        from onnx import TensorProto, helper

        made = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", 28, 28])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", classes])],
            self.constants,
        )
        model = helper.make_model(
            made,
            producer_name="mnist-arch",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, dict(sorted(metadata.items())))
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _written(graph: Graph, operation: AnyOperation, inputs: list[str]) -> str:
    """Adds the nodes of an operation; returns the name of the value that it makes."""
    add, x = graph.add, inputs[0]
    match operation:
        case Pixels() as op:
            return pixels(graph, op, x)
        case Convolution() as op:
            return _convolution(graph, op, x)
        case Scale() as op:
            return _scaled(graph, x, op.scale, op.shift)
        case GroupNorm() as op:
            return _group_norm(graph, op, x)
        case Relu(floor=None):
            return add("Relu", x)
        case Relu(floor=floor):
            assert floor is not None
            return add("Max", x, graph.channels(floor))
        case LeakyRelu(slope=slope) if len(slope) == 1:
            return add("LeakyRelu", x, alpha=slope.item())
        case LeakyRelu(slope=slope):
            return add("PRelu", x, graph.channels(slope))
        case Curve() as op:
            return _curve(graph, op, x)
        case Pool() as op:
            return add("MaxPool" if op.kind == "max" else "AveragePool", x, **window(op))
        case Add():
            return add("Add", *inputs)
        case Concat():
            return add("Concat", *inputs, axis=1)
        case Multiply():
            return add("Mul", *inputs)
        case never:
            assert_never(never)


def pixels(graph: Graph, op: Pixels, x: str) -> str:
    """From bytes (N, 28, 28) to (N, 1, 28, 28) float32, normalised."""
    from onnx import TensorProto

    x = graph.add(
        "Cast", graph.add("Unsqueeze", x, graph.constant([1], "int64")), to=TensorProto.FLOAT
    )
    return graph.add("Add", graph.add("Mul", x, graph.constant(op.scale)), graph.constant(op.shift))


def window(op: Pool | LargestOf | MeanOf) -> dict[str, Any]:
    """Attributes of a pool, whose window may be the whole map."""
    given: dict[str, Any] = {"kernel_shape": op.size, "strides": [op.stride] * 2}
    if any(op.sides):
        given["pads"] = _pads(op.sides)
        if isinstance(op, MeanOf) or (isinstance(op, Pool) and op.kind == "average"):
            given["count_include_pad"] = 1
    return given


def padded(
    graph: Graph, op: Convolution | IntegerConvolution, x: str
) -> tuple[str, dict[str, Any]]:
    """What a convolution reads, and its attributes."""
    given: dict[str, Any] = {"strides": [op.stride] * 2} if op.stride > 1 else {}
    if op.groups > 1:
        given["group"] = op.groups
    if op.repeats_border:
        top, left, bottom, right = _pads(op.sides)
        sides = [0, 0, top, left, 0, 0, bottom, right]
        x = graph.add("Pad", x, graph.constant(sides, "int64"), mode="edge")
    elif any(op.sides):
        given["pads"] = _pads(op.sides)
    return x, given


def _pads(sides: Sides) -> list[int]:
    """In ONNX's order: the beginning of each axis, and then the ends."""
    top, bottom, left, right = sides
    return [top, left, bottom, right]


def _convolution(graph: Graph, op: Convolution, x: str) -> str:
    x, given = padded(graph, op, x)
    bias = [graph.constant(op.bias)] if op.bias.any() else []
    return graph.add("Conv", x, graph.constant(op.weight), *bias, **given)


def _scaled(graph: Graph, x: str, scale: NDArray[Any], shift: NDArray[Any]) -> str:
    return graph.add("Add", graph.add("Mul", x, graph.channels(scale)), graph.channels(shift))


def _group_norm(graph: Graph, op: GroupNorm, x: str) -> str:
    """A group norm is an instance norm of the groups, each with its own scale and shift."""
    import numpy as np

    if op.groups == op.shape[0] and op.scale.ndim == 1:
        scale, shift = graph.constant(op.scale), graph.constant(op.shift)
        return graph.add("InstanceNormalization", x, scale, shift, epsilon=op.eps)
    rows = graph.add("Reshape", x, graph.constant([0, op.groups, -1], "int64"))
    ones, zeros = graph.constant(np.ones(op.groups)), graph.constant(np.zeros(op.groups))
    normal = graph.add("InstanceNormalization", rows, ones, zeros, epsilon=op.eps)
    back = graph.add("Reshape", normal, graph.constant([0, *op.shape], "int64"))
    return _scaled(graph, back, op.scale, op.shift)


def _curve(graph: Graph, op: Curve, x: str) -> str:
    add = graph.add
    match op.kind:
        case "silu":
            return add("Mul", x, add("Sigmoid", x))
        case "hardswish":
            return add("HardSwish", x)
        case "sigmoid":
            return add("Sigmoid", x)
        case "gelu":  # has a node of its own only from opset 20 on
            grown = add("Erf", add("Mul", x, graph.constant(math.sqrt(0.5))))
            half = add("Mul", x, graph.constant(0.5))
            return add("Mul", half, add("Add", grown, graph.constant(1.0)))
        case never:
            assert_never(never)
