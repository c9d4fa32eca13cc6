"""Steps and predictions of many networks in a native library, without torch: for the sanitizers.

python sanitized_native.py LIBRARY
"""

from __future__ import annotations

import ctypes
import itertools
import math
import random
import sys
from math import prod
from pathlib import Path

from mnist_arch.counting.unroll import unroll
from mnist_arch.native.library import load
from mnist_arch.native.machine import Addresses, Machine, StoredImages
from mnist_arch.native.program import Program, program_of
from mnist_arch.spec.loading import loads

NETWORKS = {
    "ordinary": "[{channels: [6, 8, 5], pool: max}, {channels: [6], pool: max}, {channels: [7]}]",
    "replicate": "[{channels: [5, 6], padding_mode: replicate, kernel: 5}]",
    "strided": "[{channels: [5, 6], stride: 3, padding_mode: replicate}, {channels: [4]}]",
    "valid": "[{channels: [5, 6, 4], padding: valid, kernel: 4}]",
    "padded": "[{channels: [5, 4, 6], padding: same-end, stride: 2}, {channels: [4], padding: 5}]",
    "rectangles": "[{channels: [4, 5], kernel: [5, 2], padding: valid, pool: max}]",
    "pools": "[{channels: [4], pool: {kind: max, size: 3, stride: 2, padding: same-end}}, "
    "{channels: [3], pool: {kind: average, size: 4, padding: 2}}, {pool: global-max}]",
    "separable": "[{channels: [4, 8], kind: separable, stride: 2, residual: true}]",
    "branches": "[{channels: [4], branches: [[5], [], [{out: 3, padding_mode: replicate}]]}, "
    "{branches: [[4], {channels: [3, 4], residual: true}], join: add, residual: true}]",
    "norms": "[{channels: [8], norm: group}, {channels: [6], norm: instance, activation: gelu}]",
    "parts": "[{channels: [6, 4], norm: {splits: 3}}, {channels: [5], norm: {splits: 64}}]",
    "layers": "[{channels: [4], norm: {kind: layer, affine: value}}, {channels: [3], norm: layer}]",
    "slopes": "[{channels: [5], norm: {affine: none}, activation: {kind: prelu, slopes: channel}}]",
    "residual": "[{channels: [5]}, {channels: [6, 5], residual: true, repeat: 2, share: true}]",
    "squeezed": "[{channels: [6], squeeze_excitation: 2, activation: prelu, dropout: 0.2}]",
    "narrowing": "[{channels: [64, 4]}]",
    "pooled": "[{channels: [5], pool: {kind: max, size: 3, stride: 2}}, {channels: [3]}]",
}


def floats(count: int) -> ctypes.Array[ctypes.c_float]:
    return (ctypes.c_float * max(count, 1))(*(random.uniform(-1, 1) for _ in range(count)))


def zeros(count: int) -> ctypes.Array[ctypes.c_float]:
    return (ctypes.c_float * max(count, 1))()


def check(
    library: ctypes.CDLL, program: Program, recipe: object, images: int, threads: int
) -> None:
    """A step and a prediction with memory that ends where its tensors end."""
    sizes = [prod(shape) for shape in program.parameters]
    kept = {
        "values": [floats(it) for it in sizes],
        "momenta": [zeros(it) for it in sizes],
        "averages": [floats(it) for it in sizes],
        "running_means": [zeros(it) for it in program.running],
        "running_variances": [floats(it) for it in program.running],
        "running_batches": [(ctypes.c_int64 * 1)() for _ in program.running],
        "average_means": [zeros(it) for it in program.running],
        "average_variances": [floats(it) for it in program.running],
        "average_batches": [(ctypes.c_int64 * 1)() for _ in program.running],
    }
    machine = Machine(library, program, recipe, images=images, threads=threads)  # type: ignore[arg-type]
    machine.bind(
        Addresses(**{name: [*map(ctypes.addressof, it)] for name, it in kept.items()})  # type: ignore[arg-type]
    )
    pixels, labels = floats(images * 784), (ctypes.c_int64 * images)()
    masks = [floats(images * prod(program.values[it.input])) for it in program.dropouts]
    for count in (images, 1 + images // 2):
        machine.learn(
            images=count,
            pixels=ctypes.addressof(pixels),
            labels=ctypes.addressof(labels),
            masks=[*map(ctypes.addressof, masks)],
            rate=0.01,
            momentum=0.9,
            average_weight=0.1,
        )
    learn_from_stored_images(machine, program, images, masks)
    logits = zeros(images * program.values[-1][0])
    machine.predict(
        images=images,
        pixels=ctypes.addressof(pixels),
        logits=ctypes.addressof(logits),
        by_average=True,
    )
    gradients = zeros(sum(sizes))
    machine.copy_gradients(ctypes.addressof(gradients))
    machine.close()


def learn_from_stored_images(
    machine: Machine, program: Program, images: int, masks: list[ctypes.Array[ctypes.c_float]]
) -> None:
    """Steps on images that are moved to all kinds of places, most of them outside."""
    stored, far = 4, [0.0, 1.0, -1.0, 0.5, 40.0, -1e30, math.inf, math.nan]
    channels, height, width = program.values[0]
    images_of_all = (ctypes.c_uint8 * (stored * channels * height * width))()
    places = (ctypes.c_int64 * images)(*(random.randrange(stored) for _ in range(images)))
    affine = (ctypes.c_float * (images * 6))(*(random.choice(far) for _ in range(images * 6)))
    displacement = floats(images * height * width * 2)
    corners = (-(2**31), -5, 0, 20, height, 2**31 - 1)
    erased = (ctypes.c_int32 * (2 * images))(*(random.choice(corners) for _ in range(2 * images)))
    labels = (ctypes.c_int64 * images)()
    stored_at, places_at, *addresses = (
        ctypes.addressof(it) for it in (images_of_all, places, affine, displacement, erased)
    )
    ways = itertools.product((True, False), repeat=3)  # the first has them all
    for kept in ways if images < 10 else itertools.islice(ways, 1):
        given = [it if keep else 0 for it, keep in zip(addresses, kept, strict=True)]
        machine.learn(
            images=images,
            pixels=StoredImages(stored_at, stored, places_at, 0.1, 0.3, *given, 9),
            labels=ctypes.addressof(labels),
            masks=[*map(ctypes.addressof, masks)],
            rate=0.0,
            momentum=0.9,
            average_weight=0.1,
        )


def draw(library: ctypes.CDLL) -> None:
    """Random numbers from the first and the last number of a state on."""
    for left, following in ((1, 0), (624, 1), (1, 624), (2, 623)):
        state = (ctypes.c_uint64 * 632)(0, left, following, *range(1, 630))
        for count in (0, 1, 700):
            kept, message = zeros(count), ctypes.create_string_buffer(256)
            at = ctypes.addressof(state), ctypes.addressof(kept)
            assert library.native_draw(at[0], 0.5, count, at[1], message)


def main() -> None:
    random.seed(0)
    library = load(Path(sys.argv[1]))
    draw(library)
    for name, blocks in NETWORKS.items():
        text = f"name: {name}\nblocks: {blocks}\nhead: {{linear: true}}\n"
        experiment = loads(text, source=name).experiment
        program = program_of(unroll(experiment))
        for images, threads in ((3, 1), (19, 2)):
            check(library, program, experiment.recipe, images=images, threads=threads)


if __name__ == "__main__":
    main()
