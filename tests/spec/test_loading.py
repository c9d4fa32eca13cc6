"""From files, names and overrides to one experiment, with the origin of every value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples, is_gate
from strategies import Draw, Mapping, files, text_of

from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import Problem, ShapeError, SpecError
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import Loaded, json_schema, load, loads
from mnist_arch.spec.network import Norm
from mnist_arch.spec.overrides import Override, override, parse_override
from mnist_arch.spec.recipe import AdamW, Cosine, OneCycle, Recipe
from mnist_arch.spec.sources import is_path
from mnist_arch.spec.strict_yaml import MAX_BYTES, parse
from mnist_arch.spec.yaml_faults import NO_ANCHORS, NO_TAGS
from mnist_arch.zoo.index import zoo, zoo_names

NETWORK = "blocks: [{channels: [8], reduce: 10}]\n"
MINE = (Path(__file__).parents[1] / "fixtures" / "mine.yaml").read_text("utf-8")
S6 = zoo()["s6"].spec_path.read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory, so that paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")


def problems(what: str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        load(what, overrides=[parse_override(text) for text in overrides])
    return caught.value.problems


def problem(what: str, *overrides: str) -> Problem:
    (found,) = problems(what, *overrides)
    return found


# ----------------------------------------------------------------------- files and names


def test_name_in_the_zoo() -> None:
    loaded = load("s6")
    assert loaded.experiment.name == "s6"
    assert loaded.experiment == loads(S6, source="s6").experiment
    assert "s6" in zoo_names()


@pytest.mark.parametrize(
    ("what", "path"),
    [
        ("s6", False),
        ("s6.yaml", True),
        ("./s6", True),
        ("nets/s6", True),
        ("nets\\s6", True),
        ("/s6", True),
        ("", False),
        ("s6.", False),
    ],
)
def test_separator_or_suffix_makes_a_path(what: str, path: bool) -> None:
    assert is_path(what) == path


def test_file_is_called_by_its_stem_unless_it_has_a_name(folder: Path) -> None:
    write(folder, mine=NETWORK, named=f"name: other\n{NETWORK}")
    assert load("mine.yaml").experiment.name == "mine"
    assert load("named.yaml").experiment.name == "other"
    assert load(str(folder / "mine.yaml")).experiment.name == "mine"


def test_file_whose_stem_is_no_name_needs_one(folder: Path) -> None:
    (folder / "網.yaml").write_text(f"extends: s6\n{NETWORK}")
    found = problem("網.yaml")
    assert (found.message, found.place, found.origin) == ("`name` is missing", "name", "網.yaml:1")
    assert "such as `name: mine`" in found.hint


def test_unknown_name_is_told_the_nearest() -> None:
    assert problem("s66") == Problem("no network is named 's66'", hint="did you mean `s6`?")
    listing = f"networks by name: {', '.join(zoo_names())}"
    assert problem("zzz").hint == f"{listing}; a file is given by its path, such as mine.yaml"
    assert problem("").message == "no network is named ''"


def test_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "folder.yaml").mkdir()
    said = {
        "nowhere.yaml": ("No such file or directory", "networks by name: "),
        "folder.yaml": ("Is a directory", "networks by name: "),
        "nowhere/net.yaml": ("No such file or directory", "networks by name: "),
        "null\0.yaml": ("embedded null byte", "no file can be called so"),
        f"{'a' * 300}.yaml": ("File name too long", "a name has at most 255 bytes"),
    }
    for name, (reason, hint) in said.items():
        assert problem(name).message == f"{name!r} cannot be read: {reason}"
        assert problem(name).hint.startswith(hint)


def test_file_over_a_mebibyte(folder: Path) -> None:
    # The byte after the limit lies inside a character.
    (folder / "long.yaml").write_bytes(b"#" * MAX_BYTES + "é".encode())
    assert problem("long.yaml") == Problem(
        "the text is longer than 1,048,576 bytes", origin="long.yaml"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a spec is a mapping of keys to values"),
        (b"\xef\xbb\xbf", "a spec is a mapping of keys to values"),
        (b"# nothing\n", "a spec is a mapping of keys to values"),
        (b"- a\n", "a spec is a mapping of keys to values"),
        (b"just text\n", "a spec is a mapping of keys to values"),
        (b"name: x\0\n", "not valid YAML: special characters are not allowed"),
        (b"\xff\xfen\0a\0", "'net.yaml' cannot be read: its text is UTF-16, not UTF-8"),
        (b"name: \xed\xa0\x80\n", "'net.yaml' cannot be read: byte 6 is not UTF-8 text"),
    ],
)
def test_file_that_is_no_spec(folder: Path, content: bytes, message: str) -> None:
    (folder / "net.yaml").write_bytes(content)
    assert problem("net.yaml").message == message


def test_byte_order_mark_and_carriage_returns_are_read(folder: Path) -> None:
    (folder / "net.yaml").write_bytes(b"\xef\xbb\xbfname: x\r\n" + NETWORK.encode())
    loaded = load("net.yaml")
    assert loaded.experiment.name == "x"
    assert loaded.origins["name"] == "net.yaml:1"
    assert loaded.origins["blocks[0].reduce"] == "net.yaml:2"


def test_text_needs_its_name_and_refers_to_no_file() -> None:
    with pytest.raises(SpecError) as caught:
        loads(NETWORK, source="weights.safetensors")
    assert [str(it) for it in caught.value.problems] == ["name: `name` is missing"]
    with pytest.raises(SpecError) as caught:
        loads(MINE, source="weights.safetensors")
    assert caught.value.problems == (
        Problem("`extends` is not allowed here", "extends", "weights.safetensors"),
    )


# ----------------------------------------------------------------------- extends


def test_extends_merges_mappings_key_by_key(folder: Path) -> None:
    write(
        folder,
        mine="extends: s6\n"
        "defaults: {bias: false}\n"
        "recipe: {epochs: 5, optimizer: {momentum: 0.5}, augment: {scale: 0}}\n"
        "budget: {parameters_below: 8000}\n",
    )
    s6, mine = load("s6").experiment, load("mine.yaml").experiment
    assert mine.name == "mine"
    assert mine.blocks == s6.blocks
    assert mine.head == s6.head
    assert mine.defaults == s6.defaults.model_copy(update={"bias": False})
    assert mine.recipe == s6.recipe.model_copy(
        update={
            "epochs": 5,
            "optimizer": s6.recipe.optimizer.model_copy(update={"momentum": 0.5}),
            "augment": s6.recipe.augment.model_copy(update={"scale": 0.0}),
        }
    )
    assert mine.budget == s6.budget.model_copy(update={"parameters_below": 8000})


def test_extends_replaces_blocks_and_head_whole(folder: Path) -> None:
    write(folder, mine="extends: s6\nblocks: [{channels: [4]}]\nhead: {linear: true}\n")
    mine = load("mine.yaml").experiment
    assert len(mine.blocks) == 1
    assert mine.blocks[0].pool.kind == "none"
    assert mine.head.pool == "global-average"
    assert mine.head.size is None


def test_extends_replaces_an_object_that_names_its_kind(folder: Path) -> None:
    write(
        folder,
        mine="extends: s6\n"
        "defaults: {norm: {kind: group}, dropout: {rate: 0.1, kind: spatial}}\n"
        "recipe:\n"
        "  optimizer: {kind: adamw}\n"
        "  schedule: {kind: one-cycle, peak: 0.3}\n",
        theirs="extends: mine.yaml\ndefaults: {norm: {groups: 2}, dropout: {rate: 0.3}}\n",
    )
    mine = load("mine.yaml").experiment
    assert mine.recipe.optimizer == AdamW(kind="adamw")
    assert mine.recipe.schedule == OneCycle(peak=0.3)
    assert mine.defaults.norm == Norm(kind="group")
    theirs = load("theirs.yaml").experiment
    assert theirs.defaults.norm == Norm(kind="group", groups=2)
    assert (theirs.defaults.dropout.rate, theirs.defaults.dropout.kind) == (0.3, "spatial")


def test_kind_of_the_defaults_replaces_no_other_default(folder: Path) -> None:
    write(folder, mine="extends: s6\ndefaults: {kind: separable}\n")
    s6, mine = load("s6").experiment, load("mine.yaml").experiment
    assert mine.defaults == s6.defaults.model_copy(update={"kind": "separable"})
    assert mine.defaults.norm == s6.defaults.norm


def test_extends_a_chain_relative_to_each_file(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "third.yaml").write_text("extends: ../second.yaml\nclasses: 10\n")
    (folder / "a" / "second.yaml").write_text("extends: ../first.yaml\nholdout: 2\n")
    (folder / "first.yaml").write_text("extends: s6\nholdout: 1\nrecipe: {epochs: 3}\n")
    loaded = load("a/b/third.yaml")
    assert loaded.experiment.name == "third"
    assert loaded.experiment.holdout == 2
    assert loaded.experiment.recipe.epochs == 3
    assert loaded.origins["classes"] == "a/b/third.yaml:2"
    assert loaded.origins["holdout"] == "a/b/../second.yaml:2"
    assert loaded.origins["recipe.epochs"] == "a/b/../../first.yaml:3"
    assert loaded.origins["recipe.batch_size"].startswith("zoo/s6/spec.yaml:")
    assert loaded.origins["name"] == "a/b/third.yaml"


def test_extends_by_an_absolute_path(folder: Path) -> None:
    write(folder, base=NETWORK, mine=f"extends: {folder / 'base.yaml'}\n")
    assert load("mine.yaml").experiment.blocks == load("base.yaml").experiment.blocks


def test_file_may_be_called_as_the_zoo_network_that_it_extends(folder: Path) -> None:
    write(folder, s6="extends: s6\nholdout: 5\n")
    assert load("s6.yaml").experiment.holdout == 5
    assert load("s6").experiment.holdout == 0


@pytest.mark.parametrize(
    ("texts", "origin"),
    [
        ({"a": "extends: a.yaml\n"}, "a.yaml:1"),
        ({"a": "extends: b.yaml\n", "b": "\nextends: a.yaml\n"}, "b.yaml:2"),
        ({"a": "extends: b.yaml\n", "b": "\nextends: b.yaml\n"}, "b.yaml:2"),
        ({"a": "extends: ./a.yaml\n"}, "a.yaml:1"),
    ],
)
def test_extends_in_a_circle(folder: Path, texts: dict[str, str], origin: str) -> None:
    write(folder, **texts)
    assert problem("a.yaml") == Problem("the chain of `extends` does not end", "extends", origin)


def test_extends_in_a_circle_that_looks_like_a_spiral(folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "a.yaml").write_text("extends: ../x/a.yaml\n")
    assert problem("x/a.yaml").message == "the chain of `extends` does not end"


def test_extends_what_is_not_there(folder: Path) -> None:
    write(folder, a="holdout: 1\nextends: s66\n", b="extends: c.yaml\n", c="extends: d.yaml\n")
    assert problem("a.yaml") == Problem(
        "no network is named 's66'", "extends", "a.yaml:2", "did you mean `s6`?"
    )
    missing = problem("b.yaml")
    assert missing.message == "'d.yaml' cannot be read: No such file or directory"
    assert (missing.place, missing.origin) == ("extends", "c.yaml:1")


@pytest.mark.parametrize("value", ["", "8", "[s6]", "{a: b}", "null", "true"])
def test_extends_is_a_name_or_a_path(folder: Path, value: str) -> None:
    write(folder, a=f"extends: {value}\n")
    assert problem("a.yaml") == Problem("must be a name or a path", "extends", "a.yaml:1")


@pytest.mark.parametrize("value", ["'\\0.yaml'", '"\\0.yaml"', '"\\ud800.yaml"', "'.'", "/", "''"])
def test_extends_a_path_that_cannot_be(folder: Path, value: str) -> None:
    write(folder, a=f"extends: {value}\n")
    found = problem("a.yaml")
    assert (found.place, found.origin) == ("extends", "a.yaml:1")
    assert found.message.isprintable()


def test_problems_of_a_base_are_told_at_the_base(folder: Path) -> None:
    write(
        folder,
        base="blocks: [{channels: [8], reduce: ten}]\nrecipe: {epochs: 0}\n",
        mine="extends: base.yaml\nholdout: -1\nrecipe: {epoch: 5}\n",
        broken="extends: torn.yaml\n",
        torn="blocks: [",
    )
    assert [(found.place, found.origin) for found in problems("mine.yaml")] == [
        ("blocks[0].reduce", "base.yaml:1"),
        ("recipe.epochs", "base.yaml:2"),
        ("recipe.epoch", "mine.yaml:3"),
        ("holdout", "mine.yaml:2"),
    ]
    assert problem("broken.yaml").origin == "torn.yaml:1"


# ----------------------------------------------------------------------- overrides


def changed(*texts: str) -> Experiment:
    return load("s6", overrides=[parse_override(text) for text in texts]).experiment


def test_override_of_a_value() -> None:
    assert changed("recipe.epochs=5").recipe.epochs == 5
    assert changed("recipe.schedule.peak=1e-2").recipe.schedule.peak == 0.01
    assert changed(" holdout = 5 ").holdout == 5
    assert changed("recipe.ema=").recipe.ema is None
    assert changed("recipe.ema=null").recipe.ema is None
    assert changed("name=x").name == "x"


def test_override_inside_a_list_by_dots_or_brackets() -> None:
    for path in ("blocks.1.dropout", "blocks[1].dropout"):
        dropout = changed(f"{path}=0.5").blocks[1].dropout
        assert dropout is not None
        assert dropout.rate == 0.5
    assert changed("blocks[0].channels[2]=24").blocks[0].channels[2].out == 24


def test_override_with_an_object() -> None:
    experiment = changed(
        "recipe.optimizer={kind: adamw, beta1: 0.8}",
        "blocks.0.channels=[4, {out: 8, kernel: 5}]",
    )
    assert experiment.recipe.optimizer == AdamW(kind="adamw", beta1=0.8)
    assert [conv.kernel for conv in experiment.blocks[0].channels] == [None, 5]


def test_override_makes_the_mappings_on_its_way() -> None:
    erase = changed(
        "recipe.augment.erase.probability=0.5", "recipe.augment.erase.pixels=4"
    ).recipe.augment.erase
    assert erase is not None
    assert (erase.probability, erase.pixels) == (0.5, 4)


def test_last_override_wins() -> None:
    assert changed("holdout=1", "holdout=2").holdout == 2
    assert changed("recipe={epochs: 3}", "recipe.epochs=4").recipe.epochs == 4
    assert changed("recipe.epochs=4", "recipe={epochs: 3}").recipe.epochs == 3


def test_override_may_be_used_again() -> None:
    """Trials of a sweep have overrides in common; one must not write into those of another."""
    common = parse_override("recipe={epochs: 8}")
    first = load("s6", overrides=[common, parse_override("recipe.epochs=4")]).experiment
    second = load("s6", overrides=[common]).experiment
    assert (first.recipe.epochs, second.recipe.epochs) == (4, 8)


def test_override_by_a_flag() -> None:
    loaded = load("s6", overrides=[override("recipe.epochs", 5, origin="--epochs")])
    assert loaded.experiment.recipe.epochs == 5
    assert loaded.origins["recipe.epochs"] == "--epochs"
    with pytest.raises(SpecError) as caught:
        load("s6", overrides=[override("recipe.epochs", 0, origin="--epochs")])
    assert caught.value.problems == (
        Problem("must be more than 0, not 0", "recipe.epochs", "--epochs"),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "recipe.epochs",
            Problem(
                "no `=` in the override",
                hint="--set recipe.epochs=VALUE, such as --set recipe.epochs=5",
            ),
        ),
        (
            "",
            Problem(
                "no `=` in the override",
                hint="--set recipe.epochs=VALUE, such as --set recipe.epochs=5",
            ),
        ),
        ("=5", Problem("'' is not a path", hint="such as blocks.1.dropout=0.1")),
        ("a..b=5", Problem("'a..b' is not a path", hint="such as blocks.1.dropout=0.1")),
        ("a b=5", Problem("'a b' is not a path", hint="such as blocks.1.dropout=0.1")),
        (".=5", Problem("'.' is not a path", hint="such as blocks.1.dropout=0.1")),
        ("blocks[=5", Problem("'blocks[' is not a path", hint="such as blocks.1.dropout=0.1")),
        ("blocks[x]=5", Problem("'blocks[x]' is not a path", hint="such as blocks.1.dropout=0.1")),
        ("blocks[٣]=5", Problem("'blocks[٣]' is not a path", hint="such as blocks.1.dropout=0.1")),
        (
            "holdout=[",
            Problem("not valid YAML: the bracket `[` is not closed", hint="close it with `]`"),
        ),
        (
            "holdout=&x 5",
            Problem("anchors and aliases are not part of the language", hint=NO_ANCHORS[2]),
        ),
        ("holdout=!!int 5", Problem("tags are not part of the language", hint=NO_TAGS[2])),
        ("holdout=" + "[" * 5000, Problem("nested deeper than 32 levels")),
        (
            "holdout=\0",
            Problem(
                "not valid YAML: special characters are not allowed",
                hint="take the character U+0000 out, or save the file as plain text in UTF-8",
            ),
        ),
    ],
)
def test_override_that_cannot_be_read(text: str, found: Problem) -> None:
    with pytest.raises(SpecError) as caught:
        parse_override(text)
    assert caught.value.problems == (
        Problem(found.message, found.place, f"--set {text}", found.hint),
    )


def test_override_of_a_path_without_end() -> None:
    with pytest.raises(SpecError, match="is not a path"):
        parse_override("a." * 5000 + "a=1")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("blocks.0.channels.1.kernel=5", {"blocks.0.channels.1": "{out: 16, kernel: 5}"}),
        ("blocks.0.pool.size=3", {"blocks.0.pool": "{kind: max, size: 3}"}),
        ("blocks.1.reduce.norm=batch", {"blocks.1.reduce": "{out: 8, norm: batch}"}),
        ("defaults.dropout.after=each", {"defaults.dropout": "{rate: 0.2, after: each}"}),
        ("defaults.norm.kind=none", {"defaults.norm": "none"}),
    ],
)
def test_override_of_a_key_opens_a_short_form(text: str, written: dict[str, str]) -> None:
    opened = load("s6", overrides=[parse_override(text)])
    whole = [parse_override(f"{path}={value}") for path, value in written.items()]
    assert opened.experiment == load("s6", overrides=whole).experiment


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("blocks.3.pool=max", "blocks[3].pool", "blocks has the items 0 to 2, not 3", ""),
        ("blocks.-1.pool=max", "blocks.-1.pool", "blocks has the items 0 to 2, not -1", ""),
        ("blocks.last=8", "blocks.last", "blocks has the items 0 to 2, not last", ""),
        (
            "blocks.0.channels.3=8",
            "blocks[0].channels[3]",
            "blocks[0].channels has the items 0 to 2, not 3",
            "",
        ),
        (
            "head.pool.size=3",
            "head.pool.size",
            "head.pool is no mapping with a key size",
            "here it is `head.size`: `set={'head.size': 3}`",
        ),
        (
            "blocks.0.channels.1.0=5",
            "blocks[0].channels[1][0]",
            "blocks[0].channels[1] is no list with an item 0",
            "",
        ),
        (
            "blocks.0.pool.sise=3",
            "blocks[0].pool.sise",
            "unknown key `sise`",
            "did you mean `size`? valid: kind, norm, padding, size, stride",
        ),
        ("recipe.0=2", "recipe[0]", "recipe is no list with an item 0", ""),
        ("0=2", "[0]", "the spec is no list with an item 0", ""),
        (
            "recipe.epoch=2",
            "recipe.epoch",
            "unknown key `epoch`",
            "did you mean `epochs`? valid: augment, batch_size, clip_norm, ema, epochs, "
            "initialize, l1, label_smoothing, last_batch, normalize, optimizer, quantize, "
            "schedule, teacher",
        ),
        (
            "recipe.epochs=2.0",
            "recipe.epochs",
            "must be a whole number, not 2.0",
            "did you mean `set={'recipe.epochs': 2}`?",
        ),
        ("recipe.epochs=", "recipe.epochs", "must be a whole number, not null", ""),
        ("blocks=[]", "", "`blocks` needs at least one block", ""),
        (
            "extends=s6",
            "extends",
            "unknown key `extends`",
            "valid: blocks, budget, classes, dataset, defaults, head, holdout, name, recipe",
        ),
    ],
)
def test_override_that_does_not_fit(text: str, path: str, message: str, hint: str) -> None:
    origin = "zoo/s6/spec.yaml:2" if path == "" else f"--set {text}"
    assert problem("s6", text) == Problem(message, path, origin, hint)


def test_a_new_kind_keeps_the_keys_that_it_has_too() -> None:
    recipe = load("s6", overrides=[parse_override("recipe.optimizer.kind=adamw")]).experiment.recipe
    assert recipe.optimizer == AdamW(kind="adamw", weight_decay=1e-4)  # momentum and nesterov went
    recipe = load("s6", overrides=[parse_override("recipe.schedule.kind=cosine")]).experiment.recipe
    assert recipe.schedule == Cosine(kind="cosine", peak=0.1, warmup=0.2)


def test_a_new_kind_does_not_drop_what_a_flag_gave() -> None:
    assert problem("s6", "recipe.optimizer.momentum=0.5", "recipe.optimizer.kind=adamw") == Problem(
        "unknown key `momentum`",
        "recipe.optimizer.momentum",
        "--set recipe.optimizer.momentum=0.5",
        "`momentum` belongs to `kind: rmsprop or sgd`; "
        "valid: beta1, beta2, decays, epsilon, kind, weight_decay",
    )


def test_a_kind_that_decides_on_no_keys_drops_none() -> None:
    overrides = [parse_override("blocks.0.pool.size=3"), parse_override("blocks.0.pool.kind=max")]
    block = load("s6", overrides=overrides).experiment.blocks[0]
    assert (block.pool.size, len(block.channels)) == (3, 3)
    block = load("s6", overrides=[parse_override("blocks.0.kind=separable")]).experiment.blocks[0]
    assert len(block.channels) == 3


def test_override_into_an_empty_list() -> None:
    assert problem("s6", "blocks=[]", "blocks.0.pool=max").message == "blocks has no items"


# ----------------------------------------------------------------------- origins


def test_origin_of_every_value(folder: Path) -> None:
    write(
        folder,
        base="""\
name: base
blocks:
  - {channels: [8, {out: 16, kernel: 5}],
     pool: max}
  - reduce: 10
recipe: {epochs: 9, ema: 0.5, optimizer: {kind: sgd, momentum: 0.5}}
head: {pool: average,
       size: 14}
""",
        mine="""\
extends: base.yaml
recipe:
  epochs: 5
  optimizer:
    kind: adamw
head:
  linear: true
""",
    )
    overrides = [
        parse_override("recipe.ema=null"),
        parse_override("blocks[0].pool={kind: max, size: 3}"),
        override("holdout", 3, origin="--holdout"),
    ]
    assert load("mine.yaml", overrides=overrides).origins == {
        "name": "mine.yaml",
        "blocks[0].channels[0]": "base.yaml:3",
        "blocks[0].channels[1].out": "base.yaml:3",
        "blocks[0].channels[1].kernel": "base.yaml:3",
        "blocks[0].pool.kind": "--set blocks[0].pool={kind: max, size: 3}",
        "blocks[0].pool.size": "--set blocks[0].pool={kind: max, size: 3}",
        "blocks[1].reduce": "base.yaml:5",
        "recipe.epochs": "mine.yaml:3",
        "recipe.ema": "--set recipe.ema=null",
        "recipe.optimizer.kind": "mine.yaml:5",
        "head.linear": "mine.yaml:7",
        "holdout": "--holdout",
    }


def test_origin_in_the_zoo_says_so() -> None:
    line = S6.splitlines().index("head: {pool: average, size: 3}") + 1
    assert load("s6").origins["head.size"] == f"zoo/s6/spec.yaml:{line}"


# ------------------------------------------------------------------------------ named recipes

PLAIN_RECIPE = Recipe.model_validate(
    {
        "optimizer": {"momentum": 0.9, "nesterov": False, "weight_decay": 0},
        "schedule": {"kind": "constant", "peak": 0.01, "warmup": 0},
        "ema": None,
        "augment": {"rotate_degrees": 0, "shift_pixels": 0, "scale": 0, "shear_degrees": 0},
    }
)


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        ("extends: s6\nrecipe: {extends: plain, epochs: 14, schedule: {peak: 0.1}}\n", []),
        ("extends: base.yaml\nrecipe: {epochs: 14, schedule: {peak: 0.1}}\n", []),
        ("extends: best\nrecipe: {ema: 0.5}\n", ["extends=plain", "epochs=14"]),
        ("extends: best\nrecipe: {ema: 0.5}\n", ["epochs=14", "extends=plain"]),
        (f"{NETWORK}recipe: plain\n", ["epochs=14"]),
        ("extends: s6\nrecipe: {ema: 0.5}\n", ["={extends: plain, epochs: 14}"]),
    ],
)
def test_plain_replaces_the_inherited_recipe_and_what_is_given_is_merged_with_it(
    text: str, sets: list[str], folder: Path
) -> None:
    write(folder, base="extends: s6\nrecipe: plain\n", mine=text)
    paths = [f"recipe{it}" if it.startswith("=") else f"recipe.{it}" for it in sets]
    if sets:
        paths.append("recipe.schedule.peak=0.1")
    found = load("mine.yaml", overrides=[*map(parse_override, paths)]).experiment.recipe
    peak = PLAIN_RECIPE.schedule.model_copy(update={"peak": 0.1})
    assert found == PLAIN_RECIPE.model_copy(update={"epochs": 14, "schedule": peak})


def test_a_recipe_extends_that_of_a_network_of_the_zoo(folder: Path) -> None:
    write(folder, mine="extends: best\nrecipe: {extends: zoo/tiny, epochs: 3}\n")
    loaded, tiny = load("mine.yaml"), load("tiny").experiment.recipe
    assert loaded.experiment.recipe == tiny.model_copy(update={"epochs": 3})
    assert loaded.origins["recipe.optimizer.kind"].startswith("zoo/tiny/spec.yaml:")
    write(folder, mine="extends: best\nrecipe: plain\n")
    assert load("mine.yaml").origins["recipe.ema"] == "recipe plain"
    assert (
        loads(f"name: a\n{NETWORK}recipe: plain", source="text").experiment.recipe == PLAIN_RECIPE
    )


@pytest.mark.parametrize("given", ["plian", "3", "null", "[plain]"])
def test_a_recipe_that_there_is_not_is_refused(given: str, folder: Path) -> None:
    write(folder, mine=f"extends: s6\nrecipe: {{extends: {given}}}\n")
    found = problem("mine.yaml")
    assert found.message.startswith("no recipe is named ")
    assert (found.place, found.origin) == ("recipe.extends", "mine.yaml:2")
    assert "valid: plain, best, " in found.hint
    assert ("did you mean `plain`?" in found.hint) == (given in ("plian", "[plain]"))


def test_what_else_is_wrong_is_told_with_a_recipe_that_there_is_not(folder: Path) -> None:
    write(folder, mine="extends: s6\nrecipe: {extends: plian, epohcs: 3}\nnmae: a\n")
    with pytest.raises(SpecError) as caught:
        load("mine.yaml")
    places = {it.place: it.hint.partition("?")[0] for it in caught.value.problems}
    assert places == {
        "recipe.extends": "did you mean `plain`",
        "recipe.epohcs": "did you mean `epochs`",
        "nmae": "did you mean `name`",
    }


@pytest.mark.parametrize(
    ("holdout", "place", "message", "hint"),
    [
        ("{lst: 5}", "holdout.lst", "unknown key `lst`", "did you mean `last`? valid: fold, f"),
        ("{flods: 5}", "holdout.flods", "unknown key `flods`", "did you mean `folds`? valid: fold"),
        ("{zzz: 5}", "holdout.zzz", "unknown key `zzz`", "valid: fold, folds, last"),
        ("{}", "holdout", "one of its keys must be there", "valid: fold, folds, last"),
        ("{fold: 1}", "holdout.folds", "`folds` is missing", "such as `folds: 12`"),
    ],
)
def test_a_holdout_of_no_known_kind_is_refused_once(
    holdout: str, place: str, message: str, hint: str, folder: Path
) -> None:
    write(folder, mine=f"extends: s6\nholdout: {holdout}\n")
    found = problem("mine.yaml")
    assert (found.place, found.message, found.origin) == (place, message, "mine.yaml:2")
    assert found.hint.startswith(hint)


# ----------------------------------------------------------------------- the JSON Schema


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every property of every object in a schema, with its place."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}/{name}", inner
        for key, inner in schema.items():
            yield from properties(inner, f"{path}/{key}")
    if isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from properties(inner, f"{path}/{index}")


def test_schema_is_self_contained_and_describes_every_property() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = list(properties(schema))
    assert len(found) > 100
    assert [path for path, inner in found if not inner.get("description", "").strip()] == []
    assert json.loads(json.dumps(schema)) == schema


def test_schema_objects_refuse_unknown_keys() -> None:
    def objects(schema: Any) -> Iterator[Any]:
        if isinstance(schema, dict):
            if "properties" in schema:
                yield schema
            for inner in schema.values():
                yield from objects(inner)
        if isinstance(schema, list):
            for inner in schema:
                yield from objects(inner)

    assert all(found["additionalProperties"] is False for found in objects(json_schema()))


@pytest.mark.parametrize("name", zoo_names())
def test_zoo_and_its_defaults_follow_the_schema(
    validator: jsonschema.Draft202012Validator, name: str
) -> None:
    validator.validate(parse(zoo()[name].spec_path.read_text("utf-8"), name).plain())
    validator.validate(load(name).experiment.model_dump(mode="json"))


def test_example_follows_the_schema(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(parse(MINE, "mine.yaml").plain())


@pytest.mark.parametrize(
    "text",
    [
        f"{NETWORK}recpie: {{}}",
        "blocks: [{chanels: [8]}]",
        "blocks: [{channels: [{ou: 8}]}]",
        "blocks: [{channels: [8], pool: {kind: max, width: 2}}]",
        f"{NETWORK}recipe: {{optimizer: {{kind: adamw, momentum: 0.5}}}}",
        "name: x",
        "blocks: [{channels: [0]}]",
        "blocks: [{channels: ['8']}]",
        "blocks: [{channels: [true]}]",
        "blocks: [{channels: [8], pool: maxx}]",
        f"{NETWORK}name: a b",
        f"{NETWORK}dataset: minst",
        f"{NETWORK}recipe: {{ema: 1}}",
    ],
)
def test_schema_refuses(validator: jsonschema.Draft202012Validator, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(parse(text, "net.yaml").plain())


@pytest.mark.parametrize(
    "text",
    [
        NETWORK,
        "extends: s6",
        f"{NETWORK}recipe: {{optimizer: {{momentum: 0.5}}, schedule: {{peak: 0.5}}}}",
        f"{NETWORK}recipe: {{optimizer: {{}}, schedule: {{}}, ema: null}}",
        "blocks: [{channels: [8, {out: 8, kernel: null}], dropout: null, reduce: null}]",
    ],
)
def test_schema_accepts(validator: jsonschema.Draft202012Validator, text: str) -> None:
    validator.validate(parse(text, "net.yaml").plain())


# ----------------------------------------------------------------------- random files


@settings(
    max_examples=examples(100),
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(files())
def test_valid_file_follows_the_schema_and_survives_being_written(
    validator: jsonschema.Draft202012Validator, spec: Mapping
) -> None:
    if spec.get("recipe", {}).get("optimizer", {}).get("momentum") == 0:
        spec["recipe"]["optimizer"]["nesterov"] = False
    validator.validate(spec)
    experiment = loads(text_of(spec), source="drawn.yaml").experiment
    dumped = experiment.model_dump(mode="json")
    assert loads(json.dumps(dumped), source="dumped.json").experiment == experiment


_CHARACTERS = st.sampled_from([*"[]{},:-?&*!|>'\"%@`#\n\t 0918.eabxyz_", "\0", "\u00e9", "\r\n"])


@st.composite
def mutations(draw: Draw, text: str) -> str:
    """`text` with a few characters deleted, inserted or swapped, or lines doubled or dropped."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text) - 1))
        match draw(st.sampled_from(["delete", "insert", "swap", "double", "drop", "indent"])):
            case "delete":
                text = text[:at] + text[at + draw(st.integers(1, 5)) :]
            case "insert":
                text = text[:at] + draw(_CHARACTERS) + text[at:]
            case "swap":
                text = text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
            case change:
                lines = text.splitlines(keepends=True)
                line = text.count("\n", 0, at)
                times = {"double": 2, "drop": 0, "indent": 1}[change]
                indent = "  " if change == "indent" else ""
                lines[line : line + 1] = [indent + lines[line]] * times
                text = "".join(lines)
        text = text or "\n"
    return text


def load_or_refuse(text: str, folder: Path) -> str:
    """Loads `text` from a file and plans it: "planned", or where it was refused."""
    path = folder / "net.yaml"
    path.write_bytes(text.encode())
    try:
        loaded = load(str(path))
    except SpecError as error:
        _assert_told(error.problems)
        return "refused"
    assert isinstance(loaded, Loaded)
    try:
        plan_network(loaded.experiment)
    except ShapeError as error:
        _assert_told(error.problems)
        return "no shape"
    return "planned"


def _assert_told(found: tuple[Problem, ...]) -> None:
    assert found
    for told in found:
        assert told.message
        assert told.message.isprintable()
        assert told.place.isprintable()
        assert told.hint.isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s6", "mine"])
def test_mutated_file_is_planned_or_refused(name: str, tmp_path: Path) -> None:
    outcomes: list[str] = []

    @settings(
        max_examples=examples(500),
        derandomize=True,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(mutations({"s6": S6, "mine": MINE}[name]))
    def mutate(text: str) -> None:
        outcomes.append(load_or_refuse(text, tmp_path))

    mutate()
    assert len(outcomes) >= examples(500)
    assert set(outcomes) <= {"planned", "no shape", "refused"}
    assert len(set(outcomes)) == 3 or not is_gate()


@settings(max_examples=examples(500), derandomize=True, deadline=None, print_blob=True)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(content: bytes) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(SpecError):
        loads(text, source="net.yaml")


_PATHS = st.lists(
    st.sampled_from(
        ["blocks", "recipe", "0", "1", "7", "-1", "channels", "name", "optimizer", "kind"]
    )
    | st.sampled_from(["[0]", "head", "pool", "defaults", "dropout", "a", "", "norm", "99999999"]),
    min_size=1,
    max_size=5,
).map(".".join)
_VALUES = st.sampled_from(
    ["", "5", "max", "[]", "{}", "[1, 2]", "{kind: group}", "null", "1e9", "no", "{a: [b]}", ".inf"]
)


@settings(max_examples=examples(500), derandomize=True, deadline=None, print_blob=True)
@given(st.lists(st.tuples(_PATHS, _VALUES), min_size=1, max_size=4))
def test_any_overrides_are_applied_or_refused(changes: list[tuple[str, str]]) -> None:
    found: tuple[Problem, ...] = (Problem("applied"),)
    try:
        overrides: list[Override] = [parse_override(f"{path}={value}") for path, value in changes]
        plan_network(load("s6", overrides=overrides).experiment)
    except SpecError as error:
        found = error.problems
    _assert_told(found)
