#!/usr/bin/env bash
# onnxruntime 1.32.0. quantize_dynamic scales the activations of a whole batch by their largest values. So what
# a network says of one image depends on the other images of its batch: an accuracy measured in batches is not
# that of images one by one. Seen: the scores of the same image differ alone and beside a brighter one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/look.py" <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

rng = np.random.default_rng(0)
weights = rng.normal(size=(784, 10)).astype(np.float32)
graph = helper.make_graph(
    [
        helper.make_node("Flatten", ["images"], ["values"]),
        helper.make_node("MatMul", ["values", "weights"], ["scores"]),
    ],
    "linear",
    [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 28, 28])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
    [numpy_helper.from_array(weights, "weights")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.save(model, "float.onnx")
quantize_dynamic("float.onnx", "int8.onnx")


def scores(path: str, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


image = rng.random((1, 1, 28, 28), dtype=np.float32)
pair = np.concatenate([image, 4 * image])
for path in ("float.onnx", "int8.onnx"):
    gap = float(np.abs(scores(path, image)[0] - scores(path, pair)[0]).max())
    print(f"{path}: largest difference of the same image's scores, alone and in a pair: {gap:.4f}")
    changed = gap > 0.01
    assert changed == (path == "int8.onnx"), "the behaviour has changed"
PYTHON
cd "$folder"
"$folder/venv/bin/python" look.py 2>/dev/null
echo "onnxruntime 1.32.0: with dynamic int8 the answer for an image depends on its batch"
