"""What each lever of the CPU engine gives on s6: variants of one thing, run in turn.

    python benchmarks/levers.py --rounds 9 --out benchmarks/results/levers.json

Variants are called in blocks, A B A B, in one process, after a block of each to warm up. A ratio is
the first variant's time by another's in the same round: above 1, the other is the faster one. What
needs processes of its own, memory and the start, is in payback.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

import torch
from report import origin, publish, table
from torch import Tensor
from turns import HEADINGS, Call, Lever, measure
from variants import (
    Bench,
    TwoPartStep,
    ZeroFilling,
    apart,
    contiguous,
    in_line,
    overlapped,
    stepping_alone,
    unshared,
)

from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.evaluation.metrics import BATCH
from mnist_arch.network.fused import fused
from mnist_arch.spec.recipe import about
from mnist_arch.training.augment import augment
from mnist_arch.training.engine import Engine, Precision
from mnist_arch.training.engine_choice import cpu_has_bfloat16, prepare

EVALUATION_BATCHES: Final = (BATCH, 250, 1000, 2000)
"""Images of a forward pass; that of the product first."""
THREADS: Final = {"one": 1, "two": 2}


def memory_format(bench: Bench) -> Lever:
    variants = {
        "contiguous": bench.plain(contiguous(bench.state())),
        "channels_last": bench.plain(),
    }
    return Lever("memory format", variants, bench.steps)


def gradients(bench: Bench) -> Lever:
    filling = bench.state()
    filling.optimizer = ZeroFilling(filling.model, bench.experiment.recipe)
    variants = {"filled with zeros": bench.plain(filling), "set to None": bench.plain()}
    return Lever("gradients", variants, bench.steps)


def optimizer(bench: Bench) -> Lever:
    """Of a step alone, whose share is to be seen beside the whole."""
    variants = {
        "one tensor at a time": stepping_alone(bench.state()),
        "foreach": stepping_alone(bench.state(), foreach=True),
        "fused": stepping_alone(bench.state(), fused=True),
        "a whole step": bench.plain(),
    }
    return Lever("optimizer", variants, bench.steps)


def augmentation(bench: Bench) -> Lever:
    """A batch, from stored bytes to what the network sees."""
    from PIL import Image
    from torchvision import transforms

    images, info, spec = bench.training.images, INFO["mnist"], bench.experiment.recipe.augment
    index_B, rng = torch.arange(bench.batch) % len(images), torch.Generator().manual_seed(0)
    middle, most = about(spec.scale)
    bilinear = transforms.InterpolationMode.BILINEAR
    shift = spec.shift_pixels / images.shape[-1]
    affine = transforms.RandomAffine(
        spec.rotate_degrees,
        translate=(shift, shift),
        scale=(middle - most, middle + most),
        shear=spec.shear_degrees,
        interpolation=bilinear,
    )
    rotation = transforms.RandomRotation(spec.rotate_degrees)
    finish = [transforms.ToTensor(), transforms.Normalize((info.mean,), (info.std,))]

    def one_by_one(change: Callable[[Any], Any]) -> Call:
        whole = transforms.Compose([change, *finish])
        return lambda: torch.stack(
            [whole(Image.fromarray(images[index, 0].numpy())) for index in index_B.tolist()]
        )

    variants: dict[str, Call] = {
        "image by image, the same changes": one_by_one(affine),
        "image by image, rotation alone": one_by_one(rotation),
        "batched": lambda: normalize(
            augment(to_unit(images[index_B]), spec, rng=rng), info.normalization
        ),
    }
    return Lever("augmentation", variants, bench.steps)


def compilation(bench: Bench) -> Lever:
    variants = {
        "plain": bench.plain(),
        "modules as they are": bench.compiled(lambda model: model, fallback_random=True),
        "norms and pools apart": bench.compiled(apart, fallback_random=True),
        "as the product": bench.compiled(),
        "with inductor's random numbers": bench.compiled(fused, fallback_random=False),
    }
    return Lever("compile", variants, bench.steps)


def pool(bench: Bench) -> Lever:
    return Lever("pool", pools(bench, "float32"), bench.steps)


def pool_bfloat16(bench: Bench) -> Lever:
    return Lever("pool, bfloat16", pools(bench, "bfloat16"), bench.steps)


def pools(bench: Bench, precision: Precision) -> dict[str, Call]:
    return {
        "after the norm": bench.compiled(apart, precision=precision, fallback_random=True),
        "before the norm": bench.compiled(precision=precision),
    }


def threads(bench: Bench) -> Lever:
    variants = {"one": bench.plain(), "two": bench.plain()}
    return Lever("threads, plain", variants, bench.steps, threads=THREADS)


def threads_compiled(bench: Bench) -> Lever:
    variants = {"one": bench.compiled(), "two": bench.compiled()}
    return Lever("threads, compiled", variants, bench.steps, threads=THREADS)


def narrow_norm(bench: Bench) -> Lever:
    """Norms of fewer channels than a cache line has values, backward."""
    variants = {"in all threads": bench.plain(), "in one": bench.plain(unshared(bench.state()))}
    return Lever("narrow norm", variants, bench.steps)


def bfloat16(bench: Bench) -> Lever:
    variants = {"float32": bench.plain(), "bfloat16": bench.plain(precision="bfloat16")}
    return Lever("bfloat16", variants, bench.steps)


def bfloat16_compiled(bench: Bench) -> Lever:
    variants = {
        "float32": bench.compiled(),
        "bfloat16": bench.compiled(precision="bfloat16"),
        "plain, bfloat16": bench.plain(precision="bfloat16"),
    }
    return Lever("bfloat16, compiled", variants, bench.steps)


def overlap(bench: Bench) -> Lever:
    variants = {
        "in line": in_line(TwoPartStep(bench)),
        "in a thread": overlapped(TwoPartStep(bench)),
    }
    return Lever("overlap", variants, bench.steps)


def evaluation(bench: Bench) -> Lever:
    """A pass over the test split at each call, with the averaged weights."""
    model, images, info = bench.state().result.eval(), bench.judged_on.images, INFO["mnist"]

    def predicting(count: int) -> Call:
        @torch.no_grad()
        def predict() -> Tensor:
            return torch.cat(
                [
                    model(normalize(to_unit(it), info.normalization))
                    for it in torch.split(images, count)
                ]
            )

        return predict

    variants = {f"{count} images a pass": predicting(count) for count in EVALUATION_BATCHES}
    return Lever(f"evaluation of {len(images):,} images", variants, calls=1)


WITH_AMX: Final = ("pool-bfloat16", "bfloat16-compiled")
LEVERS: Final[dict[str, Callable[[Bench], Lever]]] = {
    "memory-format": memory_format,
    "gradients": gradients,
    "optimizer": optimizer,
    "augmentation": augmentation,
    "compile": compilation,
    "pool": pool,
    "pool-bfloat16": pool_bfloat16,
    "threads": threads,
    "threads-compiled": threads_compiled,
    "narrow-norm": narrow_norm,
    "bfloat16": bfloat16,
    "bfloat16-compiled": bfloat16_compiled,
    "overlap": overlap,
    "evaluation": evaluation,
}


def levers_here() -> list[str]:
    """Without AMX, compiled steps in bfloat16 have been seen to crash."""
    return [name for name in LEVERS if name not in WITH_AMX or cpu_has_bfloat16()]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch-size", type=int, default=64)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--steps", type=int, default=12, help="of a block")
    options.add_argument("--only", choices=list(LEVERS), nargs="+", default=levers_here())
    options.add_argument("--dataset", choices=get_args(DatasetName), default="mnist-5k")
    options.add_argument("--out", type=Path)
    arguments = options.parse_args()
    prepare(Engine(device="cpu", threads=arguments.threads))
    bench = Bench.of(arguments.dataset, batch=arguments.batch_size, steps=arguments.steps)
    found = []
    for name in arguments.only:
        torch._dynamo.reset()  # it keeps few versions of one function, and they are of all levers
        print(name, file=sys.stderr)
        lever = LEVERS[name](bench)
        found.append(measure(lever, rounds=arguments.rounds, threads=arguments.threads))
    report = {
        **origin(),
        "dataset": arguments.dataset,
        "batch_size": arguments.batch_size,
        "threads": arguments.threads,
        "steps": arguments.steps,
        "levers": [readings.report() for readings in found],
    }
    text = table(HEADINGS, [row for readings in found for row in readings.rows()])
    publish(text, report, arguments.out)


if __name__ == "__main__":
    main()
