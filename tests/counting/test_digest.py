"""The digest: alike for what means the same, and the same for as long as the format is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from pydantic import BaseModel
from strategies import Mapping, files, rest_of_file, text_of

from mnist_arch.counting.digest import ALWAYS, FIELDS, OPERATIONS, digest
from mnist_arch.counting.layers import Convolution, Dropout, Layer, Op, Residual
from mnist_arch.counting.plan import plan_network
from mnist_arch.counting.unroll import unroll
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.network import Network
from mnist_arch.spec.overrides import parse_override
from mnist_arch.spec.recipe import Augment, OneCycle, Recipe
from mnist_arch.zoo.index import zoo_names


def spec(text: str) -> Experiment:
    return loads(f"name: x\ndataset: mnist\n{text}", source="x.yaml").experiment


def changed(experiment: Experiment, **values: Any) -> Experiment:
    return experiment.model_copy(update=values)


def meaning(experiment: Experiment) -> Any:
    """What counts of an experiment, as plain values that can be compared, written down anew."""
    numbers: dict[str, int] = {}

    def of(layer: Layer | None) -> Any:
        if layer is None:
            return None
        if isinstance(layer.op, Residual):
            body = [of(inner) for inner in layer.op.body]
            return "residual", body, of(layer.op.skip), layer.out_shape
        values = dataclasses.asdict(layer.op)
        if "weights" in values:
            values["weights"] = numbers.setdefault(values["weights"], len(numbers))
        return type(layer.op), values, layer.in_shape, layer.out_shape

    layers = [of(layer) for layer in unroll(experiment)]
    recipe = experiment.recipe.model_dump()
    return layers, recipe, experiment.dataset, experiment.holdout


# -------------------------------------------------------------------- the same for what is the same


@settings(max_examples=examples(100))
@given(file=files(), other=rest_of_file, changed=st.sets(st.sampled_from(["recipe", "holdout"])))
def test_digests_are_the_same_where_the_experiments_are(
    file: Mapping, other: Mapping, changed: set[str]
) -> None:
    """Of two files that differ in their recipe or hold-out, in both or in nothing."""
    first = {**file, "dataset": "mnist"}
    second = {**first, **{key: other[key] for key in changed if key in other}}
    one, two = (loads(text_of(it), source="file.yaml").experiment for it in (first, second))
    assert (digest(one) == digest(two)) == (meaning(one) == meaning(two))
    assert digest(one, layers=plan_network(one).layers) == digest(one)


def test_residuals_and_shared_tensors_are_part_of_it() -> None:
    """Written out, so that it does not hang on what is drawn."""
    head: Mapping = {"linear": True}
    blocks = [
        {"channels": [4, 8], "repeat": 2, "share": share, "residual": residual, "stride": stride}
        for share in (False, True)
        for residual in (False, True)
        for stride in (1, 2)
    ]
    texts = [
        text_of({"name": "x", "dataset": "mnist", "blocks": [block], "head": head})
        for block in blocks
    ]
    experiments = [loads(text, source="x.yaml").experiment for text in texts]
    assert len({digest(experiment) for experiment in experiments}) == len(experiments)
    assert len({str(meaning(experiment)) for experiment in experiments}) == len(experiments)


def test_which_tensor_is_shared_counts() -> None:
    """The third convolution with the weights of the first, or of the second."""
    experiment = spec("blocks: [{channels: [1, 1, 1]}]\nhead: {linear: true}")
    layers = unroll(experiment)

    def sharing(place: int) -> tuple[Layer, ...]:
        convolutions = [layer for layer in layers if isinstance(layer.op, Convolution)]
        of, third = convolutions[place].op, convolutions[2]
        assert isinstance(of, Convolution)
        assert isinstance(third.op, Convolution)
        shared = dataclasses.replace(third, op=dataclasses.replace(third.op, weights=of.weights))
        return tuple(shared if layer is third else layer for layer in layers)

    digests = {digest(experiment, layers=sharing(place)) for place in range(3)}
    assert len(digests) == 3
    assert digest(experiment) in digests


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("recipe.schedule.peak", "1", "1.0"),
        ("recipe.clip_norm", "5", "5.0"),
        ("recipe.label_smoothing", "0", "-0.0"),
        ("recipe.augment.scale", "0.0", "-0.0"),
        ("recipe.augment.rotate_degrees", "10", "1e1"),
        ("recipe.optimizer", "{kind: sgd}", "{momentum: 0.9}"),
        ("recipe.optimizer", "{kind: adamw}", "{kind: adamw, beta2: 0.999}"),
        ("recipe.schedule", "{peak: 0.1}", "{kind: one-cycle, warmup: 0.2}"),
        ("recipe.augment", "{}", "{erase: null, elastic: null}"),
        ("recipe.augment.erase", "{probability: 1}", "{probability: 1.0, pixels: 8}"),
        ("recipe.augment.elastic", "{pixels: 2}", "{pixels: 2.0, sigma_pixels: 4}"),
        ("recipe", "{}", "{clip_norm: null, ema: 0.998}"),
        ("blocks.0.dropout", "0", "0.0"),
        ("head.dropout", "0.5", "{rate: 5e-1, kind: elementwise, at: after}"),
    ],
)
def test_how_a_value_is_written_does_not_count(path: str, one: str, other: str) -> None:
    found = [
        load("s6", overrides=[parse_override(f"{path}={value}"), parse_override("dataset=mnist")])
        for value in (one, other)
    ]
    assert digest(found[0].experiment) == digest(found[1].experiment)


def test_numbers_that_were_never_read_from_a_file_are_the_same_numbers() -> None:
    experiment = spec("blocks: [{channels: [4]}]\nhead: {linear: true}")

    def with_recipe(**values: Any) -> str:
        return digest(changed(experiment, recipe=Recipe.model_construct(**values)))

    assert with_recipe(clip_norm=5) == with_recipe(clip_norm=5.0) != with_recipe(clip_norm=None)
    assert with_recipe(ema=0) == with_recipe(ema=0.0) != with_recipe(ema=None)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("recipe.ema", ["null", "0", "0.998"]),
        ("recipe.optimizer", ["{kind: sgd}", "{kind: adamw}", "{kind: adamw, weight_decay: 1e-4}"]),
        ("recipe.optimizer.nesterov", ["true", "false"]),
        (
            "recipe.schedule",
            ["{}", *(f"{{kind: {kind}}}" for kind in ("cosine", "constant", "step"))],
        ),
        ("recipe.augment.elastic", ["null", "{pixels: 0}", "{pixels: 8}"]),
        ("recipe.augment.erase", ["null", "{probability: 0}", "{probability: 1}"]),
        ("recipe.augment", ["{elastic: {pixels: 1}}", "{erase: {probability: 1}}"]),
        ("recipe.label_smoothing", ["0", "0.1"]),
        ("recipe.clip_norm", ["null", "1"]),
        ("holdout", ["0", "1", "{folds: 2}", "{folds: 3}"]),
    ],
)
def test_what_is_not_there_is_not_a_zero(path: str, values: list[str]) -> None:
    overrides = [[parse_override(f"{path}={it}"), parse_override("dataset=mnist")] for it in values]
    found = {digest(load("s6", overrides=it).experiment) for it in overrides}
    assert len(found) == len(values)


# ------------------------------------------------------------------------------------ for how long


HELD: list[dict[str, str]] = yaml.safe_load(
    (Path(__file__).parents[1] / "fixtures" / "digests.yaml").read_text("utf-8")
)


@pytest.mark.parametrize("held", HELD, ids=lambda held: held["digest"][:8])
def test_the_digests_of_this_format_stay_what_they_are(
    held: dict[str, str], tmp_path: Path
) -> None:
    """Another meaning of a spec needs another FORMAT, since runs are found by their digests."""
    path = tmp_path / "example.yaml"
    path.write_text(held["spec"], "utf-8")
    assert digest(load(str(path)).with_dataset("mnist").experiment) == held["digest"]


def test_the_networks_that_ship_are_among_them() -> None:
    held = {it["digest"] for it in HELD}
    assert {digest(load(name).with_dataset("mnist").experiment) for name in zoo_names()} <= held
    assert len(held) > 20


def test_an_option_of_the_recipe_that_comes_later_changes_no_digest() -> None:
    class LaterSchedule(OneCycle):
        restarts: int = 0

    class LaterAugment(Augment):
        cut_out: float | None = None

    class LaterRecipe(Recipe):
        schedule: LaterSchedule = LaterSchedule()  # type: ignore[assignment]  # wider than before
        augment: LaterAugment = LaterAugment()
        sharpness: float = 0.0
        mix: OneCycle | None = None

    now = load("s6").with_dataset("mnist").experiment
    recipe = LaterRecipe.model_validate(now.recipe.model_dump())
    assert digest(changed(now, recipe=recipe)) == digest(now)
    for used in (
        {"sharpness": 0.1},
        {"mix": {}},
        {"schedule": {**now.recipe.schedule.model_dump(), "restarts": 1}},
        {"augment": {**now.recipe.augment.model_dump(), "cut_out": 0.0}},
    ):
        recipe = LaterRecipe.model_validate({**now.recipe.model_dump(), **used})
        assert digest(changed(now, recipe=recipe)) != digest(now)


def test_an_option_of_a_layer_that_comes_later_changes_no_digest() -> None:
    @dataclasses.dataclass(frozen=True)
    class LaterConvolution(Convolution):
        dilation: int = 1

    @dataclasses.dataclass(frozen=True)
    class LaterDropout(Dropout):
        blocks: int | None = None

    now = load("s6").with_dataset("mnist").experiment
    layers = plan_network(now).layers

    def with_layers(**values: Any) -> str:
        later = {Convolution: LaterConvolution, Dropout: LaterDropout}
        found = []
        for layer in layers:
            if kind := later.get(type(layer.op)):
                options = {k: v for k, v in values.items() if k in kind.__dataclass_fields__}
                fields = dataclasses.fields(layer.op)
                op = kind(**{it.name: getattr(layer.op, it.name) for it in fields}, **options)
                layer = dataclasses.replace(layer, op=op)
            found.append(layer)
        return digest(now, layers=tuple(found))

    assert with_layers() == with_layers(dilation=1, blocks=None) == digest(now)
    assert len({digest(now), with_layers(dilation=2), with_layers(blocks=3)}) == 3


def test_another_name_of_a_class_changes_no_digest() -> None:
    texts = [
        "blocks: [{channels: [4, 8], residual: true, dropout: 0.1, squeeze_excitation: 2}]",
        "blocks: [{channels: [4], pool: max}]\nrecipe: {optimizer: {kind: adamw}}",
        "blocks: [{channels: [4]}]\nrecipe: {schedule: {kind: cosine}, augment: {scale: 0}}",
    ]
    experiments = [spec(f"{text}\nhead: {{linear: true}}") for text in texts]
    before = [digest(it) for it in experiments]
    names = {kind: kind.__name__ for kind in FIELDS}
    try:
        for number, kind in enumerate(FIELDS):
            kind.__name__ = f"Renamed{number}"
        assert [digest(it) for it in experiments] == before
    finally:
        for kind, name in names.items():
            kind.__name__ = name


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """A model, those in its fields, and so on."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for argument in get_args(annotation):
        yield from models_in(argument)


PARTS = [*get_args(Op), *dict.fromkeys(models_in(Recipe))]


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.__name__)
def test_every_field_has_a_word_and_a_default_of_this_format(kind: type) -> None:
    """A new one is not forgotten, and a default does not move without another format."""
    if issubclass(kind, BaseModel):
        fields = {name: field.get_default() for name, field in kind.model_fields.items()}
        required = {name for name, field in kind.model_fields.items() if field.is_required()}
    else:
        assert kind in OPERATIONS
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        required = {name for name, default in fields.items() if default is dataclasses.MISSING}
    assert FIELDS[kind].keys() == fields.keys()
    words = [word for word, _ in FIELDS[kind].values()]
    assert len({*words, "op"}) == len(words) + 1
    for name, (_, default) in FIELDS[kind].items():
        if name in required or isinstance(fields[name], BaseModel) or default is ALWAYS:
            continue
        assert default == ([] if fields[name] == () else fields[name]), name


def test_no_class_has_words_that_is_in_no_experiment() -> None:
    assert FIELDS.keys() == {*PARTS}
    assert OPERATIONS.keys() == {*get_args(Op)}
    assert len({*OPERATIONS.values()}) == len(OPERATIONS)


def test_every_key_of_a_spec_counts_or_is_known_not_to() -> None:
    """The network's by their layers. A new key at the top has to be put into the digest."""
    counted = {*Network.model_fields, "recipe", "dataset", "holdout"}
    assert Experiment.model_fields.keys() == counted | {"name", "budget"}
