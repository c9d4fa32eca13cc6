"""Downloads: mirrors that misbehave, processes that ask at once, and what is left behind."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from mirror import Behaviour, Mirror, closed_port, digits, idx, md5, put, small_mnist, zipped

from mnist_arch.data import catalog, download, transfer
from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.load import Resolved, load_split, resolve_dataset
from mnist_arch.errors import DataUnavailable, StorageError

REAL = Path(os.environ.get("MNIST_ARCH_DATA") or "/nonexistent") / "mirror"
needs_mirror = pytest.mark.skipif(
    not list(REAL.glob("*.gz")),
    reason="needs the .gz files of MNIST in `mirror` in the folder that MNIST_ARCH_DATA names",
)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNIST_ARCH_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(autouse=True)
def _this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    dial = transfer.dial

    def refuse_others(address: tuple[str, int], *_: object) -> socket.socket:
        assert address[0] == "127.0.0.1", f"a test asks {address}"
        return dial(address)

    monkeypatch.setattr(transfer, "dial", refuse_others)


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 20)
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MNIST becomes a dataset of 30 and 10 images; returns its compressed files."""
    from torchvision.datasets import MNIST

    files = small_mnist()
    sums = {name.rpartition("-idx")[0]: hashlib.sha256(files[name]).hexdigest() for name in files}
    monkeypatch.setitem(catalog.SHA256, "mnist", sums)
    describe(monkeypatch, "mnist", train=30, test=10)
    packed = zipped(files)
    resources = [(name, md5(packed[name])) for name in packed]
    monkeypatch.setattr(MNIST, "resources", resources)
    return packed


def describe(
    monkeypatch: pytest.MonkeyPatch, name: DatasetName, *, train: int, test: int, seed: int = 0
) -> None:
    """Makes a dataset small, with the mean of the images of a seed."""
    mean = digits(train, seed=seed or train)[0].mean() / 255
    info = replace(INFO[name], train_images=train, test_images=test, mean=mean)
    monkeypatch.setitem(INFO, name, info)


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the mirrors of MNIST."""
    from torchvision.datasets import MNIST

    return lambda *urls: monkeypatch.setattr(MNIST, "mirrors", list(urls))


def names_in(root: Path) -> set[str]:
    """All files below, and all folders that hold nothing."""
    empty_or_file = (p for p in root.rglob("*") if p.is_file() or not any(p.iterdir()))
    return {str(path.relative_to(root)) for path in empty_or_file}


WHOLE = {f"MNIST/raw/{name}" for name in small_mnist()}
NOTHING: set[str] = set()


# ------------------------------------------------------------------------------- mirrors that serve


def test_what_is_missing_is_downloaded_once(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    with Mirror(small) as mirror:
        mirrored(mirror.url)
        assert resolve_dataset("auto", data_dir=tmp_path / "new") == Resolved("mnist")
        train = load_split("mnist", "train", data_dir=tmp_path / "new")
    assert np.array_equal(train.images[:, 0], digits(30, seed=30)[0])
    assert sorted(mirror.requests) == sorted(small)
    assert names_in(tmp_path / "new") == WHOLE


def test_only_what_is_missing_is_downloaded(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    present = small_mnist()
    del present["t10k-labels-idx1-ubyte"]
    put(tmp_path / "MNIST/raw", present)
    with Mirror(small) as mirror:
        mirrored(mirror.url)
        assert len(load_split("mnist", "train", data_dir=tmp_path)) == 30
        assert mirror.requests == []
        assert len(load_split("mnist", "test", data_dir=tmp_path)) == 10
    assert mirror.requests == ["t10k-labels-idx1-ubyte.gz"]


@pytest.mark.slow
def test_a_download_goes_into_the_first_folder_that_is_named(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mirror(small) as mirror:
        mirrored(mirror.url)
        load_split("mnist", "test")
        assert names_in(tmp_path / "cache/mnist-arch") == WHOLE
        shutil.rmtree(tmp_path / "cache")
        monkeypatch.setenv("MNIST_ARCH_DATA", str(tmp_path / "variable"))
        load_split("mnist", "test")
        assert names_in(tmp_path / "variable") == WHOLE
        shutil.rmtree(tmp_path / "variable")
        load_split("mnist", "test", data_dir=tmp_path / "named")
    assert {path.name for path in tmp_path.iterdir()} == {"named"}


def test_what_is_downloaded_is_for_all_users(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    """Who may read is what the user's mask says, and no lock is left that shuts out others."""
    before = os.umask(0o002)
    try:
        with Mirror(small) as mirror:
            mirrored(mirror.url)
            load_split("mnist", "test", data_dir=tmp_path / "new")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    assert names_in(tmp_path / "new") == WHOLE
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o664}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o775}


def test_a_lock_of_another_user_is_no_file(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    """One that an earlier version left, which only its user could open, does not matter."""
    put(tmp_path / "MNIST/raw", {".lock": b""})
    (tmp_path / "MNIST/raw/.lock").chmod(0)
    with Mirror(small) as mirror:
        mirrored(mirror.url)
        assert len(load_split("mnist", "test", data_dir=tmp_path)) == 10
    assert names_in(tmp_path) == {*WHOLE, "MNIST/raw/.lock"}


def test_the_leftovers_of_a_killed_process_are_removed(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    put(tmp_path / ".mnist-arch-download-abc", {"download": b"half"})
    with Mirror(small) as mirror:
        mirrored(mirror.url)
        load_split("mnist", "test", data_dir=tmp_path)
    assert names_in(tmp_path) == WHOLE


# ---------------------------------------------------------------------------- mirrors that do not


REASONS: dict[Behaviour, str] = {
    "missing": "HTTP 404 Not Found",
    "wrong": "what it serves (43 bytes) does not have the right MD5",
    "short": "",  # worded by Python's version
    "endless": "it serves more than",
    "silent": "not a byte for 0.3 s",
    "stall": "not a byte for 0.3 s",
}


def test_every_way_to_misbehave_is_tested() -> None:
    assert set(REASONS) == set(get_args(Behaviour)) - {"serve"}


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", REASONS)
def test_the_next_mirror_helps(
    behaviour: Behaviour, small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    with Mirror(small, behaviour) as bad, Mirror(small) as good:
        mirrored(bad.url, good.url)
        assert len(load_split("mnist", "train", data_dir=tmp_path)) == 30
    assert bad.requests == good.requests == list(small)
    assert names_in(tmp_path) == WHOLE


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", REASONS)
def test_without_a_mirror_that_helps_nothing_is_left(
    behaviour: Behaviour, small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    refusing = closed_port()
    with Mirror(small, behaviour) as bad:
        mirrored(refusing, bad.url)
        with pytest.raises(DataUnavailable, match="cannot be downloaded") as caught:
            load_split("mnist", "train", data_dir=tmp_path)
    first = next(iter(small))
    assert f"{refusing}{first}: Connection refused; {bad.url}{first}: {REASONS[behaviour]}" in str(
        caught.value
    )
    assert "data_dir=" in caught.value.hint
    assert names_in(tmp_path) == NOTHING


def test_what_is_whole_is_kept_when_a_later_file_fails(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    first = next(iter(small))
    with Mirror({first: small[first]}) as mirror:
        mirrored(mirror.url)
        with pytest.raises(DataUnavailable, match="HTTP 404"):
            load_split("mnist", "train", data_dir=tmp_path)
    assert names_in(tmp_path) == {f"MNIST/raw/{first.removesuffix('.gz')}"}


def test_an_unreachable_network_falls_back(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    mirrored(closed_port(), closed_port())
    fallen = resolve_dataset("auto", data_dir=tmp_path)
    assert fallen.name == "mnist-5k"
    assert fallen.reason.count("Connection refused") == 2


def test_an_unknown_host_falls_back(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    mirrored("http://127.0.0.1/")
    fallen = resolve_dataset("auto", data_dir=tmp_path)
    assert fallen.name == "mnist-5k"
    assert fallen.reason.endswith("Name or service not known")


@pytest.mark.slow
def test_a_mirror_without_tls_behind_https_fails(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    with Mirror(small) as plain, Mirror(small) as good:
        mirrored(plain.url.replace("http:", "https:"), good.url)
        assert len(load_split("mnist", "test", data_dir=tmp_path)) == 10
    assert plain.requests == []


@pytest.mark.parametrize(
    "content", [b"not gzip", zipped({"a": b"not IDX"})["a.gz"]], ids=["no gzip", "no IDX"]
)
def test_content_is_checked_even_if_the_md5_is_right(
    content: bytes,
    small: dict[str, bytes],
    mirrored: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.datasets import MNIST

    first = next(iter(small))
    monkeypatch.setattr(MNIST, "resources", [(first, md5(content)), *MNIST.resources[1:]])
    with Mirror({**small, first: content}) as mirror:
        mirrored(mirror.url)
        with pytest.raises(DataUnavailable, match=r"what it serves (cannot be|is not mnist)"):
            load_split("mnist", "test", data_dir=tmp_path)
    assert names_in(tmp_path) == NOTHING


# ----------------------------------------------------------------------------- refusals and signals


def test_an_interrupt_leaves_nothing_behind(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: str) -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with Mirror(small) as mirror:
        mirrored(mirror.url)
        with monkeypatch.context() as patch:
            patch.setattr(transfer, "_chunks", interrupted)
            with pytest.raises(KeyboardInterrupt):
                load_split("mnist", "test", data_dir=tmp_path)
        assert names_in(tmp_path) == NOTHING
        assert len(load_split("mnist", "test", data_dir=tmp_path)) == 10  # the lock is free again


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (errno.ENOSPC, StorageError, "mnist cannot be stored in .*raw: No space left on device"),
        (errno.EDQUOT, StorageError, "mnist cannot be stored in .*raw: Disk quota exceeded"),
        (errno.EROFS, DataUnavailable, "raw cannot be written: Read-only file system"),
        (errno.EACCES, DataUnavailable, "raw cannot be written: Permission denied"),
    ],
)
def test_a_refusal_to_write_says_so(
    code: int,
    error: type[Exception],
    message: str,
    small: dict[str, bytes],
    mirrored: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(shutil, "copyfileobj", refuse)
    with Mirror(small) as mirror:
        mirrored(mirror.url, mirror.url)
        with pytest.raises(error, match=message):
            load_split("mnist", "test", data_dir=tmp_path)
    assert len(mirror.requests) == 1  # another mirror would not help
    assert names_in(tmp_path) == NOTHING


def test_a_broken_torchvision_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataUnavailable, match="torchvision cannot be imported"):
        load_split("kmnist", "train", data_dir=tmp_path)
    assert resolve_dataset("auto", data_dir=tmp_path).name == "mnist-5k"


# --------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("name", [name for name in INFO if name != "mnist-5k"])
def test_torchvision_knows_every_file(name: DatasetName) -> None:
    sources = download.sources_of(name, hint="")
    files = [file for split in ("train", "test") for file in catalog.files(name, split)]
    assert {file.name for file in files} == set(sources)
    assert all(len(source.md5) == 32 for source in sources.values())
    for source in sources.values():
        for url in source.urls:
            assert url.endswith((".gz", ".zip"))


@pytest.mark.parametrize(
    ("urls", "accepted"),
    [
        (("https://a/x", "http://b/x", "https://c/x"), ["https://a/x", "https://c/x"]),
        (("http://b/x", "http://c/x"), ["http://b/x", "http://c/x"]),
        (("https://a/x", "http://127.0.0.1:80/x"), ["https://a/x", "http://127.0.0.1:80/x"]),
        (("http://b/x", "http://localhost/x"), ["http://localhost/x"]),
    ],
)
def test_plain_http_only_where_there_is_nothing_else(
    urls: tuple[str, ...], accepted: list[str]
) -> None:
    assert download.acceptable_urls(urls) == accepted


def test_https_never_redirects_to_plain_http() -> None:
    redirects = transfer._SafeRedirects()
    asked = urllib.request.Request("https://a/x")
    answer = (io.BytesIO(), 302, "Found", Message())
    followed = redirects.redirect_request(asked, *answer, "https://b/x")
    assert followed is not None
    assert followed.full_url == "https://b/x"
    with pytest.raises(urllib.error.URLError, match="it redirects to plain http"):
        redirects.redirect_request(asked, *answer, "http://b/x")


def test_all_addresses_of_a_host_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 8)
    tried: list[tuple[str, float]] = []

    def swallow(address: tuple[str, int], timeout: float) -> None:
        tried.append((address[0], timeout))
        raise TimeoutError("timed out")

    hosts = [(0, 0, 0, "", (f"10.0.0.{number}", 80)) for number in range(4)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hosts)
    monkeypatch.setattr(socket, "create_connection", swallow)
    clock = SimpleNamespace(monotonic=lambda: sum(seconds for _, seconds in tried))
    monkeypatch.setattr(transfer, "time", clock)
    with pytest.raises(transfer._NoConnection) as caught:
        transfer.dial(("host", 80))
    assert tried == [(f"10.0.0.{number}", 2) for number in range(4)]
    assert transfer.reason_of(caught.value) == "no connection within 8 s"


# ---------------------------------------------------------------------------------- other datasets


def test_qmnist_comes_by_whole_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import QMNIST

    describe(monkeypatch, "qmnist", train=20, test=10, seed=2)
    monkeypatch.setattr(catalog, "QMNIST_TEST_IMAGES", 20)
    images, labels = digits(20, seed=2)
    columns = np.stack([labels.astype(np.int32)] * 8, 1)
    files = {}
    for split in ("train", "test"):
        files[f"qmnist-{split}-images-idx3-ubyte"] = idx(images)
        files[f"qmnist-{split}-labels-idx2-int"] = idx(columns)
    packed = zipped(files)
    with Mirror(packed) as mirror:
        parts = [(mirror.url + name, md5(packed[name])) for name in packed]
        monkeypatch.setattr(QMNIST, "resources", {"train": parts[:2], "test": parts[2:]})
        assert len(load_split("qmnist", "test", data_dir=tmp_path)) == 10
        assert len(load_split("qmnist", "train", data_dir=tmp_path)) == 20
    assert sorted(mirror.requests) == sorted(packed)


def test_emnist_comes_as_an_archive_of_which_a_part_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import EMNIST

    describe(monkeypatch, "emnist-digits", train=10, test=10, seed=3)
    images, labels = digits(10, seed=3)
    files = {
        f"emnist-{kind}-{split}-{what}": content
        for kind in ("digits", "letters", "byclass")
        for split in ("train", "test")
        for what, content in (
            ("images-idx3-ubyte", idx(images)),
            ("labels-idx1-ubyte", idx(labels)),
        )
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in zipped(files).items():
            archive.writestr(f"gzip/{name}", content)
    with Mirror({"gzip.zip": packed.getvalue()}) as mirror:
        monkeypatch.setattr(EMNIST, "url", mirror.url + "gzip.zip")
        monkeypatch.setattr(EMNIST, "md5", md5(packed.getvalue()))
        split = load_split("emnist-digits", "test", data_dir=tmp_path)
        assert np.array_equal(split.images[:, 0], images.swapaxes(1, 2))
        load_split("emnist-digits", "train", data_dir=tmp_path)
    assert mirror.requests == ["gzip.zip"]
    kept = {f"EMNIST/raw/{name}" for name in files if "digits" in name}
    assert names_in(tmp_path) == kept


@pytest.mark.parametrize("content", [b"no archive", b"PK\5\6" + bytes(18)])
def test_a_bad_archive_is_no_traceback(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import EMNIST

    with Mirror({"gzip.zip": content}) as mirror:
        monkeypatch.setattr(EMNIST, "url", mirror.url + "gzip.zip")
        monkeypatch.setattr(EMNIST, "md5", md5(content))
        with pytest.raises(DataUnavailable, match="what it serves cannot be decompressed"):
            load_split("emnist-letters", "test", data_dir=tmp_path)
    assert names_in(tmp_path) == NOTHING


# --------------------------------------------------------------------------- many processes at once

# A process that downloads without torch, which would take seconds to import: with its own
# addresses, and with files that are only looked for.
FETCH = """
import sys
from pathlib import Path
from mnist_arch.data import catalog, download, transfer

folder, url, *sums = sys.argv[1:]
known = dict(pair.split("=") for pair in sums)
sources = {name[:-3]: download.RemoteFile((url + name,), md5) for name, md5 in known.items()}
download.sources_of = lambda name, hint: sources
info = catalog.INFO["mnist"]
catalog.INFO["mnist"] = catalog.DatasetInfo(30, 10, info.class_names, info.mean, info.std)
catalog.SHA256.clear()
files = [file for split in catalog.SPLITS for file in catalog.files("mnist", split)]
print("ready", flush=True)
sys.stdin.read(1)
download.fetch("mnist", files, Path(folder), hint="")
assert "torch" not in sys.modules
"""


def start_all(count: int, *arguments: str) -> list[subprocess.Popen[str]]:
    """Processes that have imported everything and go on together."""
    command = [sys.executable, "-c", *arguments]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return processes


@pytest.mark.slow
def test_four_processes_fetch_each_file_once(tmp_path: Path) -> None:
    packed = zipped(small_mnist())
    with Mirror(packed) as mirror:
        sums = [f"{name}={md5(packed[name])}" for name in packed]
        processes = start_all(4, FETCH, str(tmp_path / "MNIST/raw"), mirror.url, *sums)
        errors = [process.communicate(timeout=30)[1] for process in processes]
    assert errors == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(mirror.requests) == sorted(packed)
    assert names_in(tmp_path) == WHOLE


@pytest.mark.slow
def test_a_killed_process_holds_nobody_up(
    small: dict[str, bytes], mirrored: Any, tmp_path: Path
) -> None:
    sums = [f"{name}={md5(small[name])}" for name in small]
    with Mirror(small, "silent") as silent, Mirror(small) as good:
        [process] = start_all(1, FETCH, str(tmp_path / "MNIST/raw"), silent.url, *sums)
        while not silent.requests:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert list(tmp_path.glob(".mnist-arch-download-*"))
        mirrored(good.url)
        assert len(load_split("mnist", "test", data_dir=tmp_path)) == 10
    assert names_in(tmp_path) == WHOLE


# ---------------------------------------------------------------------------------- the full MNIST

LOAD = """
import sys
from pathlib import Path
from torchvision.datasets import MNIST
from mnist_arch.data.load import load_split
from mnist_arch.data.split import content_hash
MNIST.mirrors = [sys.argv[2]]
print("ready", flush=True)
sys.stdin.read(1)
print(content_hash(load_split("mnist", "test", data_dir=Path(sys.argv[1]))))
"""


@pytest.mark.slow
@pytest.mark.mnist
@needs_mirror
def test_mnist_is_downloaded_as_published(mirrored: Any, tmp_path: Path) -> None:
    with Mirror({path.name: path.read_bytes() for path in REAL.glob("*.gz")}) as mirror:
        mirrored(closed_port(), mirror.url)
        assert resolve_dataset("auto", data_dir=tmp_path) == Resolved("mnist")
    assert len(mirror.requests) == 4
    assert len(load_split("mnist", "train", data_dir=tmp_path, download=False)) == 60_000
    assert names_in(tmp_path) == WHOLE


@pytest.mark.mnist
@pytest.mark.slow
@needs_mirror
@pytest.mark.gate
def test_two_processes_load_mnist_at_once(tmp_path: Path) -> None:
    with Mirror({path.name: path.read_bytes() for path in REAL.glob("*.gz")}) as mirror:
        processes = start_all(2, LOAD, str(tmp_path), mirror.url)
        answers = [process.communicate(timeout=120) for process in processes]
    assert len({output for output, _ in answers}) == 1
    assert [process.returncode for process in processes] == [0] * 2
    assert len(mirror.requests) == 4
    assert names_in(tmp_path) == WHOLE
