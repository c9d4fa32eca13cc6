"""All problems of a file at once, each with its line, its path and the nearest valid name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec.loading import loads

NETWORK = "name: x\nblocks: [{channels: [8], reduce: 10}]\n"

BLOCK_KEYS = (
    "valid: activation, bias, branches, channels, depthwise_bias, dropout, groups, join, kernel, "
    "kind, norm, order, padding, padding_mode, pool, reduce, repeat, residual, share, "
    "squeeze_excitation, stride"
)
CONV_KEYS = (
    "valid: activation, bias, depthwise_bias, dropout, groups, kernel, kind, norm, order, out, "
    "padding, padding_mode, stride"
)
FILE_KEYS = "valid: blocks, budget, classes, dataset, defaults, head, holdout, name, recipe"


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        loads(text, source="net.yaml")
    return caught.value.problems


def problem(text: str) -> Problem:
    """The one problem of `text` after a good network, without its line, which is the fourth."""
    (found,) = problems(f"{NETWORK}\n{text}")
    assert found.origin == "net.yaml:4"
    return Problem(found.message, found.place, hint=found.hint)


def test_all_problems_of_a_file_at_once() -> None:
    text = """\
nam: wide
classes: 10.0
defaults:
  activation: rleu
  kernel: -3
blocks:
  - channels: [8, {ou: 16, kernel: '3'}, true]
    pol: max
    pool:
      kind: max
      size: 65
  - channels: [8]
    dropout: {rate: 1.0, after: eech}
    reduce:
      out: 4097
recipe:
  epochs: 0
  optimizer: {kind: adan}
  schedule: {kind: cosine, every_epochs: 3, peak: .inf}
  augment: {scale: no}
budget:
  accuracy_percent: 101
dataset: minst
"""
    found = problems(text)
    wanted = (
        Problem("must be a whole number, not 10.0", "classes", "net.yaml:2"),
        Problem("must be more than 0, not -3", "defaults.kernel", "net.yaml:5"),
        Problem(
            "'rleu' is not one of the values",
            "defaults.activation",
            "net.yaml:4",
            "did you mean `relu`? valid: relu, leaky_relu, prelu, gelu, silu, hardswish, none",
        ),
        Problem("must be a whole number, not '3'", "blocks[0].channels[1].kernel", "net.yaml:7"),
        Problem("`out` is missing", "blocks[0].channels[1].out", "net.yaml:7"),
        Problem(
            "unknown key `ou`",
            "blocks[0].channels[1].ou",
            "net.yaml:7",
            f"did you mean `out`? {CONV_KEYS}",
        ),
        Problem("must be a whole number, not true", "blocks[0].channels[2]", "net.yaml:7"),
        Problem("must be at most 64, not 65", "blocks[0].pool.size", "net.yaml:11"),
        Problem(
            "unknown key `pol`",
            "blocks[0].pol",
            "net.yaml:8",
            f"did you mean `pool`? {BLOCK_KEYS}",
        ),
        Problem("must be at most 4096, not 4097", "blocks[1].reduce.out", "net.yaml:15"),
        Problem("must be less than 1, not 1.0", "blocks[1].dropout.rate", "net.yaml:13"),
        Problem(
            "'eech' is not one of the values",
            "blocks[1].dropout.after",
            "net.yaml:13",
            "did you mean `each`? valid: block, each",
        ),
        Problem("`name` is missing", "name", "net.yaml:1"),
        Problem("must be more than 0, not 0", "recipe.epochs", "net.yaml:17"),
        Problem(
            "'adan' is not one of the values",
            "recipe.optimizer.kind",
            "net.yaml:18",
            "did you mean `adam`? valid: sgd, adam, adamw, rmsprop, adadelta, adagrad",
        ),
        Problem("must be a finite number, not .inf", "recipe.schedule.peak", "net.yaml:19"),
        Problem(
            "unknown key `every_epochs`",
            "recipe.schedule.every_epochs",
            "net.yaml:19",
            "`every_epochs` belongs to `kind: step`; valid: kind, peak, warmup",
        ),
        Problem("must be a number, not 'no'", "recipe.augment.scale", "net.yaml:20"),
        Problem("must be at most 100, not 101", "budget.accuracy_percent", "net.yaml:22"),
        Problem(
            "'minst' is not one of the values",
            "dataset",
            "net.yaml:23",
            "did you mean `mnist`? valid: mnist, mnist-5k, fashion-mnist, kmnist, qmnist, "
            "emnist-digits, emnist-letters, emnist-balanced, auto",
        ),
        Problem("unknown key `nam`", "nam", "net.yaml:1", f"did you mean `name`? {FILE_KEYS}"),
    )
    assert [replace(it, hint="") for it in found] == [replace(it, hint="") for it in wanted]
    for it, hinted in zip(found, wanted, strict=True):
        assert it.hint.startswith(hinted.hint)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("classes: true", "classes", "must be a whole number, not true"),
        ("classes: '8'", "classes", "must be a whole number, not '8'"),
        ("classes: 8.0", "classes", "must be a whole number, not 8.0"),
        ("classes: 0", "classes", "must be more than 0, not 0"),
        ("classes: 1000000000", "classes", "must be at most 4096, not 1000000000"),
        ("classes:", "classes", "must be a whole number, not null"),
        ("classes: [1]", "classes", "must be a whole number, not [1]"),
        ("holdout: -1", "holdout", "must be at least 0, not -1"),
        ("holdout: {folds: 1}", "holdout.folds", "must be at least 2, not 1"),
        ("holdout: {folds: 1001}", "holdout.folds", "must be at most 1000, not 1001"),
        ("holdout: {folds: 2.5}", "holdout.folds", "must be a whole number, not 2.5"),
        ("holdout: {fold: 1}", "holdout.folds", "`folds` is missing"),
        ("holdout: {last: 0}", "holdout.last", "must be more than 0, not 0"),
        ("holdout: {last: 6000, folds: 2}", "holdout.folds", "unknown key `folds`"),
        ("holdout: {folds: 5, kfold: 5}", "holdout.kfold", "unknown key `kfold`"),
        ("recipe: {ema: .nan}", "recipe.ema", "must be a finite number, not .nan"),
        ("recipe: {ema: -.inf}", "recipe.ema", "must be a finite number, not -.inf"),
        ("recipe: {ema: true}", "recipe.ema", "must be a number, not true"),
        ("recipe: {teacher: ''}", "recipe.teacher", "must have at least 1 character, not ''"),
        (
            f"recipe: {{teacher: {{network: {'x' * 4097}}}}}",
            "recipe.teacher.network",
            f"must have at most 4096 characters, not '{'x' * 36}…",
        ),
        ("recipe: {ema: 1}", "recipe.ema", "must be less than 1, not 1"),
        ("recipe: {batch_size: 1}", "recipe.batch_size", "must be at least 2, not 1"),
        ("recipe: {clip_norm: 1e7}", "recipe.clip_norm", "must be at most 1000000, not 10000000.0"),
        ("recipe: 5", "recipe", "must be an object with keys, not 5"),
        ("recipe:", "recipe", "must be an object with keys, not null"),
        (
            "recipe: {schedule: {max_momentum: 0.8}}",
            "recipe.schedule",
            "`base_momentum` is more than `max_momentum`",
        ),
        (
            "recipe: {schedule: {kind: multi-step, milestones: [8, 8]}}",
            "recipe.schedule",
            "`milestones` have to rise, such as [8, 12]",
        ),
        (
            "recipe: {optimizer: adagrad, schedule: {cycle_momentum: true}}",
            "recipe",
            "`cycle_momentum` needs an optimizer with momentum, which adagrad has not",
        ),
        (
            "recipe: {optimizer: {kind: adam, epsilon: 0}}",
            "recipe.optimizer.epsilon",
            "must be more than 0, not 0",
        ),
        ("recipe: {schedule: multi-step}", "recipe.schedule.milestones", "`milestones` is missing"),
        (
            "recipe: {schedule: {div_factor: 0.5}}",
            "recipe.schedule.div_factor",
            "must be at least 1, not 0.5",
        ),
        (
            "recipe: {schedule: {kind: plateau, factor: 1}}",
            "recipe.schedule.factor",
            "must be less than 1, not 1",
        ),
        ("recipe: {optimizer: []}", "recipe.optimizer", "must be an object with keys, not []"),
        (
            "recipe: {optimizer: {momentum: 0}}",
            "recipe.optimizer",
            "`nesterov` needs a momentum above 0",
        ),
        ("head: {linear: yes}", "head.linear", "must be true or false, not 'yes'"),
        ("head: {linear: 1}", "head.linear", "must be true or false, not 1"),
        ("head: {pool: average}", "head", "`size` belongs to `pool: average`, which needs it"),
        ("head: {size: 3}", "head", "`size` belongs to `pool: average`, which needs it"),
        (
            "defaults: {norm: {kind: batch, groups: 2}}",
            "defaults.norm",
            "`groups` belongs to `kind: group`",
        ),
        ("defaults: {dropout: {}}", "defaults.dropout.rate", "`rate` is missing"),
        ("defaults: {dropout: '0.1'}", "defaults.dropout", "must be a number, not '0.1'"),
        ("defaults: {dropout:}", "defaults.dropout", "must be a number, not null"),
        (
            f"holdout: {[1] * 30}",
            "holdout",
            "must be a whole number, not [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, …",
        ),
    ],
)
def test_sentence(text: str, path: str, message: str) -> None:
    found = problem(text)
    assert (found.message, found.place) == (message, path)


@pytest.mark.parametrize(
    ("blocks", "path", "message"),
    [
        ("8", "blocks", "must be a list, not 8"),
        ("{}", "blocks", "must be a list, not {}"),
        ("[]", "", "`blocks` needs at least one block"),
        ("", "blocks", "must be a list, not null"),
        (
            "[8]",
            "blocks[0]",
            "must be an object with keys, not 8",
        ),
        ("[{channels: 8}]", "blocks[0].channels", "must be a list, not 8"),
        ("[{channels: '8'}]", "blocks[0].channels", "must be a list, not '8'"),
        (
            "[{channels: [1000000000]}]",
            "blocks[0].channels[0]",
            "must be at most 4096, not 1000000000",
        ),
        (
            "[{channels: ['8']}]",
            "blocks[0].channels[0]",
            "must be a whole number, not '8'",
        ),
        ("[{channels: [8.0]}]", "blocks[0].channels[0]", "must be a whole number, not 8.0"),
        (
            "[{channels: [8, {out: true}]}]",
            "blocks[0].channels[1].out",
            "must be a whole number, not true",
        ),
        ("[{channels: [[8]]}]", "blocks[0].channels[0]", "must be a whole number, not [8]"),
        ("[{channels: [null]}]", "blocks[0].channels[0]", "must be a whole number, not null"),
        (
            f"[{{channels: {[8] * 65}}}]",
            "blocks[0].channels",
            "must have at most 64 items, not [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, …",
        ),
        ("[{channels: [8], repeat: 65}]", "blocks[0].repeat", "must be at most 64, not 65"),
        ("[{}]", "blocks[0]", "a block needs `channels`, `branches`, a `pool` or a `reduce`"),
        (
            "[{pool: none}]",
            "blocks[0]",
            "a block needs `channels`, `branches`, a `pool` or a `reduce`",
        ),
        (
            "[{pool: max, residual: true}]",
            "blocks[0]",
            "`repeat`, `share`, `residual` and `squeeze_excitation` need `channels`",
        ),
        ("[{pool: {size: 2}}]", "blocks[0].pool.kind", "`kind` is missing"),
    ],
)
def test_sentence_about_blocks(blocks: str, path: str, message: str) -> None:
    (found,) = problems(f"name: x\nblocks: {blocks}\n")
    line = 1 if path == "" else 2
    assert (found.message, found.place, found.origin) == (message, path, f"net.yaml:{line}")


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ("recpie: {}", "recpie", f"did you mean `recipe`? {FILE_KEYS}"),
        ("zzz: {}", "zzz", FILE_KEYS),
        ("'name ': x", "name ", f"did you mean `name`? {FILE_KEYS}"),
        (
            "recipe: {epoch: 5}",
            "recipe.epoch",
            "did you mean `epochs`? valid: augment, batch_size, clip_norm, ema, epochs, "
            "initialize, l1, label_smoothing, last_batch, normalize, optimizer, quantize, "
            "schedule, teacher",
        ),
        (
            "recipe: {optimizer: {momentun: 0.5}}",
            "recipe.optimizer.momentun",
            "did you mean `momentum`? valid: decays, kind, momentum, nesterov, weight_decay",
        ),
        (
            "recipe: {optimizer: {kind: adamw, momentum: 0.5}}",
            "recipe.optimizer.momentum",
            "`momentum` belongs to `kind: rmsprop or sgd`; "
            "valid: beta1, beta2, decays, epsilon, kind, weight_decay",
        ),
        (
            "recipe: {optimizer: {sgd: {momentum: 0.5}}}",
            "recipe.optimizer.sgd",
            "here it is `recipe.optimizer`: `optimizer: sgd` in `recipe`",
        ),
        (
            "recipe: {schedule: {kind: step, step: 3}}",
            "recipe.schedule.step",
            "did you mean `every_epochs: 3`? valid: every_epochs, factor, kind, peak, warmup",
        ),
        (
            "recipe: {augment: {erase: {pixel: 3, probability: 0.5}}}",
            "recipe.augment.erase.pixel",
            "did you mean `pixels`? valid: area, fill, pixels, probability, ratio",
        ),
        (
            "head: {reduce: {out: 8, norm: {group: 8}}}",
            "head.reduce.norm.group",
            "did you mean `groups`? valid: affine, epsilon, groups, kind, momentum, splits",
        ),
        (
            "defaults: {separable: true}",
            "defaults.separable",
            "did you mean `kind: separable`? valid: activation, bias, depthwise_bias, dropout, "
            "groups, kernel, kind, norm, order, padding, padding_mode, stride",
        ),
        (
            "head: {dropout: {rate: 0.1, after: block}}",
            "head.dropout.after",
            "did you mean `at: after`? valid: at, kind, rate",
        ),
    ],
)
def test_unknown_key_names_the_nearest(text: str, path: str, hint: str) -> None:
    found = problem(text)
    assert found == Problem(f"unknown key `{path.rpartition('.')[2]}`", path, hint=hint)


@pytest.mark.parametrize(
    ("text", "path", "given", "hint"),
    [
        ("defaults: {norm: bach}", "norm", "'bach'", "did you mean `batch`? "),
        ("defaults: {norm: {kind: bach}}", "norm.kind", "'bach'", "did you mean `batch`? "),
        (
            "defaults: {norm: {kind: {kind: batch}}}",
            "norm.kind",
            "{'kind': 'batch'}",
            "did you mean `batch`? ",
        ),
        ("defaults: {norm: {kind: [batch]}}", "norm.kind", "['batch']", "did you mean `batch`? "),
        ("defaults: {norm: true}", "norm", "true", "did you mean `batch`? "),
        ("defaults: {norm:}", "norm", "null", "did you mean `none`? "),
        ("defaults: {norm: 8}", "norm", "8", ""),
    ],
)
def test_word_that_is_not_one_of_the_values(text: str, path: str, given: str, hint: str) -> None:
    assert problem(text) == Problem(
        f"{given} is not one of the values",
        f"defaults.{path}",
        hint=f"{hint}valid: batch, group, instance, layer, none",
    )


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("null", "null"),
        ("[sgd]", "['sgd']"),
        ("{}", "{}"),
        ("true", "true"),
        ("5", "5"),
        ("SGD", "'SGD'"),
    ],
)
def test_kind_that_no_optimizer_has(kind: str, shown: str) -> None:
    found = problem(f"recipe: {{optimizer: {{kind: {kind}}}}}")
    assert found.place == "recipe.optimizer.kind"
    assert found.message == f"{shown} is not one of the values"


@pytest.mark.parametrize("name", ["a b", "-a", ".a", "a/b", "ä", "a" * 65, "", "a\\n"])
def test_name_that_no_folder_can_have(name: str) -> None:
    (found,) = problems(f'name: "{name}"\nblocks: [{{channels: [8], reduce: 10}}]\n')
    shown = repr(name.replace("\\n", "\n"))
    shown = shown if len(shown) <= 40 else f"{shown[:37]}…"
    assert found.message == (
        f"must be letters, digits, dots, dashes and underscores, at most 64, not {shown}"
    )
    assert (found.place, found.origin) == ("name", "net.yaml:1")


def test_name_that_is_half_a_character() -> None:
    (found,) = problems('name: "\\ud800"\nblocks: [{channels: [8], reduce: 10}]\n')
    assert replace(found, hint="") == Problem("must be a word, not '\\ud800'", "name", "net.yaml:1")


def test_message_of_the_error_is_its_problems() -> None:
    with pytest.raises(SpecError) as caught:
        loads("blocks: 8\nname: []\n", source="net.yaml")
    assert str(caught.value) == ("blocks: must be a list, not 8\nname: must be a word, not []")
    assert caught.value.source == "net.yaml"


@pytest.mark.parametrize(
    ("augment", "path", "message"),
    [
        ("{scale: [1.1, 0.9]}", ".scale", "a range begins with the least, `[least, most]`"),
        ("{scale: [0.9]}", ".scale", "a range is a list of two numbers, `[least, most]`"),
        ("{scale: 1}", ".scale", "must be less than 1, not 1"),
        ("{scale: yes}", ".scale", "must be a number, not 'yes'"),
        ("{contrast: [0, 2]}", ".contrast", "must be more than 0, not [0, 2]"),
        ("{crop: {}}", ".crop", "a crop has `pixels` or `area`, one of both"),
        ("{crop: {pixels: 22, area: [0.5, 1]}}", ".crop", "a crop has `pixels` or `area`,"),
        ("{crop: {area: [0.5, 1.5]}}", ".crop", "`area` is a share of the image, of 1 at most"),
        ("{crop: {pixels: 22, ratio: [1, 2]}}", ".crop", "`ratio` belongs to `area`"),
        ("{erase: {probability: 1, ratio: [1, 2]}}", ".erase", "`ratio` is of a rectangle, which"),
        (
            "{erase: {probability: 1, pixels: 9, area: [0.1, 0.2]}}",
            ".erase",
            "`pixels` is the side of a square, and `area` of a rectangle: choose one",
        ),
        ("{steps: [{scale: 0.1}], fill: 0.5}", "", "`fill` beside `steps`: put it into one of"),
        ("[{steps: []}]", "[0].steps", "unknown key `steps`"),
        ("[{rotate_degrees: 181}]", "[0].rotate_degrees", "must be at most 180, not 181"),
    ],
)
def test_sentence_about_changes_of_images(augment: str, path: str, message: str) -> None:
    text = f"name: x\nblocks: [{{channels: [8]}}]\nrecipe: {{augment: {augment}}}\n"
    (found,) = problems(text)
    assert found.message.startswith(message)
    assert found.place.replace(".steps[", "[") == f"recipe.augment{path}"
    assert found.origin == "net.yaml:3"


def test_constants_without_normalisation_are_refused() -> None:
    (found,) = problems(
        "name: x\nblocks: [{channels: [8]}]\nrecipe: {normalize: {kind: none, std: 2}}"
    )
    assert (found.message, found.place) == (
        "`mean` and `std` belong to `kind: dataset`",
        "recipe.normalize",
    )


@pytest.mark.parametrize(
    ("initialize", "message"),
    [
        ("{kind: keras, fan: out}", "`fan` belongs to `kind: he`"),
        ("{distribution: normal}", "`distribution` belongs to `kind: he or xavier`"),
        ("{kind: torch, biases: zeros}", "`biases` belongs to `kind: he or xavier or orthogonal`"),
    ],
)
def test_sentence_about_the_start_of_weights(initialize: str, message: str) -> None:
    text = f"name: x\nblocks: [{{channels: [8]}}]\nrecipe: {{initialize: {initialize}}}"
    (found,) = problems(text)
    assert (found.message, found.place) == (message, "recipe.initialize")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("glorot_uniform", "did you mean `xavier`?"),
        ("kaiming_normal", "did you mean `he`?"),
        ("he_normal", "truncated-normal"),
    ],
)
def test_a_start_of_weights_by_another_name(word: str, hint: str) -> None:
    text = f"name: x\nblocks: [{{channels: [8]}}]\nrecipe: {{initialize: {word}}}"
    (found,) = problems(text)
    assert hint in found.hint
