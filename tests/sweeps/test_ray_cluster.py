"""Trials on a Ray cluster: nodes that are lost, workers that die, and what there is room for.

On a real one: test_executors.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_sweep import COMMAND, drive, planned_sweep, tasks

from mnist_arch.data.load import load_split
from mnist_arch.errors import ClusterFailed, DeviceUnavailable, ExtraMissing, FailureKind
from mnist_arch.runs.checkpoint import read_checkpoint
from mnist_arch.runs.events import Started
from mnist_arch.runs.images import read_images
from mnist_arch.sweeps.execution import ray_node as node
from mnist_arch.sweeps.execution.executor import Task, TrialEvent
from mnist_arch.sweeps.execution.ray_cluster import (
    LOSSES,
    RayExecutor,
    connect,
    native_everywhere,
    room_on,
    token_for,
)
from mnist_arch.sweeps.execution.ray_node import (
    NodeMessage,
    ShippedSplit,
    train_on_node,
)
from mnist_arch.sweeps.ledger import Failure, Ledger
from mnist_arch.sweeps.spec import Resources
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import MEASURED_VECTORS
from mnist_arch.training.events import EpochRecord, NotCompiled, Slow

pytestmark = [pytest.mark.ray, pytest.mark.slow]  # ray alone takes seconds to import


@pytest.fixture(autouse=True)
def _ray() -> None:
    pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "sweep")


def executor_for(address: str | None = None, **resources: float) -> RayExecutor:
    return RayExecutor(
        address=address, resources=Resources(**resources), data_dir=None, command=COMMAND
    )


# --------------------------------------------------------------------- what a cluster has to tell


class Pretence:
    """The part of `ray` that the executor uses; each task comes to what is given for it."""

    def __init__(self, *tasks: list[Any]) -> None:
        import ray

        self.exceptions = ray.exceptions
        self.tasks = list(tasks)
        self.orders: list[Any] = []
        self.cancelled = 0

    def remote(self, order: Any, *images: Any) -> Iterator[Any]:
        self.orders.append(order)
        return iter(self.tasks[min(len(self.orders), len(self.tasks)) - 1])

    def get(self, what: Any) -> Any:
        if isinstance(what, Exception):
            raise what
        return what

    def wait(self, all_of_them: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return all_of_them, []

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": "here", "Alive": True, "Resources": {"CPU": 1.0}},
            {"NodeID": "gone", "Alive": False, "Resources": {"CPU": 64.0}},
        ]

    def cancel(self, _: Any) -> None:
        self.cancelled += 1

    def put(self, value: Any) -> Any:
        return value


def beginning(task: Task, node: str) -> NodeMessage:
    return NodeMessage(Started(task.run, 0), node=node, log=b"a line\n")


def on_a_pretence(task: Task, *comes_to: list[Any]) -> tuple[list[Any], Pretence]:
    """What happens to a trial whose tasks come to these, the last of them again and again."""
    ray = Pretence(*comes_to)
    executor = executor_for()
    executor.ray, executor.train = ray, SimpleNamespace(remote=ray.remote)
    assert executor.free == 1
    events = list(drive(executor, [task]))
    assert executor.free == 1
    with task.run.lock():  # which is free
        return events, ray


@pytest.fixture
def task(tmp_path: Path, ledger: Ledger) -> Task:
    load_split("mnist-5k", "train")
    return tasks(planned_sweep(tmp_path), ledger)[0]


@pytest.mark.slow
def test_a_trial_that_loses_all_its_nodes_fails(task: Task) -> None:
    import ray

    events, pretence = on_a_pretence(
        task, [beginning(task, "gone"), ray.exceptions.NodeDiedError("no")]
    )
    *began, end = events
    assert began == [TrialEvent(task, Started(task.run, 0))] * (LOSSES + 1)
    assert len(pretence.orders) == LOSSES + 1
    assert isinstance(end.what, Failure)
    assert end.what.kind is FailureKind.NODE
    assert end.what.reason == "it was lost 6 times with its node, without an epoch between"


@pytest.mark.slow
def test_what_is_lost_with_a_node_is_no_fault_of_the_trial(task: Task) -> None:
    import ray

    memory = ray.exceptions.OutOfMemoryError("no memory")
    crash = ray.exceptions.WorkerCrashedError()
    unread = ray.exceptions.ObjectLostError("00", None, "")
    events, pretence = on_a_pretence(
        task,
        [beginning(task, "gone"), crash],
        [beginning(task, "here"), unread],
        [beginning(task, "here"), memory],
    )
    *began, end = events
    assert began == [TrialEvent(task, Started(task.run, 0))] * 3
    assert pretence.cancelled == 3
    assert isinstance(end.what, Failure)
    assert end.what.kind is FailureKind.MEMORY
    assert end.what.reason == "its process was ended for want of memory"
    assert end.what.hint == "raise resources.cpus, so that fewer trials share a node"
    assert end.what.log_tail == ["a line"] * 3


@pytest.mark.slow
def test_a_node_that_is_too_slow_is_told(task: Task) -> None:
    import ray

    slow = Slow(1.0, 100.0, threads=1, usable_cpus=2.0, free_cpus=2.0)
    crash = ray.exceptions.WorkerCrashedError()
    events, _ = on_a_pretence(task, [beginning(task, "here"), NodeMessage(slow), crash])
    assert events[1] == TrialEvent(task, slow)


@pytest.mark.slow
def test_a_process_that_dies_on_a_node_that_lives_is_a_failure(task: Task) -> None:
    import ray

    events, pretence = on_a_pretence(
        task, [beginning(task, "here"), ray.exceptions.WorkerCrashedError()]
    )
    assert len(pretence.orders) == 1
    assert isinstance(events[-1].what, Failure)
    assert events[-1].what.kind is FailureKind.WORKER
    assert events[-1].what.reason == "its process died, but not the node that it was on"
    assert events[-1].what.hint.startswith("if that was for memory, raise resources.cpus")


def test_an_error_of_ray_is_a_failure_with_its_text(task: Task) -> None:
    import ray

    error = ray.exceptions.RayTaskError(
        "train_on_node",
        "Traceback\n  a line\nModuleNotFoundError: mnist_arch",
        ModuleNotFoundError("no mnist_arch"),
    )
    events, _ = on_a_pretence(task, [error])
    (end,) = events
    assert isinstance(end.what, Failure)
    assert end.what.kind is FailureKind.DEVICE
    assert end.what.reason == "a node cannot load what it is to run: no mnist_arch"
    assert end.what.hint == "pip install 'mnist-arch[ray]', in the same version, on every node"
    assert end.what.log_tail[-1] == "ModuleNotFoundError: mnist_arch"


def errors_of_a_driver() -> list[Any]:
    """What calls of Ray raise where a cluster is lost or full, with a word of what is said."""
    exceptions = pytest.importorskip("ray.exceptions", reason="needs the extra ray")
    return [
        pytest.param(error, said, id=type(error).__name__)
        for error, said in (
            (exceptions.RaySystemError("the system"), "does not do what it is asked for: "),
            (exceptions.RpcError("failed to connect to all addresses"), "connect to all"),
            (exceptions.LocalRayletDiedError(), "raylet"),
            (exceptions.ObjectStoreFullError("no room"), "the object store .* is full"),
            (exceptions.OutOfDiskError("no room"), "the object store .* is full"),
            (exceptions.GetTimeoutError("late"), "late"),
            (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
            (TimeoutError("no answer"), "no answer"),
            (RuntimeError("the GCS is gone"), "the GCS is gone"),
        )
    ]


@pytest.mark.parametrize("call", ["nodes", "put", "wait", "remote", "get"])
@pytest.mark.parametrize(("error", "said"), errors_of_a_driver())
def test_an_error_of_the_cluster_is_no_bug_and_no_failure_of_a_trial(
    task: Task, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception, said: str
) -> None:
    """It ends the sweep with 3; what a task itself comes to is told of its trial."""

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    ray = Pretence([beginning(task, "here")])
    executor = executor_for("a:1")
    monkeypatch.setattr(ray, call, fails)
    executor.ray, executor.train = ray, SimpleNamespace(remote=ray.remote)
    monkeypatch.setattr(ray, "cancel", fails)  # nor is it of interest at the end
    try:
        *_, end = drive(executor, [task])
        assert isinstance(end.what, Failure)
        kind, message, hint = end.what.kind, end.what.reason, end.what.hint
    except ClusterFailed as failed:
        kind, message = failed.kind, str(failed)
        hint = failed.hint
    executor.__exit__()
    assert "the same command resumes" in hint
    assert kind.exit_code == 3
    assert not kind.is_of_the_trial
    assert re.search(said, message)
    with task.run.lock():  # which is free
        assert task.run.result() is None


def test_an_error_of_the_cluster_within_a_task_is_no_bug(task: Task) -> None:
    import ray

    full = ray.exceptions.ObjectStoreFullError("no room")
    error = ray.exceptions.RayTaskError("train_on_node", "a line", full)
    ((end,), _) = on_a_pretence(task, [error])
    assert isinstance(end.what, Failure)
    assert end.what.kind is FailureKind.CLUSTER
    assert "--object-store-memory" in end.what.hint


# -------------------------------------------------------------------------------- room and address


@pytest.mark.parametrize(
    ("node", "resources", "room"),
    [
        ({"CPU": 8.0}, {}, 8),
        ({"CPU": 8.0}, {"cpus": 3.0}, 2),
        ({"CPU": 1.0}, {"cpus": 0.1}, 10),
        ({"CPU": 8.0, "GPU": 1.0}, {"gpus": 0.1}, 8),
        ({"CPU": 16.0, "GPU": 1.0}, {"gpus": 0.1}, 10),
        ({"CPU": 16.0}, {"gpus": 0.1}, 0),
        ({"memory": 1e9}, {}, 0),
    ],
)
def test_room_on_a_node(node: dict[str, float], resources: dict[str, float], room: int) -> None:
    assert room_on(node, Resources(**resources)) == room


def test_the_engine_is_what_a_trial_asks_for() -> None:
    assert executor_for().engine == Engine(device="cpu", threads=1)
    assert executor_for(cpus=1.5).engine == Engine(device="cpu", threads=2)
    assert executor_for(cpus=0.5, gpus=0.25).engine == Engine(device="cuda", threads=1)


def test_a_cluster_that_is_not_there() -> None:
    with pytest.raises(DeviceUnavailable, match=r"^no Ray cluster at ray://a:1: ") as caught:
        executor_for("ray://a:1").__enter__()
    assert caught.value.hint.startswith("start the sweep on a node of the cluster")
    with pytest.raises(DeviceUnavailable, match=r"^no Ray cluster at nowhere: \w"):
        executor_for("nowhere").__enter__()


class Initialised:
    """`ray` as far as it is needed to connect; it takes note, and raises what is given."""

    def __init__(self, error: Exception | None = None) -> None:
        import ray

        self.exceptions = ray.exceptions
        self.error = error
        self.asked: dict[str, Any] = {}
        self._private = SimpleNamespace(worker=SimpleNamespace())

    def init(self, **options: Any) -> None:
        self.asked = options
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(("address", "joined"), [(None, "local"), ("auto", "auto"), ("a:1", "a:1")])
def test_without_an_address_no_cluster_is_joined(address: str | None, joined: str) -> None:
    """Whatever runs here, and whatever RAY_ADDRESS says: `ray.init()` alone would join it."""
    ray = Initialised()
    connect(ray, address)
    assert ray.asked["address"] == joined


def test_a_cluster_that_wants_a_token_says_so() -> None:
    import ray

    error = ray.exceptions.AuthenticationError("no authentication token was found")
    with pytest.raises(
        DeviceUnavailable, match=r"^the Ray cluster at auto wants a token: "
    ) as caught:
        connect(Initialised(error), "auto")
    assert "RAY_AUTH_MODE=token" in caught.value.hint
    assert caught.value.kind.exit_code == 3
    with pytest.raises(DeviceUnavailable, match=r"^no Ray cluster at a:1: Failed") as caught:
        connect(Initialised(ConnectionError("Failed to connect")), "a:1")
    assert "~/.ray/auth_token" in caught.value.hint


def test_a_cluster_of_other_versions_says_which() -> None:
    """In the words of Ray 2.60, whose first line has none of them."""
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.11.2\n"
        "This process on node a was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\n"
    )
    with pytest.raises(DeviceUnavailable) as caught:
        connect(Initialised(error), "a:1")
    assert str(caught.value) == (
        "the Ray cluster at a:1 has Ray 2.59.0 with Python 3.11.2, and this command Ray 2.60.0 "
        "with Python 3.12.1"
    )
    assert caught.value.hint == "install the same versions of Ray and Python on all machines"


@pytest.mark.parametrize(
    "error", [Exception("the node timed out"), OSError("AF_UNIX path too long"), KeyError("node")]
)
def test_whatever_ray_raises_at_its_start_is_no_bug(error: Exception) -> None:
    with pytest.raises(DeviceUnavailable, match=r"^no Ray cluster at this machine: "):
        connect(Initialised(error), None)


@pytest.mark.parametrize(
    ("address", "environment", "given"),
    [
        (None, {}, True),
        (None, {"RAY_AUTH_MODE": "token"}, True),
        (None, {"RAY_AUTH_MODE": "disabled"}, False),
        (None, {"RAY_AUTH_TOKEN_PATH": "a/file"}, False),
        ("auto", {}, False),
        ("auto", {"RAY_AUTH_MODE": "token"}, False),
    ],
)
def test_a_cluster_of_this_machine_leaves_no_token_in_the_home(
    address: str | None, environment: dict[str, str], given: bool
) -> None:
    """Ray makes none where one is given, and that one ends with the cluster."""
    before = dict(environment)
    with token_for(address, environment):
        assert (len(environment.get("RAY_AUTH_TOKEN", "")) == 64) is given
        assert before.items() <= environment.items()
    assert environment == before


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ExtraMissing, match=r"^a sweep on a cluster needs ray, of the extra `ray`$"
    ) as caught:
        executor_for()
    assert caught.value.hint == "pip install 'mnist-arch[ray]'"


# ------------------------------------------------------------------------------------------- nodes


def said_on(task: Task, monkeypatch: pytest.MonkeyPatch, **versions: str) -> list[NodeMessage]:
    """What a node with the versions of here says to an order from elsewhere."""
    import ray

    context = SimpleNamespace(get_node_id=lambda: "abc")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    _, pretence = on_a_pretence(task, [ray.exceptions.RayTaskError("", "", ValueError())])
    (order,) = pretence.orders
    order = replace(order, versions={**order.versions, **versions})
    images = read_images(task.counted.experiment, data_dir=None, device="cpu")
    splits = (ShippedSplit.of(images.training), ShippedSplit.of(images.judged_on))
    return list(train_on_node(order, *splits))


def test_a_node_with_another_torch_trains_nothing(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    (said,) = said_on(task, monkeypatch, torch="1.0")
    assert isinstance(said.what, Failure)
    assert said.what.kind is FailureKind.DEVICE
    assert said.what.reason == f"the node abc has torch {version('torch')}, and the driver 1.0"
    assert said.what.hint == "install the same versions on all nodes"


def everywhere(
    vectors: dict[str, str],
    troubles: dict[str, str] | None = None,
    notes: dict[str, str] | None = None,
    **given: Any,
) -> tuple[Any, tuple[str | None, str]]:
    """What nodes of such vectors come to, and what they were asked to do."""
    asked: list[tuple[Any, ...]] = []

    def ask(call: Any, *arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        if not arguments:
            return vectors
        return {it: ((troubles or {}).get(it, ""), (notes or {}).get(it, "")) for it in vectors}

    options = {"among": MEASURED_VECTORS, "builds": True, **given}
    return asked, native_everywhere(ask, **options)


@pytest.mark.parametrize(
    ("vectors", "common"),
    [
        ({"a": "avx512", "b": "avx512"}, "avx512"),
        ({"a": "avx512", "b": "avx2"}, "avx2"),
        ({"a": "avx2"}, "avx2"),
    ],
)
def test_nodes_have_native_steps_with_the_vectors_that_all_have(
    vectors: dict[str, str], common: str
) -> None:
    asked, found = everywhere(vectors)
    assert found == (common, "")
    assert asked == [(), (common, True)]


def test_what_nodes_had_to_build_is_said() -> None:
    nodes = {"a": "avx2", "b": "avx2"}
    _, found = everywhere(nodes, notes={"b": "native steps were built first"})
    assert found == ("avx2", "the node b: native steps were built first")


def test_nodes_with_nothing_in_common_have_plain_steps() -> None:
    asked, found = everywhere({"a": "avx2", "b": "neon"})
    trouble = "the nodes have no avx512 or avx2 vectors in common: a has avx2, b has neon"
    assert found == (None, trouble)
    assert asked == [()]


def test_a_node_without_a_compiler_makes_all_plain() -> None:
    _, found = everywhere({"a": "avx2", "b": "avx2"}, {"b": "there is no C++ compiler"})
    assert found == (None, "the node b: there is no C++ compiler")


def test_nodes_keep_the_vectors_of_the_trials_so_far() -> None:
    asked, found = everywhere({"a": "avx512"}, among=("avx2",), builds=False)
    assert found == ("avx2", "")
    assert asked[1] == ("avx2", False)


def test_a_node_that_cannot_compile_a_compiled_run_trains_nothing(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest, which the driver has written, says compiled."""

    def without_a_compiler(*_: Any, **__: Any) -> Iterator[NotCompiled]:
        yield NotCompiled("no g++")

    monkeypatch.setattr(node, "train", without_a_compiler)
    _, said = said_on(task, monkeypatch)
    assert isinstance(said.what, Failure)
    assert said.what.reason == "the node abc cannot compile its steps: no g++"


@pytest.mark.slow
def test_a_node_says_each_epoch_with_a_checkpoint(
    task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, *rest = said_on(task, monkeypatch)
    assert first == NodeMessage(Started(task.run, 0), node="abc")
    for epoch, said in enumerate(rest, start=1):
        assert isinstance(said.what, EpochRecord)
        assert said.what.epoch == epoch
        path = tmp_path / "checkpoint"
        path.write_bytes(said.checkpoint)
        assert read_checkpoint(path)["state"]["epoch"] == epoch
    assert len(rest) == 4
