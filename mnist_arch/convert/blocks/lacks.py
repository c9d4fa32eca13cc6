"""What the language lacks where no block says the row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mnist_arch.convert.blocks.units import all_weights
from mnist_arch.convert.lowering import Branches, Item, Joined, Lack
from mnist_arch.counting import layers as our

AGAIN: Final = "a layer that is used again, but in a `repeat`"


def stuck(items: Sequence[Item], index: int) -> Lack:
    """What the language lacks where every way through the row ends."""
    index = min(index, len(items) - 1)
    item = items[index]
    before = items[index - 1].op if index else None
    match before, item.op:
        case _, our.Normalization():
            what = f"a norm after {_word(before)}"
        case Branches(), our.Activation():
            what = "an activation after the sum of a residual"
        case Joined(), our.Activation() | our.Normalization():
            what = "a norm or an activation after branches are joined"
        case _, Joined():
            what = "branches of this kind"
        case _, our.Activation():
            what = f"an activation after {_word(before)}"
        case _, Branches():
            what = "a residual of this kind"
        case _, our.Convolution(weights=weights) if list(all_weights(items)).count(weights) > 1:
            what = AGAIN
        case _, our.Convolution():
            what = f"a convolution of this kind after {_word(before)}"
        case _:
            what = f"{_word(item.op)} after {_word(before)}"
    return Lack(what, item.place)


def _word(op: our.Op | Branches | Joined | None) -> str:
    match op:
        case None:
            return "the image"
        case our.Convolution():
            return "a convolution"
        case our.Normalization():
            return "a norm"
        case our.Activation():
            return "an activation"
        case our.Dropout():
            return "a dropout"
        case our.Pooling() | our.GlobalPooling():
            return "a pool"
        case Branches():
            return "a residual"
        case Joined():
            return "branches"
        case our.SqueezeExcitation():
            return "a squeeze-and-excitation"
        case _:
            return "a fully connected layer"
