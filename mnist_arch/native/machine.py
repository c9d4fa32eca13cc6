"""A network in the native engine: its program, its memory and its threads, behind plain calls."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass, fields
from math import prod
from typing import Any, Final, assert_never

from mnist_arch.native.program import Operation, Program
from mnist_arch.spec.recipe import Adadelta, Adagrad, Adam, AdamW, Recipe, RmsProp, Sgd

MESSAGE_SIZE: Final = 256


class _Value(Structure):
    _fields_ = [(name, c_int32) for name in ("channels", "height", "width")]


_ORDER: Final = (
    "kind input other output weight bias running parts rows columns stride top bottom left right "
    "groups replicates channels_last function averages spatial rectifies masks masks_input pools "
    "input_bias"
).split()


class _Operation(Structure):
    _fields_ = [(name, c_int32) for name in _ORDER] + [
        *((name, c_float) for name in ("slope", "rate")),
        *((name, c_double) for name in ("epsilon", "momentum")),
    ]


class _Parameter(Structure):
    _fields_ = [("size", c_int64), ("decays", c_int32), ("is_penalized", c_int32)]


class _Program(Structure):
    _fields_ = [
        *((f"{name}_count", c_int32) for name in ("value", "operation", "parameter", "running")),
        ("values", POINTER(_Value)),
        ("operations", POINTER(_Operation)),
        ("parameters", POINTER(_Parameter)),
        ("running_sizes", POINTER(c_int32)),
    ]


class _Recipe(Structure):
    _fields_ = [
        ("optimizer", c_int32),
        ("is_nesterov", c_int32),
        *(
            (name, c_double)
            for name in (
                "square_decay weight_decay epsilon l1 clip_norm label_smoothing teacher_weight "
                "temperature"
            ).split()
        ),
    ]


class _Tensors(Structure):
    _fields_ = [
        (name, POINTER(c_void_p))
        for name in (
            "values momenta squares means steps averages running_means running_variances "
            "running_batches average_means average_variances average_batches"
        ).split()
    ]


class _Images(Structure):
    _fields_ = [
        ("count", c_int32),
        ("pixels", c_void_p),
        ("bytes", c_void_p),
        ("stored", c_int64),
        ("places", c_void_p),
        ("affine", c_void_p),
        ("displacement", c_void_p),
        ("erased", c_void_p),
        ("erased_side", c_int32),
        ("mean", c_float),
        ("deviation", c_float),
    ]


class _Step(Structure):
    _fields_ = [
        ("images", _Images),
        ("labels", c_void_p),
        ("targets", c_void_p),
        ("masks", POINTER(c_void_p)),
        ("rate", c_double),
        ("momentum", c_double),
        ("average_weight", c_double),
    ]


@dataclass(frozen=True)
class Addresses:
    """Of tensors in torch's memory, by the places in a program; empty where there are none."""

    values: Sequence[int]
    running_means: Sequence[int]
    running_variances: Sequence[int]
    running_batches: Sequence[int]
    momenta: Sequence[int] = ()
    squares: Sequence[int] = ()
    means: Sequence[int] = ()
    steps: Sequence[int] = ()
    averages: Sequence[int] = ()
    average_means: Sequence[int] = ()
    average_variances: Sequence[int] = ()
    average_batches: Sequence[int] = ()


@dataclass(frozen=True)
class StoredImages:
    """Images of a batch among those that are stored, and what is done to each.

    All are addresses, of which 0 is none. The order is image, channel, row, column;
    coordinates are from -1 to 1 over the edges of an image.
    """

    bytes: int
    """Of all images, uint8."""
    stored: int
    """How many of them there are."""
    places: int
    """Of the batch's images among them, int64."""
    mean: float
    deviation: float
    """Of all pixels from 0 to 1."""
    affine: int = 0
    """(2, 3) of each image, float32: from coordinates after to those before."""
    displacement: int = 0
    """(row, column, 2) of each image, float32, added to those before."""
    erased: int = 0
    """First row and column of a square in each image, int32."""
    erased_side: int = 0


class Machine:
    """A network that learns and predicts, for passes of up to `images`.

    Raises ValueError where the program is not one, and MemoryError.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        program: Program,
        recipe: Recipe,
        *,
        images: int,
        threads: int,
    ) -> None:
        self.library, self.program, self.images = library, program, images
        self._handle: int | None = None
        self._message = ctypes.create_string_buffer(MESSAGE_SIZE)
        described, kept = _program(program, recipe)
        asked = _recipe(recipe)
        self._handle = library.native_open(
            byref(described), byref(asked), images, threads, self._message
        )
        del kept
        if not self._handle:
            self._fail()

    def bind(self, addresses: Addresses) -> None:
        """Learns and predicts with these tensors from here on, which stay where they are."""
        kept = []
        tensors = _Tensors()
        for name, *_ in _Tensors._fields_:
            given = getattr(addresses, name)
            count = (
                len(self.program.running)
                if name.startswith(("running", "average_"))
                else len(self.program.parameters)
            )
            if len(given) not in (0, count):
                raise ValueError(f"{len(given)} {name} for {count}")
            array = (c_void_p * max(count, 1))(*given)
            kept.append(array)
            setattr(tensors, name, ctypes.cast(array, POINTER(c_void_p)))
        if not self.library.native_bind(self._handle, byref(tensors), self._message):
            self._fail()

    def learn(
        self,
        *,
        images: int,
        pixels: int | StoredImages,
        labels: int,
        masks: Sequence[int],
        rate: float,
        momentum: float,
        average_weight: float | None,
        targets: int | None = None,
    ) -> float:
        """One step on so many images. Returns their mean loss, with the recipe's penalty.

        `momentum` is beta1 of Adam. `pixels` is an address of float32 as the network sees them, or
        says where they are stored. `targets` is an address of what the recipe's teacher says of
        each class, (images, classes) float32.
        """
        array = (c_void_p * max(len(masks), 1))(*masks)
        weight = -1.0 if average_weight is None else average_weight
        seen = _images(images, pixels)
        kept = ctypes.cast(array, POINTER(c_void_p))
        step = _Step(seen, labels, targets, kept, rate, momentum, weight)
        loss = c_float()
        if not self.library.native_learn(self._handle, byref(step), byref(loss), self._message):
            self._fail()
        return loss.value

    def predict(
        self, *, images: int, pixels: int | StoredImages, logits: int, by_average: bool
    ) -> None:
        """Writes the logits of so many images to an address."""
        seen = _images(images, pixels)
        if not self.library.native_predict(
            self._handle, byref(seen), by_average, logits, self._message
        ):
            self._fail()

    def copy_gradients(self, to: int) -> None:
        """Writes those of the last step, before clipping, parameter by parameter, float32."""
        self.library.native_gradients(self._handle, to)

    def close(self) -> None:
        """Ends its threads and gives back its memory."""
        if self._handle:
            self.library.native_close(self._handle)
        self._handle = None

    def __del__(self) -> None:
        self.close()

    def _fail(self) -> None:
        kind, _, text = self._message.value.decode().partition(": ")
        raise MemoryError(text) if kind == "memory" else ValueError(text)


def _program(program: Program, recipe: Recipe) -> tuple[_Program, Any]:
    """A program as C++ reads it, and what has to live as long."""
    values = (_Value * len(program.values))(*(_Value(*shape) for shape in program.values))
    operations = (_Operation * len(program.operations))(*map(_operation, program.operations))
    all_decay = recipe.optimizer.decays == "all"
    all_count = recipe.l1 is not None and recipe.l1.of == "all"
    parameters = (_Parameter * len(program.parameters))(
        *(
            _Parameter(prod(shape), all_decay or len(shape) > 1, all_count or len(shape) > 1)
            for shape in program.parameters
        )
    )
    running = (c_int32 * max(len(program.running), 1))(*program.running)
    kept = values, operations, parameters, running
    counts = (len(it) for it in (values, operations, parameters, program.running))
    return _Program(*counts, *kept), kept


def _images(count: int, pixels: int | StoredImages) -> _Images:
    if isinstance(pixels, int):
        return _Images(count=count, pixels=pixels)
    return _Images(count=count, **{it.name: getattr(pixels, it.name) for it in fields(pixels)})


def _operation(operation: Operation) -> _Operation:
    return _Operation(**{it.name: getattr(operation, it.name) for it in fields(operation)})


_OPTIMIZERS: Final = ("sgd", "adam", "adamw", "rmsprop", "adadelta", "adagrad")
"""As `NativeOptimizer` in program.h."""


def _recipe(recipe: Recipe) -> _Recipe:
    found = _Recipe(
        optimizer=_OPTIMIZERS.index(recipe.optimizer.kind),
        weight_decay=recipe.optimizer.weight_decay,
        l1=0.0 if recipe.l1 is None else recipe.l1.strength,
        clip_norm=recipe.clip_norm or 0.0,
        label_smoothing=recipe.label_smoothing,
        teacher_weight=0.0 if recipe.teacher is None else recipe.teacher.weight,
        temperature=1.0 if recipe.teacher is None else recipe.teacher.temperature,
    )
    match recipe.optimizer:
        case Sgd(nesterov=nesterov):
            found.is_nesterov = nesterov
        case Adam(beta2=decay) | AdamW(beta2=decay) | RmsProp(alpha=decay) | Adadelta(rho=decay):
            found.square_decay = decay
        case Adagrad():
            pass
        case never:
            assert_never(never)
    if not isinstance(recipe.optimizer, Sgd):
        found.epsilon = recipe.optimizer.epsilon
    return found
