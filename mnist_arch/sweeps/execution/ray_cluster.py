"""Trials on a Ray cluster, whose nodes train and write nothing: the driver alone has the ledger."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, assert_never

from mnist_arch.data.folds import AnyHoldOut
from mnist_arch.errors import ClusterFailed, DeviceUnavailable, FailureKind, MnistArchError
from mnist_arch.failures import explain
from mnist_arch.files import now, storage_errors
from mnist_arch.native.library import run_on, vectors_here
from mnist_arch.native.vectors import Vectors
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.execute import claim, keep_epoch, run_experiment
from mnist_arch.runs.images import RunImages, read_images
from mnist_arch.runs.provenance import package_versions
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.sweeps.execution.executor import Stopped, Task, TrialEvent
from mnist_arch.sweeps.execution.ray_node import NodeMessage, NodeTask, ShippedSplit, train_on_node
from mnist_arch.sweeps.execution.worker import failure_of, judge_after, wait_for_lock
from mnist_arch.sweeps.extras import need_ray
from mnist_arch.sweeps.ledger import LOG_LINES, Failure, log_path, log_tail
from mnist_arch.sweeps.planning import Trial
from mnist_arch.sweeps.spec import Resources
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import MEASURED_VECTORS, pays_to_build
from mnist_arch.training.events import EpochRecord, Slow
from mnist_arch.training.native_library import native_on_node

_WAIT_SECONDS: Final = 1.0

_VERSIONS: Final = re.compile(r"^\s+(Ray|Python): (\S+)$", re.MULTILINE)
"""In what Ray says of a cluster of other versions: the cluster's, and those of the driver."""

_THE_TOKEN: Final = (
    "set RAY_AUTH_MODE=token and give every machine the same token: copy ~/.ray/auth_token of the "
    "first one, or name it in RAY_AUTH_TOKEN_PATH"
)

THE_SAME_COMMAND: Final = "`ray status` says how the cluster is; the same command resumes"

_FEWER_ON_A_NODE: Final = "raise resources.cpus, so that fewer trials share a node"

NODE_SECONDS: Final = 300.0
"""In which a node has to have built the native library."""

LOSSES: Final = 5
"""Nodes that a trial may lose one after the other without an epoch between them."""


@dataclass(eq=False)
class _Running:
    task: Task
    start: float
    lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Keeps the trial's folder, wherever it is trained."""
    messages: Any = None
    """The generator of the messages from the node."""
    node: str = ""
    losses: int = 0
    """Nodes that were lost since the last epoch."""


class RayExecutor:
    """Tasks of Ray, as many as its nodes have room for.

    A trial whose node is lost resumes elsewhere from the last epoch that has come in. One whose
    process dies while its node lives has failed. Every call may raise ClusterFailed. Where a
    cluster is lost Ray may also end the process, which `ray_driver` is for.
    """

    def __init__(
        self,
        *,
        address: str | None,
        resources: Resources,
        data_dir: Path | None,
        command: list[str],
        kept: Engine | None = None,
        plain_seconds: float = 0.0,
    ) -> None:
        """`address` as for `ray.init`; None is a cluster of this machine alone, for now.

        `kept` is the engine of the trials so far, and `plain_seconds` what is left of the sweep
        would take one worker with plain steps: a guess. Raises ExtraMissing.
        """
        self.ray = need_ray()
        self.address = address
        self.resources = resources
        self.engine = Engine(
            device="cuda" if resources.gpus else "cpu", threads=math.ceil(resources.cpus)
        )
        self.note: str | None = None
        self.kept, self.plain_seconds = kept, plain_seconds
        self.data_dir = data_dir
        self.command = command
        self.running: dict[Any, _Running] = {}
        self.ended: list[TrialEvent] = []
        self.shipped: dict[tuple[str, AnyHoldOut], tuple[RunImages, list[Any]]] = {}
        self.connected = False
        self.token = contextlib.ExitStack()

    def __enter__(self) -> RayExecutor:
        """Raises DeviceUnavailable where there is no cluster."""
        if not self.ray.is_initialized():
            self.token.enter_context(token_for(self.address, os.environ))
            connect(self.ray, self.address)
            self.connected = True
        options = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus}
        # Ray's own way to try again would begin at the first epoch.
        with self._asking():
            remote = self.ray.remote(num_returns="streaming", max_retries=0, **options)
            self.train = remote(train_on_node)
        try:
            self._choose_engine()
        except self.ray.exceptions.RayError as error:
            self.note = f"plain steps: nodes cannot be asked for native ones: {_first_line(error)}"
        return self

    def _choose_engine(self) -> None:
        """Native steps where all nodes that are there now can have the same ones."""
        kept, seconds = self.kept, self.plain_seconds / max(1, self.free)
        if self.engine.device != "cpu" or (kept is not None and kept.step != "native"):
            return
        vectors, said = native_everywhere(
            self._on_all_nodes,
            among=MEASURED_VECTORS if kept is None or kept.vectors is None else (kept.vectors,),
            builds=kept is not None or pays_to_build(seconds),
        )
        if vectors is None:
            self.note = f"plain steps instead of native ones: {said}"
            return
        self.note = said or None
        self.engine = self.engine.model_copy(update={"step": "native", "vectors": vectors})

    def _on_all_nodes(self, call: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What a call answers on each node that is there, by the node. Raises RayError."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = {}
        for node in self.ray.nodes():
            if node["Alive"] and room_on(node["Resources"], self.resources):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                remote = self.ray.remote(num_cpus=0, scheduling_strategy=there)(call)
                asked[node["NodeID"]] = remote.remote(*arguments)
        return {node: self.ray.get(answer, timeout=NODE_SECONDS) for node, answer in asked.items()}

    def __exit__(self, *_: object) -> None:
        for running in list(self.running.values()):
            self._end(running)
        self.shipped.clear()
        if self.connected:
            self.ray.shutdown()
        self.token.close()

    @property
    def free(self) -> int:
        """Room on the nodes that are there now, but at least for one trial, which may wait."""
        with self._asking():
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        room = max(1, sum(room_on(node, self.resources) for node in nodes))
        return max(0, room - len(self.running) - len(self.ended))

    def submit(self, task: Task) -> None:
        running = _Running(task, time.perf_counter())
        try:
            wait_for_lock(task.run)
            running.lock.enter_context(task.run.lock())
            self._send(running)
        except ClusterFailed:
            running.lock.close()
            raise
        except MnistArchError as error:
            self.ended.append(self._failed(running, error))

    def stop(self, trial: Trial) -> None:
        for running in list(self.running.values()):
            if running.task.trial.key == trial.key:
                self._end(running)
                self.ended.append(TrialEvent(running.task, Stopped()))

    def events(self) -> Iterator[TrialEvent]:
        if not self.ended and self.running:
            everything = {"num_returns": len(self.running), "timeout": 0}
            with self._asking():
                self.ray.wait(list(self.running), timeout=_WAIT_SECONDS)
                ready, _ = self.ray.wait(list(self.running), **everything)
            for messages in ready:
                if (running := self.running.get(messages)) is None:
                    continue  # it was stopped because of an earlier event
                try:
                    yield from self._next(running)
                except ClusterFailed:
                    raise
                except MnistArchError as error:
                    yield self._failed(running, error)
        while self.ended:
            yield self.ended.pop(0)

    def _send(self, running: _Running) -> None:
        """Begins a trial, or resumes after the last epoch that has come in."""
        task = running.task
        images, references = self._ship(task.counted.experiment)
        found = claim(
            task.counted,
            images,
            run=task.run,
            seed=task.trial.seed,
            engine=self.engine,
            command=self.command,
        )
        if isinstance(found, Result):
            running.lock.close()
            self.ended.append(TrialEvent(task, found))
            return
        node_task = NodeTask(task.run, found, judge_after(task.trial), package_versions())
        with self._asking():
            running.messages = self.train.remote(node_task, *references)
        self.running[running.messages] = running

    def _ship(self, experiment: Experiment) -> tuple[RunImages, list[Any]]:
        """Images are read, and put into the object store, once for all with the same hold-out."""
        key = (experiment.dataset, experiment.holdout)
        if key not in self.shipped:
            self.shipped.clear()  # a ranking goes fold by fold, and finals come last
            images = read_images(experiment, data_dir=self.data_dir, device="cpu")
            splits = (images.training, images.judged_on)
            with self._asking():
                references = [self.ray.put(ShippedSplit.of(split)) for split in splits]
            self.shipped[key] = replace(images, seconds=0.0), references
        return self.shipped[key]

    def _next(self, running: _Running) -> Iterator[TrialEvent]:
        """What a trial has to say now."""
        try:
            message: NodeMessage = self.ray.get(next(running.messages))
        except StopIteration:
            yield from self._finish(running)
            return
        except self.ray.exceptions.RayError as error:
            yield from self._broken(running, error)
            return
        except (OSError, RuntimeError) as error:
            raise self._cluster_failed(error) from None
        task = running.task
        with storage_errors(log_path(task.run)), log_path(task.run).open("ab") as log:
            log.write(message.log)
        match message.what:
            case Started() as started:
                running.node = message.node
                yield TrialEvent(task, started)
            case EpochRecord() as record:
                keep_epoch(task.run, record, message.checkpoint)
                running.losses = 0
                yield TrialEvent(task, record)
            case Slow() as slow:
                yield TrialEvent(task, slow)
            case Failure() as failure:
                self._end(running)
                tail = log_tail(task.run)
                yield TrialEvent(task, failure.model_copy(update={"log_tail": tail}))
            case never:
                assert_never(never)

    def _finish(self, running: _Running) -> Iterator[TrialEvent]:
        """Weights, curves and result, from the checkpoint after the last epoch."""
        self._end(running)
        task = running.task
        for event in run_experiment(
            task.counted,
            self._ship(task.counted.experiment)[0],
            run=task.run,
            seed=task.trial.seed,
            engine=self.engine,
            command=self.command,
            command_seconds=lambda: time.perf_counter() - running.start,
        ):
            if isinstance(event, NotDrawn | Result):
                yield TrialEvent(task, event)

    def _broken(self, running: _Running, error: Exception) -> Iterator[TrialEvent]:
        """The outcome of a trial whose task ended with an error of Ray's own."""
        exceptions, task = self.ray.exceptions, running.task
        self._drop(running)
        hint = ""
        match error:
            case exceptions.OutOfMemoryError():
                kind, reason = FailureKind.MEMORY, "its process was ended for want of memory"
                hint = _FEWER_ON_A_NODE
            case exceptions.WorkerCrashedError() if self._is_alive(running.node):
                kind = FailureKind.WORKER
                reason = "its process died, but not the node that it was on"
                hint = f"if that was for memory, {_FEWER_ON_A_NODE}"
            case (
                exceptions.NodeDiedError()
                | exceptions.WorkerCrashedError()
                | exceptions.ObjectLostError()
            ):
                running.losses += 1
                if running.losses <= LOSSES:
                    self._send(running)
                    return
                kind = FailureKind.NODE
                reason = (
                    f"it was lost {running.losses} times with its node, without an epoch between"
                )
            case exceptions.RayTaskError(cause=exceptions.RayError() as cause):
                failed = self._cluster_failed(cause)
                kind, reason, hint = failed.kind, str(failed), failed.hint
            case exceptions.RayTaskError(cause=ImportError() as cause):
                kind, reason = FailureKind.DEVICE, f"a node cannot load what it is to run: {cause}"
                hint = "pip install 'mnist-arch[ray]', in the same version, on every node"
            case exceptions.RayTaskError(cause=Exception() as cause):
                explained = explain(cause)
                kind, reason, hint = explained.kind, explained.message, explained.hint
            case _:
                failed = self._cluster_failed(error)
                kind, reason, hint = failed.kind, str(failed), failed.hint
        running.lock.close()
        tail = log_tail(task.run) or str(error).splitlines()[-LOG_LINES:]
        failure = Failure(kind=kind, reason=reason, hint=hint, log_tail=tail, time=now())
        yield TrialEvent(task, failure)

    def _is_alive(self, node: str) -> bool:
        with self._asking():
            return any(known["NodeID"] == node and known["Alive"] for known in self.ray.nodes())

    def _failed(self, running: _Running, error: MnistArchError) -> TrialEvent:
        """A trial that the driver cannot continue."""
        self._end(running)
        return TrialEvent(running.task, failure_of(error, tail=log_tail(running.task.run)))

    def _end(self, running: _Running) -> None:
        """Ends a trial for the driver: nothing of it is heard any more, and its folder is free."""
        self._drop(running)
        running.lock.close()

    def _drop(self, running: _Running) -> None:
        if self.running.pop(running.messages, None):
            # It does nothing to a task that has ended, and a lost cluster trains nothing any more.
            with contextlib.suppress(ClusterFailed), self._asking():
                self.ray.cancel(running.messages)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Around calls of Ray alone, which answer or raise for a reason of the cluster's own."""
        try:
            yield
        except (self.ray.exceptions.RayError, OSError, RuntimeError) as error:
            raise self._cluster_failed(error) from None

    def _cluster_failed(self, error: Exception) -> ClusterFailed:
        exceptions, where = self.ray.exceptions, self.address or "this machine"
        if isinstance(error, exceptions.ObjectStoreFullError | exceptions.OutOfDiskError):
            message = f"the object store of the Ray cluster at {where} is full: "
            hint = (
                "start its nodes with a larger --object-store-memory, or free their disks; the "
                "same command resumes"
            )
            return ClusterFailed(message + _first_line(error), hint=hint)
        message = f"the Ray cluster at {where} does not do what it is asked for: "
        return ClusterFailed(message + _first_line(error), hint=THE_SAME_COMMAND)


def _in_words(versions: list[tuple[str, str]]) -> str:
    return " with ".join(f"{name} {version}" for name, version in versions)


def native_everywhere(
    ask: Callable[..., dict[str, Any]], *, among: Sequence[Vectors], builds: bool
) -> tuple[Vectors | None, str]:
    """The first vectors with which all nodes have native steps, and what was waited for, if
    anything; or None, and why not.

    `ask` calls a function on all nodes, and returns each node's answer by the node.
    """
    there = ask(vectors_here)
    for vectors in among:
        if all(run_on(vectors, widest) for widest in there.values()):
            break
    else:
        which = ", ".join(f"{node} has {widest}" for node, widest in there.items())
        return None, f"the nodes have no {' or '.join(among)} vectors in common: {which}"
    answers: dict[str, tuple[str, str]] = ask(native_on_node, vectors, builds)
    for node, (trouble, _) in answers.items():
        if trouble:
            return None, f"the node {node}: {trouble}"
    notes = [f"the node {node}: {note}" for node, (_, note) in answers.items() if note]
    return vectors, "; ".join(notes)


def _first_line(error: Exception) -> str:
    """Of what Ray says, without the many lines for its own debugging."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def room_on(node: dict[str, float], resources: Resources) -> int:
    """Trials that have room on a node with these resources."""
    rooms = [node.get("CPU", 0.0) / resources.cpus]
    if resources.gpus:
        rooms.append(node.get("GPU", 0.0) / resources.gpus)
    return math.floor(min(rooms) + 1e-9)  # ten tenths of a GPU are a whole one


@contextlib.contextmanager
def token_for(address: str | None, environment: MutableMapping[str, str]) -> Iterator[None]:
    """Gives a cluster of this machine alone a token that ends with it.

    Ray from 2.59 on makes one that is not given, and leaves it in the user's home, where it changes
    every cluster that is started later: `ray start --head` then demands it of all other machines.
    """
    mode = environment.get("RAY_AUTH_MODE", "token").lower()
    is_given = any(environment.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if address is not None or mode != "token" or is_given:
        yield
        return
    environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        environment.pop("RAY_AUTH_TOKEN", None)


def connect(ray: Any, address: str | None) -> None:
    """Connects this process to a cluster: None is one of its own. Raises DeviceUnavailable."""
    where = address or "this machine"
    try:
        if "://" in where:
            raise ValueError("a client cannot be told of epochs while they are trained")
        ray.init(
            address=address or "local",  # None would join whatever cluster Ray finds here
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ray.exceptions.AuthenticationError as error:
        message = f"the Ray cluster at {where} wants a token: {_first_line(error)}"
        raise DeviceUnavailable(message, hint=_THE_TOKEN) from None
    except Exception as error:  # nothing of ours runs there, and much of it has no class of its own
        if versions := _VERSIONS.findall(str(error)):
            theirs, ours = _in_words(versions[:2]), _in_words(versions[2:])
            message = f"the Ray cluster at {where} has {theirs}, and this command {ours}"
            hint = "install the same versions of Ray and Python on all machines"
            raise DeviceUnavailable(message, hint=hint) from None
        hint = "start the sweep on a node of the cluster, whose address `ray status` knows"
        if isinstance(error, ConnectionError):  # Ray does not say so where it is for want of one
            hint = f"{hint}; if the cluster was started with a token, {_THE_TOKEN}"
        message = f"no Ray cluster at {where}: {_first_line(error)}"
        raise DeviceUnavailable(message, hint=hint) from None
    # What it has to say about workers that died would go to stdout; it stands in the failure.
    ray._private.worker._worker_logs_enabled = False
