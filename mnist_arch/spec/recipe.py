"""How a network is trained: optimizer, schedule, augmentation."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError

from mnist_arch.data.catalog import DatasetInfo, Normalization
from mnist_arch.values import Fraction, NotNegative, Positive, Rate, ShortSpec, Small, Spec

Epsilon = Annotated[StrictFloat, Field(gt=0, le=1, allow_inf_nan=False)]


def _number(value: Any, *, least: float, most: float, above: bool = False) -> float:
    """A number in a range, without its least where `above`, or pydantic's own error."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    if above and value <= least:
        raise PydanticKnownError("greater_than", {"gt": least})
    if value < least:
        raise PydanticKnownError("greater_than_equal", {"ge": least})
    if value > most:
        raise PydanticKnownError("less_than_equal", {"le": most})
    return float(value)


def _range(value: Any) -> tuple[float, float]:
    """Two positive numbers, the least first."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise PydanticCustomError("range", "a range is a list of two numbers, `[least, most]`")
    low, high = (_number(it, least=0.0, most=MOST_FACTOR, above=True) for it in value)
    if low > high:
        raise PydanticCustomError("range", "a range begins with the least, `[least, most]`")
    return low, high


def _size(value: Any) -> float | tuple[float, float]:
    if isinstance(value, list | tuple):
        return _range(value)
    found = _number(value, least=0.0, most=1.0)
    if found == 1:
        raise PydanticKnownError("less_than", {"lt": 1.0})
    return found


def _tone(value: Any) -> float | tuple[float, float]:
    if isinstance(value, list | tuple):
        return _range(value)
    return _number(value, least=0.0, most=1.0)


def _listed(value: float | tuple[float, float] | None) -> Any:
    """As JSON and YAML have it."""
    return [*value] if isinstance(value, tuple) else value


def _check_share(area: tuple[float, float]) -> None:
    if area[1] > 1:
        raise PydanticCustomError("area", "`area` is a share of the image, of 1 at most")


MOST_FACTOR: Final = 100.0
_FACTOR: Final = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_FACTOR}
_TWO: Final = {"type": "array", "items": _FACTOR, "minItems": 2, "maxItems": 2}
_SHARE: Final = {"type": "number", "minimum": 0}

Range = Annotated[
    tuple[float, float], PlainValidator(_range), PlainSerializer(_listed), WithJsonSchema(_TWO)
]
"""Least and most of what is drawn."""
Size = Annotated[
    float | tuple[float, float],
    PlainValidator(_size),
    PlainSerializer(_listed),
    WithJsonSchema({"anyOf": [{**_SHARE, "exclusiveMaximum": 1}, _TWO]}),
]
"""A share, either way from 1, or the least and the most factor."""
Tone = Annotated[
    float | tuple[float, float],
    PlainValidator(_tone),
    PlainSerializer(_listed),
    WithJsonSchema({"anyOf": [{**_SHARE, "maximum": 1}, _TWO]}),
]
"""The same, up to the whole."""


class AnyOptimizer(ShortSpec):
    """Common to all optimizers."""

    short = "kind"

    decays: Literal["weights", "all"] = "weights"
    """What weight decay is of: the weights of convolutions and linear layers, or all tensors, with
    norms, biases and slopes, as a decay that an optimizer of torch is given."""


class Sgd(AnyOptimizer):
    """Stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"
    """sgd."""
    momentum: Rate = 0.9
    """Momentum."""
    nesterov: StrictBool = True
    """Whether momentum is Nesterov's, which needs a momentum above 0."""
    weight_decay: NotNegative = 1e-4
    """L2 penalty on what decays."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise PydanticCustomError("nesterov", "`nesterov` needs a momentum above 0")
        return self


class Adam(AnyOptimizer):
    """Adam, whose weight decay is an L2 penalty, added to the gradient (Kingma and Ba 2015)."""

    kind: Literal["adam"]
    """adam."""
    beta1: Rate = 0.9
    """Decay of the mean of the gradient."""
    beta2: Rate = 0.999
    """Decay of the mean of its square."""
    epsilon: Epsilon = 1e-8
    """What is added to the root of that mean."""
    weight_decay: NotNegative = 0.0
    """L2 penalty on what decays."""


class AdamW(AnyOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw"]
    """adamw."""
    beta1: Rate = 0.9
    """Decay of the mean of the gradient."""
    beta2: Rate = 0.999
    """Decay of the mean of its square."""
    epsilon: Epsilon = 1e-8
    """What is added to the root of that mean."""
    weight_decay: NotNegative = 0.01
    """Decoupled decay of what decays; the learning rate multiplies it."""


class RmsProp(AnyOptimizer):
    """RMSprop (Tieleman and Hinton 2012), as in torch."""

    kind: Literal["rmsprop"]
    """rmsprop."""
    alpha: Rate = 0.99
    """Decay of the mean of the squared gradient."""
    epsilon: Epsilon = 1e-8
    """What is added to the root of that mean."""
    momentum: Rate = 0.0
    """Momentum."""
    centered: StrictBool = False
    """Whether the gradient is divided by its deviation instead."""
    weight_decay: NotNegative = 0.0
    """L2 penalty on what decays."""


class Adadelta(AnyOptimizer):
    """Adadelta (Zeiler 2012), as in torch, where its usual rate is 1."""

    kind: Literal["adadelta"]
    """adadelta."""
    rho: Rate = 0.9
    """Decay of the means of the squared gradients and changes."""
    epsilon: Epsilon = 1e-6
    """What is added to these means."""
    weight_decay: NotNegative = 0.0
    """L2 penalty on what decays."""


class Adagrad(AnyOptimizer):
    """Adagrad (Duchi et al. 2011), as in torch."""

    kind: Literal["adagrad"]
    """adagrad."""
    initial_accumulator: NotNegative = 0.0
    """Where the sum of squared gradients begins."""
    epsilon: Epsilon = 1e-10
    """What is added to the root of that sum."""
    weight_decay: NotNegative = 0.0
    """L2 penalty on what decays."""


Optimizer = Sgd | Adam | AdamW | RmsProp | Adadelta | Adagrad


class L1(ShortSpec):
    """A penalty on the sum of absolute values (Tibshirani 1996)."""

    short = "strength"

    strength: NotNegative
    """What is added to the loss for each unit of the sum."""
    of: Literal["weights", "all"] = "weights"
    """The weights of convolutions and linear layers, or all tensors."""


Milestone = Annotated[StrictInt, Field(gt=0, le=10_000)]


class Schedule(ShortSpec):
    """Common to all schedules."""

    short = "kind"

    peak: Positive = 0.1
    """The highest learning rate."""
    warmup: Rate = 0.2
    """Share of all steps over which the rate rises to its peak."""


Divisor = Annotated[StrictFloat, Field(ge=1, le=1e9, allow_inf_nan=False)]


class OneCycle(Schedule):
    """Half a cosine up to the peak, then another one down to almost 0 (Smith 2018; as in torch)."""

    kind: Literal["one-cycle"] = "one-cycle"
    """one-cycle."""
    div_factor: Divisor = 25.0
    """What the peak is divided by for the rate at the start."""
    final_div_factor: Divisor = 10_000.0
    """What the rate at the start is divided by for that at the end."""
    first_step: Literal["risen", "start"] = "risen"
    """Whether the first step has risen already, or is at the start, as OneCycleLR of torch has
    it."""
    cycle_momentum: StrictBool = False
    """Whether momentum, or `beta1`, falls while the rate rises and rises while it falls."""
    max_momentum: Rate = 0.95
    """Momentum at the start and at the end of such a cycle, in place of the optimizer's."""
    base_momentum: Rate = 0.85
    """Momentum at the peak of the rate."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.base_momentum > self.max_momentum:
            raise PydanticCustomError("cycle", "`base_momentum` is more than `max_momentum`")
        return self


class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to 0."""

    kind: Literal["cosine"]
    """cosine."""


class Constant(Schedule):
    """Linear warm-up, then the peak until the end."""

    kind: Literal["constant"]
    """constant."""


class EpochSchedule(Schedule):
    """Common to schedules that change the rate once an epoch; a linear warm-up where it is set."""

    warmup: Rate = 0.0
    """Share of all steps over which the rate rises to its peak; none unless set."""


class Step(EpochSchedule):
    """The rate falls by a factor every so many epochs; a linear warm-up where it is set."""

    kind: Literal["step"]
    """step."""
    every_epochs: Small = 6
    """Epochs between two falls, counted from the start."""
    factor: Fraction = 0.1
    """What the rate is multiplied with at each fall."""


class MultiStep(EpochSchedule):
    """The rate falls by a factor after each of the epochs that are named."""

    kind: Literal["multi-step"]
    """multi-step."""
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1, max_length=64)]
    """Epochs after which the rate falls, in their order: 8 is after the eighth."""
    factor: Fraction = 0.1
    """What the rate is multiplied with at each fall."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(one >= other for one, other in pairwise(self.milestones)):
            raise PydanticCustomError("milestones", "`milestones` have to rise, such as [8, 12]")
        return self


class Exponential(EpochSchedule):
    """The rate falls by a factor after each epoch."""

    kind: Literal["exponential"]
    """exponential."""
    factor: Fraction = 0.9
    """What the rate is multiplied with after each epoch."""


class InverseTime(EpochSchedule):
    """The rate is the peak over 1 + `decay_rate` × epochs done."""

    kind: Literal["inverse-time"]
    """inverse-time."""
    decay_rate: NotNegative = 1.0
    """What is added to the divisor after each epoch."""


class Plateau(EpochSchedule):
    """The rate falls by a factor where a loss has stopped to fall (ReduceLROnPlateau of torch)."""

    kind: Literal["plateau"]
    """plateau."""
    watch: Literal["training", "holdout"] = "training"
    """The loss that is watched: of training, or on the hold-out, which there has to be; never on
    test."""
    factor: Rate = 0.1
    """What the rate is multiplied with at each fall."""
    patience: Annotated[StrictInt, Field(ge=0, le=10_000)] = 10
    """Epochs that may pass without a lower loss; one more, and the rate falls."""
    threshold: NotNegative = 1e-4
    """How much lower a loss has to be than the lowest so far to count."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """rel: as a share of the lowest so far; abs: in nats."""
    cooldown: Annotated[StrictInt, Field(ge=0, le=10_000)] = 0
    """Epochs after a fall in which none is counted."""
    min_rate: NotNegative = 0.0
    """Below which the rate never falls."""


AnySchedule = OneCycle | Cosine | Step | MultiStep | Exponential | InverseTime | Plateau | Constant


def watches_holdout(schedule: AnySchedule) -> bool:
    """Whether the learning rate depends on the loss on the hold-out."""
    return isinstance(schedule, Plateau) and schedule.watch == "holdout"


class Normalize(ShortSpec):
    """What is subtracted from pixels in [0, 1], and what they are divided by after that."""

    short = "kind"

    kind: Literal["dataset", "none"] = "dataset"
    """dataset: mean 0 and deviation 1 over its training pixels; none: pixels stay in [0, 1]."""
    mean: Annotated[StrictFloat, Field(ge=-10, le=10, allow_inf_nan=False)] | None = None
    """What is subtracted; the mean of the dataset unless set."""
    std: Annotated[StrictFloat, Field(ge=0.001, le=1000, allow_inf_nan=False)] | None = None
    """What is divided by; the standard deviation of the dataset unless set."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "none" and (self.mean, self.std) != (None, None):
            raise PydanticCustomError("constants", "`mean` and `std` belong to `kind: dataset`")
        return self

    def of(self, info: DatasetInfo) -> Normalization:
        """The constants for images of a dataset."""
        usual = Normalization(0.0, 1.0) if self.kind == "none" else info.normalization
        mean = usual.mean if self.mean is None else self.mean
        return Normalization(mean, usual.std if self.std is None else self.std)


class Initialize(ShortSpec):
    """How weights and biases of convolutions and linear layers begin."""

    short = "kind"

    kind: Literal["torch", "keras", "he", "xavier", "orthogonal"] = "torch"
    """torch and keras, as their layers come; he (He et al. 2015), xavier (Glorot and Bengio 2010),
    orthogonal (Saxe et al. 2014)."""
    distribution: Literal["uniform", "normal", "truncated-normal"] | None = None
    """Of `he`, where it is normal unless set, and of `xavier`, where it is uniform."""
    fan: Literal["in", "out"] | None = None
    """Whether `he` keeps the variance of values (in), which it does unless set, or of
    gradients."""
    biases: Literal["zeros", "torch"] | None = None
    """How biases begin with `he`, `xavier` and `orthogonal`; zeros unless set."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, kinds in (
            ("distribution", ("he", "xavier")),
            ("fan", ("he",)),
            ("biases", ("he", "xavier", "orthogonal")),
        ):
            if getattr(self, name) is not None and self.kind not in kinds:
                message = "`{name}` belongs to `kind: {kinds}`"
                raise PydanticCustomError(
                    name, message, {"name": name, "kinds": " or ".join(kinds)}
                )
        return self


class Elastic(Spec):
    """Smooth random displacement of the pixels (Simard et al. 2003)."""

    pixels: NotNegative
    """Standard deviation of the displacement, in pixels."""
    sigma_pixels: Annotated[StrictFloat, Field(ge=0.5, le=14, allow_inf_nan=False)] = 4.0
    """Standard deviation of the Gaussian that smooths the displacement field, in pixels."""


class Erase(Spec):
    """A square or a rectangle of one grey at a random place (after Zhong et al. 2020)."""

    probability: Fraction
    """Share of the images that lose a part."""
    pixels: Annotated[StrictInt, Field(gt=0, le=28)] = 8
    """Side of the square, in pixels."""
    area: Range | None = None
    """Least and most of the image that a rectangle takes, as a share; a square unless set."""
    ratio: Range | None = None
    """Least and most of height over width of a rectangle; 0.3 and 3.3 unless set."""
    fill: Fraction = 0.0
    """Its grey, from 0, which is background, to 1."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.area is None and self.ratio is not None:
            raise PydanticCustomError("ratio", "`ratio` is of a rectangle, which has an `area`")
        if self.area is not None:
            _check_share(self.area)
            if self.pixels != Erase.model_fields["pixels"].default:
                message = "`pixels` is the side of a square, and `area` of a rectangle: choose one"
                raise PydanticCustomError("area", message)
        return self


class Crop(Spec):
    """A part of the image, enlarged to the size of the image, between pixels."""

    pixels: Annotated[StrictInt, Field(gt=0, le=28)] | None = None
    """Side of a square in the middle, in pixels; this or `area`."""
    area: Range | None = None
    """Least and most of the image that is taken, at a random place, as a share; this or
    `pixels`."""
    ratio: Range | None = None
    """Least and most of width over height, with `area`; 3/4 and 4/3 unless set."""
    probability: Fraction = 1.0
    """Share of the images that are cropped."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.pixels is None) == (self.area is None):
            raise PydanticCustomError("crop", "a crop has `pixels` or `area`, one of both")
        if self.pixels is not None and self.ratio is not None:
            raise PydanticCustomError("ratio", "`ratio` belongs to `area`")
        if self.area is not None:
            _check_share(self.area)
        return self


class Perspective(Spec):
    """Each corner is moved inwards by whole pixels, by its own draw, along each axis."""

    distortion: Fraction
    """The most that a corner is moved, as a share of half of the image."""
    probability: Fraction = 1.0
    """Share of the images that are changed."""


class Change(Spec):
    """Random changes, in this order: crop, perspective, movement, tones, erasing."""

    rotate_degrees: Annotated[StrictFloat, Field(ge=0, le=180, allow_inf_nan=False)] = 0.0
    """Largest rotation, either way, in degrees."""
    shift_pixels: Annotated[StrictFloat, Field(ge=0, le=28, allow_inf_nan=False)] = 0.0
    """Largest shift along each axis, either way, in pixels."""
    whole_pixels: StrictBool = False
    """Whether a shift is rounded to whole pixels, and comes after the other movement."""
    scale: Size = 0.0
    """Largest change of size, either way, as a share of it; or least and most of its factor."""
    shear_degrees: Annotated[StrictFloat, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    """Largest horizontal shear, either way, in degrees."""
    elastic: Elastic | None = None
    """Elastic distortion; none unless set."""
    resample: Literal["bilinear", "nearest"] = "bilinear"
    """Whether a pixel that moves is a mean of the four it comes from, or the nearest."""
    fill: Fraction = 0.0
    """Grey of what comes into view, from 0, which is background, to 1."""
    crop: Crop | None = None
    """A part that is enlarged; none unless set."""
    perspective: Perspective | None = None
    """A view from aside; none unless set."""
    brightness: Tone = 0.0
    """Largest change of all greys, either way, as a share; or least and most of the factor."""
    contrast: Tone = 0.0
    """The same of the distance from the mean of the image."""
    erase: Erase | None = None
    """Random erasing; none unless set."""

    @property
    def moves(self) -> bool:
        """Whether pixels move by rotation, shift, scale, shear or elastic distortion."""
        amounts = self.rotate_degrees, self.shift_pixels, self.scale, self.shear_degrees
        return any(amounts) or self.elastic is not None

    @property
    def tones(self) -> bool:
        """Whether greys change."""
        return bool(self.brightness or self.contrast)


def about(amount: float | tuple[float, float]) -> tuple[float, float]:
    """The middle of a range of factors, and the most on either side of it."""
    if isinstance(amount, tuple):
        return (amount[0] + amount[1]) / 2, (amount[1] - amount[0]) / 2
    return 1.0, amount


class Augment(Change):
    """Random changes, drawn for each image of each batch; or a list of them, in a row.

    A list stands in the place of all the rest. Each of its items is drawn and resampled by itself.
    """

    rotate_degrees: Annotated[StrictFloat, Field(ge=0, le=180, allow_inf_nan=False)] = 10.0
    """Largest rotation, either way, in degrees."""
    shift_pixels: Annotated[StrictFloat, Field(ge=0, le=28, allow_inf_nan=False)] = 2.0
    """Largest shift along each axis, either way, in pixels."""
    scale: Size = 0.1
    """Largest change of size, either way, as a share of it; or least and most of its factor."""
    shear_degrees: Annotated[StrictFloat, Field(ge=0, le=60, allow_inf_nan=False)] = 8.0
    """Largest horizontal shear, either way, in degrees."""
    steps: Annotated[tuple[Change, ...], Field(max_length=16)] = ()
    """Changes in a row, in the place of those above; an empty list is none."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """A list is `steps`, beside which nothing moves unless it is said."""
        if isinstance(value, list | tuple):
            value = {"steps": value}
        if isinstance(value, dict) and "steps" in value:
            return {**dict.fromkeys(_MOVEMENTS, 0.0), **value}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.steps and (more := self.whole_change.model_dump(exclude_defaults=True)):
            message = "`{name}` beside `steps`: put it into one of them, or write a list alone"
            raise PydanticCustomError("steps", message, {"name": next(iter(more))})
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        whole = handler.resolve_ref_schema(schema)
        steps = {key: it for key, it in whole["properties"]["steps"].items() if key != "default"}
        return {"anyOf": [steps, whole], "description": whole["description"]}

    @property
    def whole_change(self) -> Change:
        """What is not in `steps`, as one change."""
        return Change(**{name: getattr(self, name) for name in Change.model_fields})

    @property
    def in_order(self) -> tuple[Change, ...]:
        """All changes, one after the other."""
        return self.steps or (self,)


_MOVEMENTS: Final = ("rotate_degrees", "shift_pixels", "scale", "shear_degrees")


def _short_or_of_kind(kind: str) -> BeforeValidator:
    """Lets `adamw` mean that kind with its defaults, and `{peak: 0.2}` the default kind."""

    def whole(value: object) -> object:
        match value:
            case str():
                return {"kind": value}
            case dict():
                return {"kind": kind, **value}
        return value

    return BeforeValidator(whole)


def _hexadecimal(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise PydanticCustomError("sha256", "must be 64 hexadecimal digits, in small letters")
    return value


class Teacher(ShortSpec):
    """A trained network whose answers are learned, too: distillation (Hinton, Vinyals, Dean 2015).

    The loss is (1 - weight) · cross-entropy + weight · temperature² · KL(teacher ‖ student), where
    KL is between softmax(logits / temperature) of both, on the very images of the batch.
    """

    short = "network"

    network: Annotated[StrictStr, Field(min_length=1, max_length=4096)]
    """A name, a run or a file of weights, as `mnist-arch eval` takes it."""
    weight: Annotated[StrictFloat, Field(gt=0, le=1, allow_inf_nan=False)] = 0.5
    """Share of the loss that is the teacher's; with 1 no label is learned."""
    temperature: Annotated[StrictFloat, Field(gt=0, le=1000, allow_inf_nan=False)] = 2.0
    """What the logits of both are divided by; the higher, the more the small answers count."""
    sha256: Annotated[StrictStr, AfterValidator(_hexadecimal)] | None = None
    """Of the file of its weights, which are no others; it is filled in."""


class Recipe(Spec):
    """How a network is trained."""

    epochs: Annotated[StrictInt, Field(gt=0, le=10_000)] = 19
    """Passes over the training images."""
    batch_size: Annotated[StrictInt, Field(ge=2, le=65_536)] = 64
    """Images a step; at least 2, since batch statistics of one image do not exist."""
    last_batch: Literal["use", "drop"] = "use"
    """Whether the incomplete last batch of an epoch is trained on; one of one image never is."""
    optimizer: Annotated[Optimizer, Field(discriminator="kind"), _short_or_of_kind("sgd")] = Sgd()
    """The optimizer."""
    schedule: Annotated[
        AnySchedule,
        Field(discriminator="kind"),
        _short_or_of_kind("one-cycle"),
    ] = OneCycle()
    """The learning rate, step by step or epoch by epoch."""
    label_smoothing: Rate = 0.0
    """Share of the target that is spread over all classes (Szegedy et al. 2016)."""
    teacher: Teacher | None = None
    """A trained network that is learned from besides the labels; none unless set."""
    l1: L1 | None = None
    """L1 penalty, which is part of the training loss; none unless set."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient of all parameters together; none unless set."""
    ema: Rate | None = 0.998
    """Decay of the running average of the weights, which then is the model; null for none."""
    augment: Augment = Augment()
    """Random changes to the training images."""
    normalize: Normalize = Normalize()
    """How pixels become numbers, of all images: a word, or constants."""
    initialize: Initialize = Initialize()
    """How the weights begin."""
    quantize: Literal["int8", "int4"] | None = None
    """Rounds weights, to so many bits, and values, to 8, in training as an export in whole numbers
    does; not at all unless set."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cycles_momentum and isinstance(self.optimizer, Adadelta | Adagrad):
            message = "`cycle_momentum` needs an optimizer with momentum, which {kind} has not"
            raise PydanticCustomError("cycle", message, {"kind": self.optimizer.kind})
        return self

    @property
    def cycles_momentum(self) -> bool:
        """Whether momentum changes from step to step."""
        return isinstance(self.schedule, OneCycle) and self.schedule.cycle_momentum

    def batches(self, images: int) -> list[int]:
        """Images of each step of an epoch over so many. Raises ValueError for fewer than two."""
        if images < 2:
            raise ValueError("a training needs two images or more")
        size = min(self.batch_size, images)
        whole, rest = divmod(images, size)
        last = [rest] if rest > 1 and self.last_batch == "use" else []
        return [size] * whole + last
