"""Code is read, never run, and becomes the network that it makes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from code_to_read import HEAD, module, of_code, refused, source_of
from networks_of_others import code_of
from torch import nn

from mnist_arch.convert.blocks.comparing import differences
from mnist_arch.convert.code import read_code
from mnist_arch.convert.importing import Imported, Request, import_network, import_source
from mnist_arch.convert.lowering import lower
from mnist_arch.convert.questions import Choices
from mnist_arch.convert.source import Source, parsed, without_magics
from mnist_arch.counting.layers import Normalization
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import Origin, SpecError
from mnist_arch.network.build import build
from mnist_arch.spec.loading import loads

CASES = Path(__file__).parents[3] / "shared/cases/networks.csv"
ROWS = [*csv.DictReader(CASES.read_text().splitlines())] if CASES.exists() else []


LOGITS = "return F.log_softmax(self.a(x).view(-1, 10), dim={})"


def layers(imported: Imported) -> list[str]:
    experiment = loads(imported.text, source="it.yaml").experiment
    return [row.layer for row in plan_network(experiment).rows]


@pytest.mark.skipif(not ROWS, reason="the handed networks are not there")
@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_handed_networks_are_exact(row: dict[str, str]) -> None:
    code = code_of(row["layers"])
    source = source_of(code)
    imported = import_source(source, Request())
    assert imported.parameters == int(row["parameters"])
    read = read_code(source, Choices())
    assert read is not None
    tree = {key: value for key, value in imported.tree.items() if key != "name"}
    assert differences(tree, lower(read.graph).items) == []
    assert_same_numbers(code, build(loads(imported.text, source="it.yaml").experiment))


def assert_same_numbers(code: str, ours: nn.Module) -> None:
    """A step forward in training, which moves running statistics, and one in evaluation.

    With the weights of the module that the code makes, and the same random numbers.
    """
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # of this test
    theirs: nn.Module = namespace["model"]
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.add_(0.1 * torch.randn(other.shape))  # norms begin with ones and zeros
            own.copy_(other.reshape(own.shape))
        for is_training in (True, False):
            found = []
            for model in (ours.train(is_training), theirs.train(is_training)):
                torch.manual_seed(1)
                found.append(model(images))
            torch.testing.assert_close(F.log_softmax(found[0], 1), found[1])


LOOPS = f"""{HEAD}
from torchvision import datasets
drop = 0.1
class Block(nn.Module):
    def __init__(self, i, o, k=3, p=0):
        super(Block, self).__init__()
        self.conv = nn.Conv2d(i, o, k, padding=p, bias=False)
        self.bn = nn.BatchNorm2d(o)
        self.do = nn.Dropout(drop)
    def forward(self, x):
        return self.do(self.bn(F.relu(self.conv(x))))
def layer(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, bias=False), nn.ReLU(), nn.BatchNorm2d(o), nn.Dropout(drop)
    )
class Base(nn.Module):
    def transition(self, x):
        return F.max_pool2d(self.t(x), 2)
class Net(Base):
    def __init__(self, last=10):
        super().__init__()
        self.blocks = nn.ModuleList()
        c = 1
        for o in [8, 16]:
            self.blocks.append(Block(c, o))
            c = o
        self.t = nn.Conv2d(c, 10, 1, bias=False)
        self.c = nn.Sequential(*[layer(a, b) for a, b in zip([10, 14], [14, 16])])
        self.last = nn.Conv2d(16, last, (1, 1), bias=False)
    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x = self.c(self.transition(x))
        x = F.adaptive_avg_pool2d(x, 1)
        x = self.last(x)
        return F.log_softmax(x.view(x.size(0), -1), dim=-1)
model = Net().to("cuda" if torch.cuda.is_available() else "cpu")
"""


def test_loops_helpers_inheritance_and_functions_are_read() -> None:
    imported = of_code(LOOPS)
    assert imported.parameters == 4928
    unit = ["Conv2d", "ReLU", "BatchNorm2d", "Dropout"]
    expected = [*unit, *unit, "Conv2d", "MaxPool2d", *unit, *unit, "AdaptiveAvgPool2d", "Conv2d"]
    assert layers(imported) == expected
    assert imported.tree["defaults"]["dropout"] == {"rate": 0.1, "after": "each"}


RESIDUAL = module(
    "self.a = nn.Conv2d(1, 8, 3, padding=1); self.b = nn.Conv2d(8, 8, 3, padding=1)\n"
    "        self.c = nn.Conv2d(8, 10, 1)",
    "x = F.relu(self.a(x))\n        y = F.relu(self.b(x)) + x\n"
    "        return torch.flatten(F.avg_pool2d(self.c(y), 28), 1)",
)


def test_a_residual_is_read() -> None:
    imported = of_code(RESIDUAL)
    assert imported.tree["blocks"][-1]["residual"] is True


def test_a_squeeze_and_excitation_is_read() -> None:
    imported = of_code(
        module(
            "self.a = nn.Conv2d(1, 8, 3); self.d = nn.Conv2d(8, 2, 1); self.u = nn.Conv2d(2, 8, 1)",
            "x = F.relu(self.a(x))\n        w = F.adaptive_avg_pool2d(x, 1)\n"
            "        x = x * torch.sigmoid(self.u(F.relu(self.d(w))))\n"
            "        return x.mean([2, 3])",
        )
    )
    assert imported.tree["blocks"][0]["squeeze_excitation"] == 4


def test_the_classic_is_read() -> None:
    imported = of_code(
        module(
            "self.a = nn.Conv2d(1, 10, 5); self.b = nn.Conv2d(10, 20, 5); self.d = nn.Dropout2d()\n"
            "        self.e = nn.Linear(320, 50); self.f = nn.Linear(50, 10)",
            "x = F.relu(F.max_pool2d(self.a(x), 2))\n"
            "        x = F.relu(F.max_pool2d(self.d(self.b(x)), 2))\n"
            "        x = F.relu(self.e(x.view(-1, 320)))\n"
            "        x = self.f(F.dropout(x, training=self.training))\n"
            "        return F.log_softmax(x, dim=1)",
        )
    )
    assert imported.parameters == 21_840
    said = "\n".join(it.text for it in imported.assumed)
    assert "an activation after a max pool is written before it" in said
    hidden = {"out": 50, "norm": "none", "dropout": 0.5}
    base = imported.tree.get("defaults", {})
    assert imported.tree["head"]["hidden"] in (hidden, {"out": 50, "dropout": 0.5}), base


def test_images_that_code_makes_to_measure_itself_are_read() -> None:
    setup = (
        "self.a = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())\n"
        "        n = self.a(torch.zeros(1, 1, 28, 28)).view(-1).shape[0]\n"
        "        self.b = nn.Linear(n, 10)"
    )
    code = module(setup, "return self.b(torch.flatten(self.a(x), 1))")
    assert of_code(code).parameters == 40 + 27_040 + 10


KERAS = """
from keras.models import Sequential
from keras.layers import *
model = Sequential()
model.add(Convolution2D(16, 3, activation='relu', input_shape=(28,28,1), use_bias=False))
model.add(BatchNormalization())
for f in (32, 16):
    model.add(Conv2D(f, (3,3), activation='relu', use_bias=False))
model.add(MaxPooling2D())
model.add(Conv2D(10, 1, use_bias=False))
model.add(Flatten())
model.add(Dense(10, activation='softmax'))
"""
FUNCTIONAL = """
import tensorflow as tf
from tensorflow.keras import layers
i = tf.keras.Input(shape=(28, 28, 1))
x = layers.Conv2D(8, 3, padding="same", use_bias=False)(i)
x = layers.ReLU()(x)
y = layers.Conv2D(8, 3, padding="same", activation="relu", use_bias=False)(x)
x = layers.add([x, y])
x = layers.GlobalAveragePooling2D()(x)
out = layers.Dense(10)(x)
model = tf.keras.Model(inputs=i, outputs=out)
"""


def test_keras_is_read() -> None:
    imported = of_code(KERAS)
    assert imported.parameters == 144 + 32 + 4608 + 4608 + 160 + 11 * 11 * 100 + 10
    ops = [it.op for it in plan_network(loads(imported.text, source="it.yaml").experiment).layers]
    assert Normalization("batch", 1, epsilon=1e-3, momentum=0.01) in ops
    imported = of_code(FUNCTIONAL)
    assert imported.tree["blocks"][-1]["residual"] is True


def test_sequential_alone_and_as_a_base_are_read() -> None:
    row = "nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()"
    assert of_code(f"{HEAD}net = nn.Sequential({row})").parameters == 100
    own = (
        f"{HEAD}class A(nn.Sequential):\n    def __init__(self):\n        super().__init__({row})\n"
    )
    assert of_code(f"{own}net = A()").parameters == 100


@pytest.mark.parametrize(
    "code",
    [
        f"{HEAD}net = nn.Sequential(nn.Flatten(), "
        "nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 10))",
        f"{HEAD}net = nn.Sequential(nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 10))",
        "from keras.models import *\nfrom keras.layers import *\nnet = Sequential()\n"
        "net.add(Flatten(input_shape=(28, 28)))\nnet.add(Dense(30, 'relu'))\nnet.add(Dense(10))",
        "import keras\nfrom keras.layers import *\n"
        "net = keras.Sequential([Dense(30, activation='relu'), Dense(10, activation='softmax')])",
        "import keras\nfrom keras.layers import *\nimages = keras.Input(shape=(784,))\n"
        "net = keras.Model(images, Dense(10)(Dense(30, activation='relu')(images)))",
    ],
)
def test_fully_connected_networks_are_read(code: str) -> None:
    imported = of_code(code)
    assert imported.parameters == 785 * 30 + 310
    assert imported.tree["blocks"] == [{"channels": [30]}]
    assert imported.tree["head"] == {"pool": "flatten", "linear": True}


def test_values_become_a_map_again_and_a_layer_of_keras_is_of_each_pixel() -> None:
    imported = of_code(
        "import keras\nfrom keras.layers import *\nimages = keras.Input(shape=(784,))\n"
        "x = Conv2D(8, 3)(Reshape((28, 28, 1))(images))\n"
        "net = keras.Model(images, GlobalAveragePooling2D()(Dense(10)(x)))"
    )
    assert imported.parameters == 80 + 90
    assert imported.tree["blocks"] == [{"channels": [8], "reduce": 10}]


def test_a_relu_after_a_dropout_is_one_before_it() -> None:
    row = "nn.Conv2d(1, 10, 3), nn.BatchNorm2d(10), nn.Dropout(0.1), nn.ReLU()"
    imported = of_code(f"{HEAD}net = nn.Sequential({row}, nn.AdaptiveAvgPool2d(1), nn.Flatten())")
    assert imported.tree["blocks"] == [{"channels": [10], "dropout": 0.1}]
    assert "an activation after a dropout is written before it" in imported.text
    other = row.replace("ReLU", "GELU")
    code = f"{HEAD}net = nn.Sequential({other}, nn.AdaptiveAvgPool2d(1), nn.Flatten())"
    assert any("an activation after a dropout" in it for it in refused(code))


MADE_BY = """
from keras.datasets import mnist
from keras.models import Model
from keras.layers import *
def make():
    (x, y), (x_test, y_test) = mnist.load_data()
    images = Input(shape=(28, 28, 1))
    return Model(images, GlobalAveragePooling2D()({}(images)))
"""


def test_a_function_that_makes_a_model_and_is_not_called_is_read() -> None:
    imported = of_code(MADE_BY.format("Conv2D(10, 3)"))
    assert (imported.parameters, imported.origin) == (100, "net.py (the code of make)")
    (problem,) = refused(MADE_BY.format("Conv2DTranspose(10, 3)"))
    assert problem.startswith("net.py:8: the name Conv2DTranspose is not known")


def test_an_activation_of_keras_may_be_a_layer_and_a_bias_is_a_tensor() -> None:
    imported = of_code(
        "from keras.models import *\nfrom keras.layers import *\nnet = Sequential()\n"
        "net.add(Conv2D(10, 3, activation=LeakyReLU(0.1), input_shape=(28, 28, 1)))\n"
        "net.add(GlobalAveragePooling2D())"
    )
    assert "leaky_relu, slope: 0.1" in imported.text
    begun = "self.a = nn.Conv2d(1, 10, 28); self.a.bias.detach().zero_()"
    assert of_code(module(begun, LOGITS.format(1))).parameters == 7_850


def test_a_cell_that_is_no_python_is_told() -> None:
    row = "nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()"
    cells = (f"{HEAD}net = nn.Sequential({row})", "print 'no Python 3'")
    pieces = tuple((Origin(f"it cell {at}:1"), it) for at, it in enumerate(cells, 1))
    imported = import_source(Source("it", pieces), Request())
    assert "it cell 2:1 is passed over: this is not Python 3" in imported.text


def test_a_log_softmax_of_the_images_is_told() -> None:
    imported = of_code(module("self.a = nn.Conv2d(1, 10, 28)", LOGITS.format(0)))
    assert "log_softmax of the images of a batch" in imported.text
    assert (
        "of a batch" not in of_code(module("self.a = nn.Conv2d(1, 10, 28)", LOGITS.format(1))).text
    )


@pytest.mark.parametrize(
    ("setup", "forward", "message"),
    [
        ("self.a = nn.Bilinear(1, 2, 3)", "return self.a(x)", "net.py:7"),
        ("self.a = Mine()", "return self.a(x)", "net.py:7: "),
        ("self.a = nn.Conv2d(3, 8, 3)", "return self.a(x)", "net.py:7: Conv2d is made for 3"),
        ("pass", "return x.view(-1, 100)", "net.py:9: a view of 1×28×28 as 100"),
        ("pass", "return torch.fft.fft(x)", "net.py:9: "),
        ("self.n = 9 ** 9 ** 9", "return x", "net.py:7: a power is too large"),
        ("self.n = [0] * 10 ** 9", "return x", "net.py:7: a text or a list is too long"),
        (
            "self.n = [i for i in range(10**9)]",
            "return x",
            "net.py:7: a text or a list is too long",
        ),
        ("self.n = sum(range(9000) for i in range(9000))", "return x", "net.py:7: "),
        ("self.n = self.forward(0)", "return self.forward(x)", "nested too deep"),
        ("self.n = 0", "while True: x = x", "more than 200,000 steps"),
    ],
)
def test_what_is_not_known_is_named_with_its_line(setup: str, forward: str, message: str) -> None:
    assert any(message in it for it in refused(module(setup, forward)))


def test_a_dropout_that_drops_in_evaluation_is_named() -> None:
    code = module("self.a = nn.Conv2d(1, 10, 3)", "return F.dropout(self.a(x)).mean([2, 3])")
    assert (
        "net.py:9: the language lacks a dropout that drops in evaluation, too" in refused(code)[0]
    )
    code = code.replace("self.a(x)", "self.a(x), 0.2, self.training")
    assert "Dropout" in layers(of_code(code))


def test_a_norm_that_is_called_has_no_scale() -> None:
    forward = "return F.group_norm(self.a(x), 2).mean([2, 3])"
    imported = of_code(module("self.a = nn.Conv2d(1, 10, 3)", forward))
    (conv,) = loads(imported.text, source="it.yaml").experiment.blocks[0].channels
    norm = conv.norm or loads(imported.text, source="it.yaml").experiment.defaults.norm
    assert (norm.kind, norm.groups, norm.affine) == ("group", 2, "none")


def test_nothing_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    code = f"open({str(trap)!r}, 'w')\nimport os; os.system('touch {trap}')\n{LOOPS}"
    assert of_code(code).parameters == 4928
    assert not trap.exists()


def test_several_networks_are_asked_about() -> None:
    other = LOOPS.replace("class Net(", "class Other(").replace(
        "model = Net(", "other = Other(20); x = ("
    )
    both = LOOPS + other
    problem = refused(both)[0]
    assert "Net: 4,928 parameters" in problem
    assert "choose={'network': 'Other'}" in problem
    assert of_code(both, choose={"network": "Net"}).parameters == 4928
    assert "valid: Net, Other" in refused(both, choose={"network": "None"})[0]


def notebook(tmp_path: Path, printed: str, *cells: str) -> str:
    """A notebook whose last cell has printed something."""
    made = [{"cell_type": "code", "source": cell, "outputs": []} for cell in cells]
    made[-1]["outputs"] = [{"output_type": "stream", "text": printed}]
    path = tmp_path / "net.ipynb"
    path.write_text(json.dumps({"cells": made}))
    return str(path)


SEQUENTIAL = "net = nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))"
PRINTED = """
Conv2d-1 [-1, 10, 26, 26] 100
ReLU-2 [-1, 10, 26, 26] 0
AdaptiveAvgPool2d-3 [-1, 10, 1, 1] 0
"""


def test_a_notebook_is_read_cell_by_cell_and_agrees_with_its_table(tmp_path: Path) -> None:
    cells = ("!pip install torchsummary\n%matplotlib inline\n" + HEAD, SEQUENTIAL)
    assert import_network(notebook(tmp_path, PRINTED, *cells)).parameters == 100
    path = notebook(tmp_path, PRINTED.replace("10,", "20,").replace("100", "200"), *cells)
    with pytest.raises(SpecError, match="the code of net has 100 parameters, and what it printed"):
        import_network(path)
    cells = (HEAD, SEQUENTIAL.replace("ReLU", "Bilinear"))
    with pytest.raises(SpecError) as caught:
        import_network(notebook(tmp_path, PRINTED, *cells))
    assert caught.value.problems[0].origin == f"{tmp_path}/net.ipynb cell 2:1"
    assert "choose={'read': 'table'}" in caught.value.problems[0].hint
    path = notebook(tmp_path, PRINTED, *cells)
    assert import_network(path, Request({"read": "table"})).parameters == 100


def test_magics_do_nothing() -> None:
    assert without_magics("%time\nx = 1\n  !ls\nx?") == "pass\nx = 1\n  pass\npass"
    assert without_magics("%%bash\nls\nls") == "\n\n"
    continued = "print('%d'\n      % (1, 2),\n      %(a))\nx = (1\n    != 2)"
    assert without_magics(continued) == continued


def test_code_that_is_no_python_is_refused_with_its_line() -> None:
    assert refused("import torch\nclass Net(:\n")[0].startswith("net.py:2: this is not Python 3")
    assert "nested" in refused("x = " + "(" * 500 + ")" * 500)[0]


TWICE = f"""{HEAD}
class GhostBatchNorm(nn.BatchNorm2d):
    def __init__(self, features, splits):
        super().__init__(features)
        self.weight.requires_grad = True
    def forward(self, x):
        return F.batch_norm(x.view(-1, 16, 1, 1), None, None)
def norm(kind, features):
    return GhostBatchNorm(features, 2) if kind == "GBN" else nn.BatchNorm2d(features)
class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, 10, 3), norm(kind, 10), nn.ReLU())
    def forward(self, x):
        return self.a(x).mean([2, 3])
for method in ["BN", "GBN", "BN"]:
    model = Net(method)
"""


def test_one_class_that_makes_two_networks_is_asked_about() -> None:
    problem = refused(TWICE)[0]
    assert "choose={'network': 'Net-1'} or choose={'network': 'Net-2'}" in problem
    assert of_code(TWICE, choose={"network": "Net-1"}).parameters == 120
    said = refused(TWICE, choose={"network": "Net-2"})
    assert "the language lacks ghost batch norm whose splits are not known" in said[0]


def test_a_part_is_written_with_a_comment_for_what_is_missing() -> None:
    partial = of_code(TWICE, choose={"network": "Net-2"}, is_partial=True)
    assert layers(partial)[:3] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert "# Missing: the language lacks ghost batch norm" in partial.text
    code = module(
        "self.a = nn.Conv2d(1, 10, 3); self.b = Mine(); self.c = nn.Bilinear(2, 3, 4)",
        "return self.c(self.b(self.a(x))).mean([2, 3])",
    )
    partial = of_code(code, is_partial=True)
    assert layers(partial) == ["Conv2d", "AdaptiveAvgPool2d"]
    assert "the name Mine is not known" in partial.text
    assert "nn.Bilinear" in partial.text


def test_a_network_that_cannot_be_made_is_not_passed_over() -> None:
    code = TWICE.replace("self.weight.requires_grad = True", "x = 9 ** 9 ** 9")
    assert "a power is too large" in refused(code)[0]


def test_a_model_with_separable_layers_agrees_with_its_table(tmp_path: Path) -> None:
    model = "from keras.models import *\nfrom keras.layers import *\nmodel = Sequential(["
    model += "SeparableConv2D(10, 3, input_shape=(28, 28, 1)), GlobalAveragePooling2D()])"
    printed = """
Layer (type)                 Output Shape              Param #
=================================================================
separable_conv2d (SeparableC (None, 26, 26, 10)        29
global_average_pooling2d     (None, 10)                0
Total params: 29
"""
    assert import_network(notebook(tmp_path, printed, model)).parameters == 29


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = " + "-" * 20_000 + "1", "net.py:1: the code is nested too deep, or is no text"),
        ("x = 1\0", "net.py:1: this is not Python 3: source code string cannot contain null"),
        ("x = " + "(" * 300, "net.py:1: this is not Python 3: too many nested parentheses"),
        ("x = 1\n" * 50, "net.py:1: the code has more than 100 parts"),
    ],
)
def test_code_that_cannot_be_parsed_is_refused(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_arch.convert.code.MAX_NODES", 100)
    (said,) = refused(code)
    assert said.startswith(message), said


def test_a_module_that_holds_itself_ends() -> None:
    held = "self.a = nn.Conv2d(1, 10, 3); self.me = self; self.all = [self, {'k': self}]"
    assert of_code(module(held, "return self.a(x).mean([2, 3])")).parameters == 100


CELL = {"cell_type": "code", "source": "x = 1"}


@pytest.mark.parametrize(
    ("name", "content", "code", "printed"),
    [
        ("a.ipynb", {"cells": [CELL, 3, {**CELL, "source": 3, "outputs": 3}]}, ["x = 1", ""], []),
        (
            "a.ipynb",
            {
                "worksheets": [
                    {
                        "cells": [
                            {
                                "cell_type": "code",
                                "input": ["x = 1\n", "y = 2"],
                                "outputs": [
                                    {"text": ["one\n", "two"]},
                                    3,
                                    {"data": {"text/plain": "three"}},
                                ],
                            },
                            3,
                            {"cell_type": "markdown", "source": "four"},
                        ]
                    },
                    5,
                ]
            },
            ["x = 1\ny = 2"],
            ["one", "two", "three", "four"],
        ),
        ("a", {"cells": [CELL]}, ["x = 1"], []),
        (
            "a.md",
            "text\n```python\nx = 1\n```\n```\ny\n```\n~~~py\n~~~",
            ["x = 1"],
            "text\n```python\nx = 1\n```\n```\ny\n```\n~~~py\n~~~".split("\n"),
        ),
        ("a", b"\xff\xfe" + "import torch\n".encode("utf-16-le"), ["import torch\n"], []),
        ("a", b"\xfe\xff" + "import torch\n".encode("utf-16-be"), ["import torch\n"], []),
        ("a.txt", b"conv 3", [], ["conv 3"]),
    ],
)
def test_the_code_and_the_texts_of_a_file(
    name: str, content: object, code: list[str], printed: list[str]
) -> None:
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    source = parsed(name, content, Path(name).suffix)
    assert [text for _, text in source.code] == code
    assert [line.quoted for lines in source.printed for line in lines] == printed


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ipynb", b"{", "a.ipynb is no notebook: Expecting property name"),
        ("a.ipynb", b'{"cells": ' + b"[" * 100_000, "a.ipynb is nested too deep to be a notebook"),
        ("a.ipynb", b'{"cells": 3}', "a.ipynb is no notebook: it has no cells"),
        ("a.ipynb", b"[]", "a.ipynb is no notebook: it has no cells"),
        ("a.py", b"x" * 101, "a.py has more than 100 characters"),
        (
            "a.ipynb",
            json.dumps({"cells": [{"cell_type": "markdown", "source": "x" * 51}]}).encode(),
            "a.ipynb has more than 100 characters of code and text",
        ),
        ("a", b"a\0b", "a is no text"),
    ],
)
def test_a_file_that_is_no_source_is_refused(
    name: str, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_arch.convert.source.MAX_TEXT", 100)
    with pytest.raises(SpecError, match="^" + message):
        parsed(name, content, Path(name).suffix)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"blocks": [{"channels": [8, 8, 8], "reduce": 10}]}, "tensors are shared in another way"),
        ({"blocks": [{"channels": [8], "reduce": 10}]}, "operations, not"),
        ({"blocks": [{"channels": [8, 9, 8], "reduce": 10}]}, " is not "),
        ({"blocks": [{"channels": [8], "kernel": 31, "padding": "valid"}]}, "31"),
    ],
)
def test_a_spec_that_is_another_network_is_told_apart(tree: dict[str, Any], said: str) -> None:
    setup = (
        "self.a = nn.Conv2d(1, 8, 3, padding=1); self.b = nn.Conv2d(8, 8, 3, padding=1); "
        "self.k = nn.Conv2d(8, 10, 1)"
    )
    code = module(setup, "return self.k(self.b(self.b(self.a(x)))).mean([2, 3])")
    tree = {"defaults": {"norm": "none", "activation": "none"}, **tree}
    read = read_code(source_of(code), Choices())
    assert read is not None
    found = differences(tree, lower(read.graph).items)
    assert any(said in it for it in found), found
