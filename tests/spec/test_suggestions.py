"""What people write who come from elsewhere: each word, value and form is told what it is here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec import suggestions
from mnist_arch.spec.alternatives import EXAMPLES, OFF
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.grammar import accepts, fields
from mnist_arch.spec.loading import load, loads, resolve
from mnist_arch.spec.overrides import changed, parse_override, parse_path
from mnist_arch.spec.strict_yaml import flow, parse
from mnist_arch.spec.suggestions import _along
from mnist_arch.spec.synonyms import KEYS, NOT_HERE, SETTINGS, VALUES, plain
from mnist_arch.sweeps.loading import load_sweep

NETWORK = "name: x\nblocks: [{channels: [8], pool: max, reduce: 10}]"


def with_network(text: str) -> str:
    """A spec of a good network and more keys, or other blocks."""
    own = parse(text, "").plain()
    assert isinstance(own, dict)
    left = [line for line in NETWORK.split("\n") if line.split(":")[0] not in own]
    return "\n".join([*left, text])


def problem(text: str) -> Problem:
    """The one problem of what stands beside a good network, or the last where there are more."""
    with pytest.raises(SpecError) as caught:
        loads(with_network(text), source="net.yaml")
    return caught.value.problems[-1]


def hint_of(text: str) -> str:
    return problem(text).hint


def set_hint(change: str) -> str:
    with pytest.raises(SpecError) as caught:
        load("s6", overrides=[parse_override(change)])
    return caught.value.problems[-1].hint


# --------------------------------------------------------------------------------------- the tables


def test_places_of_the_tables_are_places_of_the_language() -> None:
    places = {*fields(Experiment)}
    assert set(KEYS) <= places
    assert {place for place, _, _ in SETTINGS} <= places
    assert set(EXAMPLES) <= places
    assert set(OFF) <= places


def test_values_of_the_tables_fit_their_places() -> None:
    settings = [(place, value) for place, value, _ in SETTINGS]
    examples = EXAMPLES.items()
    for place, value in [*settings, *examples, *OFF.items()]:
        path = _along((), place, Experiment)
        assert accepts(path, value, Experiment), (place, value)


def test_words_of_the_tables_are_words_of_the_language() -> None:
    words = re.findall(r"Literal\[(.*?)\]", str(fields(Experiment)))
    known = set(re.findall(r"'([^']+)'", " ".join(words))) | {"test", "validation", "train"}
    assert set(VALUES) <= known


def test_no_word_of_an_object_means_two_of_its_keys() -> None:
    for parent in {place.rpartition(".")[0] for place in KEYS}:
        met: dict[str, str] = {}
        for place, words in KEYS.items():
            if place.rpartition(".")[0] == parent:
                for word in {plain(it) for it in words.split()}:
                    assert met.setdefault(word, place) == place, word


def test_what_is_left_out_is_not_there_under_another_name() -> None:
    known = {plain(word) for words in KEYS.values() for word in words.split()}
    for words in NOT_HERE:
        assert not known & {plain(it) for it in words.split()}


# --------------------------------------------------------------------------------------------- keys


def refused(spec: str) -> str:
    """What is wrong with a spec, such as a key that another one needs; empty where nothing is."""
    try:
        loads(spec, source="net.yaml")
    except SpecError as error:
        return str(error)
    return ""


def quoted(hint: str) -> list[str]:
    """What stands in backticks."""
    return hint.split("`")[1::2]


def example_of(place: str) -> object:
    path = _along((), place, Experiment)
    return suggestions.Suggestions()._example(suggestions._Spot(path, path, Experiment), None)


@pytest.mark.parametrize("place", sorted(KEYS))
def test_the_form_that_is_named_for_a_word_can_be_written(place: str) -> None:
    """Whichever of its words is written at the top of a file, or for `set`."""
    for word in KEYS[place].split():
        if word in fields(Experiment):
            continue
        value = flow(example_of(place))
        hint = hint_of(f"{word}: {value}")
        named = [it for it in quoted(hint) if ": " in it]
        if not named:  # so near to the right word that it alone is named
            assert hint.startswith("did you mean `")
            continue
        said = refused(with_network(named[0]))
        assert not re.search("unknown|must be|not one of", said), word
        change = parse_override(f"{word}={value}")
        with pytest.raises(SpecError) as caught:
            resolve(changed(parse(NETWORK, ""), change), "")
        (argument, *_) = (it for it in quoted(caught.value.problems[-1].hint) if "set=" in it)
        (path,) = ast.literal_eval(argument.removeprefix("set="))
        assert parse_path(path, "")[0] in fields(Experiment)


@pytest.mark.parametrize(
    ("text", "place", "form"),
    [
        ("lr: 0.05", "recipe.schedule.peak", "recipe: {schedule: {peak: 0.05}}"),
        ("learning_rate: 0.05", "recipe.schedule.peak", "recipe: {schedule: {peak: 0.05}}"),
        ("learningRate: 0.05", "recipe.schedule.peak", "recipe: {schedule: {peak: 0.05}}"),
        ("max-lr: 0.05", "recipe.schedule.peak", "recipe: {schedule: {peak: 0.05}}"),
        ("batch: 32", "recipe.batch_size", "recipe: {batch_size: 32}"),
        ("batch_size: 32", "recipe.batch_size", "recipe: {batch_size: 32}"),
        ("epochs: 5", "recipe.epochs", "recipe: {epochs: 5}"),
        ("n_epochs: '5'", "recipe.epochs", "recipe: {epochs: 5}"),
        ("weight_decay: 1e-3", "recipe.optimizer.weight_decay", "weight_decay: 0.001}}"),
        ("momentum: 0.8", "recipe.optimizer.momentum", "recipe: {optimizer: {momentum: 0.8}}"),
        ("nesterov: yes", "recipe.optimizer.nesterov", "recipe: {optimizer: {nesterov: true}}"),
        ("optimizer: adam", "recipe.optimizer", "recipe: {optimizer: adam}"),
        ("optimiser: SGD", "recipe.optimizer", "recipe: {optimizer: sgd}"),
        ("scheduler: OneCycleLR", "recipe.schedule", "recipe: {schedule: one-cycle}"),
        ("lr_scheduler: StepLR", "recipe.schedule", "recipe: {schedule: step}"),
        ("schedule: CosineAnnealingLR", "recipe.schedule", "recipe: {schedule: cosine}"),
        (
            "augment: none",
            "recipe.augment",
            "recipe: {augment: []}",
        ),
        ("ema: off", "recipe.ema", "recipe: {ema: null}"),
        ("dropout: 0.1", "defaults.dropout", "defaults: {dropout: 0.1}"),
        ("dropout_rate: 20%", "defaults.dropout", "defaults: {dropout: 0.2}"),
        ("kernel_size: [5, 5]", "defaults.kernel", "defaults: {kernel: [5, 5]}"),
        ("activation_fn: nn.ReLU", "defaults.activation", "defaults: {activation: relu}"),
        ("activation: LeakyReLU", "defaults.activation", "defaults: {activation: leaky_relu}"),
        ("batchnorm: true", "defaults.norm", "defaults: {norm: batch}"),
        ("bn: false", "defaults.norm", "defaults: {norm: none}"),
        ("normalisation: GroupNorm", "defaults.norm", "defaults: {norm: group}"),
        ("filters: 16", "blocks[0].channels", "blocks: [{channels: [16]}]"),
        ("out_channels: [8, 16]", "blocks[0].channels", "blocks: [{channels: [8, 16]}]"),
        ("MaxPool2d: 2", "blocks[0].pool", "blocks: [{pool: max}]"),
        ("inherits: mine.yaml", "extends", "extends: mine.yaml"),
        ("max_params: 8000", "budget.parameters_below", "budget: {parameters_below: 8000}"),
        ("target_accuracy: 99.5", "budget.accuracy_percent", "budget: {accuracy_percent: 99.5}"),
        ("recipe: {lr: 0.2}", "recipe.schedule.peak", "`schedule: {peak: 0.2}`"),
        ("recipe: {momentum: 0.5}", "recipe.optimizer.momentum", "`optimizer: {momentum: 0.5}`"),
        ("recipe: {dropout: 0.5}", "defaults.dropout", "`defaults: {dropout: 0.5}` at the top"),
        (
            "recipe: {optimizer: {kind: adamw, lr: 1e-3}}",
            "recipe.schedule.peak",
            "`schedule: {peak: 0.001}` in `recipe`",
        ),
        (
            "blocks: [{channels: [{out: 8, pool: max}]}]",
            "blocks[0].pool",
            "`pool: max` in `blocks[0]`",
        ),
        (
            "blocks: [{channels: [8], epochs: 3}]",
            "recipe.epochs",
            "`recipe: {epochs: 3}` at the top",
        ),
    ],
)
def test_a_key_of_elsewhere_is_told_its_place(text: str, place: str, form: str) -> None:
    hint = hint_of(text)
    assert f"here it is `{place}`" in hint
    assert form in hint


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("num_classes: 26", "classes: 26"),
        ("layers: [8, 16]", "blocks: [{channels: [8, 16]}]"),
        ("val_split: 0.1", "holdout: 5000"),
        ("recipe: {batch: 32}", "batch_size: 32"),
        ("recipe: {lr_policy: cosine}", "schedule: cosine"),
        ("recipe: {grad_clip: 1}", "clip_norm: 1"),
        ("recipe: {optimizer: {name: adamw}}", "kind: adamw"),
        ("recipe: {optimizer: {type: SGD}}", "kind: sgd"),
        ("recipe: {optimizer: {kind: adamw, betas: [0.9, 0.99]}}", "beta1: 0.9"),
        ("recipe: {schedule: {lr: 0.2}}", "peak: 0.2"),
        ("recipe: {schedule: {kind: step, gamma: 0.5}}", "factor: 0.5"),
        ("recipe: {schedule: {kind: step, step_size: 3}}", "every_epochs: 3"),
        ("recipe: {schedule: {pct_start: 0.3}}", "warmup: 0.3"),
        ("recipe: {schedule: {warmup_epochs: 3}}", "warmup: 0.2"),
        ("recipe: {augment: {rotation: 15}}", "rotate_degrees: 15"),
        ("recipe: {augment: {translate: 2}}", "shift_pixels: 2"),
        ("recipe: {augment: {RandomRotation: 7}}", "rotate_degrees: 7"),
        ("recipe: {augment: {scale_range: [0.9, 1.1]}}", "scale: [0.9, 1.1]"),
        ("recipe: {augment: [{interpolation: NEAREST}]}", "resample: nearest"),
        ("recipe: {augment: {CenterCrop: 22}}", "crop: {pixels: 22, probability: 0.1}"),
        ("recipe: {augment: {ColorJitter: 0.2}}", "brightness: 0.2"),
        ("recipe: {augment: {erase: {p: 0.5, probability: 0.5}}}", "probability: 0.5"),
        ("recipe: {normalize: {stddev: 0.3}}", "std: 0.3"),
        ("recipe: {kernel_initializer: he}", "initialize: he"),
        ("recipe: {augment: {cutout: true}}", "erase: {probability: 0.25}"),
        ("defaults: {use_bias: no}", "bias: false"),
        ("defaults: {bn: true}", "norm: batch"),
        ("defaults: {act: SiLU}", "activation: silu"),
        ("defaults: {drop_rate: 0.3}", "dropout: 0.3"),
        ("blocks: [{filters: [8, 16]}]", "channels: [8, 16]"),
        ("blocks: [{conv: 16}]", "channels: [16]"),
        ("blocks: [{channels: [8], maxpool: 2}]", "pool: max"),
        ("blocks: [{channels: [8], MaxPool2d: {kernel_size: 2}}]", "pool: max"),
        ("blocks: [{channels: [8], se_ratio: 8}]", "squeeze_excitation: 8"),
        ("blocks: [{channels: [8], skip: true}]", "residual: true"),
        ("blocks: [{inception: [[8], [4, 8]]}]", "branches: [[8], [4, 8]]"),
        ("blocks: [{channels: [8], concat: true}]", "join: concat"),
        ("blocks: [{channels: [8], num_blocks: 3}]", "repeat: 3"),
        ("blocks: [{channels: [8], conv1x1: 10}]", "reduce: 10"),
        ("blocks: [{channels: [8], pool: {kind: max, kernel_size: 3}}]", "size: 3"),
        ("blocks: [{channels: [{out_channels: 8}]}]", "out: 8"),
        ("blocks: [{channels: [{out: 8, kernel_size: 5}]}]", "kernel: 5"),
        ("head: {fc: true}", "linear: true"),
        ("head: {hidden_units: 32}", "hidden: 32"),
        ("head: {mlp: [32, 16]}", "hidden: [32, 16]"),
        ("head: {hidden: {units: 32}}", "out: 32"),
        ("head: {hidden: [{out: 32, drop_rate: 0.5}]}", "dropout: 0.5"),
        ("head: {gap: true}", "pool: global-average"),
        ("head: {avgpool: true}", "pool: global-average"),
        ("budget: {max_params: 8000}", "parameters_below: 8000"),
    ],
)
def test_a_key_of_the_same_object_is_told_its_name(text: str, form: str) -> None:
    assert hint_of(text).startswith(f"did you mean `{form}`?")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Recipe: {}", "recipe"),
        ("recipe: {batch-size: 3}", "batch_size"),
        ("recipe: {batchSize: 3}", "batch_size"),
        ("recipe: {EMA: 0.9}", "ema"),
        ("recipe: {scheduler: cosine}", "schedule"),
        ("recipe: {epoch: 3}", "epochs"),
        ("blocks: [{Channels: [8]}]", "channels"),
        ("defaults: {paddingMode: zeros}", "padding_mode"),
        ("budget: {accuracyPercent: 99}", "accuracy_percent"),
    ],
)
def test_a_key_in_another_case_is_told_the_right_one(text: str, right: str) -> None:
    assert hint_of(text).startswith(f"did you mean `{right}`? valid: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dilation: 2", "convolutions are not dilated"),
        ("defaults: {pre_activation: true}", "norm and activation come after their convolution"),
        ("defaults: {order: norm-activation-conv}", "norm and activation come after their conv"),
        ("defaults: {norm_after_sum: batch}", "after a sum comes the next layer"),
        ("defaults: {drop_path: 0.1}", "dropout drops values or channels, no ways"),
        ("blocks: [{channels: [{out: 8, dilation_rate: 2}]}]", "convolutions are not dilated"),
        ("recipe: {early_stopping: true}", "the final epoch"),
        ("recipe: {loss: focal}", "cross-entropy"),
        ("recipe: {mixup: 0.2}", "`recipe.augment`"),
        ("recipe: {augment: {hflip: true}}", "not mirrored"),
        ("blocks: [{in_channels: 1, channels: [8]}]", "follows from the one before"),
        ("input_shape: [28, 28]", "1×28×28"),
        ("recipe: {num_workers: 2}", "no loader processes"),
        ("recipe: {schedule: {eta_min: 0}}", "where the rate begins and ends"),
        ("grid: {}", "sweep('FILE')"),
        ("keep_prob: 0.8", "the share that is dropped"),
        ("recipe: {optimizer: lion}", "the optimizers are `sgd`, `adam`, "),
        ("recipe: {schedule: LambdaLR}", "`plateau` and `constant`"),
        ("defaults: {activation: tanh}", "this activation is not in the language"),
        ("blocks: [{channels: [8], pool: {kind: max, ceil_mode: true}}]", "are left out"),
        ("dataset: cifar10", "the MNIST family"),
        ("recipe: {schedule: {kind: cosine, factor: 0.1}}", "multi-step or plateau or step"),
        ("recipe: {optimizer: {betas: [0.9, 0.99]}}", "belongs to `kind: adam or adamw`"),
        ("seed: 3", "`seed=3`"),
        ("device: cuda", "`device='cuda'`"),
        ("output_dir: runs", "`out='DIR'`"),
    ],
)
def test_what_the_language_has_not_is_said_to_be_left_out(text: str, why: str) -> None:
    hint = hint_of(text)
    assert why in hint
    assert "did you mean" not in hint


# ------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("blocks: [{channels: 16}]", "channels: [16]"),
        ("blocks: [{channels: '16'}]", "channels: [16]"),
        ("blocks: [{channels: {out: 16}}]", "channels: [{out: 16}]"),
        ("blocks: {channels: [16]}", "blocks: [{channels: [16]}]"),
        ("blocks: [16]", "{channels: [16]}"),
        ("blocks: [{channels: ['8']}]", "8"),
        ("blocks: [{channels: [8.0]}]", "8"),
        ("blocks: [{channels: [8], pool: [max]}]", "max"),
        ("blocks: [{channels: [8], reduce: none}]", "reduce: null"),
        ("blocks: [{channels: [8], reduce: [10]}]", "reduce: 10"),
        ("blocks: [{channels: [8], dropout: none}]", "dropout: 0"),
        ("blocks: [{channels: [8], squeeze_excitation: true}]", "squeeze_excitation: 4"),
        ("blocks: [{channels: [8], squeeze_excitation: off}]", "squeeze_excitation: null"),
        ("blocks: [{channels: [8], residual: yes}]", "residual: true"),
        ("blocks: [{channels: [8], residual: 0}]", "residual: false"),
        ("recipe: {epochs: '5'}", "epochs: 5"),
        ("recipe: {epochs: 5.0}", "epochs: 5"),
        ("recipe: {epochs: [5]}", "epochs: 5"),
        ("recipe: {epochs: 1_000}", "epochs: 1000"),
        ("recipe: {epochs: '1,000'}", "epochs: 1000"),
        ("recipe: {ema: off}", "ema: null"),
        ("recipe: {ema: none}", "ema: null"),
        ("recipe: {ema: false}", "ema: null"),
        ("recipe: {ema: true}", "ema: 0.998"),
        ("recipe: {ema: 99.8%}", "ema: 0.998"),
        ("recipe: {clip_norm: none}", "clip_norm: null"),
        ("recipe: {augment: none}", flow({"augment": OFF["recipe.augment"]})[1:-1]),
        ("recipe: {augment: false}", flow({"augment": OFF["recipe.augment"]})[1:-1]),
        ("recipe: {augment: null}", flow({"augment": OFF["recipe.augment"]})[1:-1]),
        ("recipe: {augment: {erase: off}}", "erase: null"),
        ("recipe: {augment: {erase: true}}", "erase: {probability: 0.25}"),
        ("recipe: {schedule: 0.1}", "schedule: {peak: 0.1}"),
        ("recipe: {schedule: null}", "schedule: {kind: constant, warmup: 0}"),
        ("recipe: {label_smoothing: 10 %}", "label_smoothing: 0.1"),
        ("defaults: {dropout: 20%}", "dropout: 0.2"),
        ("defaults: {dropout: 20}", "dropout: 0.2"),
        ("defaults: {dropout: '0,2'}", "dropout: 0.2"),
        ("defaults: {dropout: '0.2'}", "dropout: 0.2"),
        ("defaults: {bias: no}", "bias: false"),
        ("defaults: {bias: 'True'}", "bias: true"),
        ("defaults: {kernel: 3x3}", "kernel: 3"),
        ("budget: 8000", "budget: {parameters_below: 8000}"),
        ("budget: {parameters_below: 10k}", "parameters_below: 10000"),
        ("budget: {accuracy_percent: 99.4%}", "accuracy_percent: 99.4"),
        ("head: global-max", "head: {pool: global-max}"),
        ("head: {linear: yes}", "linear: true"),
        ("holdout: none", "holdout: 0"),
        ("name: [a]", "name: a"),
    ],
)
def test_a_value_of_another_form_is_told_the_right_one(text: str, form: str) -> None:
    assert hint_of(text).startswith(f"did you mean `{form}`?")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("recipe: {optimizer: Adam}", "adam"),
        ("recipe: {optimizer: AdamW}", "adamw"),
        ("recipe: {optimizer: {kind: Adam}}", "adam"),
        ("recipe: {optimizer: SGD}", "sgd"),
        ("recipe: {optimizer: torch.optim.SGD}", "sgd"),
        ("recipe: {schedule: OneCycleLR}", "one-cycle"),
        ("recipe: {schedule: one_cycle}", "one-cycle"),
        ("recipe: {schedule: CosineAnnealingLR}", "cosine"),
        ("recipe: {schedule: StepLR}", "step"),
        ("recipe: {schedule: none}", "constant"),
        ("defaults: {activation: ReLU}", "relu"),
        ("defaults: {activation: LeakyReLU}", "leaky_relu"),
        ("defaults: {activation: leaky-relu}", "leaky_relu"),
        ("defaults: {activation: nn.GELU}", "gelu"),
        ("defaults: {activation: swish}", "silu"),
        ("defaults: {activation: null}", "none"),
        ("defaults: {activation: {kind: ReLU}}", "relu"),
        ("defaults: {activation: {kind: leaky_relu, negative_slope: 0.2}}", "slope: 0.2"),
        ("defaults: {norm: BatchNorm2d}", "batch"),
        ("defaults: {norm: BN}", "batch"),
        ("defaults: {norm: LayerNorm}", "layer"),
        ("defaults: {norm: true}", "batch"),
        ("defaults: {norm: false}", "none"),
        ("defaults: {padding: SAME_UPPER}", "same-end"),
        ("defaults: {padding: SAME}", "same"),
        ("defaults: {padding_mode: constant}", "zeros"),
        ("defaults: {order: conv-bn-relu}", "conv-norm-activation"),
        ("defaults: {order: conv-relu-bn}", "conv-activation-norm"),
        ("defaults: {order: conv_norm_activation}", "conv-norm-activation"),
        ("blocks: [{channels: [8], pool: MaxPool2d}]", "max"),
        ("blocks: [{channels: [8], pool: avg}]", "average"),
        ("blocks: [{channels: [8], pool: strided}]", "convolution"),
        ("blocks: [{channels: [8], pool: off}]", "none"),
        ("blocks: [{channels: [8], kind: Conv2d}]", "ordinary"),
        ("blocks: [{channels: [8], kind: dw}]", "depthwise"),
        ("blocks: [{channels: [8], kind: depthwise_separable}]", "separable"),
        ("blocks: [{channels: [8], dropout: {rate: 0.1, kind: Dropout2d}}]", "spatial"),
        ("head: {pool: GAP}", "global-average"),
        ("head: {pool: AdaptiveAvgPool2d}", "global-average"),
        ("head: {pool: adaptive_max}", "global-max"),
        ("dataset: MNIST", "mnist"),
        ("dataset: FashionMNIST", "fashion-mnist"),
        ("dataset: fashion_mnist", "fashion-mnist"),
        ("dataset: KMNIST", "kmnist"),
        ("budget: {dataset: Mnist}", "mnist"),
    ],
)
def test_a_word_of_elsewhere_or_in_another_case_is_told_the_right_one(text: str, word: str) -> None:
    assert hint_of(text).startswith(f"did you mean `{word}`? valid: ")


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("recipe: {optimizer: nadam}", "`adam` and `adamw` are the only"),
        ("recipe: {optimizer: {kind: AMSGrad}}", "`adam` and `adamw` are the only"),
        ("defaults: {norm: LayerNorm}", "torch's LayerNorm of a whole map has `affine: value`"),
        ("defaults: {norm: {eps: 1e-3}}", "an optimizer has its own"),
        ("recipe: {schedule: ExponentialLR}", "`exponential`"),
        ("recipe: {schedule: MultiStepLR}", "`multi-step`"),
        ("warmup_steps: 500", "a share of all steps"),
        ("validation_split: 0.1", "a number of images"),
    ],
)
def test_what_is_not_quite_the_same_is_said(text: str, remark: str) -> None:
    assert remark in hint_of(text)


# --------------------------------------------------------------------------------- --set and sweeps


@pytest.mark.parametrize(
    ("change", "form"),
    [
        ("lr=0.05", "set={'recipe.schedule.peak': 0.05}"),
        ("recipe.lr=0.05", "set={'recipe.schedule.peak': 0.05}"),
        ("recipe.optimizer.lr=0.05", "set={'recipe.schedule.peak': 0.05}"),
        ("epochs=5", "set={'recipe.epochs': 5}"),
        ("batch_size=5", "set={'recipe.batch_size': 5}"),
        ("optimizer=adam", "set={'recipe.optimizer': 'adam'}"),
        ("optimizer.momentum=0.5", "set={'recipe.optimizer.momentum': 0.5}"),
        ("bn=true", "set={'defaults.norm': 'batch'}"),
        ("augment=none", "set={'recipe.augment': []}"),
        ("recipe.ema=off", "set={'recipe.ema': None}"),
        ("blocks.1.channels=16", "set={'blocks.1.channels': [16]}"),
        ("blocks.1.filters=16", "set={'blocks.1.channels': [16]}"),
        ("blocks.1.channels.0.kernel_size=5", "set={'blocks.1.channels.0.kernel': 5}"),
        ("blocks.1.channels.0='8'", "set={'blocks.1.channels.0': 8}"),
        ("defaults.dropout=20%", "set={'defaults.dropout': 0.2}"),
        ("head.pool.size=3", "set={'head.size': 3}"),
        ("recipe.optimizer.beta1=0.8", "`beta1` belongs to `kind: adam or adamw`"),
    ],
)
def test_an_override_is_told_the_one_that_works(change: str, form: str) -> None:
    assert form in set_hint(change)


@pytest.mark.parametrize(
    ("line", "place", "form"),
    [
        ("lr: 0.1", "recipe.schedule.peak", "base: {recipe: {schedule: {peak: 0.1}}}"),
        ("epochs: 3", "recipe.epochs", "base: {recipe: {epochs: 3}}"),
        ("recipe: {epochs: 3}", "recipe", "base: {recipe: {epochs: 3}}"),
        ("defaults: {dropout: 0}", "defaults", "base: {defaults: {dropout: 0}}"),
        ("dropout: 20%", "defaults.dropout", "base: {defaults: {dropout: 0.2}}"),
    ],
)
def test_a_key_of_a_spec_in_a_sweep_is_told_its_place(
    line: str, place: str, form: str, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"experiments: [{{name: a}}]\n{line}\n")
    with pytest.raises(SpecError) as caught:
        load_sweep(path)
    (found,) = caught.value.problems
    assert found.hint.startswith(f"a key of an experiment: set `{place}` under `base`: `{form}`")


# -------------------------------------------------------------------------------------- short forms


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("{optimizer: adamw}", "{optimizer: {kind: adamw}}"),
        ("{optimizer: sgd}", "{optimizer: {kind: sgd}}"),
        ("{optimizer: sgd}", "{}"),
        ("{schedule: cosine}", "{schedule: {kind: cosine}}"),
        ("{schedule: step}", "{schedule: {kind: step}}"),
        ("{schedule: constant}", "{schedule: {kind: constant}}"),
        ("{schedule: one-cycle}", "{}"),
    ],
)
def test_a_short_form_is_the_object_with_its_defaults(short: str, whole: str) -> None:
    text = f"{{name: x, blocks: [{{channels: [8], reduce: 10}}], recipe: {short}}}"
    one = loads(text, source="a").experiment
    other = loads(text.replace(short, whole), source="a").experiment
    assert one == other


def test_a_short_form_is_opened_by_what_is_set_or_merged_into_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "extends: s6\nrecipe: {optimizer: adamw, schedule: cosine}\n"
    )
    (tmp_path / "own.yaml").write_text(
        "extends: base.yaml\nrecipe: {optimizer: {beta1: 0.8}, schedule: {peak: 0.2}}\n"
    )
    recipe = load(str(tmp_path / "own.yaml")).experiment.recipe
    assert recipe.optimizer.model_dump() | {"kind": "adamw", "beta1": 0.8} == (
        recipe.optimizer.model_dump()
    )
    assert (recipe.schedule.kind, recipe.schedule.peak) == ("cosine", 0.2)
    change = parse_override("recipe.optimizer.weight_decay=0.5")
    changed = load(str(tmp_path / "base.yaml"), overrides=[change]).experiment.recipe.optimizer
    assert (changed.kind, changed.weight_decay) == ("adamw", 0.5)
    for text in ("recipe.optimizer=adamw", "recipe.optimizer.kind=adamw"):
        assert (
            load("s6", overrides=[parse_override(text)]).experiment.recipe.optimizer.kind == "adamw"
        )


def test_a_short_form_of_no_kind_is_told_those_that_there_are() -> None:
    found = problem("recipe: {optimizer: adan}")
    assert (found.place, found.message) == ("recipe.optimizer", "'adan' is not one of the values")
