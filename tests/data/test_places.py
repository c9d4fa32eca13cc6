"""Files as people have them: where they are found, what they may be called, what is said if not."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mirror import Mirror, digits, md5, put, small_mnist, zipped

from mnist_arch.data import folders, idx, transfer
from mnist_arch.data.catalog import INFO, SHA256, SPLITS, DatasetName
from mnist_arch.data.folders import on_disk, reading_ahead
from mnist_arch.data.load import Resolved, load_split, resolve_dataset
from mnist_arch.errors import DataUnavailable, SpecError

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNIST_ARCH_DATA", raising=False)


@pytest.fixture(params=["mnist", "fashion-mnist"])
def name(request: pytest.FixtureRequest) -> DatasetName:
    found: DatasetName = request.param
    return found


@pytest.fixture
def small(name: DatasetName, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The dataset becomes one of 30 and 10 images with known checksums; returns its files."""
    files = small_mnist()
    sums = {file.rpartition("-idx")[0]: hashlib.sha256(files[file]).hexdigest() for file in files}
    monkeypatch.setitem(SHA256, name, sums)
    monkeypatch.setitem(INFO, name, replace(INFO[name], train_images=30, test_images=10))
    return files


def renamed(files: Files, change: Callable[[str], str]) -> Files:
    return {change(file): files[file] for file in files}


def check(name: DatasetName, data_dir: Path | None = None) -> None:
    """Both splits are found, and are what they should be."""
    for split, count in (("train", 30), ("test", 10)):
        found = load_split(name, split, data_dir=data_dir, download=False)  # type: ignore[arg-type]
        images, labels = digits(count, seed=count)
        assert np.array_equal(found.images[:, 0], images)
        assert np.array_equal(found.labels, labels)


# ------------------------------------------------------------------------------------------ layouts

TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
PLACES = ["{torchvision}/raw", "{torchvision}", "{name}/raw", "{name}", "{name_}", "raw", "."]
NAMES: dict[str, Callable[[Files], Files]] = {
    "plain": lambda files: files,
    "gzip": zipped,
    "dots": lambda files: renamed(files, lambda it: it.replace("-idx", ".idx")),
    "dots and gzip": lambda files: renamed(zipped(files), lambda it: it.replace("-idx", ".idx")),
    "gzip by name only": lambda files: renamed(files, lambda it: f"{it}.gz"),
    "gzip by content only": lambda files: renamed(zipped(files), lambda it: it[:-3]),
    "repacked": lambda files: {f"{it}.gz": gzip.compress(files[it], 1, mtime=7) for it in files},
    "a folder each": lambda files: renamed(files, lambda it: f"{it}/{it}"),
    "a folder each, dots": lambda files: renamed(
        files, lambda it: f"{it}/{it.replace('-idx', '.idx')}"
    ),
    "a folder each, dots outside, gzip": lambda files: renamed(
        zipped(files), lambda it: f"{it[:-3].replace('-idx', '.idx')}/{it}"
    ),
}


def spread(folder: Path, files: Files) -> None:
    for path, content in files.items():
        put((folder / path).parent, {Path(path).name: content})


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_looked_into(
    place: str, name: DatasetName, small: Files, tmp_path: Path
) -> None:
    inner = place.format(torchvision=TORCHVISION[name], name=name, name_=name.replace("-", "_"))
    spread(tmp_path / "data" / inner, small)
    check(name, tmp_path / "data")


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("place", ["raw", "."])
def test_every_form_is_read(
    place: str, form: str, name: DatasetName, small: Files, tmp_path: Path
) -> None:
    spread(tmp_path / "data" / place, NAMES[form](small))
    check(name, tmp_path / "data")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("root", ["argument", "variable", "cache"])
def test_below_every_folder_that_is_named(
    root: str,
    name: DatasetName,
    small: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / ("cache/mnist-arch" if root == "cache" else "there")
    spread(folder, NAMES["dots and gzip"](small))
    if root == "variable":
        monkeypatch.setenv("MNIST_ARCH_DATA", str(folder))
    check(name, folder if root == "argument" else None)


def test_splits_may_lie_apart(name: DatasetName, small: Files, tmp_path: Path) -> None:
    spread(tmp_path / "raw", {file: small[file] for file in small if file.startswith("t10k")})
    spread(tmp_path, {file: small[file] for file in small if file.startswith("train")})
    check(name, tmp_path)


def test_a_home_is_written_out(
    name: DatasetName, small: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "data", small)
    check(name, Path("~/data"))
    monkeypatch.setenv("MNIST_ARCH_DATA", "~/data")
    check(name)


def test_a_user_without_a_home_names_folders(
    name: DatasetName, small: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user without an entry
    put(tmp_path / "data", small)
    check(name, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataUnavailable, match=r"is not in .*data, which has t10k"):
        load_split("qmnist", "train", data_dir=tmp_path / "data", download=False)
    assert not list(tmp_path.glob("~*"))
    with pytest.raises(SpecError, match="the home folder of a user who has none"):
        load_split(name, "train", data_dir=Path("~/data"))


# ------------------------------------------------------------------------------- numpy's archives


def arrays() -> dict[str, np.ndarray]:
    found = {}
    for split, count in (("train", 30), ("test", 10)):
        found[f"x_{split}"], found[f"y_{split}"] = digits(count, seed=count)
    return found


@pytest.mark.parametrize("name", ["mnist"], indirect=True)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
@pytest.mark.parametrize("place", ["", "MNIST", "mnist/raw"])
def test_the_archive_of_keras(
    place: str,
    kind: type,
    save: Callable[..., None],
    name: DatasetName,
    small: Files,
    tmp_path: Path,
) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    save(tmp_path / place / "mnist.npz", **{key: it.astype(kind) for key, it in arrays().items()})
    check(name, tmp_path)
    assert resolve_dataset("auto", data_dir=tmp_path, download=False) == Resolved("mnist")


def test_the_archives_of_kmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = arrays()
    mean = found["x_train"].mean() / 255
    info = replace(INFO["kmnist"], train_images=30, test_images=10, mean=mean)
    monkeypatch.setitem(INFO, "kmnist", info)
    for split in ("train", "test"):
        np.savez_compressed(tmp_path / f"kmnist-{split}-imgs.npz", found[f"x_{split}"])
        np.savez_compressed(tmp_path / f"kmnist-{split}-labels.npz", found[f"y_{split}"])
    check("kmnist", tmp_path)


class Harmful:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("harm",)


def bad_archive(kind: str, path: Path) -> None:
    found = arrays()
    match kind:
        case "objects":
            np.savez(path, **{**found, "x_train": np.array([Harmful()], dtype=object)})
        case "fewer":
            np.savez(path, **{**found, "x_train": found["x_test"]})
        case "floats":
            np.savez(path, **{**found, "x_train": found["x_train"] / 255})
        case "no such array":
            np.savez(path, images=found["x_train"])
        case "out of range":
            np.savez(path, **{**found, "x_train": found["x_train"].astype(np.int16) + 9})
        case "altered":
            np.savez(path, **{**found, "x_train": found["x_train"] ^ 1})
        case "truncated":
            np.savez(path, **found)
            path.write_bytes(path.read_bytes()[:-2000])
        case "no archive":
            path.write_bytes(b"<html>")
        case "pickle":
            path.write_bytes(pickle.dumps(Harmful()))


@pytest.mark.parametrize("name", ["mnist"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("objects", r"is not the training images of mnist: its x_train has the shape \(1,\)"),
        ("fewer", r"its x_train has the shape \(10, 28, 28\), not \(30, 28, 28\)"),
        ("floats", "is corrupt: its x_train is of float64, not of whole numbers"),
        ("no such array", "is corrupt: it has no x_train"),
        ("out of range", "is corrupt: its x_train has values that images do not have"),
        ("altered", "is corrupt: its SHA-256 is not the known one"),
        ("truncated", "is corrupt: its x_train cannot be read"),
        ("no archive", "is corrupt: its x_train cannot be read"),
        ("pickle", "is corrupt: its x_train cannot be read"),
    ],
)
def test_a_bad_archive_is_named_and_never_unpickled(
    kind: str,
    message: str,
    name: DatasetName,
    small: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    bad_archive(kind, tmp_path / "mnist.npz")
    with pytest.raises(DataUnavailable, match=message):
        load_split(name, "train", data_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]


@pytest.mark.parametrize("name", ["mnist"], indirect=True)
def test_an_archive_reads_no_more_than_the_array_has(
    name: DatasetName, small: Files, tmp_path: Path
) -> None:
    """A header that asks for terabytes is refused before anything is made room for."""
    found = arrays()
    np.savez(tmp_path / "mnist.npz", **found)
    content = (tmp_path / "mnist.npz").read_bytes()
    shape = b"'shape': (30, 28, 28)"
    content = content.replace(shape, b"'shape': (9**19, 28)  ", 1)
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataUnavailable, match="its x_train"):
        load_split(name, "train", data_dir=tmp_path)


# -------------------------------------------------------------------------------- what is not there


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(transfer, "dial", refuse)


def test_it_says_what_was_looked_for_and_what_was_there(
    name: DatasetName, small: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, variable = tmp_path / "data", tmp_path / "variable"
    monkeypatch.setenv("MNIST_ARCH_DATA", str(variable))
    own = f"{TORCHVISION[name]}/raw"
    put(folder / own, {"train-images.png": b"", "t10k-labels-idx1-ubyte": b""})
    put(variable, {f"{number}.png": b"" for number in range(9)})
    with pytest.raises(DataUnavailable) as caught:
        load_split(name, "train", data_dir=folder, download=False)
    message = str(caught.value)
    assert message.startswith(
        f"{name} is not in {folder / own}, which has t10k-labels-idx1-ubyte, train-images.png, "
        f"nor in {variable}, which has 0.png, 1.png, 2.png, 3.png, 4.png, 5.png and 3 more, "
        f"nor in {tmp_path / 'cache/mnist-arch'}, which does not exist; looked for "
        "train-images-idx3-ubyte, train-labels-idx1-ubyte,"
    )
    assert own in message.partition("looked for")[2]
    assert "(with -idx or .idx, plain or .gz)" in message


def test_a_folder_that_cannot_be_listed_says_why(
    name: DatasetName, small: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(path: Path) -> None:  # chmod forbids nothing to root
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", forbid)
    with pytest.raises(DataUnavailable, match=r"which cannot be read \(Permission denied\)"):
        load_split(name, "train", data_dir=tmp_path, download=False)


@pytest.mark.parametrize("wanted", ["mnist", "auto"])
def test_nothing_is_left_in_a_folder_that_does_not_have_it(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_network(monkeypatch)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "misspelt"):
        if wanted == "auto":
            assert resolve_dataset("auto", data_dir=folder).name == "mnist-5k"
        else:
            with pytest.raises(DataUnavailable, match="cannot be downloaded"):
                load_split("mnist", "train", data_dir=folder)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("elsewhere", ["variable", "cache"])
@pytest.mark.parametrize("name", ["mnist"], indirect=True)
def test_a_misspelt_folder_is_refused_where_the_data_is_elsewhere(
    elsewhere: str,
    name: DatasetName,
    small: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / ("variable" if elsewhere == "variable" else "cache/mnist-arch")
    put(folder / "MNIST/raw", small)
    monkeypatch.setenv("MNIST_ARCH_DATA", str(tmp_path / "variable"))
    missing = tmp_path / "misspelt"
    message = f"the data folder {missing} does not exist; mnist is in {folder / 'MNIST/raw'}"
    for ask in (
        lambda: load_split(name, "train", data_dir=missing),
        lambda: resolve_dataset("auto", data_dir=missing),
    ):
        with pytest.raises(SpecError, match=message) as caught:
            ask()
        assert caught.value.problems[0].hint == f"name {folder}, or no folder at all"
    assert not missing.exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EACCES, "cannot be entered: Permission denied"),
        (errno.ENAMETOOLONG, "cannot be entered: File name too long"),
        (errno.ESTALE, "cannot be entered: Stale file handle"),
    ],
)
def test_a_folder_that_cannot_be_entered_is_not_taken_for_an_empty_one(
    code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = os.stat

    def forbid(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(str(tmp_path / "closed")):  # chmod forbids nothing to root
            raise OSError(code, os.strerror(code), str(path))
        return looks(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", forbid)
    with pytest.raises(SpecError, match=f"the data folder {tmp_path / 'closed'} {message}"):
        load_split("mnist", "train", data_dir=tmp_path / "closed")


@pytest.mark.parametrize("named", ["argument", "variable"])
def test_a_folder_whose_parent_is_not_there_is_refused(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "no/such"
    if named == "variable":
        monkeypatch.setenv("MNIST_ARCH_DATA", str(missing))
    of = " of MNIST_ARCH_DATA" if named == "variable" else ""
    message = f"the data folder {missing}{of} does not exist, nor does {tmp_path / 'no'}"
    with pytest.raises(SpecError, match=message):
        load_split("mnist", "train", data_dir=missing if named == "argument" else None)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["mnist"], indirect=True)
def test_a_variable_that_names_nothing_hides_nothing(
    name: DatasetName, small: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "cache/mnist-arch/MNIST/raw", small)
    monkeypatch.setenv("MNIST_ARCH_DATA", str(tmp_path / "no/such"))
    check(name)


class Watching(Mirror):
    """A mirror that notes what is in a folder when it is asked for something."""

    def __init__(self, files: Files, folder: Path) -> None:
        super().__init__(files)
        self.folder = folder
        self.seen: list[list[str]] = []
        self.requests = self  # type: ignore[assignment]

    def append(self, _: str) -> None:
        paths = self.folder.rglob("*") if self.folder.exists() else ()
        self.seen.append(sorted(path.name for path in paths if path.is_file()))


@pytest.mark.parametrize("name", ["mnist"], indirect=True)
def test_the_folder_is_made_when_the_first_file_is_complete(
    name: DatasetName, small: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setenv("no_proxy", "*")
    packed = zipped(small)
    monkeypatch.setattr(MNIST, "resources", [(file, md5(packed[file])) for file in packed])
    folder = tmp_path / "new"
    with Watching(packed, folder) as mirror:
        monkeypatch.setattr(MNIST, "mirrors", [mirror.url])
        assert len(load_split(name, "train", data_dir=folder)) == 30
    first, second, *_ = mirror.seen
    assert first == []
    assert [file for file in second if not file.startswith("download")] == [next(iter(small))]
    assert {path.name for path in folder.rglob("*") if path.is_file()} == set(small)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_files_are_read_ahead_once_in_another_thread(
    small: Files, name: DatasetName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, small)
    threads: list[threading.Thread] = []
    monkeypatch.setattr(idx, "check_sha256", lambda *_: threads.append(threading.current_thread()))
    with reading_ahead(name, SPLITS, tmp_path):
        check(name, tmp_path)
        first, second = (load_split(name, "train", data_dir=tmp_path) for _ in range(2))
    assert [it is threading.main_thread() for it in threads] == [False] * 4 + [True] * 4
    assert first.images.data_ptr() != second.images.data_ptr()  # which may be written


def test_what_is_wrong_with_a_file_that_is_read_ahead_is_said_when_it_is_asked_for(
    small: Files, name: DatasetName, tmp_path: Path
) -> None:
    put(tmp_path, {file: content[:-1] for file, content in small.items()})
    with reading_ahead(name, SPLITS, tmp_path):
        assert on_disk(name, tmp_path) == tmp_path
        with pytest.raises(DataUnavailable, match=r"t10k-images-idx3-ubyte is corrupt: it ends"):
            load_split(name, "test", data_dir=tmp_path)


def test_no_more_is_read_ahead_than_is_there(
    small: Files, name: DatasetName, tmp_path: Path
) -> None:
    put(tmp_path, {file: content for file, content in small.items() if "train" in file})
    for dataset, files in ((name, 2), ("auto", 2), ("mnist-5k", 0)):
        with reading_ahead(dataset, SPLITS, tmp_path):  # type: ignore[arg-type]
            assert len(folders._AHEAD.get()) == files
