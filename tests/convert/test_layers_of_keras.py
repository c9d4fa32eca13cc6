"""What each layer of Keras is in the language, or why it is none."""

from __future__ import annotations

from typing import Any

import pytest

from mnist_arch.convert.importing import Imported, Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin, SpecError

BEFORE = """\
import keras
from keras.models import Sequential
from keras.layers import *
model = Sequential([Conv2D(8, 3, input_shape=(28, 28, 1)), """


def of_layers(layers: str) -> Imported:
    """After a convolution to maps of 8×26×26; they end in ten numbers."""
    return import_source(
        Source("net.py", ((Origin("net.py:1"), f"{BEFORE}{layers}])\n"),)), Request()
    )


def among_others(layers: str) -> Imported:
    return of_layers(f"{layers}, GlobalAveragePooling2D(), Dense(10, activation='softmax')")


@pytest.mark.parametrize(
    ("layer", "defaults"),
    [
        ("BatchNormalization()", {"norm": {"kind": "batch", "epsilon": 0.001, "momentum": 0.01}}),
        ("Activation('relu')", {"activation": "relu"}),
        ("Activation('swish')", {"activation": "silu"}),
        ("Activation(keras.activations.gelu)", {"activation": "gelu"}),
        ("Activation('leaky_relu')", {"activation": {"kind": "leaky_relu", "slope": 0.2}}),
        ("ReLU()", {"activation": "relu"}),
        ("ReLU(negative_slope=0.1)", {"activation": {"kind": "leaky_relu", "slope": 0.1}}),
        ("LeakyReLU()", {"activation": {"kind": "leaky_relu", "slope": 0.3}}),
        ("PReLU(shared_axes=[1, 2])", {"activation": {"kind": "prelu", "slopes": "channel"}}),
    ],
)
def test_norms_and_activations(layer: str, defaults: dict[str, Any]) -> None:
    usual = {"norm": "none", "activation": "none", "padding": "valid"}
    found = {"activation": "relu", **among_others(layer).tree["defaults"]}
    assert found == {**usual, **defaults}


@pytest.mark.parametrize(
    ("layers", "block"),
    [
        (
            "DepthwiseConv2D(3, depth_multiplier=2)",
            {"channels": [8, {"out": 16, "kind": "depthwise"}]},
        ),
        (
            "SeparableConv2D(8, 3)",
            {"channels": [8, {"out": 8, "kind": "separable", "depthwise_bias": False}]},
        ),
        ("Conv2D(8, 3, groups=4)", {"channels": [8, {"out": 8, "kind": "grouped"}], "groups": 4}),
        ("Conv2D(8, 3, 1, 'same')", {"channels": [{"out": 8, "padding": "valid"}, 8]}),
        ("ZeroPadding2D(1), Conv2D(8, 3)", {"channels": [{"out": 8, "padding": "valid"}, 8]}),
        (
            "ZeroPadding2D(((1, 1), (1, 1))), Conv2D(8, 3)",
            {"channels": [{"out": 8, "padding": "valid"}, 8]},
        ),
        ("Reshape((26, 26, 8))", {"channels": [8]}),
        ("Dropout(0.2)", {"channels": [8], "dropout": 0.2}),
        ("SpatialDropout2D(0.2)", {"channels": [8], "dropout": {"rate": 0.2, "kind": "spatial"}}),
        ("MaxPooling2D()", {"channels": [8], "pool": "max"}),
        ("AveragePooling2D(2, padding='same')", {"channels": [8], "pool": "average"}),
        (
            "MaxPooling2D(3, strides=2, padding='same')",
            {
                "channels": [8],
                "pool": {"kind": "max", "size": 3, "stride": 2, "padding": "same-end"},
            },
        ),
        ("GlobalMaxPooling2D(keepdims=True)", {"channels": [8], "pool": "global-max"}),
    ],
)
def test_what_a_block_says(layers: str, block: dict[str, Any]) -> None:
    assert among_others(layers).tree["blocks"] == [block]


@pytest.mark.parametrize("layer", ["Flatten()", "Reshape((-1,))", "Reshape((5408,))"])
def test_a_map_is_flattened(layer: str) -> None:
    imported = of_layers(f"{layer}, Dense(10)")
    assert imported.tree["head"] == {"pool": "flatten", "linear": True}
    assert imported.parameters == 80 + 26 * 26 * 8 * 10 + 10


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("BatchNormalization(axis=1)", "batch norm over another axis, or without scale or shift"),
        ("BatchNormalization(scale=False)", "batch norm over another axis, or without scale or"),
        ("BatchNormalization(epsilon=2)", "a batch norm with epsilon 2 and momentum 0.99"),
        ("LayerNormalization()", "the language lacks layer norm"),
        ("Activation('relu6')", "the activation relu6"),
        ("Activation('softsign')", "the activation 'softsign' is not known"),
        ("ReLU(6)", "the activation relu6"),
        ("ReLU(5)", "a ReLU with limits"),
        ("PReLU()", "PReLU with a slope for each value"),
        ("Dropout(1.5)", "a dropout of rate 1.5"),
        ("MaxPooling2D(0)", "pool_size and strides must be above 0"),
        ("ZeroPadding2D('1')", "padding must be one or two numbers"),
        ("Conv2D(8, 0)", "kernel_size, strides and dilation_rate must be above 0"),
        ("Conv2D(8.5, 3)", "filters must be a whole number above 0, not 8.5"),
        ("Conv2D(8, 3, dilation_rate=2)", "dilation"),
        ("Conv2D(8, 3, data_format='channels_first')", "channels must come last"),
        ("Conv2D(8, 3, padding='causal')", "padding='causal'"),
        ("Conv2D(8, 3, activation='elu')", "the activation elu"),
        ("Reshape((2, 2))", "a reshape of 26×26×8"),
        ("Conv1D(8, 3)", "the name Conv1D is not known"),
    ],
)
def test_what_the_language_lacks_is_named(layers: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        among_others(layers)
    assert message in str(caught.value)
