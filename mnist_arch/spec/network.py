"""The block language: frozen values that say what a network is and how it is trained.

Every spec refuses unknown keys, counts are strict integers, and every field has a description, from
which the JSON Schema of the file is made. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, StrictBool, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from mnist_arch.values import Count, Rate, ShortSpec, Small, Spec

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MAX_ITEMS: Final = 64
"""Longest list of blocks or of convolutions, and the most repeats: bounds the work of planning."""

ActivationName = Literal["relu", "leaky_relu", "prelu", "gelu", "silu", "hardswish", "none"]
ConvKind = Literal["ordinary", "separable", "depthwise", "grouped"]
LayerOrder = Literal["conv-activation-norm", "conv-norm-activation"]
Where = Literal["before", "after"]


class Norm(ShortSpec):
    """Normalisation; every kind learns a scale and a shift for each channel."""

    short = "kind"

    kind: Literal["batch", "group", "instance", "none"] = "batch"
    """batch, group, instance, or none."""
    groups: Count | None = None
    """Number of groups, which divides the channels; for `group` only, where it is 4 unless set."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.groups is not None and self.kind != "group":
            raise PydanticCustomError("groups", "`groups` belongs to `kind: group`")
        return self

    @property
    def group_count(self) -> int:
        return 4 if self.groups is None else self.groups


class ConvDropout(ShortSpec):
    """Dropout after one convolution."""

    short = "rate"

    rate: Rate
    """Probability of dropping; 0 leaves the layer out."""
    kind: Literal["elementwise", "spatial"] = "elementwise"
    """elementwise drops single values, spatial whole channels of an image."""


class BlockDropout(ConvDropout):
    """Dropout of a block."""

    after: Literal["block", "each"] = "block"
    """At the end of the block, or after each of its `channels` convolutions."""


class HeadDropout(ConvDropout):
    """Dropout in the head."""

    at: Where = "after"
    """Before or after the head's pool."""


class ConvOptions(Spec):
    """What a convolution can inherit: from its block, and the block from `defaults`."""

    kernel: Small | None = None
    """Side of the square kernel, in pixels; inherited unless set."""
    stride: Small | None = None
    """Step of the kernel, in pixels; inherited unless set."""
    padding: Literal["same", "valid"] | None = None
    """same pads by (kernel - 1) / 2, valid not at all; inherited unless set."""
    padding_mode: Literal["zeros", "replicate"] | None = None
    """What the padding is filled with; inherited unless set."""
    kind: ConvKind | None = None
    """ordinary, separable, depthwise or grouped; inherited unless set."""
    groups: Count | None = None
    """Number of groups of a `grouped` convolution; inherited unless set."""
    bias: StrictBool | None = None
    """Whether it has a bias; inherited unless set."""
    norm: Norm | None = None
    """Normalisation; inherited unless set."""
    activation: ActivationName | None = None
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

    kernel: Small = 3
    """Side of the square kernel, in pixels."""
    stride: Small = 1
    """Step of the kernel, in pixels."""
    padding: Literal["same", "valid"] = "same"
    """same pads by (kernel - 1) / 2, which needs an odd kernel; valid not at all."""
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
    activation: ActivationName = "relu"
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
    activation: ActivationName = "none"
    """Activation; none unless set."""
    order: LayerOrder | None = None
    """Which of the two comes first. Inherited unless set."""


class Pool(ShortSpec):
    """How a block makes its map smaller. Rows and columns that do not fill a window are lost."""

    short = "kind"

    kind: Literal["max", "average", "convolution", "none"]
    """max, average, a strided convolution that keeps the channels (bare), or none."""
    size: Small = 2
    """Side of the window, in pixels."""
    stride: Small | None = None
    """Step of the window, in pixels; unless set, 2 for a convolution, else the size."""

    @property
    def step(self) -> int:
        if self.stride is not None:
            return self.stride
        return 2 if self.kind == "convolution" else self.size


class Block(ConvOptions):
    """Convolutions that expand, a pool, a 1×1 convolution that reduces, and dropout."""

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.channels and self.reduce is None and self.pool.kind == "none":
            raise PydanticCustomError(
                "empty_block", "a block needs `channels`, a `pool` or a `reduce`"
            )
        repeated = self.repeat > 1 or self.share or self.residual or self.squeeze_excitation
        if repeated and not self.channels:
            message = "`repeat`, `share`, `residual` and `squeeze_excitation` need `channels`"
            raise PydanticCustomError("no_channels", message)
        return self


class Head(Spec):
    """What leads from the last feature map to one number a class."""

    pool: Literal["average", "global-average", "global-max", "flatten"] = "global-average"
    """average over windows of `size`; over the whole map; its maximum; or the map as a list."""
    size: Small | None = None
    """Side of the window, in pixels; for `average` only, which needs it."""
    reduce: Reduce | None = None
    """A last 1×1 convolution, before or after the pool; none unless set."""
    linear: StrictBool = False
    """Whether a fully connected layer to the classes comes last."""
    bias: StrictBool = True
    """Whether the fully connected layer has a bias."""
    dropout: HeadDropout = HeadDropout(rate=0.0)
    """Dropout before or after the pool."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.pool == "average") != (self.size is not None):
            raise PydanticCustomError(
                "head_size", "`size` belongs to `pool: average`, which needs it"
            )
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
