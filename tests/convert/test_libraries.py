"""Ways to write the same network give the same spec; what is not read is named with its line."""

from __future__ import annotations

from typing import Any

import pytest
from code_to_read import HEAD, module, of_code, refused

CONV = "self.a = nn.Conv2d(1, 8, 3)"
BOTH = f"{CONV}; self.b = nn.Conv2d(8, 10, 3)"
BACK = "return x.mean([2, 3])"
PLAIN = f"x = F.max_pool2d(F.relu(self.a(x)), 2); x = self.b(x); {BACK}"


def tree(code: str) -> dict[str, Any]:
    return {key: value for key, value in of_code(code).tree.items() if key != "name"}


@pytest.mark.parametrize(
    ("setup", "forward"),
    [
        (BOTH, "x = F.max_pool2d(input=self.a(x).relu(), kernel_size=2); x = self.b(x); " + BACK),
        (
            BOTH,
            "x = torch.relu(self.a(x)); x = F.max_pool2d(x, (2,)); x = self.b(x).cpu(); " + BACK,
        ),
        (BOTH, PLAIN.replace(BACK, "return torch.mean(x, dim=[2, 3])")),
        (BOTH, PLAIN.replace(BACK, "return x.mean(dim=(-1, -2), keepdim=True).squeeze()")),
        (BOTH, PLAIN.replace(BACK, "return F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)")),
        (BOTH, PLAIN.replace(BACK, "return F.adaptive_avg_pool2d(x, (1, None)[0]).view(-1, 10)")),
        (BOTH, PLAIN.replace(BACK, "return torch.flatten(F.adaptive_avg_pool2d(x, 1), -3)")),
        (f"{BOTH}; self.to('cpu'); self.n = self.a.out_channels", PLAIN),
        (BOTH, f"if x.dim() == 4: pass\n        {PLAIN}"),
        (f"{CONV}; self.add_module('b', nn.Conv2d(self.a.out_channels, 10, 3))", PLAIN),
        (f"{BOTH}; self.c = nn.Identity()", "x = self.c(x); " + PLAIN),
        (
            f"{BOTH}; self.c = nn.Sequential(self.a, nn.ReLU(), nn.MaxPool2d(2), self.b)",
            f"x = self.c(x); {BACK}",
        ),
        (
            f"{BOTH}; self.c = nn.Sequential(); self.c.append(self.a); self.c.extend([nn.ReLU()]); "
            "self.c.add_module('p', nn.MaxPool2d(2)); self.c.append(self.b)",
            f"x = self.c[-1](self.c[:-1](x)); {BACK}",
        ),
        (
            f"{BOTH}; self.c = nn.ModuleDict(dict(a=self.a, r=nn.ReLU(), p=nn.MaxPool2d(2), "
            "b=self.b))",
            f"for name in self.c:\n            x = self.c[name](x)\n        {BACK}",
        ),
        (
            f"{BOTH}; self.c = nn.ModuleDict({{'a': self.a, 'p': nn.MaxPool2d(2), 'b': self.b}})",
            f"for k, m in self.c.items():\n            x = m(x)\n            if k == 'a':\n"
            f"                x = F.relu(x)\n        {BACK}",
        ),
        (
            f"{BOTH}; self.c = nn.ModuleList([self.a, nn.ReLU(), nn.MaxPool2d(2), self.b])",
            f"for m in self.c.children():\n            x = m(x)\n        {BACK}",
        ),
        (
            f"{BOTH}; from collections import OrderedDict as O; self.c = nn.Sequential(O([('a', "
            "self.a), ('r', nn.ReLU()), ('p', nn.MaxPool2d(2)), ('b', self.b)]))",
            f"x = self.c.b(self.c.p(self.c.r(self.c.a(x)))); {BACK}",
        ),
        (
            f"{BOTH}; from toolz import pipe; self.p = pipe",
            f"x = self.p(x, self.a, F.relu, nn.MaxPool2d(2), self.b); {BACK}",
        ),
        (f"{BOTH}; import math; self.n = math.floor(2.5)", PLAIN.replace("2)", "self.n)")),
        (f"{BOTH}; import math; self.n = math.prod([1, 2])", PLAIN.replace("2)", "self.n)")),
        (
            f"{BOTH}; self.n = self.a(torch.zeros(2, 1, 28, 28)).view(2, -1).shape[1] // 2704",
            PLAIN.replace("2)", "self.n)"),
        ),
        (
            f"{BOTH}; y = self.a(torch.rand(1, 1, 28, 28)); "
            "self.n = [y.numel() // 2704, y.view(-1).size(0) // 2704, y.flatten().numel() // 2704]",
            PLAIN.replace("2)", "self.n[0]); self.n[1] + self.n[2]"),
        ),
    ],
)
def test_ways_to_write_a_network_of_torch_are_one(setup: str, forward: str) -> None:
    assert tree(module(setup, forward)) == tree(module(BOTH, PLAIN))


def test_sums_and_products_of_branches_are_read() -> None:
    setup = "self.a = nn.Conv2d(1, 10, 3); self.b = nn.Conv2d(1, 10, 3)"
    said = [
        tree(module(setup, f"return ({sum_}).mean([2, 3])"))
        for sum_ in (
            "self.a(x) + self.b(x)",
            "torch.add(self.a(x), self.b(x))",
            "self.a(x).add(self.b(x))",
        )
    ]
    assert said[0] == said[1] == said[2]
    assert said[0]["blocks"] == [{"branches": [[10], [10]], "join": "add"}]
    joined = module(
        setup.replace("10", "5"), "return torch.cat((self.a(x), self.b(x)), 1).mean([2, 3])"
    )
    assert tree(joined)["blocks"] == [{"branches": [[5], [5]]}]


@pytest.mark.parametrize(
    ("setup", "forward", "sentence"),
    [
        # what is made
        ("self.a = nn.Conv2d()", "return self.a(x)", "7: Conv2d needs in_channels"),
        (
            "self.a = nn.Conv2d(1, 8, 3, size=2)",
            "return self.a(x)",
            "7: Conv2d takes no such argument: size",
        ),
        (
            "self.a = nn.ReLU(1, 2, 3)",
            "return self.a(x)",
            "7: ReLU has more arguments than it takes",
        ),
        (
            "self.a = nn.Conv2d(1, unheard, 3)",
            "return self.a(x)",
            "7: Conv2d: out_channels is not known: the name unheard is not known",
        ),
        (
            "self.a = nn.Conv2d(1, 8, 'a')",
            "return self.a(x)",
            "7: kernel_size must be a whole number or two",
        ),
        (
            "self.a = nn.Conv2d(1, 0, 3)",
            "return self.a(x)",
            "7: out_channels must be a whole number above 0, not 0",
        ),
        (
            "self.a = nn.Conv2d(1, 8, 0)",
            "return self.a(x)",
            "7: kernel_size, stride and dilation must be above 0",
        ),
        (
            "self.a = nn.Conv2d(1, 8, 3, 2, padding='same')",
            "return self.a(x)",
            "7: padding='same' needs a stride of 1",
        ),
        (
            "self.a = nn.Conv2d(1, 8, 3, padding_mode='mirror')",
            "return self.a(x)",
            "7: padding_mode='mirror'",
        ),
        (
            "self.a = nn.MaxPool2d(0)",
            "return self.a(x)",
            "7: kernel_size and stride must be above 0",
        ),
        (
            "self.a = nn.MaxPool2d(2, return_indices=True)",
            "return self.a(x)",
            "7: MaxPool2d with return_indices or divisor_override",
        ),
        (
            "self.a = nn.AdaptiveAvgPool2d((1, 2, 3))",
            "return self.a(x)",
            "7: AdaptiveAvgPool2d of (1, 2, 3) on 1×28×28",
        ),
        (
            "self.a = nn.AdaptiveAvgPool2d('a')",
            "return self.a(x)",
            "7: AdaptiveAvgPool2d of 'a' on 1×28×28",
        ),
        ("self.a = nn.AdaptiveAvgPool2d(0)", "return self.a(x)", "7: AdaptiveAvgPool2d of 0"),
        (
            "self.a = nn.AdaptiveMaxPool2d(5)",
            "return self.a(x)",
            "7: AdaptiveMaxPool2d: windows of several sizes from 1×28×28",
        ),
        (
            "self.a = nn.Linear(10, 5)",
            "return self.a(self.a(x.view(-1, 784)))",
            "7: Linear is made for 10, and comes after 784",
        ),
        ("self.a = nn.Linear(28, 5)", "return self.a(self.b(x))", "Net has no b"),
        ("self.a = nn.BatchNorm1d(1)", "return self.a(x)", "7: a norm of vectors on a map"),
        ("self.a = nn.LayerNorm(28)", "return self.a(x)", "7: LayerNorm of (28,) on 1×28×28"),
        ("self.a = nn.Dropout(1.5)", "return self.a(x)", "7: a dropout of rate 1.5"),
        (
            "self.a = nn.Dropout('a')",
            "return self.a(x)",
            "7: the rate of a dropout must be a number, not 'a'",
        ),
        ("self.a = nn.Sequential(unheard)", "return self.a(x)", "7: the name unheard is not known"),
        ("self.a = nn.ModuleList([]).pop()", "return self.a(x)", "7: pop of a ModuleList"),
        (
            "import math; self.a = math.sqrt(-1)",
            "return x",
            "7: math.sqrt fails: math domain error",
        ),
        ("import math; self.a = math.sqrt('a')", "return x", "7: math.sqrt of these"),
        # what is done with it
        ("pass", "return 3", "the network does not give one tensor"),
        ("pass", "return x", "the network does not give one tensor"),
        (
            "pass",
            "return unheard",
            "9: the network gives something that is not known: the name unheard is not known",
        ),
        ("pass", "return x[0]", "9: a part of a tensor"),
        ("pass", "return x - 1", "9: `-` of a tensor and something else"),
        ("pass", "return x.view(-1)", "9: a view that has no batch"),
        ("pass", "return x.view(-1, 'a')", "9: a view of sides that are not known"),
        ("pass", "return x.view(x.size(0), -1, 5)", "9: a view of 1×28×28 as [-1, 5]"),
        ("pass", "return x.view(x.size(0), 4, 14, 14)", "9: a view of 1×28×28 as 4×14×14"),
        ("pass", "return x.squeeze()", "9: a squeeze of 1×28×28"),
        ("pass", "return x.mean(1)", "9: a average that is not over rows and columns of a map"),
        ("pass", "return x.flatten(2)", "9: a flatten from 2 to -1, which mixes images or parts"),
        ("pass", "return x.roll(2)", "9: roll on a tensor is not read here"),
        ("pass", "return F.pad(x, (1, 1))", "9: padding must be four whole numbers"),
        (
            "pass",
            "return F.pad(x, (1, 1, 1, 1), value=1)",
            "9: padding on its own that is no zeros",
        ),
        ("pass", "return torch.cat([x, x], 2)", "9: values that are not joined by channels"),
        ("pass", "return torch.cat([x, 2], 1)", "9: cat of something that is no tensor"),
        ("pass", "return torch.relu(2, x)", "9: the function relu on something that is no tensor"),
        (
            "pass",
            "return F.dropout(x, unheard)",
            "9: the network gives something that is not known: the name unheard is not known",
        ),
        ("pass", "return x.add(unheard)", "9: add: the name unheard is not known"),
        ("pass", "return F.group_norm(x, 1, x)", "9: a group norm whose scale and shift are apart"),
        (
            "pass",
            "return F.layer_norm(x, (1, 28, 28), x)",
            "9: a layer norm whose scale and shift are apart",
        ),
        ("pass", "import scipy; return scipy.fft(x)", "9: the function scipy.fft is not read here"),
        (
            "import scipy; self.a = scipy.Filter()",
            "return self.a(x)",
            "7: scipy.Filter is not read here",
        ),
        (
            "self.a = nn.Sequential(nn.ReLU())",
            "return self.a(x, x)",
            "9: layers in a row on several values",
        ),
        ("self.a = nn.ReLU()", "return self.a(x, x)", "9: a call of something that is no layer"),
    ],
)
def test_what_is_not_read_of_torch_is_named_with_its_line(
    setup: str, forward: str, sentence: str
) -> None:
    said = refused(module(setup, forward))
    assert any(f"net.py:{sentence}" in it or sentence in it for it in said), said


@pytest.mark.parametrize(
    ("layer", "lacks"),
    [
        ("nn.BatchNorm2d(8, track_running_stats=False)", "batch norm that always uses the batch"),
        ("nn.BatchNorm2d(8, momentum=None)", "batch norm with a plain mean of all batches"),
        ("nn.BatchNorm2d(8, eps=3)", "an epsilon of a norm: 3"),
        ("nn.LayerNorm((8, 26, 26), bias=False)", "a layer norm with a scale and without a shift"),
        ("nn.Softmax(0)", "softmax of the images of a batch"),
    ],
)
def test_what_the_language_lacks_of_torch_is_named(layer: str, lacks: str) -> None:
    setup = f"{CONV}; self.c = {layer}; self.b = nn.Conv2d(8, 10, 3)"
    said = refused(module(setup, "return self.b(self.c(self.a(x))).mean([2, 3])"))
    assert ["the language lacks " in it and lacks in it for it in said] == [True], said


THREE = f"{BOTH}; self.d = nn.Conv2d(1, 8, 3)"
AGAIN = f"{BOTH}; self.e = nn.Conv2d(8, 8, 3, padding=1)"


@pytest.mark.parametrize(
    ("setup", "forward", "lacks"),
    [
        (BOTH, "x = F.relu(F.gelu(self.a(x)))", "an activation after an activation"),
        (BOTH, "x = self.a(F.relu(x))", "an activation after the image"),
        (BOTH, "x = F.group_norm(F.group_norm(self.a(x), 2), 2)", "a norm after a norm"),
        (BOTH, "x = self.a(F.group_norm(x, 1))", "a norm after the image"),
        (BOTH, "x = torch.cat([self.a(x)], 1)", "a concatenation of one value"),
        (THREE, "x = F.relu(self.a(x) + self.d(x))", "an activation after the sum of a residual"),
        (THREE, "x = F.group_norm(self.a(x) + self.d(x), 2)", "a norm after a residual"),
        (THREE, "x = self.a(x) * self.d(x)", "a product that is no squeeze-and-excitation"),
        (AGAIN, "x = self.a(x); x = F.relu(x + self.e(x))", "an activation after the sum of a res"),
        (AGAIN, "x = self.a(x); x = F.group_norm(x + self.e(x), 2)", "a norm after a residual"),
    ],
)
def test_what_no_block_says_is_named(setup: str, forward: str, lacks: str) -> None:
    (said,) = refused(module(setup, f"{forward}; x = self.b(x); {BACK}"))
    assert f"the language lacks {lacks}" in said


KERAS = "import keras\nfrom keras.models import *\nfrom keras.layers import *\n"
IN_A_ROW = f"{KERAS}model = Sequential([Conv2D(8, 3, activation='relu', input_shape=(28, 28, 1)), "
END = "GlobalAveragePooling2D(), Dense(10)"


@pytest.mark.parametrize(
    "code",
    [
        f"{IN_A_ROW}{END}])",
        f"{KERAS}model = Sequential(layers=[InputLayer(), Conv2D(8, 3, activation='relu'), {END}])",
        f"{KERAS}model = Sequential()\nfor it in [Conv2D(8, (3, 3)), Activation('relu'), {END}]:\n"
        "    model.add(it)",
        f"{KERAS}model = Sequential([Convolution2D(8, 3, 3, activation='relu', "
        f"batch_input_shape=(None, 28, 28, 1)), {END}])",
        f"{KERAS}model = Sequential([Rescaling(1 / 255), Conv2D(8, 3), ReLU(), {END}])",
        f"{KERAS}x = i = Input((28, 28, 1))\nfor it in [Conv2D(8, 3, activation='relu'), {END}]:\n"
        "    x = it(x)\nmodel = Model(i, [x])",
        f"{KERAS}i = keras.Input(shape=(28, 28, 1))\n"
        f"x = Sequential([Conv2D(8, 3), LeakyReLU(alpha=0), {END}])(i)\nmodel = Model(i, x)",
        f"{KERAS}i = Input((28, 28))\nx = Conv2D(8, 3, activation=keras.activations.relu)(i)\n"
        "x = GlobalAveragePooling2D(keepdims=True)(x)\nx = Flatten()(x)\n"
        "model = Model(inputs=i, outputs=Dense(10)(x))",
    ],
)
def test_ways_to_write_a_network_of_keras_are_one(code: str) -> None:
    usual = tree(f"{IN_A_ROW}{END}])")
    if "LeakyReLU" in code:
        usual["defaults"]["activation"] = {"kind": "leaky_relu", "slope": 0.0}
    assert tree(code) == usual


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("Conv2D()", "Conv2D needs filters"),
        ("Conv2D(8, 3, strides=0)", "kernel_size, strides and dilation_rate must be above 0"),
        ("Conv2D(8, 3, padding='causal')", "padding='causal'"),
        ("Conv2D(8, 3, data_format='channels_first')", "channels must come last"),
        ("Conv2D(8, 3, activation='cubic')", "the activation 'cubic' is not known"),
        ("Conv2D(unheard, 3)", "Conv2D: filters is not known: the name unheard is not known"),
        ("MaxPooling2D(0)", "pool_size and strides must be above 0"),
        ("Dropout(2)", "a dropout of rate 2"),
        ("ZeroPadding2D((1, 2, 3))", "padding must be one or two numbers"),
        ("Reshape((2, 2))", "a reshape of 26×26×8"),
        ("keras.layers.Bidirectional()", "keras.layers.Bidirectional is not read here"),
        ("keras.layers.deserialize()", "keras.layers.deserialize is not read here"),
    ],
)
def test_what_is_not_read_of_keras_is_named(layers: str, sentence: str) -> None:
    said = refused(f"{IN_A_ROW}{layers}, {END}])")
    assert any(sentence in it for it in said), said


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "i = Input((32, 32, 3))\nmodel = Model(i, Dense(10)(i))",
            "the input is 32×32×3; here it is 28×28×1",
        ),
        (
            "i = Input((None, 1))\nmodel = Model(i, Dense(10)(i))",
            "the input is not known; here it is 28×28×1",
        ),
        ("model = Model()", "a model without inputs and outputs"),
        ("i = Input((28, 28, 1))\nmodel = Model(i, unheard)", "the name unheard is not known"),
        ("i = Input((28, 28, 1))\nmodel = Model(i, [i, i])", "a model of several outputs"),
        (
            "i = Input((28, 28, 1))\nmodel = Model(i, Dense(10)(3))",
            "Dense on something that is no tensor",
        ),
        (
            "i, j = Input((28, 28, 1)), Input((28, 28, 1))\nmodel = Model(i, Add()([i, j]))",
            "values of several inputs",
        ),
        (
            "i = Input((28, 28, 1))\nmodel = Model(i, keras.ops.exp(i))",
            "the function keras.ops.exp is not read here",
        ),
    ],
)
def test_models_of_keras_that_are_not_read_are_named(code: str, sentence: str) -> None:
    said = refused(
        f"{KERAS}def make():\n    " + code.replace("\n", "\n    ") + "\n    return model\n"
    )
    assert any(sentence in it for it in said), said


TORCH_ROW = f"{HEAD}net = nn.Sequential(nn.Conv2d(1, 10, 3))\n"
TORCH_END = "\nnet.append(nn.AdaptiveAvgPool2d(1))\n"
KERAS_ROW = f"{KERAS}model = Sequential()\nmodel.add(Conv2D(8, 3, input_shape=(28, 28, 1)))\n"
KERAS_END = "".join(f"\nmodel.add({it})" for it in ("GlobalAveragePooling2D()", "Dense(10)"))
LIST = f"{HEAD}row = [nn.Conv2d(1, 10, 3)]\n"
OF_LIST = "\nnet = nn.Sequential(*row, nn.AdaptiveAvgPool2d(1))\n"
OBJECT = module("self.a = nn.Conv2d(1, 10, 3); self.b = nn.Sequential(nn.ReLU())",
                "return self.b(self.a(x)).mean([2, 3])")  # fmt: skip


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (TORCH_ROW, "net.append(nn.Dropout(rates[0]))", TORCH_END),
        (TORCH_ROW, "net.extend([nn.Dropout(rates[0])])", TORCH_END),
        (TORCH_ROW, "net.add_module('d', nn.Dropout(rates[0]))", TORCH_END),
        (TORCH_ROW, "if rates:\n    net.append(nn.Dropout(0.5))", TORCH_END),
        (TORCH_ROW, "for it in rates:\n    net.append(nn.Dropout(it))", TORCH_END),
        (TORCH_ROW, "net[0] = nn.Conv2d(1, rates, 3)", TORCH_END),
        (KERAS_ROW, "model.add(Dropout(rates[0]))", KERAS_END),
        (KERAS_ROW, "if rates:\n    model.add(Dropout(0.5))", KERAS_END),
        (KERAS_ROW, "while rates:\n    model.add(Dropout(rates))", KERAS_END),
        (LIST, "row.append(nn.Dropout(rates[0]))", OF_LIST),
        (LIST, "row[0] = nn.Conv2d(1, rates, 3)", OF_LIST),
        (OBJECT, "model.a = nn.Conv2d(1, rates, 3)", ""),
        (OBJECT, "model.b[0] = nn.Dropout(rates)", ""),
        (OBJECT, "if rates:\n    model.b.append(nn.ReLU())", ""),
    ],
)
def test_a_change_of_layers_that_is_not_read_is_named(before: str, change: str, after: str) -> None:
    of_code(before + after)  # is read
    said = refused(f"{before}{change}{after}")
    line = before.count("\n") + 1
    assert any("the name rates is not known" in it for it in said), said
    assert any(it.startswith((f"net.py:{line}:", f"net.py:{line + 1}:")) for it in said), said


def test_layers_of_keras_are_taken_away_again() -> None:
    code = f"{KERAS_ROW}model.add(Dropout(0.5))\nmodel.pop(){KERAS_END}"
    assert tree(code) == tree(KERAS_ROW + KERAS_END)


SEQUENTIAL = (
    f"{HEAD}class Net(nn.Sequential):\n    def __init__(self):\n"
    "        super().__init__(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1))\n        {}\n"
    "    def forward(self, x):\n        {}\nmodel = Net()\n"
)
NAMES = (
    "class Net(Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.a = Conv2d(1, 10, 3)\n    def forward(self, x):\n"
    f"        x = self.a(x)\n        {BACK}\nmodel = Net()\n"
)
STARS = "from torch.nn import *\nfrom torch.nn.functional import *\n"
TEN = "self.a = nn.Conv2d(1, 10, 3)"
AVERAGE = "nn.AdaptiveAvgPool2d(1)"


@pytest.mark.parametrize(
    "code",
    [
        SEQUENTIAL.format("pass", "return super().forward(x)"),
        SEQUENTIAL.format("pass", "return self[1](self[0](x))"),
        SEQUENTIAL.format("pass", "return self[-1](getattr(self, '0')(x))"),
        SEQUENTIAL.format("self.train()", "return self[:2](x)"),
        module(
            f"{TEN}; self.c = nn.ModuleDict({{'k': self.a}}).to('cpu')",
            f"for k in self.c.keys():\n            x = self.c[k](x)\n        {BACK}",
        ),
        module(
            f"{TEN}; self.c = nn.ModuleDict({{'k': self.a}})",
            f"for k in self.c:\n            x = self.c[k](x)\n        {BACK}",
        ),
        module(
            f"{TEN}; self.n = torch.zeros(1, 3, 32, 32)", f"x = self.a(x); x.ndimension(); {BACK}"
        ),
        module(
            f"{TEN}; self.n = torch.zeros(1, 1, 28, 28).relu().numel() // 78",
            f"x = self.a(x)[:] if self.n != 10 else self.a(x); {BACK}",
        ),
        STARS + NAMES,
        STARS + "from torch.optim import *\nfrom numpy import *\n" + NAMES,
        STARS + "from torchvision.transforms import *\n" + NAMES,
        "import torch\nmodel = torch.nn.modules.container.Sequential("
        "torch.nn.modules.conv.Conv2d(1, 10, 3), torch.nn.modules.AdaptiveAvgPool2d(1))\n",
        f"{HEAD}net = nn.Sequential(nn.Conv2d(1, 10, 3).to('cpu'), {AVERAGE})\nnet = net.train()\n",
    ],
)
def test_containers_and_imports_of_torch_are_one(code: str) -> None:
    assert tree(code) == tree(f"{HEAD}net = nn.Sequential(nn.Conv2d(1, 10, 3), {AVERAGE})\n")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            SEQUENTIAL.format("pass", "return super().unheard(x)"),
            "9: the network gives something that is not known: what unheard gives is not known",
        ),
        (
            SEQUENTIAL.format("pass", "return super().forward(x)")
            + "model[0] = nn.Conv2d(1, rates, 3)\n",
            "11: Conv2d: out_channels is not known: the name rates is not known",
        ),
        (
            module(f"{TEN}; self.c = nn.ModuleList([self.a])", f"x = self.c[3](x); {BACK}"),
            "9: the network gives something that is not known: an item that is not known",
        ),
        (
            module(f"{TEN}; self.c = nn.ReLU() + nn.ReLU()", f"x = self.c(self.a(x)); {BACK}"),
            "7: the network gives something that is not known: what `+` gives is not known",
        ),
        (
            module(
                f"{TEN}; self.g = nn.Parameter(torch.ones(1))", f"x = self.a(x) * self.g; {BACK}"
            ),
            "9: `*` of a tensor and something else",
        ),
        (
            module(
                f"{TEN}; self.n = nn.LayerNorm((10, 26, 26), elementwise_affine=False); "
                "self.g = nn.Parameter(torch.ones(1))",
                f"x = self.n(self.a(x)) * self.g * self.g; {BACK}",
            ),
            "9: `*` of a tensor and something else",
        ),
        (
            module(
                f"{TEN}; self.n = nn.LayerNorm((10, 26, 26), elementwise_affine=False)",
                f"x = self.n(self.a(x)) * 3; {BACK}",
            ),
            "9: `*` of a tensor and something else",
        ),
        (
            f"{TORCH_ROW}for i in range(3_000):\n    net = nn.Sequential(net)\n",
            "6: the network is nested too deep",
        ),
        (
            f"{KERAS}model = Sequential()\nfor i in range(9_999):\n    model.add(Dense(10))\n",
            "6: too many layers",
        ),
        (f"{KERAS}model = Sequential([])\n", "4: the network does not give one tensor"),
        (
            f"{KERAS}model = Sequential([Dense(16, input_dim=100), Dense(10)])\n",
            "4: the input is 100; here it is 28×28×1",
        ),
    ],
)
def test_what_is_not_read_of_containers_is_named(code: str, sentence: str) -> None:
    said = refused(code)
    assert any(f"net.py:{sentence}" in it for it in said), said


def test_the_order_of_channels_and_the_length_of_vectors_are_read() -> None:
    order = "data_format=keras.backend.image_data_format(), "
    assert tree(f"{IN_A_ROW}{END}])") == tree(
        f"{IN_A_ROW}{END}])".replace("activation=", f"{order}activation=")
    )
    of_vectors = f"{KERAS}model = Sequential([Dense(16, 'relu', input_dim=784), Dense(10)])"
    assert tree(of_vectors) == tree(of_vectors.replace(", input_dim=784", ""))


def test_the_names_of_layers_are_those_of_layers_whichever_star_comes_last() -> None:
    row = "model = Sequential([Conv2D(10, 3), GlobalAveragePooling2D()])\n"
    turned = "import keras\nfrom keras.layers import *\nfrom keras.models import *\n"
    assert tree(turned + row) == tree(KERAS + row)


EIGHT = (
    "self.a = nn.Conv2d(1, 8, 3, padding=1); self.b = nn.Conv2d(8, 8, 3, padding=1); "
    "self.p = nn.Conv2d(8, 4, 3, padding=1); self.q = nn.Conv2d(8, 4, 1); "
    "self.r = nn.Conv2d(8, 8, 1); self.t = nn.Conv2d(8, 4, 3, padding=1); "
    "self.k = nn.Conv2d(8, 10, 1)"
)
PQ = "torch.cat([self.p(x), self.q(x)], 1)"
TEN_OF_8 = {"channels": [8], "reduce": 10}


@pytest.mark.parametrize(
    ("forward", "blocks"),
    [
        (
            "x = x + self.b(x); x = x + self.b(x); x = self.k(x)",
            [
                {"channels": [8]},
                {**TEN_OF_8, "repeat": 2, "share": True, "residual": True},
            ],
        ),
        (
            "x = self.r(x) + self.b(x); x = self.k(x)",
            [{**TEN_OF_8, "branches": [[8], {"reduce": 8}], "join": "add"}],
        ),
        (
            f"x = x + {PQ}; x = self.k(x)",
            [
                {"channels": [8]},
                {"branches": [[4], {"reduce": 4}], "residual": True, "reduce": 10},
            ],
        ),
        (
            f"x = {PQ}; x = {PQ}; x = self.k(x)",
            [
                {"channels": [8]},
                {"branches": [[4], {"reduce": 4}], "repeat": 2, "share": True, "reduce": 10},
            ],
        ),
        (
            "x = self.b(self.b(x)); x = self.k(x)",
            [{**TEN_OF_8, "repeat": 3, "share": True}],
        ),
        (
            "x = torch.cat([F.max_pool2d(x, 3, 1, 1), x], 1); x = nn.Conv2d(16, 10, 1)(x)",
            [
                {
                    **TEN_OF_8,
                    "branches": [
                        {"pool": {"kind": "max", "size": 3, "stride": 1, "padding": 1}},
                        [],
                    ],
                }
            ],
        ),
    ],
)
def test_blocks_of_branches_and_of_shared_layers(forward: str, blocks: list[Any]) -> None:
    read = tree(module(EIGHT, f"x = self.a(x); {forward}; {BACK}"))
    assert read["defaults"] == {"norm": "none", "activation": "none"}
    assert read["blocks"] == blocks


@pytest.mark.parametrize(
    ("forward", "lacks"),
    [
        ("x = x + self.b(self.b(x)); x = x + self.b(x); x = self.k(x)", "a residual of this kind"),
        ("x = x + F.relu(x); x = self.k(x)", "a residual of this kind"),
        (f"x = self.r(x) + {PQ}; x = self.k(x)", "a residual of this kind"),
        ("x = x + x; x = self.k(x)", "a value joined with itself"),
        (
            "x = torch.cat([self.p(x), self.p(x)], 1); x = torch.cat([self.p(x), self.p(x)], 1); "
            "x = self.k(x)",
            "branches of this kind",
        ),
        (
            f"x = {PQ}; x = torch.cat([self.q(x), self.p(x)], 1); x = self.k(x)",
            "branches of this kind",
        ),
        (
            f"x = {PQ}; x = torch.cat([self.t(x), self.q(x)], 1); x = self.k(x)",
            "branches of this kind",
        ),
        (
            "x = torch.cat([self.p(x), self.t(x)], 1); x = torch.cat([self.t(x), self.p(x)], 1); "
            "x = self.k(x)",
            "branches of this kind",
        ),
        (
            "x = torch.cat([F.relu(x), self.q(x)], 1); x = nn.Conv2d(12, 10, 1)(x)",
            "branches of this kind",
        ),
        (f"x = F.relu({PQ}); x = self.k(x)", "a norm or an activation after branches are joined"),
        (f"x = F.group_norm({PQ}, 2); x = self.k(x)", "a norm after branches"),
        (
            "x = self.b(x); x = self.b(F.relu(x)); x = self.k(x)",
            "a layer that is used again, but in a `repeat`",
        ),
    ],
)
def test_what_no_block_of_branches_says_is_named(forward: str, lacks: str) -> None:
    said = refused(module(EIGHT, f"x = self.a(x); {forward}; {BACK}"))
    assert any(f"the language lacks {lacks}" in it for it in said), said


def test_a_class_of_too_many_bases_is_refused_and_others_are_read() -> None:
    heirs = "".join(f"class A{i + 1}(A{i}):\n    pass\n" for i in range(130))
    code = module(TEN, f"x = self.a(x); {BACK}").replace("class Net", "class A0")
    code = code.replace("model = Net()", f"{heirs}model = A130()")
    assert of_code(code, choose={"network": "A0"}).parameters == 100
    assert refused(code, choose={"network": "A130"})


GATE = (
    "; self.g = nn.Conv2d(8, {0}, 1); self.h = nn.Conv2d({0}, 8, 1); "
    "self.v = nn.Conv2d(8, 16, 1, stride=2); self.w = nn.Conv2d(8, 16, 3, stride=2, padding=1); "
    "self.m = nn.Conv2d(16, 10, 1)"
)
GATED = "y * torch.sigmoid(self.h(F.relu(self.g(F.adaptive_avg_pool2d(y, 1)))))"


@pytest.mark.parametrize(
    ("forward", "block"),
    [
        (
            f"y = {PQ}; x = {GATED}",
            {"channels": [8], "branches": [[4], {"reduce": 4}], "squeeze_excitation": 4},
        ),
        (
            f"y = self.b(x); x = x + {GATED}",
            {**TEN_OF_8, "residual": True, "squeeze_excitation": 4},
        ),
        (
            f"y = {PQ}; x = x + {GATED}",
            {"branches": [[4], {"reduce": 4}], "residual": True, "squeeze_excitation": 4},
        ),
    ],
)
def test_blocks_with_a_squeeze_and_excitation(forward: str, block: dict[str, Any]) -> None:
    end = f"x = self.k(x); {BACK}"
    read = tree(module(EIGHT + GATE.format(2), f"x = self.a(x); {forward}; {end}"))
    assert read["blocks"][-1] == {**block, "reduce": 10}
    (said,) = refused(module(EIGHT + GATE.format(3), f"x = self.a(x); {forward}; {end}"))
    assert "a residual of this kind" in said or "branches of this kind" in said


@pytest.mark.parametrize("bias", [True, False])
def test_a_residual_whose_projection_has_strides(bias: bool) -> None:
    setup = EIGHT + GATE.format(2).replace("stride=2), ", f"stride=2, bias={bias}), ", 1)
    setup = setup.replace("1, stride=2)", f"1, stride=2, bias={bias})")
    forward = "x = self.a(x); x = self.v(x) + self.w(x); x = self.m(x)"
    (_, block, *_) = tree(module(setup, f"{forward}; {BACK}"))["blocks"]
    assert (block["stride"], block["residual"], block.get("bias", True)) == (2, True, bias)
