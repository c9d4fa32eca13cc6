"""A graph of operations: the shape after each, and what cannot be applied."""

from __future__ import annotations

import pytest

from mnist_arch.convert import graph as g
from mnist_arch.errors import SpecError

MAP, SMALL, VALUES = (8, 26, 26), (8, 13, 13), (8,)


def applied(op: g.Operation, *shapes: g.Shape) -> g.Shape:
    """The shape after an operation on one value, or the shape that several become."""
    if len(shapes) > 1:
        return g.out_shape(op, list(shapes), "here")
    graph = g.Graph(shapes[0])
    return graph.shape(graph.add(op, -1, place="here"))


@pytest.mark.parametrize(
    ("op", "shapes", "after"),
    [
        (g.Conv(16, (3, 1), (2, 1), (1, 1, 0, 0)), [MAP], (16, 13, 26)),
        (g.Pool("max", (3, 3), (2, 2), ceil=True), [MAP], (8, 13, 13)),
        (g.Pool("max", (3, 3), (2, 2)), [MAP], (8, 12, 12)),
        (g.Pad((1, 2, 3, 4)), [MAP], (8, 29, 33)),
        (g.GlobalPool("max"), [MAP], (8, 1, 1)),
        (g.GlobalPool("average"), [VALUES], (8,)),
        (g.Flatten(), [SMALL], (1352,)),
        (g.Drop(0.1), [MAP], MAP),
        (g.Join("concatenation"), [MAP, MAP], (16, 26, 26)),
        (g.Join("sum"), [MAP, (1, 26, 26)], MAP),
        (g.Join("product"), [MAP, (8, 1, 1)], MAP),
        (g.Join("product"), [MAP, VALUES], MAP),
        (g.Join("product"), [VALUES, VALUES], VALUES),
    ],
)
def test_shapes_follow(op: g.Operation, shapes: list[g.Shape], after: g.Shape) -> None:
    assert applied(op, *shapes) == after


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (g.Conv(8, (3, 3)), [VALUES], "a convolution of 3×3 to 8 channels on 8, which is no map"),
        (g.Pool("max", (2, 2), (2, 2)), [VALUES], "a max pool of 2×2 on 8, which is no map"),
        (g.Conv(9, (3, 3), groups=3), [MAP], "3 groups do not divide 8 and 9"),
        (g.Conv(8, (30, 3), groups=8), [MAP], "8 channels in 8 groups does not fit into 8×26×26"),
        (g.Pad((1, 1, 1, 1)), [VALUES], "padding of 8, which is no map"),
        (g.Pad((100_000, 0, 0, 0)), [MAP], "padding on its own gives 8×100026×26: no side may be"),
        (g.Flatten(), [(1000, 26, 26)], "a flatten gives 676000: no side may be over 100,000"),
        (g.Linear(10), [MAP], "a fully connected layer on 8×26×26, which is a map"),
        (g.Linear(200_000), [VALUES], "a fully connected layer to 200000 gives 200000: no side"),
        (g.Join("concatenation"), [MAP, SMALL], "maps of other sizes are joined: 8×26×26, 8×13×13"),
        (g.Join("sum"), [MAP, SMALL], "8×26×26 and 8×13×13 cannot be added or multiplied"),
        (g.Join("sum"), [MAP, VALUES], "8×26×26 and 8 cannot be added or multiplied"),
        (g.Join("product"), [MAP, (4,)], "8×26×26 and 4×1×1 cannot be added or multiplied"),
    ],
)
def test_what_cannot_be_applied_is_refused(
    op: g.Operation, shapes: list[g.Shape], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        applied(op, *shapes)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.origin == "here"


def test_a_graph_has_a_bound() -> None:
    graph, value = g.Graph(MAP), -1
    for _ in range(g.MAX_NODES):
        value = graph.add(g.Flatten(), value, place="here")
    with pytest.raises(SpecError, match="more than 2,000 layers"):
        graph.add(g.Flatten(), value, place="here")


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (g.Norm("batch"), "a batch norm"),
        (g.Norm("instance"), "an instance norm"),
        (g.Norm("other", over="a norm of rows"), "a norm (a norm of rows)"),
        (g.Act("prelu"), "an activation (prelu)"),
        (g.Drop(0.1), "a dropout"),
        (g.GlobalPool("max"), "a global max pool"),
        (g.Join("concatenation"), "a concatenation"),
        (g.Other("a sort of values"), "a sort of values"),
    ],
)
def test_each_operation_has_a_few_words(op: g.Operation, words: str) -> None:
    assert g.described(op) == words
