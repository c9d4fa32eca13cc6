"""Trees of specs: what a change shares with its tree, what a merge replaces, what a path means."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec.network import NAME_PATTERN
from mnist_arch.spec.overrides import Override, changed, override, parse_override, parse_path
from mnist_arch.spec.sources import extended, merge, name_from, read_alone, read_tree
from mnist_arch.spec.strict_yaml import Node, parse

SPEC = """
name: a
defaults: {norm: batch, dropout: 0.1}
blocks:
  - {channels: [8, 16], pool: max, reduce: 4}
  - channels: [8]
recipe:
  optimizer: {kind: sgd, momentum: 0.5, weight_decay: 0.1}
"""


def tree() -> Node:
    return parse(SPEC, "a.yaml")


def set_to(node: Node, *texts: str) -> Any:
    """The plain value of the tree after changes such as `recipe.epochs=3`."""
    for text in texts:
        node = changed(node, parse_override(text))
    return node.plain()


def refusal(path: str, value: Any = 3) -> Problem:
    with pytest.raises(SpecError) as caught:
        changed(tree(), override(path, value, origin="here"))
    (problem,) = caught.value.problems
    return problem


# ----------------------------------------------------------------------- change


def test_change_leaves_its_tree_as_it_is_and_shares_what_is_not_on_the_way() -> None:
    before = tree()
    kept = copy.deepcopy(before)
    after = changed(before, override("blocks.0.channels.1", 9, origin="here"))
    assert before == kept
    assert after != before
    assert after.entries["recipe"] is before.entries["recipe"]
    assert after.entries["blocks"].items[1] is before.entries["blocks"].items[1]
    first, was = (it.entries["blocks"].items[0] for it in (after, before))
    assert first.entries["pool"] is was.entries["pool"]
    assert first.entries["channels"].items[0] is was.entries["channels"].items[0]
    assert first.entries["channels"].plain() == [8, 9]
    assert list(after.entries) == list(before.entries)


def test_change_is_from_where_it_was_given_and_the_way_from_where_it_was() -> None:
    after = changed(tree(), override("blocks.0.pool.size", 3, origin="--here"))
    pool = after.entries["blocks"].items[0].entries["pool"]
    assert (pool.origin, pool.entries["kind"].origin) == ("a.yaml:5", "a.yaml:5")
    assert pool.entries["size"].origin == "--here"


def test_change_makes_the_mappings_that_are_missing() -> None:
    assert set_to(tree(), "recipe.schedule.peak=1e-3")["recipe"]["schedule"] == {"peak": 0.001}
    assert set_to(tree(), "head.dropout.at=before")["head"] == {"dropout": {"at": "before"}}


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("blocks.0.channels.0.bias=false", {"out": 8, "bias": False}),
        ("blocks.0.channels.0.dropout.rate=0.1", {"out": 8, "dropout": {"rate": 0.1}}),
    ],
)
def test_change_opens_a_short_form(text: str, opened: dict[str, Any]) -> None:
    assert set_to(tree(), text)["blocks"][0]["channels"] == [opened, 16]


def test_change_of_a_kind_keeps_the_keys_that_the_new_kind_has() -> None:
    after = set_to(tree(), "recipe.optimizer.kind=adamw")
    assert after["recipe"]["optimizer"] == {"kind": "adamw", "weight_decay": 0.1}
    after = set_to(tree(), "recipe.optimizer.kind=sgd")
    assert after["recipe"]["optimizer"]["momentum"] == 0.5
    unknown = set_to(tree(), "recipe.optimizer.kind=adan")
    assert unknown["recipe"]["optimizer"]["momentum"] == 0.5
    assert set_to(tree(), "defaults.kind=grouped")["defaults"]["dropout"] == 0.1


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("blocks.2.pool", "blocks has the items 0 to 1, not 2", ""),
        ("blocks.pool", "blocks has the items 0 to 1, not pool", ""),
        ("recipe.0", "recipe is no list with an item 0", ""),
        (
            "blocks.0.pool.kind.deep",
            "blocks[0].pool.kind is no mapping with a key deep",
            "set blocks[0].pool.kind as a whole, such as {deep: …}",
        ),
        ("bloks.0.pool", "the spec has no `bloks`", "did you mean `blocks`?"),
        ("blocks.1.chanels.0", "blocks[1] has no `chanels`", "did you mean `channels`?"),
        ("blocks.1.pools.0.x", "blocks[1] has no `pools`", "it has channels"),
        ("recipe.ema.a.0", "recipe has no `ema`", "it has optimizer"),
    ],
)
def test_change_without_a_way(path: str, message: str, hint: str) -> None:
    problem = refusal(path)
    assert (problem.message, problem.hint, problem.origin) == (message, hint, "here")


def test_change_of_an_item_that_an_empty_list_or_mapping_has_not() -> None:
    empty = parse("blocks: []\nrecipe: {}\n", "a.yaml")
    for path, message, hint in (
        ("blocks.0.pool", "blocks has no items", ""),
        ("recipe.a.0", "recipe has no `a`", "it has no keys"),
    ):
        with pytest.raises(SpecError) as caught:
            changed(empty, override(path, 3, origin=""))
        assert (caught.value.problems[0].message, caught.value.problems[0].hint) == (message, hint)


_VALUES = st.sampled_from([None, 0, 1.5, "a", True, [1], {"a": 1}, {}])
_WORDS = st.sampled_from(["a", "b", "kind", "blocks", "pool", "x"])
_TREES = st.recursive(
    _VALUES, lambda inner: st.dictionaries(_WORDS, inner, max_size=3), max_leaves=8
).filter(lambda value: isinstance(value, dict))


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(_TREES, st.lists(_WORDS, min_size=1, max_size=3).map(tuple), _VALUES)
def test_changed_value_is_found_at_its_path(
    plain: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    node = Node.of(plain, "tree")
    try:
        after = changed(node, Override(path, Node.of(value, "here")))
    except SpecError:
        *way, _ = path
        here: Any = plain
        for part in way:  # something on the way is no mapping
            here = here.get(part, {}) if isinstance(here, dict) else here
        assert not isinstance(here, dict)
        return
    assert node.plain() == plain
    found: Any = after.plain()
    for part in path:
        found = found[part]
    assert found == value


# ----------------------------------------------------------------------- merge


def merged(base: str, over: str) -> Any:
    return merge(parse(base, "base"), parse(over, "over"), ()).plain()


@pytest.mark.parametrize(
    ("base", "over", "both"),
    [
        ("{a: 1, b: 2}", "{b: 3, c: 4}", {"a": 1, "b": 3, "c": 4}),
        ("{a: {b: 1, c: 2}}", "{a: {c: 3}}", {"a": {"b": 1, "c": 3}}),
        ("{a: {b: 1}}", "{a: null}", {"a": None}),
        ("{a: 1}", "{a: {b: 1}}", {"a": {"b": 1}}),
        ("{a: [1, 2]}", "{a: [3]}", {"a": [3]}),
        ("{head: {linear: true}}", "{head: {pool: x}}", {"head": {"pool": "x"}}),
        ("{blocks: {a: 1}}", "{blocks: {b: 1}}", {"blocks": {"b": 1}}),
        ("{a: {head: {b: 1}}}", "{a: {head: {c: 1}}}", {"a": {"head": {"b": 1, "c": 1}}}),
        ("{a: {kind: x, b: 1}}", "{a: {kind: y}}", {"a": {"kind": "y"}}),
        ("{a: {kind: x, b: 1}}", "{a: {c: 2}}", {"a": {"kind": "x", "b": 1, "c": 2}}),
        (
            "{defaults: {kind: x, b: 1}}",
            "{defaults: {kind: y}}",
            {"defaults": {"kind": "y", "b": 1}},
        ),
        ("{a: 1}", "{}", {"a": 1}),
    ],
)
def test_merge(base: str, over: str, both: Any) -> None:
    assert merged(base, over) == both


def test_merge_leaves_both_trees_as_they_are() -> None:
    base, over = parse("{a: {b: 1}}", "base"), parse("{a: {c: 2}}", "over")
    kept = copy.deepcopy((base, over))
    both = merge(base, over, ())
    assert (base, over) == kept
    assert both.entries["a"].entries["b"].origin == "base:1"
    assert both.entries["a"].entries["c"].origin == "over:1"


# ----------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("recipe.epochs", ("recipe", "epochs")),
        ("blocks.1.dropout", ("blocks", 1, "dropout")),
        ("blocks[1].channels[0]", ("blocks", 1, "channels", 0)),
        (" blocks[1][2] ", ("blocks", 1, 2)),
        ("a-b.c_d.E9", ("a-b", "c_d", "E9")),
        ("blocks.-1", ("blocks", "-1")),
        ("blocks.00001", ("blocks", 1)),
        ("blocks.000001", ("blocks", "000001")),
    ],
)
def test_path(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text, "here") == path


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "a[b]", "a[", "a]", "é", "a[-1]"]
)
def test_text_that_is_no_path(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_path(text, "here")
    problem = Problem(f"{text!r} is not a path", "", "here", "such as blocks.1.dropout")
    assert caught.value.problems == (problem,)


def test_path_without_end() -> None:
    assert len(parse_path(".".join("a" * 32), "here")) == 32
    with pytest.raises(SpecError, match="is not a path"):
        parse_path(".".join("a" * 33), "here")


# ----------------------------------------------------------------------- files


def test_tree_alone_is_what_the_file_says_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: s6\nholdout: 3\n")
    alone, source, folder, stem = read_alone("a.yaml", tmp_path)
    assert alone.plain() == {"extends": "s6", "holdout": 3}
    assert (source, folder, stem) == (str(tmp_path / "a.yaml"), tmp_path, "a")
    whole, source = read_tree("a.yaml", beside=tmp_path)
    assert source == str(tmp_path / "a.yaml")
    assert {"name", "holdout", "blocks", "recipe"} <= set(whole.entries)
    assert whole.entries["name"].value == "a"


def test_extended_is_the_tree_on_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nrecipe: {epochs: 3, ema: null}\n")
    own = parse("{extends: a.yaml, recipe: {epochs: 4}}", "own")
    kept = copy.deepcopy(own)
    whole = extended(own, beside=tmp_path)
    assert whole.plain() == {"recipe": {"epochs": 4, "ema": None}}
    assert own == kept
    alone = parse("{recipe: {epochs: 4}}", "own")
    assert extended(alone, beside=tmp_path) is alone


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("net", "net"),
        ("v1.2_b-", "v1.2_b-"),
        ("1.", "1."),
        ("my net", "my-net"),
        ("été", "ete"),
        (".hidden", "hidden"),
        ("--x", "x"),
        ("v2 網", "v2"),
        ("a\udcff", "a"),
        ("n" * 200, "n" * 64),
        ("網", ""),
        ("...", ""),
    ],
)
def test_a_name_is_made_of_that_of_the_file(stem: str, name: str) -> None:
    assert name_from(stem) == name
    assert not name or re.fullmatch(NAME_PATTERN, name)
