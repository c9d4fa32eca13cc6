"""Steps of other kinds come to what the plain step comes to, and go on like it."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import torch
import torch.nn.functional as F
from small import equal, loaded, tensors
from torch import Tensor

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.split import Split
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.runs.checkpoint import checkpoint_bytes, read_checkpoint
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training import captured as capture
from mnist_arch.training import step as step_module
from mnist_arch.training.captured import CapturedStep
from mnist_arch.training.compiled import CompiledStep, in_a_line
from mnist_arch.training.engine import Engine, Precision
from mnist_arch.training.engine_choice import cpu_has_bfloat16, prepare
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.events import Compiling, EpochRecord, NotCaptured, NotCompiled
from mnist_arch.training.loop import make_step, train
from mnist_arch.training.optimizer import Optimizer
from mnist_arch.training.schedule import learning_rate
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep

WEIGHTS = {"rtol": 1e-4, "atol": 1e-5}
"""After six steps whose rates and shares of the average are float32, not float64."""

PLAIN = Engine(device="cpu", threads=1)
CAPTURED = PLAIN.model_copy(update={"step": "captured"})  # which there is not, but can be tried
COMPILED = Engine(device="cpu", threads=1, step="compiled")

RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "no average": {"recipe__ema": None},
    "adamw": {"recipe__optimizer": {"kind": "adamw"}, "recipe__schedule": {"peak": 0.01}},
    "clipped": {"recipe__clip_norm": 0.5},
    "changed": {"recipe__augment": {"elastic": {"pixels": 0.5}, "erase": {"probability": 0.3}}},
    "incomplete": {"recipe__batch_size": 40},
    "dropped": {"recipe__batch_size": 40, "recipe__last_batch": "drop"},
    "smoothed": {"recipe__label_smoothing": 0.1},
}


def spec(name: str, **values: Any) -> Experiment:
    return loaded(**{"recipe__epochs": 2, **RECIPES[name], **values}).experiment


def curve(
    state: State,
    training: Split,
    judged_on: Split,
    engine: Engine,
    *,
    keep: Path | None = None,
    after: int = 1,
) -> list[EpochRecord]:
    """The epochs; `keep` is where the checkpoint after so many goes."""
    found = []
    for record in train(state, training, judged_on, engine=engine):
        if isinstance(record, EpochRecord):
            found.append(record)
            if keep is not None and len(found) == after:
                keep.write_bytes(checkpoint_bytes(state.state_dict()))
    return found


def without_clock(records: list[EpochRecord]) -> list[Any]:
    return [(it.epoch, it.train_loss, it.loss, it.correct, it.rate) for it in records]


# ------------------------------------------------------------------------- what an epoch is given


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last_batch", "images", "sizes"),
    [
        ("use", 100, [30, 30, 30, 10]),
        ("drop", 100, [30, 30, 30]),
        ("use", 92, [30, 30, 30, 2]),
        ("use", 91, [30, 30, 30]),  # batch statistics of one image do not exist
        ("use", 90, [30, 30, 30]),
    ],
)
def test_a_pass_is_freshly_shuffled(last_batch: str, images: int, sizes: list[int]) -> None:
    experiment = spec("sgd", recipe__batch_size=30, recipe__last_batch=last_batch)
    state, steps = State.fresh(experiment, seed=4), len(sizes)
    rng = torch.Generator()
    rng.set_state(state.shuffle.get_state())
    for epoch in range(2):
        given = EpochPlan.next(state, images)
        order = torch.randperm(images, generator=rng)
        assert [len(it) for it in given.batches] == sizes
        assert torch.equal(torch.cat(given.batches), order[: sum(sizes)])
        assert given.batches[0].dtype == torch.int64
        assert given.images == sum(sizes)
        schedule = experiment.recipe.schedule
        rates = [
            learning_rate(schedule, s, steps=2 * steps, steps_per_epoch=steps)
            for s in range(2 * steps)
        ]
        assert given.rates == rates[steps * epoch : steps * (epoch + 1)]
        done = range(steps * epoch + 1, steps * (epoch + 1) + 1)
        kept = [min(0.9, (1 + step) / (10 + step)) for step in done]
        assert given.weights == pytest.approx([1 - it for it in kept], rel=1e-12)
        state.epoch += 1


def test_the_loss_of_an_epoch_is_the_mean_over_its_images() -> None:
    given = EpochPlan((torch.arange(4), torch.arange(4), torch.arange(2)), [0.1] * 3, [])
    assert given.mean_loss(torch.tensor([1.0, 2.0, 9.0])) == (4 * 1 + 4 * 2 + 2 * 9) / 10


@pytest.mark.parametrize(("smaller", "cleared"), [(0, []), (1, [1, 9])])
def test_holes_between_large_maps_are_cleared_every_few_steps(
    training: Split, monkeypatch: pytest.MonkeyPatch, smaller: int, cleared: list[int]
) -> None:
    """Where the largest map of a batch is just what is kept, or a byte more."""
    experiment = spec("sgd", recipe__batch_size=8)
    largest = 8 * max(row.activation_bytes for row in plan_network(experiment).rows)
    monkeypatch.setattr(step_module, "LARGEST_KEPT_BYTES", largest - smaller)
    given, done, found = EpochPlan.next(State.fresh(experiment, seed=3), 96), 0, list[int]()
    monkeypatch.setattr(step_module, "give_back_freed", lambda: found.append(done))
    step = PlainStep(State.fresh(experiment, seed=3), training)
    step.begin(given)
    for number in range(12):
        done = number + 1
        step(number)
    assert found == cleared


def test_without_an_average_a_pass_has_no_weights() -> None:
    given = EpochPlan.next(State.fresh(spec("no average"), seed=4), 96)
    assert (len(given.rates), given.weights) == (3, [])


# --------------------------------------------------------------------------------------- captured


@pytest.fixture
def _no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be captured runs anew at each replay, which needs no GPU.

    Rates are tensors of float32 up to the optimizer, which takes a tensor on a GPU alone.
    """
    learn = Optimizer.step

    def same(step: Callable[[], None], state: State) -> Callable[[], None]:
        return step

    def read(optimizer: Optimizer, rate: float | Tensor) -> None:
        learn(optimizer, float(rate))

    monkeypatch.setattr(capture, "captured", same)
    monkeypatch.setattr(Optimizer, "step", read)


class Given(NamedTuple):
    """What a step learns from."""

    images: list[int]
    rate: float
    weight: float | None


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[type, list[Given]]:
    """What steps were given, by the type of their rates."""
    found: dict[type, list[Given]] = {float: [], Tensor: []}
    learn = PlainStep.learn

    def spy(step: PlainStep, index_B: Tensor, *, rate: Any, weight: Any) -> Tensor:
        share = None if weight is None else float(weight)
        found[type(rate)].append(Given(index_B.tolist(), float(rate), share))
        return learn(step, index_B, rate=rate, weight=weight)

    monkeypatch.setattr(PlainStep, "learn", spy)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("_no_graph")
@pytest.mark.parametrize("name", RECIPES)
def test_a_captured_step_comes_to_the_same_as_a_plain_one(
    training: Split, judged_on: Split, name: str, given: dict[type, list[Given]]
) -> None:
    plain, captured = (State.fresh(spec(name), seed=3) for _ in range(2))
    one = curve(plain, training, judged_on, PLAIN)
    other = curve(captured, training, judged_on, CAPTURED)
    for record, expected in zip(other, one, strict=True):
        assert record.train_loss == pytest.approx(expected.train_loss, rel=1e-5)
        assert record.loss == pytest.approx(expected.loss, rel=1e-4)
        assert (record.epoch, record.rate) == (expected.epoch, expected.rate)
    steps = 2 * len(captured.experiment.recipe.batches(96))
    plain_steps = [*given[float]]
    del plain_steps[steps]  # with which the captured one was compared, after the plain training
    captured_steps = given[Tensor][1:]
    assert len(captured_steps) == len(plain_steps) == steps
    for own, expected_step in zip(captured_steps, plain_steps, strict=True):
        assert own.images == expected_step.images
        assert own.rate == pytest.approx(expected_step.rate, rel=1e-6)
        if expected_step.weight is not None:
            assert own.weight == pytest.approx(expected_step.weight, rel=1e-6)
    for found, wanted in ((captured.model, plain.model), (captured.result, plain.result)):
        for key, tensor in tensors(wanted).items():
            torch.testing.assert_close(tensors(found)[key], tensor, **WEIGHTS)
    for stream in ("shuffle", "augment"):
        assert torch.equal(
            getattr(captured, stream).get_state(), getattr(plain, stream).get_state()
        )
    assert torch.equal(captured.dropout, plain.dropout)


@pytest.mark.slow
@pytest.mark.usefixtures("_no_graph")
@pytest.mark.parametrize("name", RECIPES)
def test_captured_steps_go_on_with_the_same_bits(
    training: Split, judged_on: Split, name: str, tmp_path: Path
) -> None:
    goes_on(training, judged_on, spec(name), CAPTURED, tmp_path / "checkpoint")


def goes_on(
    training: Split,
    judged_on: Split,
    experiment: Experiment,
    engine: Engine,
    path: Path,
    *,
    after: int = 1,
) -> None:
    whole = State.fresh(experiment, seed=3)
    expected = curve(whole, training, judged_on, engine, keep=path, after=after)
    rest = State.fresh(experiment, seed=3)
    rest.load_state_dict(read_checkpoint(path))
    torch.manual_seed(1)  # another process has drawn other numbers
    assert without_clock(curve(rest, training, judged_on, engine)) == without_clock(
        expected[after:]
    )
    assert equal(tensors(rest.model), tensors(whole.model))
    assert equal(tensors(rest.result), tensors(whole.result))


@pytest.mark.usefixtures("_no_graph")
def test_all_that_varies_lies_at_fixed_addresses(training: Split) -> None:
    """A graph reads and writes where it did when it was captured."""
    state = State.fresh(spec("sgd"), seed=3)
    step = CapturedStep(state, training, batch=32)
    assert [*step.get_ready()] == []

    def addresses() -> list[int]:
        buffers = (step.number, step.order_WB, step.rates_S, step.weights_S, step.losses_S)
        kept = [*buffers, *state.model.state_dict().values(), *state.result.state_dict().values()]
        return [tensor.data_ptr() for tensor in kept]

    before = addresses()
    assert len({it for it in before[:5]}) == 5
    for _ in range(2):
        step.begin(EpochPlan.next(state, 96))
        for number in range(3):
            assert int(step.number) == number
            step(number)
        state.epoch += 1
        assert addresses() == before
        assert step.losses_S.isfinite().all()
        assert step.losses_S.all()


def refuses(*_: Any) -> NoReturn:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


def is_wrong(step: Callable[[], None], state: State) -> Callable[[], None]:
    """A graph that learns from the images at half the rate."""

    def replay() -> None:
        before = {name: it.clone() for name, it in state.model.state_dict().items()}
        step()
        for name, it in state.model.state_dict().items():
            if it.is_floating_point():
                it.lerp_(before[name], 0.5)

    return replay


def learns_nothing(step: Callable[[], None], state: State) -> Callable[[], None]:
    return lambda: None


@pytest.mark.usefixtures("_no_graph")
@pytest.mark.parametrize(
    ("capture", "trouble"),
    [
        (refuses, "operation not permitted when stream is capturing"),
        (is_wrong, "what a step changes differs from a plain one's by 0.5"),
        (learns_nothing, "the loss of a step differs from a plain one's by 1 of it"),
    ],
)
def test_a_captured_step_that_is_not_the_plain_one_gives_way_to_it(
    training: Split, capture: Any, trouble: str
) -> None:
    """Before the first epoch; the run is then the plain one to the last bit."""
    plain, state = (State.fresh(spec("sgd"), seed=3) for _ in range(2))
    step = CapturedStep(state, training, batch=32, precision="bfloat16", capture=capture)
    (said,) = step.get_ready()
    assert isinstance(said, NotCaptured)
    assert said.trouble.startswith(trouble)
    assert [*step.get_ready()] == []
    other = PlainStep(plain, training)
    for one, its in ((step, state), (other, plain)):
        its.model.train()
        its.use_dropout_stream()
        one.begin(EpochPlan.next(its, 96))
        for number in range(3):
            one(number)
    assert torch.equal(step.losses_S, other.losses_S)
    assert equal(tensors(state.model), tensors(plain.model))
    assert equal(tensors(state.result), tensors(plain.result))


@pytest.mark.usefixtures("_no_graph")
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_right_one_is_within_the_tolerance(training: Split, name: str, precision: Any) -> None:
    """And the state is as it was."""
    state = State.fresh(spec(name), seed=3)
    before = copy.deepcopy(state.state_dict())
    batch = min(state.experiment.recipe.batch_size, len(training))
    step = CapturedStep(state, training, batch=batch, precision=precision)
    assert [*step.get_ready()] == []
    after = state.state_dict()
    assert equal(before["model"], after["model"])
    for stream in ("shuffle", "augment", "dropout"):
        assert torch.equal(before[stream], after[stream])


@pytest.mark.usefixtures("_no_graph")
@pytest.mark.parametrize("capture", [refuses, is_wrong])
def test_captured_epochs_are_not_gone_on_with_otherwise(training: Split, capture: Any) -> None:
    state = State.fresh(spec("sgd"), seed=3)
    state.epoch = 1
    step = CapturedStep(state, training, batch=32, capture=capture)
    with pytest.raises(
        DeviceUnavailable, match="captured steps of this run are not available here"
    ):
        [*step.get_ready()]


def test_a_device_that_fails_in_a_capture_is_not_taken_for_the_graph(training: Split) -> None:
    def fail(*_: Any) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory")

    step = CapturedStep(State.fresh(spec("sgd"), seed=3), training, batch=32, capture=fail)
    with pytest.raises(torch.OutOfMemoryError):
        [*step.get_ready()]


# --------------------------------------------------------------------------------------- compiled

COMPILED_NETWORK: dict[str, Any] = {
    "blocks": [
        {"channels": [4], "pool": "max", "dropout": 0.1},
        {"channels": [4], "order": "conv-norm-activation", "pool": "max"},
    ],
}
LOSS = 1e-5
"""Relative, of a loss in float32; it sums over 32 images and what is below 28×28×4 values."""

MOVED = 2e-3
"""How far a step's change of the weights may be from that in float64, as a share of its size."""


@pytest.fixture(scope="module")
def _compiler() -> None:
    try:
        torch.compile(lambda x: x * 2, fullgraph=True)(torch.ones(2))
    except Exception as error:  # of torch, of the compiler, of the linker
        pytest.skip(f"torch cannot compile here: {in_a_line(error)}")


class ExactStep(PlainStep):
    """The plain step in float64, of a state that is."""

    def __init__(self, state: State, training: Split) -> None:
        super().__init__(state, training)
        self.network = lambda x_NCHW: state.model(x_NCHW.double())


def exact(experiment: Experiment) -> State:
    """A fresh state whose weights are float64."""
    state = State.fresh(experiment, seed=3)
    state.model.double()
    state.optimizer = Optimizer(state.model, experiment.recipe)
    return dataclasses.replace(state, average=None)


def weights_of(state: State) -> Tensor:
    return torch.cat([it.detach().double().flatten() for it in state.model.parameters()])


class Stepped(NamedTuple):
    """What a first step came to."""

    loss: float
    change: Tensor
    """Of all weights, float64."""
    drawn: Tensor
    """Where the dropout stream has got to."""


def compiled(state: State, training: Split, *, precision: Precision = "float32") -> CompiledStep:
    """Steps that are compiled at once."""
    step = CompiledStep(state, training, batch=32, precision=precision)
    step.compile()
    return step


def stepped(kind: type[PlainStep], state: State, training: Split, **options: Any) -> Stepped:
    before = weights_of(state)
    state.model.train()
    state.use_dropout_stream()
    make = compiled if kind is CompiledStep else kind
    step = make(state, training, **options)
    step.begin(EpochPlan.next(state, len(training)))
    step(0)
    return Stepped(float(step.losses_S[0]), weights_of(state) - before, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_a_compiled_step_is_the_plain_one_to_rounding(training: Split) -> None:
    experiment = loaded(**COMPILED_NETWORK).experiment
    plain, fast = (State.fresh(experiment, seed=3) for _ in range(2))
    expected = stepped(ExactStep, exact(experiment), training)
    size = float(expected.change.norm())
    assert size > 1e-3
    for kind, state in ((PlainStep, plain), (CompiledStep, fast)):
        found = stepped(kind, state, training)
        assert found.loss == pytest.approx(expected.loss, rel=LOSS), kind
        assert float((found.change - expected.change).norm()) < MOVED * size, kind
        assert torch.equal(found.drawn, expected.drawn), kind
    for one, other in ((fast.model, plain.model), (fast.result, plain.result)):
        for name, tensor in tensors(other).items():
            torch.testing.assert_close(tensors(one)[name], tensor, **WEIGHTS)


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(("after", "batch"), [(1, 32), pytest.param(2, 40, marks=pytest.mark.gate)])
def test_compiled_steps_go_on_with_the_same_bits(
    training: Split, judged_on: Split, tmp_path: Path, after: int, batch: int
) -> None:
    """After the first epoch, which is plain, and after one that was compiled but for its end."""
    values = {"recipe__epochs": 3, "recipe__batch_size": batch}
    experiment = loaded(**values, **COMPILED_NETWORK).experiment
    goes_on(training, judged_on, experiment, COMPILED, tmp_path / "checkpoint", after=after)


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_one_process_compiles_for_any_number_of_runs(training: Split) -> None:
    """Torch keeps a few versions of one function, here one, and refuses any more."""
    from torch._dynamo import config

    for channels in (2, 3):
        block = {"channels": [channels], "pool": {"kind": "max", "size": 4}}
        state = State.fresh(loaded(blocks=[block]).experiment, seed=3)
        with config.patch(recompile_limit=1):
            step = compiled(state, training)
        step.begin(EpochPlan.next(state, len(training)))
        step(0)
        assert step.losses_S[0] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_compiling_leaves_the_state_as_it_was(training: Split) -> None:
    state = State.fresh(loaded(**COMPILED_NETWORK).experiment, seed=3)
    before = checkpoint_bytes(state.state_dict())
    compiled(state, training)
    state.keep_dropout_stream()
    assert checkpoint_bytes(state.state_dict()) == before


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_the_first_epoch_is_plain_and_the_others_are_compiled(
    training: Split, judged_on: Split
) -> None:
    experiment = loaded(recipe__epochs=3, **COMPILED_NETWORK).experiment
    plain, fast = (
        curve(State.fresh(experiment, seed=3), training, judged_on, engine)
        for engine in (PLAIN, COMPILED)
    )
    assert without_clock(fast[:1]) == without_clock(plain[:1])
    for record, expected in zip(fast[1:], plain[1:], strict=True):
        assert record.train_loss != expected.train_loss  # another order of the same sums
        assert record.train_loss == pytest.approx(expected.train_loss, rel=1e-3)


COMPILER_SECONDS = 0.3


class Compiler:
    """Stands in for the compiler, whose steps it leaves plain."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, works: bool = True) -> None:
        self.compiled_before_epoch: list[int] = []
        self.works = works
        monkeypatch.setattr(CompiledStep, "compile", lambda step: self.compile(step))

    def compile(self, step: CompiledStep) -> None:
        self.compiled_before_epoch.append(step.state.epoch + 1)
        time.sleep(COMPILER_SECONDS)
        if not self.works:
            raise RuntimeError("no g++\nand a long story")


def said(state: State, training: Split, judged_on: Split) -> list[Any]:
    """What a training with compiled steps yields, with epochs as their numbers."""
    return [
        event.epoch if isinstance(event, EpochRecord) else event
        for event in train(state, training, judged_on, engine=COMPILED)
        if isinstance(event, EpochRecord | Compiling | NotCompiled)
    ]


def trained(epochs: int, training: Split, judged_on: Split) -> State:
    """A plain training of four epochs that has come so far."""
    state = State.fresh(spec("sgd", recipe__epochs=4), seed=3)
    if epochs:
        for event in train(state, training, judged_on):
            if isinstance(event, EpochRecord) and event.epoch == epochs:
                break
    return state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("done", "events", "compiled_before"),
    [
        (0, [1, Compiling(), 2, 3, 4], [2]),
        (1, [Compiling(), 2, 3, 4], [2]),
        (2, [Compiling(), 3, 4], [3]),
        (4, [], []),
    ],
)
def test_a_process_compiles_once_and_not_before_the_second_epoch(
    training: Split,
    judged_on: Split,
    monkeypatch: pytest.MonkeyPatch,
    done: int,
    events: list[Any],
    compiled_before: list[int],
) -> None:
    compiler = Compiler(monkeypatch)
    assert said(trained(done, training, judged_on), training, judged_on) == events
    assert compiler.compiled_before_epoch == compiled_before


@pytest.mark.slow
def test_what_compiling_takes_is_time_of_the_run_but_no_images_speed(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    Compiler(monkeypatch)
    state = State.fresh(spec("sgd", recipe__epochs=2), seed=3)
    first, second = curve(state, training, judged_on, COMPILED)
    assert second.seconds - first.seconds >= COMPILER_SECONDS + 96 / second.images_per_second


def test_a_single_epoch_is_never_compiled(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiler(monkeypatch)
    assert said(State.fresh(spec("sgd", recipe__epochs=1), seed=3), training, judged_on) == [1]
    assert compiler.compiled_before_epoch == []


@pytest.mark.slow
@pytest.mark.parametrize("done", [0, 1])
def test_what_cannot_be_compiled_is_said_and_trained_plainly(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    compiler = Compiler(monkeypatch, works=False)
    state = trained(done, training, judged_on)
    trouble = [Compiling(), NotCompiled("no g++")]
    assert said(state, training, judged_on) == [1, *trouble, 2, 3, 4][done:]
    assert compiler.compiled_before_epoch == [2]  # it is tried once
    plain = State.fresh(state.experiment, seed=3)
    curve(plain, training, judged_on, PLAIN)
    assert equal(tensors(state.model), tensors(plain.model))
    assert equal(tensors(state.result), tensors(plain.result))


@pytest.mark.slow
def test_a_run_that_was_compiled_does_not_become_plain(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    Compiler(monkeypatch, works=False)
    state = trained(2, training, judged_on)
    before = checkpoint_bytes(state.state_dict())
    with pytest.raises(DeviceUnavailable, match=r"cannot be compiled here: no g[+][+]$") as caught:
        said(state, training, judged_on)
    assert (
        caught.value.hint
        == "resume where they can, or start from scratch: train(again=True, engine='plain')"
    )
    assert checkpoint_bytes(state.state_dict()) == before


def test_a_compiler_that_fails_half_way_leaves_no_trace(
    training: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: Any, **_: Any) -> Any:
        def fail(x_NCHW: Tensor) -> Tensor:
            network(x_NCHW)
            torch.rand(3)
            raise RuntimeError("no memory")

        return fail

    state = State.fresh(spec("sgd"), seed=3)
    step = CompiledStep(state, training, batch=32)
    before = checkpoint_bytes(state.state_dict())
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        step.compile()
    assert torch.equal(torch.get_rng_state(), state.dropout)
    assert checkpoint_bytes(state.state_dict()) == before
    assert step.network is state.model


@pytest.mark.slow
def test_what_is_compiled_is_for_whole_batches(
    training: Split, judged_on: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another shape would be compiled again, in the middle of an epoch."""
    sizes: list[int] = []

    def spy(network: Any, **_: Any) -> Any:
        def call(x_NCHW: Tensor) -> Tensor:
            sizes.append(len(x_NCHW))
            return network(x_NCHW)

        return call

    monkeypatch.setattr(torch, "compile", spy)
    state = State.fresh(spec("incomplete"), seed=3)
    plain = curve(State.fresh(spec("incomplete"), seed=3), training, judged_on, PLAIN)
    records = curve(state, training, judged_on, COMPILED)
    assert sizes == [40, 40, 40]  # to compile, and in the second epoch, which ends with 16
    for record, expected in zip(records, plain, strict=True):
        assert record.train_loss == pytest.approx(expected.train_loss, rel=1e-4)


def test_what_is_compiled_is_for_the_threads_of_the_run(
    training: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the compiler's cache could have it for those of another run."""
    asked: list[dict[str, Any]] = []

    def spy(network: Any, *, options: dict[str, Any], **_: Any) -> Any:
        asked.append(options)
        return network

    monkeypatch.setattr(torch, "compile", spy)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            CompiledStep(State.fresh(spec("sgd"), seed=3), training, batch=32).compile()
    finally:
        torch.set_num_threads(before)
    assert [options["cpp.threads"] for options in asked] == [1, 2]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("\n  no compiler \nand\na long story"), "no compiler"),
        (OSError(), "OSError"),
        (ImportError("no module"), "no module"),
        (
            RuntimeError(
                "CppCompileError: C++ compile error\nCommand:\ng++\nOutput:\nIn f\nerror: no memory"
            ),
            "CppCompileError: C++ compile error: error: no memory",
        ),
        (RuntimeError("C++ compile error\nOutput:\n"), "C++ compile error"),
    ],
)
def test_the_trouble_with_a_compiler_is_one_line(error: Exception, line: str) -> None:
    assert in_a_line(error) == line


# --------------------------------------------------------------------------------------- bfloat16


HALF = 0.03
"""Relative, of a loss after steps in bfloat16, which has eight binary digits."""

HALF_LOSS = 2e-3
"""As LOSS, where what is below the logits has eight binary digits."""

HALF_MOVED = 0.1
"""As MOVED. Every map and every gradient of one is off by 0.2 %, and there are a dozen of them."""

IN_BFLOAT16 = {"precision": "bfloat16"}

# Elsewhere nobody is given such steps (see `kept_here`), and compiled ones have been seen to crash.
WITH_AMX = pytest.mark.skipif(not cpu_has_bfloat16(), reason="needs a processor with AMX")


def assert_exact_to_bfloat16(kind: type[PlainStep], training: Split) -> None:
    """A step of this kind comes to what one in float64 does, and not to what float32 does."""
    experiment = loaded(**COMPILED_NETWORK).experiment
    expected = stepped(ExactStep, exact(experiment), training)
    size = float(expected.change.norm())
    state = State.fresh(experiment, seed=3)
    found = stepped(kind, state, training, precision="bfloat16")
    assert found.loss == pytest.approx(expected.loss, rel=HALF_LOSS)
    assert MOVED * size < float((found.change - expected.change).norm()) < HALF_MOVED * size
    assert torch.equal(found.drawn, expected.drawn)
    for tensor in (*tensors(state.model).values(), *tensors(state.result).values()):
        assert tensor.dtype in (torch.float32, torch.int64)


def test_a_step_in_bfloat16_is_the_exact_one_to_its_rounding(training: Split) -> None:
    assert_exact_to_bfloat16(PlainStep, training)


@WITH_AMX
@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_a_compiled_step_in_bfloat16_is_the_exact_one_to_its_rounding(training: Split) -> None:
    assert_exact_to_bfloat16(CompiledStep, training)


@WITH_AMX
@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_compiled_steps_in_bfloat16_go_on_with_the_same_bits(
    training: Split, judged_on: Split, tmp_path: Path
) -> None:
    experiment = loaded(recipe__epochs=3, **COMPILED_NETWORK).experiment
    engine = COMPILED.model_copy(update=IN_BFLOAT16)
    goes_on(training, judged_on, experiment, engine, tmp_path / "checkpoint", after=2)


def test_the_loss_of_steps_in_bfloat16_is_taken_in_float32(
    training: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its logarithms would have two decimal digits."""
    seen: list[torch.dtype] = []
    cross_entropy = F.cross_entropy

    def spy(logits_NK: Tensor, *arguments: Any, **options: Any) -> Tensor:
        seen.append(logits_NK.dtype)
        return cross_entropy(logits_NK, *arguments, **options)

    monkeypatch.setattr(F, "cross_entropy", spy)
    stepped(PlainStep, State.fresh(spec("sgd"), seed=3), training, precision="bfloat16")
    assert seen == [torch.float32]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adamw", "clipped"])
def test_in_bfloat16_weights_and_evaluation_stay_float32(
    training: Split, judged_on: Split, name: str
) -> None:
    states = [State.fresh(spec(name), seed=3) for _ in range(2)]
    engines = [PLAIN, PLAIN.model_copy(update=IN_BFLOAT16)]
    whole, half = (
        curve(state, training, judged_on, engine)
        for state, engine in zip(states, engines, strict=True)
    )
    for state in states:
        for tensor in (*tensors(state.model).values(), *tensors(state.result).values()):
            assert tensor.dtype in (torch.float32, torch.int64)
    for record, expected in zip(half, whole, strict=True):
        assert record.train_loss == pytest.approx(expected.train_loss, rel=HALF)
        assert record.train_loss != expected.train_loss


# -------------------------------------------------------------------------------------- on a GPU

ON_A_GPU = Engine(device="cuda", threads=1)
GRAPH = Engine(device="cuda", threads=1, step="captured")


@pytest.fixture
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run is: float32 without cuDNN's rounding to ten binary digits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    prepare(ON_A_GPU)


def there(split: Split) -> Split:
    return split.to("cuda")


@pytest.mark.gpu
@pytest.mark.usefixtures("_prepared")
@pytest.mark.parametrize("name", RECIPES)
def test_a_graph_comes_to_the_same_as_plain_steps(
    training: Split, judged_on: Split, name: str
) -> None:
    plain, graph = (State.fresh(spec(name), seed=3, device="cuda") for _ in range(2))
    one = curve(plain, there(training), there(judged_on), ON_A_GPU)
    other = curve(graph, there(training), there(judged_on), GRAPH)
    for record, expected in zip(other, one, strict=True):
        assert record.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
    for first, second in ((plain.model, graph.model), (plain.result, graph.result)):
        for key, tensor in tensors(first).items():
            torch.testing.assert_close(tensors(second)[key], tensor, rtol=1e-2, atol=1e-3)
    assert torch.equal(graph.augment.get_state(), plain.augment.get_state())
    assert torch.equal(graph.dropout, plain.dropout)


@pytest.mark.gpu
@pytest.mark.usefixtures("_prepared")
def test_a_capture_leaves_the_state_as_it_was(training: Split) -> None:
    state = State.fresh(spec("sgd"), seed=3, device="cuda")
    before = checkpoint_bytes(state.state_dict())
    step = CapturedStep(state, there(training), batch=32)
    assert [*step.get_ready()] == []
    state.keep_dropout_stream()
    assert checkpoint_bytes(state.state_dict()) == before


@pytest.mark.gpu
@pytest.mark.usefixtures("_prepared")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("engine", [ON_A_GPU, GRAPH])
def test_no_step_waits_for_the_device(training: Split, engine: Engine) -> None:
    state = State.fresh(spec("clipped"), seed=3, device="cuda")
    step = make_step(engine, state, there(training), batch=32)
    assert [*step.get_ready()] == []
    given = EpochPlan.next(state, len(training))
    step.begin(given)
    step(0)  # what torch's libraries set up when they are first used may wait
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(1, len(given.rates)):
            step(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(step.losses_S).all()


@pytest.mark.gpu
@pytest.mark.usefixtures("_prepared")
def test_captured_steps_go_on_as_an_undisturbed_training(training: Split, judged_on: Split) -> None:
    whole, first, rest = (State.fresh(spec("sgd"), seed=3, device="cuda") for _ in range(3))
    expected = curve(whole, there(training), there(judged_on), GRAPH)
    for record in train(first, there(training), there(judged_on), engine=GRAPH):
        if isinstance(record, EpochRecord):
            break
    rest.load_state_dict(copy.deepcopy(first.state_dict()))
    found = curve(rest, there(training), there(judged_on), GRAPH)
    assert len(found) == len(expected) - 1
    assert found[-1].train_loss == pytest.approx(expected[-1].train_loss, rel=1e-3)
    for name in ("augment", "shuffle"):
        assert torch.equal(getattr(rest, name).get_state(), getattr(whole, name).get_state())
    assert torch.equal(rest.dropout, whole.dropout)


@pytest.mark.gpu
@pytest.mark.usefixtures("_prepared")
def test_a_graph_in_bfloat16_learns_as_plain_steps_in_it(training: Split, judged_on: Split) -> None:
    plain, graph = (State.fresh(spec("sgd"), seed=3, device="cuda") for _ in range(2))
    one = curve(plain, there(training), there(judged_on), ON_A_GPU.model_copy(update=IN_BFLOAT16))
    other = curve(graph, there(training), there(judged_on), GRAPH.model_copy(update=IN_BFLOAT16))
    for record, expected in zip(other, one, strict=True):
        assert record.train_loss == pytest.approx(expected.train_loss, rel=HALF)
    assert {tensor.dtype for tensor in graph.model.parameters()} == {torch.float32}
