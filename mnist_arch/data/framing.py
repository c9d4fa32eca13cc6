"""From any picture to the 28×28 pixels that a network was trained on. Nothing imports torch.

MNIST's digits are light on black, scaled so that the longer side of their box has 20 pixels, and
placed so that their centre of mass is in the middle of 28×28 (LeCun et al. 1998). A picture that
is already so is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mnist_arch.data.catalog import IMAGE_SHAPE, DatasetName
from mnist_arch.errors import ImageError
from mnist_arch.files import is_folder, read, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

SIDE: Final = IMAGE_SHAPE[1]
"""Pixels of a side of what a network sees."""

MIDDLE: Final = 14.0
"""Where the centre of mass is, in pixels from 0: in all 70,000 images of MNIST it is within half a
pixel of this.
"""

MOST_PIXELS: Final = 64_000_000
"""Of a picture: a phone has 50 million. More would take gigabytes of memory."""

_SEEN: Final = 16
"""Least difference, of 255, between the background and what is drawn on it."""

_FAINT: Final = 0.15
"""Share of the full ink below which a pixel counts as noise, of paper, a camera or JPEG."""


@dataclass(frozen=True)
class Framing:
    """How the images of a dataset were cut from larger ones."""

    box: int
    """Pixels of the longer side of what is drawn."""
    by_mass: bool
    """Whether the centre of mass is in the middle, or that of the box."""


_MNIST: Final = Framing(20, by_mass=True)
_EMNIST: Final = Framing(24, by_mass=False)  # a margin of two pixels (Cohen et al. 2017)
WHOLE: Final = Framing(28, by_mass=False)
"""A picture is scaled as it is, with its background."""

FRAMINGS: Final[dict[DatasetName, Framing]] = {
    "mnist": _MNIST,
    "mnist-5k": _MNIST,
    "fashion-mnist": WHOLE,
    "kmnist": WHOLE,
    "qmnist": _MNIST,
    "emnist-digits": _EMNIST,
    "emnist-letters": _EMNIST,
    "emnist-balanced": _EMNIST,
}
"""How a picture becomes an image of each dataset."""


@dataclass(frozen=True)
class Framed:
    """A picture as a network sees it."""

    pixels: NDArray[Any]
    """(28, 28) uint8, light on black."""
    done: tuple[str, ...]
    """What was done to the picture, in order, in a few words each; nothing to one that fits."""


def framed(picture: object, dataset: DatasetName) -> Framed:
    """A file, a PIL image, or an array of uint8, as an image of the dataset.

    An array is (H, W), (1, H, W), or (H, W, C) with one to four channels: grey, grey and alpha,
    RGB, or RGB and alpha. Raises ImageError, and StorageError for a file that cannot be read.
    """
    grey, done = _grey(picture)
    framing = FRAMINGS[dataset]
    if _is_light(grey):
        grey = 255 - grey
        done = (*done, "inverted, as the background is light")
    if _fits(grey, framing):
        return Framed(grey, done)
    return Framed(*_cut(grey, framing, done))


# ----------------------------------------------------------------------------------------- reading


def _grey(picture: object) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The picture as (H, W) uint8, and what was done to it."""
    from PIL import Image

    if isinstance(picture, str | Path):
        return _of_image(_opened(Path(picture)))
    if isinstance(picture, Image.Image):
        return _of_image(picture)
    return _of_array(picture)


def _opened(path: Path) -> Image:
    import io
    import warnings

    from PIL import Image, UnidentifiedImageError

    if is_folder(path):
        raise ImageError(f"{shown(path)} is a folder", hint="name the pictures in it")
    content = io.BytesIO(read(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage, which `load` raises, and of size
            image = Image.open(content)
            _check_size(image.width, image.height, shown(path))
            image.load()
    except ImageError:
        raise
    except Exception as error:  # each format has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        what = "is no picture" if isinstance(error, UnidentifiedImageError) else reason
        message = f"{shown(path)} cannot be read as a picture: {what}"
        raise ImageError(message, hint="PNG, JPEG, GIF, BMP, TIFF and WebP can be read") from None
    return image


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MOST_PIXELS:
        message = f"{name} has {width:,}×{height:,} pixels, more than {MOST_PIXELS:,}"
        raise ImageError(message, hint="make it smaller, or cut the digit out of it")


def _of_image(image: Image) -> tuple[NDArray[Any], tuple[str, ...]]:
    import numpy as np
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16 bits, or values of any size
        values = np.asarray(image, dtype=np.float64)
        most = 65535.0 if image.mode.startswith("I") and values.max() > 255 else 255.0
        return (values / most * 255).clip(0, 255).round().astype(np.uint8), ("taken to 8 bits",)
    if image.has_transparency_data:
        return _of_array(np.asarray(image.convert("RGBA")))
    done = () if image.mode in ("L", "1") else ("made grey",)
    return np.asarray(image.convert("L")), done


def _of_array(picture: object) -> tuple[NDArray[Any], tuple[str, ...]]:
    import numpy as np

    try:
        values = np.asarray(picture)
    except Exception:  # whatever an object raises that is asked for its values
        raise _no_image(type(picture).__name__) from None
    if values.dtype != np.uint8:
        raise _no_image(f"an array of {values.dtype}")
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or not 1 <= channels <= 4 or 0 in values.shape:
        raise _no_image(f"an array of shape {values.shape}")
    _check_size(values.shape[1], values.shape[0], "the array")
    if values.ndim == 2:
        return values, ()
    done: tuple[str, ...] = ("made grey",) if channels > 2 else ()
    colours = values[..., : 1 if channels < 3 else 3].astype(np.float64)
    weights = np.array([1.0] if channels < 3 else [0.299, 0.587, 0.114])  # ITU-R BT.601
    grey = colours @ weights
    if channels in (2, 4):
        opacity = values[..., -1] / 255
        visible = float((grey * opacity).sum() / max(opacity.sum(), 1e-9))
        behind = 255 if visible < 128 else 0
        if opacity.min() < 1:
            name = "white" if behind else "black"
            done = (*done, f"put on {name}, as its background is transparent")
        grey = grey * opacity + behind * (1 - opacity)
    return grey.round().astype(np.uint8), done


def _no_image(what: str) -> ImageError:
    hint = "an array has pixels from 0 to 255 as uint8, of shape (H, W) or (H, W, 3)"
    return ImageError(f"{what} is no image", hint=f"give a file, a PIL image or an array; {hint}")


# ----------------------------------------------------------------------------------------- framing


def _is_light(grey: NDArray[Any]) -> bool:
    """Whether the background is: the median of the outermost pixels."""
    return _background(grey) > 127


def _background(grey: NDArray[Any]) -> float:
    import numpy as np

    ring = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return float(np.median(ring))


def _fits(grey: NDArray[Any], framing: Framing) -> bool:
    """Whether it is as the dataset has it: all 70,000 images of MNIST are, for its framing."""
    if grey.shape != (SIDE, SIDE):
        return False
    if framing is not _MNIST:
        return True
    if grey.max() < 200 or _background(grey) > 0:
        return False
    top, bottom, left, right = _box(grey)
    longer = max(bottom - top, right - left)
    return longer in (19, 20) and all(abs(at - MIDDLE) < 0.6 for at in _mass(grey))


def _box(ink: NDArray[Any]) -> tuple[int, int, int, int]:
    """First and last but one row, and column, with ink."""
    import numpy as np

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _mass(ink: NDArray[Any]) -> tuple[float, float]:
    """Row and column of the centre of mass, from 0."""
    import numpy as np

    values = ink.astype(np.float64)
    total = values.sum()
    rows, columns = values.sum(axis=1), values.sum(axis=0)
    return (
        float(rows @ np.arange(len(rows)) / total),
        float(columns @ np.arange(len(columns)) / total),
    )


def _cut(
    grey: NDArray[Any], framing: Framing, done: tuple[str, ...]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """What is drawn, scaled and placed as the dataset has it."""
    import numpy as np

    if framing is WHOLE:
        box, ink = (0, grey.shape[0], 0, grey.shape[1]), grey
    else:
        ink, said = _ink(grey)
        done = (*done, *said)
        box = _box(ink)
    top, bottom, left, right = box
    small = _scaled(ink[top:bottom, left:right], framing.box)
    if framing is not WHOLE and small.max():
        small = (small * (255 / small.max())).round()  # thin lines fade when they are scaled
    height, width = small.shape
    if (height, width) != (bottom - top, right - left):
        before = f"{right - left}×{bottom - top}"
        done = (*done, f"scaled from {before} to {width}×{height}")
    middle = _mass(small) if framing.by_mass else ((height - 1) / 2, (width - 1) / 2)
    wanted = MIDDLE if framing.by_mass else (SIDE - 1) / 2
    at = [
        min(max(round(wanted - it), 0), SIDE - side)
        for it, side in zip(middle, small.shape, strict=True)
    ]
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[at[0] : at[0] + height, at[1] : at[1] + width] = small
    return pixels, (*done, "centred by mass" if framing.by_mass else "centred")


def _ink(grey: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """What is drawn, from 0 to 255, where the background is not black or the ink not white."""
    import numpy as np

    background, most = _background(grey), float(grey.max())
    if most - background < _SEEN:
        message = "there is nothing to be seen on it: all of it is nearly as light as its edge"
        raise ImageError(message, hint="a digit stands out from its background")
    ink = ((grey.astype(np.float64) - background) / (most - background)).clip(0, 1)
    if background > 0 or max(grey.shape) > 2 * SIDE:  # of few pixels each is meant
        ink[ink < _FAINT] = 0
    stretched = background > 0 or most < 250
    said = f"contrast stretched from {background:g}–{most:g} to 0–255"
    return (255 * ink).round(), (said,) if stretched else ()


def _scaled(ink: NDArray[Any], box: int) -> NDArray[Any]:
    """The longer side as long as `box`; a pixel of the result is the mean of those it covers."""
    import numpy as np
    from PIL import Image

    height, width = ink.shape
    longer = max(height, width)
    if longer == box:
        return ink
    size = [max(1, round(side * box / longer)) for side in (width, height)]
    way = Image.Resampling.BOX if longer > box else Image.Resampling.BILINEAR
    image = Image.fromarray(np.ascontiguousarray(ink, dtype=np.float32))
    return np.asarray(image.resize((size[0], size[1]), way), dtype=np.float64).clip(0, 255).round()
