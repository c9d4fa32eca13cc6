"""What all tests share: folders of their own, no network, one thread, and small images.

No test reads or writes the user's cache. The parsed embedded sample is kept in one folder for the
whole session, since parsing it takes seconds. The full MNIST is found through MNIST_ARCH_DATA, as
it is outside the tests, but only by tests that carry the marker `mnist`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import ipaddress
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hypothesis
import pytest
import typer.main
import typer.testing
from profiles import GATE, QUICK

if TYPE_CHECKING:
    from mnist_arch.data.load import Loader
    from mnist_arch.data.split import Split

MNIST_FOLDER = os.environ.get("MNIST_ARCH_DATA", "")
HAS_MNIST = bool(MNIST_FOLDER) and all(
    (Path(MNIST_FOLDER) / "MNIST/raw" / f"{prefix}-{kind}-ubyte").exists()
    for prefix in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)

# What the user's shell says about colours and widths is not to decide a test.
SET = {"NO_COLOR": "1", "TYPER_USE_RICH": "0", "COLUMNS": "160"}
UNSET = (
    *("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LINES"),
    *("CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION"),
    *("JPY_PARENT_PID", "COLAB_RELEASE_TAG", "COLAB_GPU", "KAGGLE_KERNEL_RUN_TYPE", "MPLBACKEND"),
    "MNIST_ARCH_DATA",
)

SLOW_SECONDS = 1

# Read when torch is imported: sums are taken in an order that depends on the number of threads.
os.environ["OMP_NUM_THREADS"] = "1"

# Else each worker rewrites the assertions of all tests again, which takes it ten seconds.
sys.dont_write_bytecode = False

# How long an example takes says more about the other work of the machine than about the code.
for profile in (QUICK, GATE):
    hypothesis.settings.register_profile(profile, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gate", action="store_true", help="What .ci/run runs: tests marked `gate`, all examples."
    )
    parser.addoption("--by-hand", action="store_true", help="Also tests marked `by_hand`.")


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all is collected
    hypothesis.settings.load_profile(GATE if config.getoption("gate") else QUICK)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # The first of these in a new checkout compiles the engine.
        if item.path.parent.name == "native":
            item.add_marker(pytest.mark.slow)
        # Counting lines doubles the time of what repeats the same lines with many values.
        if hypothesis.is_hypothesis_test(_function_of(item)):
            item.add_marker(pytest.mark.no_cover)
    # What takes longest begins first, so that no worker is left alone with it at the end.
    items.sort(key=lambda item: item.get_closest_marker("gate") is None)
    for option in ("gate", "by_hand"):
        if not config.getoption(option):
            left = [item for item in items if item.get_closest_marker(option)]
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if not item.get_closest_marker(option)]
    no_mnist = pytest.mark.skip(
        reason="needs the full MNIST in the folder that MNIST_ARCH_DATA names"
    )
    for item in items:
        if item.get_closest_marker("mnist") and not HAS_MNIST:
            item.add_marker(no_mnist)
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _function_of(item: pytest.Item) -> Any:
    return getattr(item, "function", None)


def pytest_collection_finish() -> None:
    """What has been imported stays; to look through it for garbage, again and again, is in vain."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Names tests that took long and are not marked `slow`: a report, since machines differ.

    In the gate not those that have all their examples there alone.
    """
    known = {"slow", "no_cover"} if terminalreporter.config.getoption("gate") else {"slow"}
    long = [
        f"{report.duration:.1f} s {report.nodeid}"
        for report in terminalreporter.stats.get("passed", [])
        if report.duration > SLOW_SECONDS and not known & report.keywords.keys()
    ]
    if long:
        terminalreporter.section(f"not marked `slow`, and over {SLOW_SECONDS} s")
        terminalreporter.line("\n".join(long))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of the session; the workers of pytest-xdist share one."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _commands_are_made_once() -> Iterator[None]:
    """Typer makes all commands anew for each call of its runner, which takes longer than most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(autouse=True)
def _own_environment(
    request: pytest.FixtureRequest, session_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**SET, "XDG_CACHE_HOME": str(session_cache)}.items():
        monkeypatch.setenv(name, value)
    if request.node.get_closest_marker("mnist"):
        monkeypatch.setenv("MNIST_ARCH_DATA", MNIST_FOLDER)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test pulls the plug
    if not request.node.get_closest_marker("gpu"):  # the same test on every machine
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # for the processes that it starts
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        monkeypatch.setattr("mnist_arch.training.engine_choice.cpu_has_bfloat16", lambda: False)
        monkeypatch.setattr("mnist_arch.training.engine_choice.find_library", _not_built)
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # a run sets the threads of its manifest


def _not_built(*_: Any, **__: Any) -> NoReturn:
    """No test builds the native library, nor depends on one that was installed."""
    from mnist_arch.native.library import NotBuilt

    raise NotBuilt("a test")


@pytest.fixture(autouse=True)
def _this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that would use the network fails, whatever the code under test makes of that."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_here(address[0]):
            pytest.fail(f"a test connects to {address}")
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **options: Any) -> Any:
        if not _is_here(host):
            pytest.fail(f"a test looks up {host}")
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True)
def _processes_are_slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts Python fails where it is not marked `slow`: that takes up to seconds."""
    if request.node.get_closest_marker("slow"):
        return

    def start(self: subprocess.Popen[Any], args: Any, *rest: Any, **options: Any) -> None:
        if isinstance(args, list) and args[0] == sys.executable:
            pytest.fail("a test that is not marked `slow` starts Python")
        popen(self, args, *rest, **options)

    popen = subprocess.Popen.__init__
    monkeypatch.setattr(subprocess.Popen, "__init__", start)


def _is_here(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


@pytest.fixture(scope="session")
def training() -> Split:
    """96 images of ten classes that are easy to tell apart."""
    from small import synthetic

    return synthetic(96, seed=1)


@pytest.fixture(scope="session")
def judged_on() -> Split:
    """50 more images of the same kind."""
    from small import synthetic

    return synthetic(50, seed=2, name="test")


@pytest.fixture
def images_are() -> Iterator[Callable[[Loader], None]]:
    """Has images come from a function from now on, and not from the disk."""
    from mnist_arch.data.load import images_from

    with contextlib.ExitStack() as stack:
        yield lambda loader: stack.enter_context(images_from(loader))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter and write, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.fixture
def freeze() -> Iterator[Callable[[Path], None]]:
    """Mounts a folder read-only in its own place, which holds root back, too."""
    frozen: list[Path] = []

    def frozen_in_its_place(folder: Path) -> None:
        for options in (["--bind", str(folder)], ["-o", "remount,bind,ro"]):
            command = ["mount", *options, str(folder)]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                pytest.skip("only root can mount a folder, and not everywhere")
            frozen.append(folder)

    yield frozen_in_its_place
    for folder in {*frozen}:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root can mount a small file system, and not everywhere")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
