"""The block language: frozen values that say what a network is and how it is trained.

Every spec refuses unknown keys, counts are strict integers, and every field has a description, from
which the JSON Schema of the file is made. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictFloat,
    StrictInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from mnist_arch.values import Count, NotNegative, Rate, ShortSpec, Small, Spec

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MAX_ITEMS: Final = 64
"""Longest list of blocks or of convolutions, and the most repeats: bounds the work of planning."""

ActivationName = Literal["relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish", "none"]
ConvKind = Literal["ordinary", "separable", "depthwise", "grouped"]
LayerOrder = Literal["conv-activation-norm", "conv-norm-activation"]
Affine = Literal["channel", "one", "value", "none"]
Where = Literal["before", "after"]

MAX_SIDE: Final = 64
"""Longest side of a kernel, in pixels."""
MAX_PADDING: Final = 32
"""Most pixels of padding on a side that are asked for as a number."""
PADDINGS: Final = ("same", "valid", "same-end")

_SIDE: Final = {"type": "integer", "exclusiveMinimum": 0, "maximum": MAX_SIDE}
_PIXELS: Final = {"type": "integer", "minimum": 0, "maximum": MAX_PADDING}


def _whole(value: Any, *, least: int, most: int) -> int:
    """A whole number in a range, or pydantic's own error."""
    if type(value) is not int:
        raise PydanticKnownError("int_type")
    if value < least:
        if least == 1:
            raise PydanticKnownError("greater_than", {"gt": 0})
        raise PydanticKnownError("greater_than_equal", {"ge": least})
    if value > most:
        raise PydanticKnownError("less_than_equal", {"le": most})
    return value


def _kernel(value: Any) -> int | tuple[int, int]:
    """One side, or height and width; a square of two numbers is one."""
    if not isinstance(value, list | tuple):
        return _whole(value, least=1, most=MAX_SIDE)
    if len(value) != 2:
        raise PydanticCustomError("kernel", "a kernel is one side, or `[height, width]`")
    height, width = (_whole(side, least=1, most=MAX_SIDE) for side in value)
    return height if height == width else (height, width)


def _written(kernel: int | tuple[int, int]) -> Any:
    """A kernel as JSON and YAML have it."""
    return kernel if isinstance(kernel, int) else list(kernel)


def _padding(value: Any) -> str | int:
    if type(value) is int:
        return _whole(value, least=0, most=MAX_PADDING)
    if value not in PADDINGS:
        raise PydanticKnownError("literal_error", {"expected": "'same', 'valid' or 'same-end'"})
    return str(value)


def _pool_padding(value: Any) -> str | int:
    return value if value == "same-end" else _whole(value, least=0, most=MAX_PADDING)


Kernel = Annotated[
    int | tuple[int, int],
    PlainValidator(_kernel),
    PlainSerializer(_written),
    WithJsonSchema(
        {"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}]}
    ),
]
"""One side in pixels, or height and width."""
Padding = Annotated[
    Literal["same", "valid", "same-end"] | int,
    PlainValidator(_padding),
    WithJsonSchema({"anyOf": [{"type": "string", "enum": [*PADDINGS]}, _PIXELS]}),
]
"""A word, or pixels on each side."""


PoolPadding = Annotated[
    Literal["same-end"] | int,
    PlainValidator(_pool_padding),
    WithJsonSchema({"anyOf": [_PIXELS, {"const": "same-end", "type": "string"}]}),
]
"""Pixels on each side, or a word."""


class Norm(ShortSpec):
    """Normalisation, with a scale and a shift for each channel unless `affine` says otherwise."""

    short = "kind"

    kind: Literal["batch", "group", "instance", "layer", "none"] = "batch"
    """batch, group, instance, layer (of all values of an image), or none."""
    groups: Count | None = None
    """Number of groups, which divides the channels; for `group` only, where it is 4 unless set."""
    splits: Annotated[StrictInt, Field(gt=1, le=4096)] | None = None
    """Parts of a batch that are normalised apart in training, a ghost batch norm (Hoffer et al.
    2017); for `batch` only, where it is the whole batch unless set."""
    affine: Affine = "channel"
    """A learned scale and shift for each channel; none; and of `layer` one, or for each value."""
    epsilon: Annotated[StrictFloat, Field(gt=0, le=1, allow_inf_nan=False)] = 1e-5
    """What is added to the variance."""
    momentum: Annotated[StrictFloat, Field(gt=0, le=1, allow_inf_nan=False)] = 0.1
    """Weight of a new batch in the running statistics, as torch has it; for `batch` only."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.groups is not None and self.kind != "group":
            raise PydanticCustomError("groups", "`groups` belongs to `kind: group`")
        if self.splits is not None and self.kind != "batch":
            raise PydanticCustomError("splits", "`splits` belongs to `kind: batch`")
        if self.momentum != 0.1 and self.kind != "batch":
            raise PydanticCustomError("momentum", "`momentum` belongs to `kind: batch`")
        if self.affine in ("one", "value") and self.kind != "layer":
            message = "`affine: {affine}` belongs to `kind: layer`"
            raise PydanticCustomError("affine", message, {"affine": self.affine})
        return self

    @property
    def group_count(self) -> int:
        return 4 if self.groups is None else self.groups


class Activation(ShortSpec):
    """A function of each value."""

    short = "kind"

    kind: ActivationName = "relu"
    """relu, leaky_relu, prelu, gelu, silu, hardswish, or none."""
    slope: NotNegative | None = None
    """Slope below zero; for `leaky_relu` only, where it is 0.01 unless set."""
    slopes: Literal["one", "channel"] = "one"
    """One learned slope below zero, or one for each channel; for `prelu` only."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.slope is not None and self.kind != "leaky_relu":
            raise PydanticCustomError("slope", "`slope` belongs to `kind: leaky_relu`")
        if self.slopes != "one" and self.kind != "prelu":
            raise PydanticCustomError("slopes", "`slopes` belongs to `kind: prelu`")
        return self


class Dropout(ShortSpec):
    """Dropout."""

    short = "rate"

    rate: Rate
    """Probability of dropping; 0 leaves the layer out."""
    kind: Literal["elementwise", "spatial"] = "elementwise"
    """elementwise drops single values, spatial whole channels of an image."""


class ConvDropout(Dropout):
    """Dropout after one convolution."""

    at: Literal["end", "before-norm"] = "end"
    """At the end, or right before the norm: of the convolution, or of the block's pool."""


class BlockDropout(ConvDropout):
    """Dropout of a block."""

    after: Literal["block", "each"] = "block"
    """At the end of the block, or after each of its `channels` convolutions."""


class HeadDropout(Dropout):
    """Dropout in the head."""

    at: Literal["before", "after", "before-linear"] = "after"
    """Before or after the head's pool, or right before its linear layer."""


class ConvOptions(Spec):
    """What a convolution can inherit: from its block, and the block from `defaults`."""

    kernel: Kernel | None = None
    """Side of the kernel, in pixels, or its height and width; inherited unless set."""
    stride: Small | None = None
    """Step of the kernel, in pixels; inherited unless set."""
    padding: Padding | None = None
    """same, valid, same-end, or pixels on each side; inherited unless set."""
    padding_mode: Literal["zeros", "replicate"] | None = None
    """What the padding is filled with; inherited unless set."""
    kind: ConvKind | None = None
    """ordinary, separable, depthwise or grouped; inherited unless set."""
    groups: Count | None = None
    """Number of groups of a `grouped` convolution; inherited unless set."""
    bias: StrictBool | None = None
    """Whether it has a bias; inherited unless set."""
    depthwise_bias: StrictBool | None = None
    """Whether the depthwise half of a `separable` one has a bias; as `bias` unless set."""
    norm: Norm | None = None
    """Normalisation; inherited unless set."""
    activation: Activation | None = None
    """Activation; inherited unless set."""
    order: LayerOrder | None = None
    """Whether norm or activation comes first; inherited unless set."""

    def over(self, base: Defaults) -> Defaults:
        """These options where they are set, else those of `base`."""
        names = ConvOptions.model_fields
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return base.model_copy(update=options) if options else base


class Defaults(ConvOptions):
    """Options of all blocks, unless they say otherwise."""

    kernel: Kernel = 3
    """Side of the kernel, in pixels, or its height and width."""
    stride: Small = 1
    """Step of the kernel, in pixels."""
    padding: Padding = "same"
    """same pads by (kernel - 1) / 2, which needs an odd kernel; valid not at all; same-end until
    the size is that of before over the stride, an odd pixel at the end; a number is of pixels."""
    padding_mode: Literal["zeros", "replicate"] = "zeros"
    """What the padding is filled with."""
    kind: ConvKind = "ordinary"
    """ordinary; separable (depthwise, then pointwise 1×1); depthwise; or grouped."""
    groups: Count | None = None
    """Number of groups of a `grouped` convolution, which divides both its channel counts."""
    bias: StrictBool = True
    """Whether convolutions have a bias."""
    norm: Norm = Norm(kind="batch")
    """Normalisation of each of the `channels` convolutions."""
    activation: Activation = Activation(kind="relu")
    """Activation of each of the `channels` convolutions."""
    order: LayerOrder = "conv-activation-norm"
    """Whether norm or activation comes first."""
    dropout: BlockDropout = BlockDropout(rate=0.0)
    """Dropout of every block that names none."""


class Conv(ConvOptions, ShortSpec):
    """A convolution of a block: its channels, or an object where it differs from the block."""

    short = "out"

    out: Count
    """Output channels."""
    dropout: ConvDropout | None = None
    """Dropout after this convolution, in place of the block's."""


class Reduce(ShortSpec):
    """The 1×1 convolution of a block or head; bare unless it names a norm or an activation."""

    short = "out"

    out: Count
    """Output channels."""
    at: Where = "after"
    """Before or after the pool."""
    bias: StrictBool | None = None
    """Whether it has a bias. Inherited unless set."""
    norm: Norm = Norm(kind="none")
    """Normalisation; none unless set."""
    activation: Activation = Activation(kind="none")
    """Activation; none unless set."""
    order: LayerOrder | None = None
    """Which of the two comes first. Inherited unless set."""


class Pool(ShortSpec):
    """How a block makes its map smaller. Rows and columns that do not fill a window are lost."""

    short = "kind"

    kind: Literal["max", "average", "global-max", "global-average", "convolution", "none"]
    """max, average, both of windows or of the whole map, a bare strided convolution, or none."""
    size: Small = 2
    """Side of the window, in pixels."""
    stride: Small | None = None
    """Step of the window, in pixels; unless set, 2 for a convolution, else the size."""
    padding: PoolPadding = 0
    """Pixels on each side, at most half the size; for `max` and for `average`, which counts them
    as zeros. For `max` also same-end: until the size is that of before over the stride."""
    norm: Norm = Norm(kind="none")
    """Normalisation after the pool; none unless set."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "none" and self.norm.kind != "none":
            raise PydanticCustomError("pool_norm", "`norm` belongs to a pool")
        if self.kind.startswith("global") and (self.size != 2 or self.stride is not None):
            message = "`size` and `stride` belong to a pool of windows"
            raise PydanticCustomError("pool_size", message)
        if self.padding and self.kind not in ("max", "average"):
            message = "`padding` belongs to `kind: max or average`"
            raise PydanticCustomError("pool_padding", message)
        if self.padding == "same-end" and self.kind != "max":
            message = "`padding: same-end` belongs to `kind: max`"
            raise PydanticCustomError("pool_padding", message)
        if isinstance(self.padding, int) and 2 * self.padding > self.size:
            raise PydanticCustomError("pool_padding", "`padding` is at most half the `size`")
        return self

    @property
    def step(self) -> int:
        if self.stride is not None:
            return self.stride
        return 2 if self.kind == "convolution" else self.size


class Way(ConvOptions):
    """What leads from one map to another in a block, or in one of its branches."""

    channels: Annotated[tuple[Conv, ...], Field(max_length=MAX_ITEMS)] = ()
    """Output channels of each convolution, in order; an object where one differs from its block."""
    repeat: Annotated[StrictInt, Field(gt=0, le=MAX_ITEMS)] = 1
    """How many times the `channels` are applied, one after the other."""
    share: StrictBool = False
    """Whether repeats share the weights of `channels` where shapes are equal; never of norms."""
    residual: StrictBool = False
    """Adds the input of a repeat to its output; by a bare 1×1 convolution if shapes differ."""
    squeeze_excitation: Count | None = None
    """Ratio of a squeeze-and-excitation that ends each repeat (Hu et al. 2018); none unless set."""
    pool: Pool = Pool(kind="none")
    """The pool after the convolutions; none unless set."""
    reduce: Reduce | None = None
    """The 1×1 convolution around the pool; none unless set."""
    dropout: BlockDropout | None = None
    """Dropout at the end of the block or after each convolution; inherited unless set."""

    @property
    def repeats(self) -> bool:
        """Whether there is something that `repeat` and what belongs to it are of."""
        return bool(self.channels)

    @model_validator(mode="after")
    def _check(self) -> Self:
        repeated = self.repeat > 1 or self.share or self.residual or self.squeeze_excitation
        if repeated and not self.repeats:
            message = "`repeat`, `share`, `residual` and `squeeze_excitation` need `channels`"
            raise PydanticCustomError("no_channels", message)
        return self


class Branch(Way, ShortSpec):
    """One of several ways side by side: its `channels`, or an object; empty, it is its input."""

    short = "channels"


class Block(Way):
    """Convolutions that expand, a pool, a 1×1 convolution that reduces, and dropout."""

    branches: Annotated[tuple[Branch, ...], Field(max_length=MAX_ITEMS)] = ()
    """Ways side by side, after the `channels`, that are joined and repeated with them; each is a
    list of convolutions, or an object; empty, it is its input."""
    join: Literal["concat", "add"] | None = None
    """How `branches` are joined: one after the other by channels, or added; concat unless set."""

    @property
    def repeats(self) -> bool:
        return bool(self.channels or self.branches)

    @model_validator(mode="after")
    def _check_block(self) -> Self:
        if not self.repeats and self.reduce is None and self.pool.kind == "none":
            message = "a block needs `channels`, `branches`, a `pool` or a `reduce`"
            raise PydanticCustomError("empty_block", message)
        if len(self.branches) == 1:
            raise PydanticCustomError("one_branch", "`branches` are two or more")
        if self.join is not None and not self.branches:
            raise PydanticCustomError("join", "`join` belongs to `branches`")
        return self


class Hidden(ShortSpec):
    """A hidden fully connected layer: its width, or an object where it differs from `defaults`."""

    short = "out"

    out: Count
    """Number of values it gives."""
    bias: StrictBool | None = None
    """Whether it has a bias. Inherited unless set."""
    norm: Norm | None = None
    """Normalisation. Inherited unless set."""
    activation: Activation | None = None
    """Activation. Inherited unless set."""
    order: LayerOrder | None = None
    """Whether norm or activation comes first. Inherited unless set."""
    dropout: ConvDropout = ConvDropout(rate=0.0)
    """Dropout after it, or right before its norm; none unless set."""


_HiddenLayers = Annotated[tuple[Hidden, ...], Field(max_length=MAX_ITEMS)]


def _listed(value: Any) -> Any:
    """One layer alone is a list of one."""
    return [value] if isinstance(value, int | dict | Hidden) else value


class Head(Spec):
    """What leads from the last feature map to one number a class."""

    pool: Literal["average", "global-average", "global-max", "flatten"] = "global-average"
    """average over windows of `size`; over the whole map; its maximum; or the map as a list."""
    size: Small | None = None
    """Side of the window, in pixels; for `average` only, which needs it."""
    reduce: Reduce | None = None
    """A last 1×1 convolution, before or after the pool; none unless set."""
    hidden: Annotated[
        _HiddenLayers, BeforeValidator(_listed, json_schema_input_type=Hidden | _HiddenLayers)
    ] = ()
    """Hidden fully connected layers before the last one, in order, or one alone; none unless set.
    With them `linear` is true."""
    linear: StrictBool = False
    """Whether a fully connected layer to the classes comes last."""
    bias: StrictBool = True
    """Whether the fully connected layer has a bias."""
    dropout: HeadDropout = HeadDropout(rate=0.0)
    """Dropout before or after the pool, or right before the last linear layer."""

    @model_validator(mode="before")
    @classmethod
    def _end(cls, value: Any) -> Any:
        """What is hidden is before something."""
        if isinstance(value, dict) and value.get("hidden") and "linear" not in value:
            return {**value, "linear": True}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hidden and not self.linear:
            raise PydanticCustomError("hidden", "`hidden` needs `linear: true`")
        if (self.pool == "average") != (self.size is not None):
            raise PydanticCustomError(
                "head_size", "`size` belongs to `pool: average`, which needs it"
            )
        if self.dropout.at == "before-linear" and not self.linear:
            message = "`at: before-linear` needs `linear: true`"
            raise PydanticCustomError("before_linear", message)
        return self


class Network(Spec):
    """A network: blocks between an input of 1×28×28 and a head."""

    classes: Count = 10
    """Number of classes, which is the number of outputs."""
    defaults: Defaults = Defaults()
    """What every block starts from."""
    blocks: Annotated[tuple[Block, ...], Field(max_length=MAX_ITEMS)]
    """The blocks, from the input on."""
    head: Head = Head()
    """What follows the last block."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.blocks:
            raise PydanticCustomError("no_blocks", "`blocks` needs at least one block")
        return self
