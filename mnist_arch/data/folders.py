"""Where the files of a dataset lie, as people have them. Nothing here imports numpy or torch.

They are looked for in the folder that the caller names, in `$MNIST_ARCH_DATA` and in the user's
cache; in each of these in torchvision's layout (`MNIST/raw`), in a folder of the dataset's name, in
`raw`, and in the folder itself.

They can be read ahead, in a thread, which reads and hashes while torch is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import platformdirs

from mnist_arch.data import idx, npz
from mnist_arch.data.catalog import SPLITS, DataFile, DatasetName, DatasetSplit, files
from mnist_arch.data.idx import DATA_VARIABLE
from mnist_arch.errors import Problem, SpecError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from numpy.typing import NDArray

_TORCHVISION: Final[dict[DatasetName, str]] = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "emnist-digits": "EMNIST",
    "emnist-letters": "EMNIST",
    "emnist-balanced": "EMNIST",
}
_MOST_NAMES: Final = 6
"""Of a folder's entries in an error."""


@dataclass(frozen=True)
class Stored:
    """A file of a dataset, and where it lies."""

    file: DataFile
    path: Path
    key: str = ""
    """The array, where `path` is one of numpy's archives."""

    def read(self) -> NDArray[Any]:
        """Its array, checked. Raises DataUnavailable."""
        ahead = _AHEAD.get({}).pop(self, None)
        return self._read() if ahead is None else ahead.result()

    def _read(self) -> NDArray[Any]:
        if self.key:
            return npz.read(self.file, self.path, self.key)
        return idx.read(self.file, self.path)


_AHEAD: ContextVar[dict[Stored, Future[NDArray[Any]]]] = ContextVar("ahead")
"""What is read ahead, until it is asked for."""


@contextmanager
def reading_ahead(
    name: DatasetName | Literal["auto"], splits: Sequence[DatasetSplit], data_dir: Path | None
) -> Iterator[None]:
    """Reads what is on this machine of these splits in a thread, while something else is done.

    Each file is for the first `Stored.read` inside, which raises what is wrong with it.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np  # noqa: F401  # here, and not in two threads at once

    found = []
    if name != "mnist-5k":  # which is in no folder
        name = "mnist" if name == "auto" else name
        found = [file for split in splits for file in find(name, split, data_dir) or ()]
    thread = ThreadPoolExecutor(max_workers=1)
    token = _AHEAD.set({file: thread.submit(file._read) for file in found})
    try:
        yield
    finally:
        _AHEAD.reset(token)
        thread.shutdown(cancel_futures=True)


Pair = tuple[Stored, Stored]
"""The images and the labels of a split."""


def cache_folder() -> Path | None:
    """The folder of this program among the user's caches; None for a user without a home."""
    try:
        folder = Path(platformdirs.user_cache_dir("mnist-arch"))
    except RuntimeError:  # which earlier versions do not raise: they return `~` as it is
        return None
    return folder if folder.is_absolute() else None


def named_folder(data_dir: Path | None) -> Path | None:
    """The folder that is named, by the caller or else by the environment; there may be none."""
    named = data_dir or os.environ.get(DATA_VARIABLE)
    return _expanded(Path(named)) if named else None


def roots(data_dir: Path | None) -> list[Path]:
    """Where data is looked for, in this order; what is missing is downloaded into the first."""
    named = (data_dir, os.environ.get(DATA_VARIABLE))
    found = [*(_expanded(Path(it)) for it in named if it), cache_folder()]
    return list(dict.fromkeys(root for root in found if root is not None))


def download_folder(name: DatasetName, root: Path) -> Path:
    """Where files are downloaded to: torchvision's layout."""
    return root / _TORCHVISION[name] / "raw"


def find(name: DatasetName, split: DatasetSplit, data_dir: Path | None) -> Pair | None:
    """The files of a split, in the first place that has both."""
    return _find_below(roots(data_dir), name, split)


def on_disk(name: DatasetName, data_dir: Path | None) -> Path | None:
    """The folder of the training images, where both splits are on this machine.

    Raises SpecError where `data_dir` cannot be meant.
    """
    check_named_folder(name, data_dir)
    pairs = [find(name, split, data_dir) for split in SPLITS]
    return pairs[0][0].path.parent if pairs[0] and all(pairs) else None


def found_in(folder: Path, name: DatasetName, split: DatasetSplit) -> Pair | None:
    """The files of a split where both lie in this very folder."""
    images, labels = (stored(folder, file) for file in files(name, split))
    return (images, labels) if images and labels else None


def found_partly(name: DatasetName, data_dir: Path | None) -> Iterator[Stored]:
    """Every file of the dataset that is somewhere, whether or not the others are beside it."""
    for root in roots(data_dir):
        for folder in _places(name, root):
            for split in SPLITS:
                for file in files(name, split):
                    if (found := stored(folder, file)) is not None:
                        yield found


def stored(folder: Path, file: DataFile) -> Stored | None:
    """The file where it lies in this folder, or in a folder of its own name there."""
    for name in _spellings(file):
        if os.path.exists(path := folder / name):
            inside = (path / inner for inner in _spellings(file))
            return Stored(file, next(filter(os.path.exists, inside), path))
    if (archived := npz.member(file)) is not None:
        archive, key = archived
        if os.path.exists(path := folder / archive):
            return Stored(file, path, key)
    return None


def check_named_folder(name: DatasetName, data_dir: Path | None) -> None:
    """Refuses a folder that is named and cannot be what is meant. Raises SpecError.

    One that is not there is made by a download, unless the data is found elsewhere, or the folder
    would have to be made in one that is not there either.
    """
    root = named_folder(data_dir)
    if root is None or name == "mnist-5k":  # which is in no folder
        return
    folder = f"the data folder {root}" + ("" if data_dir else f" of {DATA_VARIABLE}")
    try:
        os.stat(os.path.join(root, "."))  # which asks for the right to enter it
    except FileNotFoundError:
        others = roots(None) if data_dir else []
        _check_missing_folder(name, root, folder, others=others)
    except NotADirectoryError:
        raise _refusal(f"{folder} is no folder", f"name {root.parent}") from None
    except OSError as error:
        message = f"{folder} cannot be entered: {error.strerror or error}"
        raise _refusal(message, "name another folder") from None


def _check_missing_folder(
    name: DatasetName, root: Path, folder: str, *, others: list[Path]
) -> None:
    for other in others:
        for split in SPLITS:
            if (found := _find_below([other], name, split)) is not None:
                message = f"{folder} does not exist; {name} is in {found[0].path.parent}"
                raise _refusal(message, f"name {other}, or no folder at all")
    if any(find(name, split, None) for split in SPLITS):
        return  # there is nothing to download
    if not os.path.isdir(parent := root.absolute().parent):
        message = f"{folder} does not exist, nor does {parent}"
        raise _refusal(message, f"name a folder that is there, or make {parent} first")


def what_is_there(name: DatasetName, data_dir: Path | None) -> str:
    """Says which names were looked for, in which folders, and what was there instead."""
    missing = [split for split in SPLITS if find(name, split, data_dir) is None]
    wanted = [file for split in missing for file in files(name, split)]
    archives = [archived[0] for file in wanted if (archived := npz.member(file)) is not None]
    places = ", nor in ".join(_content(name, root) for root in roots(data_dir))
    inner = ", ".join(str(place) for place in _places(name, Path())[:-1])
    names = ", ".join(file.name for file in wanted)
    also = "".join(f", or {archive}" for archive in dict.fromkeys(archives))
    return (
        f"{name} is not in {places}; looked for {names} (with -idx or .idx, plain or .gz){also}, "
        f"there and in {inner}"
    )


def _content(name: DatasetName, root: Path) -> str:
    """A root, and what is in the first folder of it that could be the dataset's."""
    for place in _places(name, root):
        try:
            names = sorted(os.listdir(place))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return f"{place}, which cannot be read ({error.strerror or error})"
        if not names:
            return f"{place}, which is empty"
        more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
        return f"{place}, which has {', '.join(names[:_MOST_NAMES])}{more}"
    return f"{root}, which does not exist"


def _find_below(places: list[Path], name: DatasetName, split: DatasetSplit) -> Pair | None:
    for root in places:
        for folder in _places(name, root):
            if (pair := found_in(folder, name, split)) is not None:
                return pair
    return None


def _places(name: DatasetName, root: Path) -> list[Path]:
    """Folders below `root` in which the files may lie; `root` itself is the last of them."""
    own = _TORCHVISION[name]
    family = name.partition("-")[0] if own == "EMNIST" else name
    named = dict.fromkeys((own, family, family.replace("-", "_"), family.replace("-", "")))
    inner = ("raw", "gzip", "") if own == "EMNIST" else ("raw", "")  # gzip.zip unpacks into gzip
    return [root / outer / each for outer in (*named, "") for each in inner]


def _spellings(file: DataFile) -> Iterator[str]:
    """`train-images-idx3-ubyte`, as it was published, and `train-images.idx3-ubyte`."""
    for name in (file.name, file.name.replace("-idx", ".idx")):
        yield from (name, f"{name}.gz")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        message = f"the data folder {path} begins with the home folder of a user who has none"
        raise _refusal(message, "write its path in full") from None


def _refusal(message: str, hint: str) -> SpecError:
    return SpecError((Problem(message, hint=hint),))
