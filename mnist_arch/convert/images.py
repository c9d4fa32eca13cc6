"""The images of code that is read: batches, and what is done to the pixels."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from mnist_arch.convert.calls import Call, Calls, is_share, name_of, named, plain, short, text
from mnist_arch.convert.interpreter.values import Unknown
from mnist_arch.convert.libraries import Recorded, canonical

PIXELS: Final = 28
WHITE: Final = 255
_ARRAYS: Final = re.compile(
    r"(?:partial_)?(?:[xy]_?train|train_?(?:images|labels|data|dataset|set|[xy]))", re.IGNORECASE
)
"""What people call their training images and labels."""
_MANY: Final = 1_000
"""Images from which on a part of an array is no picture to look at."""
NORMALIZED: Final = (0.1307, 0.3081)
_DATASETS: Final = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist", "KMNIST": "kmnist"}
"""Datasets of torchvision, and what they are called here."""
_DATASET: Final = "root train=True transform=None target_transform=None download=False"
_LOADER: Final = (
    "dataset batch_size=1 shuffle=None sampler=None batch_sampler=None num_workers=0 "
    "collate_fn=None pin_memory=False drop_last=False timeout=0 worker_init_fn=None "
    "multiprocessing_context=None generator=None prefetch_factor=None persistent_workers=False "
    "pin_memory_device='' in_order=True"
)
_NO_CHANGE: Final = (
    "ToTensor",
    "Compose",
    "ToPILImage",
    "PILToTensor",
    "ConvertImageDtype",
    "ToImage",
    "ToDtype",
)
_TO_UNIT: Final = ("ToTensor", "to_tensor", "ConvertImageDtype", "convert_image_dtype", "ToDtype")
"""Transforms that bring pixels to [0, 1]."""
_OTHER_TRANSFORMS: Final = {
    "CenterCrop": "cuts out the middle",
    "ElasticTransform": "bends the image at random",
    "GaussianBlur": "blurs the image",
    "Pad": "adds a border",
    "RandomAdjustSharpness": "changes the sharpness at random",
    "RandomApply": "makes its changes with a probability",
    "RandomChoice": "makes one of its changes",
    "RandomCrop": "cuts out a part at random, which is a shift by whole pixels where it pads",
    "RandomHorizontalFlip": "mirrors the image at random",
    "RandomVerticalFlip": "turns the image upside down at random",
    "Resize": "changes the number of pixels",
    "RandAugment": "makes several changes at random",
    "AutoAugment": "makes several changes at random",
    "TrivialAugmentWide": "makes a change at random",
}
_SPLITS: Final = {
    "random_split": "divides a set at random",
    "Subset": "takes some images of a set",
    "SubsetRandomSampler": "takes some images of a set",
    "WeightedRandomSampler": "draws some images more often than others",
    "ConcatDataset": "puts several sets together",
    "train_test_split": "divides a set at random",
}


def read_dataset(calls: Calls) -> str:
    """The dataset that some code trains on, where it is another one than MNIST; else nothing."""
    made = {_DATASETS[it.last] for it in calls.all if it.last in _DATASETS and "sets" in it.name}
    for it in calls.all:
        if it.last == "load_data" and "mnist" in it.name:
            made.add("fashion-mnist" if "fashion" in it.name else "mnist")
    if len(made) > 1:
        calls.drop(f"which of {', '.join(sorted(made))} is trained on: here it is mnist", "")
    return made.pop() if len(made) == 1 and made != {"mnist"} else ""


def read_batches(calls: Calls) -> dict[str, Any]:
    """Batch size, last batch, normalisation and changes of images, as loaders of torch say."""
    return _Images(calls).run()


def read_arrays(calls: Calls) -> dict[str, Any]:
    """Normalisation and changes of images that a model of Keras is given as arrays."""
    return _Images(calls).run_arrays()


class _Images:
    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.recipe: dict[str, Any] = {}
        self.rows: list[list[ast.Call]] = [
            row for node, _ in calls.nodes for row in _pipelines(node)
        ]
        """The transforms of each row."""
        self.taken: set[int] = set()
        """Calls that are part of another that was carried over."""

    def run(self) -> dict[str, Any]:
        self._split()
        loader = self._loader()
        self._batch_size(loader)
        training = None if loader is None else self._row(self._dataset(loader))
        if training is None:
            training = self._row_of_set()
        if training is None:
            self._all_transforms()
        else:
            self._transforms(training)
            self._of_test()
        if self.recipe.get("normalize") == {"mean": NORMALIZED[0], "std": NORMALIZED[1]}:
            if not read_dataset(self.calls):
                del self.recipe["normalize"]  # it is that of the dataset
        return self.recipe

    def run_arrays(self) -> dict[str, Any]:
        self._split()
        for call in self.calls.all:
            if call.last == "ImageDataGenerator":
                self._drop("ImageDataGenerator, which changes images at random", call.place)
        self._scale()
        return self.recipe

    def _drop(self, what: str, place: str) -> None:
        self.calls.drop(what, place)

    def _split(self) -> None:
        for call in self.calls.all:
            if call.last in _SPLITS and not call.name.startswith("?"):
                what = f"{call.last}, which {_SPLITS[call.last]}"
                self._drop(f"{what}: here all images are trained on; see `holdout`", call.place)
        for node, piece in self.calls.nodes:
            if isinstance(node, ast.Subscript) and isinstance(part := node.slice, ast.Slice):
                ends = [it.value for it in (part.lower, part.upper) if isinstance(it, ast.Constant)]
                is_large = any(isinstance(it, int) and it >= _MANY for it in ends)
                if is_large and _ARRAYS.fullmatch(text(node.value)):
                    what = (
                        f"{text(node)[:60]}, a part of the training images: here all are trained on"
                    )
                    self._drop(f"{what}; see `holdout`", piece.at(node))

    # ------------------------------------------------------------------------- loaders and datasets

    def _loader(self) -> Call | None:
        """The loader of the training images; None where it cannot be told."""
        loaders = [it for it in self.calls.all if it.last == "DataLoader"]
        of_training = self.calls.of_network(
            [it for it in loaders if _is_of_training(self._dataset(it))]
        )
        shuffled = [
            it for it in of_training if (self.calls.keywords(it) or {}).get("shuffle") is True
        ]
        found = shuffled or of_training
        return self.calls.last(found, "training loaders") if found else None

    def _dataset(self, loader: Call) -> Any:
        """What a loader takes images from."""
        if loader.node.args:
            return self.calls.given(loader)[0]
        given = dict(named(loader.node)).get("dataset")
        return None if given is None else self.calls.value(given, loader.piece)

    def _batch_size(self, loader: Call | None) -> None:
        if loader is not None:
            given = self.calls.arguments(loader, _LOADER)
            if given is not None and _is_size(given["batch_size"]):
                self.recipe["batch_size"] = given["batch_size"]
                self._order(given["shuffle"], given["sampler"], loader.place)
                if given["drop_last"] is True:
                    self.recipe["last_batch"] = "drop"
                return
        found: list[tuple[bool, int, str]] = []
        orders: list[Any] = []
        for node, piece in self.calls.nodes:
            pairs = dict(named(node))
            if "shuffle" in pairs:
                orders.append(self.calls.value(pairs["shuffle"], piece))
            if "batch_size" not in pairs:
                continue
            size = self.calls.value(pairs["batch_size"], piece)
            shuffles = "shuffle" in pairs and orders[-1] is True
            if _is_size(size):
                found.append((shuffles, size, piece.at(node)))
            if "drop_last" in pairs and self.calls.value(pairs["drop_last"], piece) is True:
                self.recipe["last_batch"] = "drop"
        found = [it for it in found if it[0]] or found
        if not found:
            self._drop("the batch size, which is not known: 64 stands in its place", "")
            return
        if len({size for _, size, _ in found}) > 1:
            sizes = ", ".join(str(size) for _, size, _ in found)
            self.calls.assume(f"of the batch sizes {sizes} the first counts", found[0][2])
        self.recipe["batch_size"] = found[0][1]
        if all(it is False for it in orders):
            self._order(False, None, found[0][2])

    def _order(self, shuffle: Any, sampler: Any, place: str) -> None:
        if shuffle in (False, None) and sampler is None:
            self._drop("images in the same order each epoch: here they are shuffled", place)

    def _row(self, dataset: Any) -> list[Call] | None:
        """The transforms of a dataset in their order; None where they cannot be told."""
        if not isinstance(dataset, Recorded) or (call := self.calls.at(dataset)) is None:
            return None
        return self._row_of(call)

    def _row_of(self, call: Call) -> list[Call] | None:
        given = self.calls.arguments(call, _DATASET)
        made = None if given is None else given["transform"]
        if not isinstance(made, Recorded):
            return None
        items: Any = [made]
        if canonical(made.name).endswith("Compose"):
            items = made.arguments[0] if made.arguments else made.keywords.get("transforms")
        if not isinstance(items, list | tuple):
            return None
        row: list[Call] = []
        for item in items:
            found = self.calls.at(item) if isinstance(item, Recorded) else None
            if isinstance(item, Unknown):
                return None
            if found is None and call in self._sets(training=True):
                self._drop(f"a transform of its own ({name_of(item)})", call.place)
            elif found is not None:
                row.append(found)
        self.rows.append([it.node for it in row])
        return row

    def _sets(self, *, training: bool) -> list[Call]:
        """Calls that make the training sets, or those of test."""
        found: list[Call] = []
        for call in self.calls.all:
            if call.last in _DATASETS and "datasets" in call.name:
                given = self.calls.arguments(call, _DATASET)
                if given is not None and given["train"] is training:
                    found.append(call)
        return found

    def _row_of_set(self) -> list[Call] | None:
        """The transforms of the last training set that the code makes."""
        found = self._sets(training=True)
        return self._row_of(self.calls.last(found, "training sets")) if found else None

    def _of_test(self) -> None:
        for call in self._sets(training=False):
            for it in self._row_of(call) or []:
                if it.last == "Normalize":
                    self._normalize(it)
                elif it.last.startswith("Random") or it.last == "ColorJitter":
                    self._drop(f"{it.last} of test images: here they are never changed", it.place)

    # ----------------------------------------------------------------------------------- transforms

    def _transforms(self, row: list[Call]) -> None:
        """What is done to the training images, in this order."""
        changes = [made for it in row if (made := self._one(it))]
        if not any(it.last == "Normalize" for it in row):
            self.recipe["normalize"] = "none"
        if not any(it.last in _TO_UNIT for it in row):
            self._scale()
        self._changes(changes)

    def _one(self, call: Call) -> dict[str, Any] | None:
        if call.last == "Normalize":
            self._normalize(call)
        elif call.last == "Lambda":
            self._drop("Lambda, a change of the images by a function", call.place)
        elif call.last not in _NO_CHANGE:
            return self._change(call)
        return None

    def _all_transforms(self) -> None:
        """The same where the training set cannot be told from others: all that there are."""
        changes: list[dict[str, Any]] = []
        seen: set[str] = set()
        calls = [
            it
            for it in self.calls.all
            if it.name.startswith(("torchvision.transforms", "transforms."))
        ]
        for call in calls:
            word = ast.unparse(call.node)[:400]
            if call.last == "Normalize" or word not in seen:
                if made := self._one(call):
                    changes.append(made)
            seen.add(word)
        rows = {text(it) for row in self.rows for it in row if "Random" in text(it.func)}
        several = [row for row in self.rows if any(text(it) in rows for it in row)]
        if len({*(str([text(it) for it in row]) for row in several)}) > 1:
            what = "which transforms are of training is not known: all of them count"
            self.calls.assume(what, calls[0].place)
        if not any(it.last == "Normalize" for it in calls):
            self.recipe["normalize"] = "none"
        if not any(it.last in _TO_UNIT for it in self.calls.all):
            self._scale()
        self._changes(changes)

    def _changes(self, changes: list[dict[str, Any]]) -> None:
        if changes:
            self.recipe["augment"] = changes[0] if len(changes) == 1 else changes

    def _scale(self) -> None:
        """What pixels from 0 to 255 are made to by hand, where that can be told."""
        self.recipe.setdefault("normalize", "none")
        by, minus = set(), set()
        for node, piece in self.calls.nodes:
            match node:
                case ast.BinOp(op=ast.Div() | ast.Mult() | ast.Sub() as op, right=right):
                    pass
                case ast.AugAssign(op=ast.Div() | ast.Mult() | ast.Sub() as op, value=right):
                    pass
                case _:
                    continue
            left = node.left if isinstance(node, ast.BinOp) else node.target
            if isinstance(op, ast.Div) and "std" in text(right).lower() and "train" in text(left):
                what = "images that are divided by a deviation: here they are from 0 to 1"
                self._drop(what, piece.at(node))
                return
            if not isinstance(right, ast.Constant | ast.Name | ast.BinOp):
                continue
            value = self.calls.value(right, piece)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value:
                continue
            if isinstance(op, ast.Sub):
                minus.add(float(value))
            else:
                by.add(float(value) if isinstance(op, ast.Div) else 1 / float(value))
        layer = next((it for it in self.calls.all if it.last == "Rescaling"), None)
        is_half = 127.5 in by and (127.5 in minus or 1.0 in minus)
        if is_half:
            self.recipe["normalize"] = {"mean": 0.5, "std": 0.5}
        elif layer is not None:
            self._layer_of_scale(layer)
        elif any(abs(it - WHITE) < 0.5 for it in by) or self._is_rescaled():
            pass
        elif any(it.last == "load_data" and "mnist" in it.name for it in self.calls.all):
            self.recipe["normalize"] = {"mean": 0.0, "std": round(1 / WHITE, 9)}
            self.calls.assume("nothing divides the pixels: they are from 0 to 255", "")
        else:
            self._drop("the scale of the pixels, which is not known: here it is from 0 to 1", "")

    def _layer_of_scale(self, layer: Call) -> None:
        given = self.calls.arguments(layer, "scale offset=0.0")
        scale, offset = (None, None) if given is None else (given["scale"], given["offset"])
        if not isinstance(scale, int | float) or not isinstance(offset, int | float) or scale <= 0:
            self._drop("Rescaling by numbers that are not known: here to [0, 1]", layer.place)
        elif abs(WHITE * scale - 1) > 1e-6 or offset:
            std = 1 / (WHITE * scale)
            self.recipe["normalize"] = {"mean": round(-offset * std, 9), "std": round(std, 9)}

    def _is_rescaled(self) -> bool:
        words = (*_TO_UNIT, "minmax_scale", "MinMaxScaler", "img_to_tensor")
        scales = any("rescale" in dict(named(node)) for node, _ in self.calls.nodes)
        return scales or any(it.last in words for it in self.calls.all)

    def _change(self, call: Call) -> dict[str, Any] | None:
        """One change of the images; None where it is none, or cannot be said, which is listed."""
        by_name: dict[str, Callable[[Call], dict[str, Any] | None]] = {
            "RandomRotation": self._rotation,
            "RandomAffine": self._affine,
            "RandomApply": self._cropping,
            "RandomErasing": self._erasing,
            "RandomPerspective": self._perspective,
            "RandomResizedCrop": self._resized_crop,
            "ColorJitter": self._tones,
        }
        if call.last in by_name:
            return by_name[call.last](call)
        is_size = call.last == "Resize" and call.node.args
        if is_size and self.calls.value(call.node.args[0], call.piece) in (28, (28, 28), [28, 28]):
            return None
        if call.last in _OTHER_TRANSFORMS and id(call.node) not in self.taken:
            self._drop(f"{call.last}, which {_OTHER_TRANSFORMS[call.last]}", call.place)
        return None

    def _is_after(self, call: Call, name: str) -> bool:
        """Whether it comes after a transform of this name, of the same row."""
        for row in self.rows:
            nodes = [id(it) for it in row]
            if id(call.node) in nodes:
                before = row[: nodes.index(id(call.node))]
                return any(text(it.func).endswith(name) for it in before)
        return False

    def _normalize(self, call: Call) -> None:
        given = self.calls.arguments(call, "mean std inplace=False")
        numbers: list[Any] = []
        for value in (given or {}).values():
            numbers += list(value) if isinstance(value, list | tuple) else []
        words = ", ".join(map(short, numbers)) or "values that are not known"
        fits = len(numbers) == 2 and all(isinstance(it, int | float) for it in numbers)
        if not fits or not (-10 <= numbers[0] <= 10 and 1e-3 <= numbers[1] <= 1e3):
            self._drop(f"Normalize({words}): here it is 0.1307 and 0.3081", call.place)
            return
        found = {"mean": float(numbers[0]), "std": float(numbers[1])}
        first = self.recipe.setdefault("normalize", found)
        if first != found:
            self._drop(f"Normalize({words}), another one than before it", call.place)

    def _rotation(self, call: Call) -> dict[str, Any] | None:
        given = self.calls.arguments(
            call, "degrees interpolation=None expand=False center=None fill=0"
        )
        degrees = None if given is None else _either_way(given["degrees"])
        if given is None or degrees is None or degrees > 180:
            self._drop("RandomRotation by angles that are not the same either way", call.place)
            return None
        return {"rotate_degrees": plain(degrees), **self._resampled(given, call)}

    def _resampled(self, given: dict[str, Any], call: Call) -> dict[str, Any]:
        """How pixels that move are taken, and the grey of what comes into view."""
        words = str(getattr(given["interpolation"], "name", given["interpolation"])).upper()
        found: dict[str, Any] = {}
        if given["interpolation"] in (None, 0) or words.endswith("NEAREST"):
            found["resample"] = "nearest"
        elif given["interpolation"] != 2 and not words.endswith("BILINEAR"):
            self._drop(f"{call.last} by another interpolation: here it is bilinear", call.place)
        fill = given.get("fill", 0)
        fill = fill[0] if isinstance(fill, list | tuple) and len(fill) == 1 else fill
        most = 1 if self._is_after(call, "ToTensor") else 255
        if isinstance(fill, int | float) and 0 <= fill <= most:
            if fill:
                found["fill"] = round(fill / most, 9)
        elif fill is not None:
            self._drop(
                f"a fill of {short(fill)} for what comes into view: here it is 0", call.place
            )
        if self._is_after(call, "Normalize"):
            self._drop(f"{call.last} after Normalize: here it comes before", call.place)
        return found

    def _affine(self, call: Call) -> dict[str, Any] | None:
        given = self.calls.arguments(
            call,
            "degrees translate=None scale=None shear=None interpolation=None fill=0 center=None",
        )
        if given is None:
            self._drop("RandomAffine with arguments that are not known", call.place)
            return None
        tree: dict[str, Any] = {}
        degrees = _either_way(given["degrees"])
        if degrees is None or degrees > 180:
            self._drop("RandomAffine by angles that are not the same either way", call.place)
        elif degrees:
            tree["rotate_degrees"] = plain(degrees)
        match given["translate"]:
            case None:
                pass
            case [float() | int() as wide, float() | int() as high] if wide == high:
                tree |= {"shift_pixels": round(wide * PIXELS, 6), "whole_pixels": True}
            case other:
                self._drop(f"a shift of {short(other)}, not the same along each axis", call.place)
        if given["scale"] is not None:
            if (pair := _pair(given["scale"])) is None:
                self._drop(f"a scale from {short(given['scale'])}", call.place)
            else:
                is_even = abs(sum(pair) - 2) < 1e-9
                tree["scale"] = round(pair[1] - 1, 9) if is_even else pair
        if given["shear"] is not None:
            shear = _either_way(given["shear"])
            if shear is None or shear > 60:
                self._drop(f"a shear of {short(given['shear'])}", call.place)
            elif shear:
                tree["shear_degrees"] = plain(shear)
        return {**tree, **self._resampled(given, call)} if tree else None

    def _cropping(self, call: Call) -> dict[str, Any] | None:
        """RandomApply of a CenterCrop, which a Resize follows."""
        given = self.calls.arguments(call, "transforms p=0.5")
        items = call.node.args[0] if call.node.args else None
        inner = items.elts if isinstance(items, ast.List | ast.Tuple) else []
        crops = [it for it in self.calls.all if it.node in inner and it.last == "CenterCrop"]
        if given is None or len(inner) != 1 or not crops or not is_share(given["p"]):
            self._drop(f"RandomApply, which {_OTHER_TRANSFORMS['RandomApply']}", call.place)
            return None
        size = self.calls.value(crops[0].node.args[0], call.piece) if crops[0].node.args else None
        if not isinstance(size, int) or not 0 < size <= PIXELS:
            self._drop(f"RandomApply, which {_OTHER_TRANSFORMS['RandomApply']}", call.place)
            return None
        self.taken.add(id(crops[0].node))
        return {"crop": {"pixels": size, "probability": plain(given["p"])}}

    def _erasing(self, call: Call) -> dict[str, Any] | None:
        given = self.calls.arguments(call, "p=0.5 scale=None ratio=None value=0 inplace=False")
        area, ratio = _ranges(given, area=(0.02, 0.33), ratio=(0.3, 3.3))
        value = None if given is None else given["value"]
        if self._is_after(call, "Normalize") and isinstance(value, int | float):
            value = value * NORMALIZED[1] + NORMALIZED[0]
        if given is None or area is None or ratio is None or not is_share(given["p"]):
            self._drop("RandomErasing with arguments that are not known", call.place)
            return None
        if not is_share(value):
            self._drop(f"RandomErasing to {short(value)}: here it is background", call.place)
            value = 0
        tree: dict[str, Any] = {"probability": plain(given["p"]), "area": area}
        if ratio != [0.3, 3.3]:
            tree["ratio"] = ratio
        if value:
            tree["fill"] = round(value, 6)
        return {"erase": tree}

    def _perspective(self, call: Call) -> dict[str, Any] | None:
        given = self.calls.arguments(call, "distortion_scale=0.5 p=0.5 interpolation=2 fill=0")
        if given is None or not (is_share(given["distortion_scale"]) and is_share(given["p"])):
            self._drop("RandomPerspective with arguments that are not known", call.place)
            return None
        by = {"distortion": given["distortion_scale"], "probability": plain(given["p"])}
        return {"perspective": by, **self._resampled(given, call)}

    def _resized_crop(self, call: Call) -> dict[str, Any] | None:
        given = self.calls.arguments(call, "size scale=None ratio=None interpolation=2")
        area, ratio = _ranges(given, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
        if area is None or ratio is None or area[1] > 1:
            self._drop("RandomResizedCrop with arguments that are not known", call.place)
            return None
        return {"crop": {"area": area, **({} if ratio == [3 / 4, 4 / 3] else {"ratio": ratio})}}

    def _tones(self, call: Call) -> dict[str, Any] | None:
        given = self.calls.arguments(call, "brightness=0 contrast=0 saturation=0 hue=0")
        tree: dict[str, Any] = {}
        for name in ("brightness", "contrast"):
            amount = None if given is None else given[name]
            if is_share(amount):
                tree |= {name: plain(amount)} if amount else {}
            elif (pair := _pair(amount)) is not None:
                tree[name] = pair
            else:
                self._drop(f"ColorJitter's {name} of {short(amount)}", call.place)
        return tree or None


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 65_536


def _is_of_training(dataset: Any) -> bool:
    """Whether a value is a set of training images of a family that is known."""
    if not isinstance(dataset, Recorded) or dataset.name.rpartition(".")[2] not in _DATASETS:
        return False
    given = dataset.arguments[1] if len(dataset.arguments) > 1 else dataset.keywords.get("train")
    return given in (True, None)


def _pipelines(node: ast.AST) -> Iterator[list[ast.Call]]:
    """The transforms of a Compose, in their order."""
    if isinstance(node, ast.Call) and text(node.func).endswith("Compose") and node.args:
        if isinstance(items := node.args[0], ast.List | ast.Tuple):
            yield [it for it in items.elts if isinstance(it, ast.Call)]


def _pair(value: Any) -> list[float] | None:
    """Two positive numbers, the least first."""
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        if isinstance(low, int | float) and isinstance(high, int | float) and 0 < low <= high < 100:
            return [float(low), float(high)]
    return None


def _ranges(
    given: dict[str, Any] | None, *, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[list[float] | None, list[float] | None]:
    """Area and ratio of a rectangle, these unless given; None where they are not known."""
    if given is None:
        return None, None
    found = (
        usual if given[name] is None else given[name]
        for name, usual in (("scale", area), ("ratio", ratio))
    )
    one, other = map(_pair, found)
    return one, other


def _either_way(value: Any) -> float | None:
    """The largest of a range that is the same either way; None for any other."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(float(value))
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        if isinstance(low, int | float) and isinstance(high, int | float) and low == -high:
            return abs(float(high))
    return None
