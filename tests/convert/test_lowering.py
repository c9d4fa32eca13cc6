"""What a network of somebody else is in the language, what it lacks, and what is left of a part."""

from __future__ import annotations

import pytest
from code_to_read import module, of_code, refused

from mnist_arch.convert import graph as g
from mnist_arch.convert.importing import Imported
from mnist_arch.convert.lowering import lower
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import SpecError

SETUP = "self.a = nn.Conv2d(1, 8, 3, padding=1); self.b = nn.Conv2d(8, 8, 3, padding=1)"
LINEAR = "self.l = nn.Linear(8, 10)"


def code(body: str, setup: str = "pass") -> str:
    """A module that does something to maps of 8×28×28, of which a mean is classified."""
    forward = f"x = self.a(x); {body}; return self.l(x.mean([2, 3]))"
    return module(f"{SETUP}; {LINEAR}; {setup}", forward)


def kinds(imported: Imported) -> list[str]:
    return [row.layer for row in plan_network(imported.experiment).rows]


DILATED = "self.d = nn.Conv2d(8, {}, 3, padding=2, dilation=2)"
POINTWISE = "self.p = nn.Conv2d(16, 8, 1)"
GATED = "torch.sigmoid(self.u(F.relu(self.d(y))))"


@pytest.mark.parametrize(
    ("body", "setup", "message"),
    [
        ("x = torch.sigmoid(x) * self.b(x)", "pass", "a product that is no squeeze-and-excitation"),
        ("x = x + (x + x)", "pass", "a value joined with itself"),
        ("x = torch.cat([x], 1)", "pass", "a concatenation of one value"),
        ("x = F.relu(F.pad(x, (1, 1, 1, 1)))", "pass", "padding on its own |"),
        (
            "x = F.relu(F.pad(x, (1, 1, 1, 1), value=float('-inf')))",
            "pass",
            "padding on its own that is no zeros",
        ),
        (
            "x = F.max_pool2d(F.pad(x, (1, 0, 1, 0), value=float('-inf')), 2)",
            "pass",
            "a max pool of stride 2 that pads one side only",
        ),
        ("x = F.max_pool2d(x, (28, 14))", "pass", "a pool of 28×14, which is not square"),
        ("x = self.p(x)", "self.p = nn.PReLU(4)", "PReLU with a slope for each value"),
        ("x = self.p(self.b(self.p(x)))", "self.p = nn.PReLU()", "(prelu) that is used again"),
        (
            "x = self.n(self.b(self.n(x)))",
            "self.n = nn.InstanceNorm2d(8)",
            "an instance norm that is used again",
        ),
        (
            "y = F.adaptive_avg_pool2d(x, 1); x = x * torch.sigmoid(self.d(y))",
            "self.d = nn.Conv2d(8, 8, 1)",
            "a product that is no squeeze-and-excitation",
        ),
        (
            f"y = F.adaptive_avg_pool2d(x, 1); x = x * {GATED}",
            "self.d = nn.Conv2d(8, 4, 1, bias=False); self.u = nn.Conv2d(4, 8, 1)",
            "a product that is no squeeze-and-excitation",
        ),
        (
            f"y = F.max_pool2d(x, 28); x = x * {GATED}",
            "self.d = nn.Conv2d(8, 4, 1); self.u = nn.Conv2d(4, 8, 1)",
            "a product that is no squeeze-and-excitation",
        ),
    ],
)
def test_what_the_language_lacks_is_named(body: str, setup: str, message: str) -> None:
    assert message in refused(code(body, setup))[0]


@pytest.mark.parametrize("view", ["y.view(-1, 8, 1, 1)", "y.reshape(x.size(0), 8, 1, 1)"])
def test_a_gate_of_fully_connected_layers_is_squeeze_and_excitation(view: str) -> None:
    body = f"y = F.adaptive_avg_pool2d(x, 1).flatten(1); y = {GATED}; x = x * {view}"
    imported = of_code(code(body, "self.d = nn.Linear(8, 4); self.u = nn.Linear(4, 8)"))
    assert imported.tree["blocks"] == [{"channels": [8], "squeeze_excitation": 2}]


def test_a_product_of_three_is_named() -> None:
    graph = g.Graph((1, 28, 28))
    conv = graph.add(g.Conv(10, (3, 3)), -1, place="a")
    sigmoid = graph.add(g.Act("sigmoid"), conv, place="b")
    graph.add(g.Join("product"), conv, conv, sigmoid, place="c")
    assert [(it.what, it.place) for it in lower(graph).lacks] == [
        ("a product of more than two", "c")
    ]


@pytest.mark.parametrize("operations", [(), (g.Flatten(), g.Act("softmax"))])
def test_a_network_without_a_layer_has_no_items(operations: tuple[g.Operation, ...]) -> None:
    graph = g.Graph((1, 28, 28))
    for number, op in enumerate(operations):
        graph.add(op, number - 1, place="a")
    if operations:
        assert lower(graph).items == []
        return
    with pytest.raises(SpecError, match="there is no layer"):
        lower(graph)


CROSSED = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3)
        self.l = nn.Linear(8, 10)
    def forward(self, x):
        x = self.a(x)
        y = F.relu(x)
        for i in range({}):
            x, y = y, x + F.relu(y)
        return self.l(y.mean([2, 3]))
model = Net()
"""


@pytest.mark.parametrize("steps", [40, 150])
def test_branches_that_cross_many_times_end(steps: int) -> None:
    text = "import torch.nn as nn\nimport torch.nn.functional as F\n" + CROSSED.format(steps)
    (told,) = refused(text)
    assert told.startswith("net.py:12: the language lacks so many branches that use one another")
    partial = of_code(text, is_partial=True)
    assert kinds(partial)[0] == "Conv2d"
    assert not partial.is_exact


@pytest.mark.parametrize(
    ("body", "setup", "layers"),
    [
        ("x = F.dropout(x, 0.0, self.training)", "pass", ["Conv2d"]),
        (
            "x = F.relu(F.max_pool2d(self.b(x), 2))",
            "pass",
            ["Conv2d", "Conv2d", "ReLU", "MaxPool2d"],
        ),
        (
            "x = F.relu(F.dropout(self.b(x), 0.1, self.training))",
            "pass",
            ["Conv2d", "Conv2d", "ReLU", "Dropout"],
        ),
        ("x = self.i(x)", "self.i = nn.Identity()", ["Conv2d"]),
    ],
)
def test_what_is_the_same_is_written_as_the_language_has_it(
    body: str, setup: str, layers: list[str]
) -> None:
    imported = of_code(code(body, setup))
    assert kinds(imported) == [*layers, "AdaptiveAvgPool2d", "Flatten", "Linear"]
    assert imported.is_exact


def test_a_pool_of_a_whole_map_that_is_no_square_is_a_global_one() -> None:
    setup = f"self.a = nn.Conv2d(1, 8, (3, 1)); {LINEAR}"
    forward = "return self.l(F.avg_pool2d(self.a(x), (26, 28)).flatten(1))"
    imported = of_code(module(setup, forward))
    assert kinds(imported) == ["Conv2d", "AdaptiveAvgPool2d", "Flatten", "Linear"]


@pytest.mark.parametrize(
    ("body", "setup", "layers"),
    [
        (
            "x = self.p(self.e(self.d(x)))",
            f"{DILATED.format(16)}; self.e = nn.Conv2d(16, 16, 3, groups=16); "
            "self.p = nn.Conv2d(16, 8, 1)",
            ["Conv2d", "Conv2d", "Conv2d"],
        ),
        (
            "x = self.d(x); x = x + F.relu(self.e(x)); x = self.p(x)",
            f"{DILATED.format(16)}; self.e = nn.Conv2d(16, 16, 3, padding=1); "
            "self.p = nn.Conv2d(16, 8, 1)",
            ["Conv2d", "Conv2d"],
        ),
        (
            "x = F.max_pool2d(self.d(x), 2); x = F.adaptive_avg_pool2d(x, 1); x = self.b(x)",
            DILATED.format(8),
            ["Conv2d", "MaxPool2d", "AdaptiveAvgPool2d", "Conv2d"],
        ),
    ],
)
def test_what_is_left_of_a_network_connects(body: str, setup: str, layers: list[str]) -> None:
    imported = of_code(code(body, setup), is_partial=True)
    assert imported.missing[0].text == "the language lacks dilation"
    assert kinds(imported)[: len(layers)] == layers


def test_what_is_left_of_a_network_and_does_not_connect_is_refused() -> None:
    setup = (
        f"{DILATED.format(12)}; self.e = nn.Conv2d(12, 9, 3, groups=3); self.p = nn.Conv2d(9, 8, 1)"
    )
    (told,) = refused(code("x = self.p(self.e(self.d(x)))", setup), is_partial=True)
    assert "what is left of the network does not connect" in told


def test_each_lack_is_named_where_the_rest_does_not_connect() -> None:
    told = refused(code("x = F.relu6(self.p(self.d(x)))", f"{DILATED.format(16)}; {POINTWISE}"))
    assert [it.split(" | ")[0] for it in told] == [
        "net.py:7: the language lacks dilation",
        "net.py:9: the language lacks the activation relu6",
    ]


def test_a_layer_that_is_used_again_elsewhere_is_written_apart_in_a_part() -> None:
    body = "x = self.b(F.max_pool2d(self.c(F.relu(self.b(x))), 2))"
    setup = "self.c = nn.Conv2d(8, 8, 1)"
    assert "a layer that is used again, but in a `repeat`" in refused(code(body, setup))[0]
    partial = of_code(code(body, setup), is_partial=True)
    assert "a layer that is used again" in partial.missing[0].text
    assert kinds(partial).count("Conv2d") == 4


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("return F.softmax(x.flatten(1), 1)", "no layer of the network can be said"),
        (
            "x = self.a(x)\n        for _ in range(500): x = F.relu(x)\n        return x",
            "501 operations are more than",
        ),
    ],
)
def test_networks_of_nothing_or_of_too_much_are_refused(forward: str, message: str) -> None:
    assert message in refused(module("self.a = nn.Conv2d(1, 10, 28)", forward))[0]
