"""What is held out of a training split: a number of images, the last ones, or a fold of several."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, StrictInt, Tag

from mnist_arch.values import Spec


class Folds(Spec):
    """The training split in folds: a run is judged on one of them, and learns from the others."""

    folds: Annotated[StrictInt, Field(ge=2, le=1000)]
    """How many, of as many images each, to one."""
    fold: Annotated[StrictInt, Field(ge=0)] | None = None
    """The one that is held out, from 0: the remainder of the seed by `folds`; it is filled in."""

    def of_seed(self, seed: int) -> Folds:
        """The same with the fold on which a run of this seed is judged."""
        return self.model_copy(update={"fold": seed % self.folds})


class Last(Spec):
    """The last images of the training split as they stand, whatever their classes."""

    last: Annotated[StrictInt, Field(gt=0)]
    """How many, as `validation_split` of Keras and slices of a dataset hold them out."""


def _sort(value: Any) -> str:
    match value:
        case Last() | {"last": _}:
            return "last-of"
        case Folds() | {"folds": _} | {"fold": _}:
            return "folds-of"
        case dict():
            return ""  # which of them is meant is not known
    return "images-of"


_Of_folds = Annotated[Folds, Tag("folds-of")]
_Of_last = Annotated[Last, Tag("last-of")]
HoldOut = Annotated[
    Annotated[StrictInt, Field(ge=0), Tag("images-of")] | _Of_folds | _Of_last,
    Discriminator(_sort),
]
"""A number of images, the last ones, or folds."""
SomeHoldOut = Annotated[
    Annotated[StrictInt, Field(gt=0), Tag("images-of")] | _Of_folds | _Of_last,
    Discriminator(_sort),
]
"""The same without none."""
AnyHoldOut = int | Folds | Last
"""One of these as a value."""


def folds_of(holdout: AnyHoldOut) -> int | None:
    """How many folds there are; None where a number of images is held out."""
    return holdout.folds if isinstance(holdout, Folds) else None


def stated(holdout: AnyHoldOut) -> Any:
    """The hold-out as JSON has it, without the fold, which follows the seed."""
    match holdout:
        case Folds(folds=folds):
            return {"folds": folds}
        case Last(last=last):
            return {"last": last}
    return holdout


def images_held_out(holdout: AnyHoldOut, training_images: int) -> int:
    """Images that a run is judged on, of so many; of folds, which differ by one, the most."""
    match holdout:
        case Folds(folds=folds):
            return -(-training_images // folds)
        case Last(last=last):
            return last
    return holdout


def held_out_text(images: int, folds: int | None) -> str:
    """`5,000 images held out`, or `12 folds of 5,000 images`."""
    return f"{images:,} images held out" if folds is None else f"{folds} folds of {images:,} images"
