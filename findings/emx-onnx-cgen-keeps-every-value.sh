#!/usr/bin/env bash
# emx-onnx-cgen 1.4.0, which writes C of an ONNX file. Each value between two operations is a variable or a block of
# `malloc` of its own, and keeps its place to the end: a chain needs the sum of all its maps, where two of them are
# alive at a time. Seen: for 12 ReLUs in a row over 6,272 floats the code asks for 11 blocks of 25,088 bytes,
# 275,968 bytes in all, where 50,176 do. On a microcontroller that decides whether a network fits.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet emx-onnx-cgen==1.4.0 onnx==1.23.2
cat > "$folder/look.py" <<'PYTHON'
import sys

from onnx import TensorProto, checker, helper, save

shape, depth = [1, 8, 28, 28], 12
names = ["x", *(f"v{i}" for i in range(depth - 1)), "y"]
nodes = [helper.make_node("Relu", [a], [b]) for a, b in zip(names, names[1:])]
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
model = helper.make_model(
    helper.make_graph(nodes, "chain", ends[:1], ends[1:]),
    opset_imports=[helper.make_opsetid("", 13)],
    ir_version=8,
)
checker.check_model(model)
save(model, sys.argv[1])
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/chain.onnx"
"$folder/venv/bin/emx-onnx-cgen" compile "$folder/chain.onnx" "$folder/chain.c" >/dev/null
blocks=$(grep -c "= malloc(" "$folder/chain.c")
last_use=$(grep -n "node[0-9]*_relu(.*);" "$folder/chain.c" | tail -1 | cut -d: -f1)
first_free=$(grep -n "free(tmp" "$folder/chain.c" | head -1 | cut -d: -f1)
echo "blocks: $blocks; last call in line $last_use, first free in line $first_free"
[ "$blocks" = 11 ] && [ "$first_free" -gt "$last_use" ] || { echo "the behaviour has changed"; exit 1; }
echo "emx-onnx-cgen 1.4.0: $((blocks * 25088)) bytes for a chain that needs $((2 * 25088))"
