"""A split: its images and labels, the images that are held out of it, and its hash."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_arch.data.catalog import SplitName
from mnist_arch.data.folds import AnyHoldOut, Folds, Last
from mnist_arch.errors import Problem, SpecError

HOLD_OUT_SEED: Final = 20_000
"""Seed of every hold-out: a constant, so that all runs and trials hold out the same images."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, 1, 28, 28) uint8 in [0, 255] and labels (N,) int64 from 0, both on one device."""

    images: Tensor
    labels: Tensor
    name: SplitName
    """Which images of their dataset these are."""
    source: str = ""
    """Where they were read: a folder, or the name of a package."""
    checksums: tuple[str, ...] = ()
    """SHA-256 of the files that this is all of, where they are known and were checked."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> Split:
        """The same on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def hold_out(split: Split, holdout: AnyHoldOut) -> tuple[Split, Split]:
    """`split` without what is held out of it, and these images: (train, validation).

    Stratified: of a number of images each class gives its share, rounded by largest remainder,
    lower labels first; the folds have as many images of each class, to one, and as many in all, to
    one. The seed is a constant, so that every run holds out the same images. The last images are
    the last ones, whatever their classes. Both parts keep the order of `split`.
    Raises SpecError unless every class keeps at least one training image, and is in every fold; and
    where it is not said which fold.
    """
    labels = split.labels.numpy()
    match holdout:
        case Folds():
            mask = _is_in_fold(labels, holdout)
        case Last(last=last):
            mask = _is_among_last(labels, last)
        case _:
            mask = _is_of_share(labels, holdout)
    is_held_out = torch.from_numpy(mask)
    validation = replace(select(split, is_held_out), name="validation")
    return select(split, ~is_held_out), validation


def _is_of_share(labels: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """A mask of `images` true entries, stratified. Raises SpecError."""
    _, counts = np.unique(labels, return_counts=True)
    total = len(labels)
    # Of n images a class of c gives n·c/total, which is at most c-1 wherever n ≤ total - total/c.
    allowed = total - math.ceil(total / counts.min()) if total else 0
    if not 0 <= images <= allowed:
        message = (
            f"{images:,} of {total:,} images cannot be held out: every class keeps a training image"
        )
        raise SpecError((Problem(message, place="holdout", hint=f"from 0 to {allowed:,}"),))
    return _stratified(labels, images)


def _is_among_last(labels: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """A mask of the last images. Raises SpecError."""
    mask = np.arange(len(labels)) >= len(labels) - images
    if len(np.unique(labels[~mask])) < len(np.unique(labels)):
        message = f"the last {images:,} of {len(labels):,} images leave a class no training image"
        hint = f"`holdout: {images}` holds out as many of each class"
        raise SpecError((Problem(message, "holdout.last", hint=hint),))
    return mask


def _is_in_fold(labels: NDArray[np.int64], holdout: Folds) -> NDArray[np.bool_]:
    """A mask of the images of a fold. Raises SpecError.

    The images, class after class and each class shuffled, are dealt out to the folds in turn.
    """
    if holdout.fold is None or holdout.fold >= holdout.folds:
        message = f"the fold that is held out, of {holdout.folds}, is not known"
        hint = f"from 0 to {holdout.folds - 1}; the manifest of a run says it"
        raise SpecError((Problem(message, "holdout.fold", hint=hint),))
    classes, counts = np.unique(labels, return_counts=True)
    smallest = int(counts.min()) if len(counts) else 0
    if holdout.folds > smallest:
        message = f"{holdout.folds:,} folds, and the smallest class has {smallest:,} images"
        raise SpecError((Problem(message, "holdout.folds", hint=f"at most {smallest:,}"),))
    rng = np.random.RandomState(HOLD_OUT_SEED)  # see `_stratified`
    order = np.concatenate([rng.permutation(np.flatnonzero(labels == it)) for it in classes])
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[order[holdout.fold :: holdout.folds]] = True
    return mask


def content_hash(*splits: Split) -> str:
    """SHA-256, in hexadecimal, over the shapes and bytes of images and labels, in this order."""
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.images, split.labels):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _stratified(labels: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """A mask of exactly `images` true entries, spread over the classes by largest remainder."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = [divmod(images * int(count), len(labels)) for count in counts]
    left = images - sum(whole for whole, _ in shares)
    by_remainder = sorted(range(len(classes)), key=lambda index: (-shares[index][1], index))
    quota = [whole + (index in by_remainder[:left]) for index, (whole, _) in enumerate(shares)]
    # RandomState, since numpy promises never to change its stream (NEP 19), but not a Generator's.
    rng = np.random.RandomState(HOLD_OUT_SEED)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label, size in zip(classes, quota, strict=True):
        mask[rng.permutation(np.flatnonzero(labels == label))[:size]] = True
    return mask


def select(split: Split, mask: Tensor) -> Split:
    """The images, and their labels, where `mask` (N,) bool is true."""
    images, labels = split.images[mask], split.labels[mask]
    return replace(split, images=images, labels=labels, checksums=())
