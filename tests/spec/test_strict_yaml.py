"""Strict YAML: what PyYAML would do silently is refused or read plainly; nothing else escapes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from profiles import examples
from strategies import text_of

from mnist_arch.errors import Origin, Problem, SpecError
from mnist_arch.spec.strict_yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_KEY,
    Argument,
    Node,
    parse,
    parse_argument,
    place,
    scalar,
)

SOURCE = "net.yaml"


def refusal(text: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        parse(text, SOURCE)
    (problem,) = caught.value.problems
    return problem


# ----------------------------------------------------------------------- scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("true", True),
        ("TRUE", True),
        ("false", False),
        ("no", "no"),
        ("No", "No"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("tRue", "tRue"),
        ("0", 0),
        ("-0", 0),
        ("8", 8),
        ("+8", 8),
        ("-8", -8),
        ("8.0", 8.0),
        ("8.", 8.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1.5e+3", 1500.0),
        ("1e999", math.inf),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("010", "010"),
        ("-010", "-010"),
        ("00", "00"),
        ("0o10", "0o10"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-13-45", "2020-13-45"),
        ("2020-01-01", "2020-01-01"),
        ("1e", "1e"),
        ("e3", "e3"),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("inf", "inf"),
        ("nan", "nan"),
        ("\u0663", "\u0663"),  # a digit, but not an ASCII one
        ("9" * 100, 10**100 - 1),
        ("9" * 5000, math.inf),
    ],
)
def test_scalar(text: str, value: Any) -> None:
    read = scalar(text)
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(scalar(".nan"))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["'8'", '"8"', "'true'", "'null'", "''", "|\n  8", ">-\n  8"])
def test_quoted_scalar_is_text(text: str) -> None:
    assert isinstance(parse(text, SOURCE).value, str)


# ----------------------------------------------------------------------- refusals

TRAPS: dict[str, tuple[str, str, int]] = {
    "brackets": ("[" * 5000, "nested deeper than 32 levels", 1),
    "braces": ("{a: " * 5000, "nested deeper than 32 levels", 1),
    "dashes": ("- " * 5000, "nested deeper than 32 levels", 1),
    "indents": (
        "".join(f"{' ' * i}a:\n" for i in range(100)),
        "nested deeper than 32 levels",
        33,
    ),
    "int tag": ("a: 1\nb: !!int x", "tags are not part of the language", 2),
    "bool tag": ("!!bool zz", "tags are not part of the language", 1),
    "timestamp tag": ("!!timestamp x", "tags are not part of the language", 1),
    "python tag": ("!!python/object/apply:os.system [ls]", "tags are not part of the language", 1),
    "own tag": ("- a\n- !mine b", "tags are not part of the language", 2),
    "bare tag": ("! 8", "tags are not part of the language", 1),
    "map tag": ("!!map {a: 1}", "tags are not part of the language", 1),
    "cycle": ("&x [*x]", "anchors and aliases are not part of the language", 1),
    "anchor": ("a: &x 1", "anchors and aliases are not part of the language", 1),
    "alias": ("a: 1\nb: *x", "anchors and aliases are not part of the language", 2),
    "merge of an alias": (
        "a: 1\n<<: *x",
        "anchors and aliases are not part of the language",
        2,
    ),
    "repeated key": ("a: 1\nb: 2\n\na: 3", "the key `a` stands here again", 4),
    "repeated key, quoted": ("a: 1\n'a': 3", "the key `a` stands here again", 2),
    "repeated key, in braces": ("{a: 1,\n a: 2}", "the key `a` stands here again", 2),
    "repeated key, deep": ("b:\n  - a: 1\n    a: 2", "the key `a` stands here again", 3),
    "second document": ("a: 1\n---\na: 2", "a second document; one is expected", 2),
    "list as a key": ("? [a]\n: 1", "a key must be a word", 1),
    "mapping as a key": ("{{a: 1}: 2}", "a key must be a word", 1),
    "empty key": ("a: 1\n'': 2", "a key must be a word", 2),
    "long key": (f"? {'a' * (MAX_KEY + 1)}\n: 2", "a key must be a word", 1),
    "key that would colour the terminal": ('"\\e[31m": 1', "a key must be a word", 1),
    "key that is half a character": ('"\\ud800": 1', "a key must be a word", 1),
    "key of two lines": ('"a\\nb": 1', "a key must be a word", 1),
    "null byte": ("a: 1\nb: \0", "not valid YAML: special characters are not allowed", 2),
    "half a character": (
        "a: 1\n\nb: \ud800",
        "not valid YAML: special characters are not allowed",
        3,
    ),
    "escape beyond Unicode": (
        'a: 1\nb: "\\U00110000"',
        "not valid YAML: a number is out of range",
        2,
    ),
    "escape beyond C": ('"\\UFFFFFFFF"', "not valid YAML: a number is out of range", 1),
    "version of 5,000 digits": (
        f"%YAML {'9' * 5000}.1\n---\na",
        "not valid YAML: a number is out of range",
        1,
    ),
    "later version": (
        "%YAML 2.0\n---\na",
        "not valid YAML: found incompatible YAML document (version 1.* is required)",
        1,
    ),
    "tab": ("a:\n\t- b", "not valid YAML: a tab, where only spaces can stand", 2),
    "open bracket": ("a: [1,\n\n", "not valid YAML: the bracket `[` is not closed", 1),
    "open brace": ("a:\n  {b: 1\n", "not valid YAML: the bracket `{` is not closed", 2),
    "bracket closed by another": (
        "a: [1, {b: 2]\n",
        "not valid YAML: `,` or `}` is expected here",
        1,
    ),
    "bracket that is not closed in its line": (
        "a:\n  b: [1, 2\n  c: 3\n",
        "not valid YAML: `,` or `]` is expected here",
        3,
    ),
    "bracket that was not opened": ("a: ]", "not valid YAML: a value is missing before `]`", 1),
    "two commas": ("a: [1,,2]", "not valid YAML: a value is missing before `,`", 1),
    "open quote": ("a: 'b\n", "not valid YAML: the quote is not closed", 1),
    "two colons": ("a: b: c", "not valid YAML: a second colon in one value", 1),
    "backtick": ("a: 1\nb: `c`", "not valid YAML: a value cannot begin with ```", 2),
    "at sign": ("a: 1\nb: @c", "not valid YAML: a value cannot begin with `@`", 2),
    "no colon": (
        "a: 1\nepochs 5\nb: 2",
        "not valid YAML: this line has no key with a colon and a space",
        2,
    ),
    "no space after a colon": (
        "a: 1\nepochs:5\n",
        "not valid YAML: this line has no key with a colon and a space",
        2,
    ),
    "too far to the right": (
        "a: 1\n  b: 2\n",
        "not valid YAML: no key can stand here, by the lines above",
        2,
    ),
    "too far to the left": (
        "a:\n  b: 1\n c: 2\n",
        "not valid YAML: the indentation is not that of the lines above",
        3,
    ),
    "items beside keys": (
        "a: 1\n- b\n",
        "not valid YAML: the indentation is not that of the lines above",
        2,
    ),
    "item in a line": ("a: - b", "not valid YAML: an item `-` cannot stand here", 1),
    "key after a whole spec": (
        "{a: 1}\nb: 2\n",
        "not valid YAML: the spec has ended before this line",
        2,
    ),
    "star": ("extends: *.yaml", "anchors and aliases are not part of the language", 1),
    "ampersand": ("a: & b", "anchors and aliases are not part of the language", 1),
    "tag of nobody": ("a: !e!x y", "tags are not part of the language", 1),
    "unknown escape": ('"\\q"', "not valid YAML: found unknown escape character 'q'", 1),
}


@pytest.mark.parametrize("name", TRAPS)
def test_trap_is_refused_with_its_line(name: str) -> None:
    text, message, line = TRAPS[name]
    problem = refusal(text)
    assert (problem.message, problem.origin) == (message, f"{SOURCE}:{line}")
    assert isinstance(problem.origin, Origin)
    assert problem.origin.quoted == text.split("\n")[line - 1]


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("a: 1\n\tb: 2", "\t", "two spaces in place of each tab, such as `  epochs: 5`"),
        ("a: &x {b: 1}\nc: *x", "&x", "`extends: other.yaml`"),
        ("extends: *all", "*all", "is written in quotes"),
        ("a: 1\nb: !!int 8", "!!int", "write the value alone, such as `8`"),
        ("blocks: [8, [16, 32\n", "[16", "close it with `]`"),
        ("a:\n  b: [1, 2\n  c: 3\n", ": 3", "the bracket `[` of line 2 is not closed before"),
        ("a: 'it's'\n", "s'", "keys of one object begin in the same column"),
        ("name: a: b", ": b", "such as `name: 'a: b'`"),
        ("a: 1\nepochs 5\nb: 2", "epochs", "`epochs: 5`"),
        ("a: 1\n b: 2", ": 2", "each key has a colon and a space, such as `epochs: 5`"),
        ("a: 1\na: 2", "a: 2", "first given at net.yaml:1"),
        ("a: 1\n---\nb: 2", "---", "a file has one spec"),
        ("a: `b`", "`b`", "is written in quotes"),
        ("a: 'b\n", "'b", "close it with '"),
        ("a: \0", "\0", "U+0000"),
    ],
)
def test_refusal_points_at_the_place_and_names_the_way_out(text: str, word: str, hint: str) -> None:
    problem = refusal(text)
    assert isinstance(problem.origin, Origin)
    assert problem.origin.quoted[problem.origin.column - 1 :].startswith(word)
    assert hint in problem.hint


def test_place_counts_the_characters_of_its_line() -> None:
    tree = parse("\ufeffa: 1\r\nb: {日本: [x, 2]}\r\n", SOURCE)
    node = tree.entries["b"].entries["日本"]
    origin, key = node.items[1].origin, node.key
    assert isinstance(origin, Origin)
    assert isinstance(key, Origin)
    assert (origin, origin.line, origin.column) == ("net.yaml:2", 2, 13)
    assert (key.line, key.column, key.quoted) == (2, 5, "b: {日本: [x, 2]}")


def test_place_in_an_argument_is_one_of_its_characters() -> None:
    node = parse_argument(Argument("--set a=[1, {b: 2}]", 8))
    origin = node.items[1].entries["b"].origin
    assert isinstance(origin, Origin)
    assert origin == origin.quoted == "--set a=[1, {b: 2}]"
    assert origin.quoted[origin.column - 1] == "2"


def test_repeated_key_says_where_it_was_first() -> None:
    problem = refusal("a: 1\nb:\n  a: 1\na: 2")
    assert problem == Problem(
        "the key `a` stands here again",
        origin="net.yaml:4",
        hint="it was first given at net.yaml:1",
    )


@pytest.mark.slow
def test_text_of_a_mebibyte_is_read_and_one_byte_more_is_refused() -> None:
    # The last character has two bytes.
    text = f"a: {'b' * (MAX_BYTES - 5)}\u00e9"
    assert len(text.encode()) == MAX_BYTES
    assert parse(text, SOURCE).plain() == {"a": text[3:]}
    assert refusal(f"{text}b") == Problem("the text is longer than 1,048,576 bytes", origin=SOURCE)


def test_deepest_nesting_that_is_read() -> None:
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, SOURCE)
    assert "deeper" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).message


# ----------------------------------------------------------------------- what is read


def test_every_value_remembers_its_line() -> None:
    text = "name: x\nblocks:\n  - channels: [8,\n      16]\n    pool: max\n"
    assert parse(text, SOURCE) == Node(
        {
            "name": Node("x", "net.yaml:1"),
            "blocks": Node(
                [
                    Node(
                        {
                            "channels": Node(
                                [Node(8, "net.yaml:3"), Node(16, "net.yaml:4")], "net.yaml:3"
                            ),
                            "pool": Node("max", "net.yaml:5"),
                        },
                        "net.yaml:3",
                    )
                ],
                "net.yaml:3",
            ),
        },
        "net.yaml:1",
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [x, y]\n",
        "\ufeffa: 1\nb: [x, y]\n",  # with a byte order mark
        "a: 1\r\nb: [x, y]\r\n",
        "a: 1\rb: [x, y]\r",
        "%YAML 1.2\n---\na: 1\nb: [x, y]\n...\n",
        "# first\na: 1 # one\nb:\n- x\n- y",
        '{"a": 1, "b": ["x", "y"]}',
        "? a\n: 1\n? b\n: - x\n  - y\n",
    ],
)
def test_same_content_in_another_dress(text: str) -> None:
    assert parse(text, SOURCE).plain() == {"a": 1, "b": ["x", "y"]}


@pytest.mark.parametrize("text", ["", " \n", "# nothing\n", "---\n", "---\n...\n", "\ufeff"])
def test_nothing_is_null(text: str) -> None:
    assert parse(text, SOURCE).plain() is None


def test_merge_key_is_a_key_like_any_other() -> None:
    assert parse("<<: {a: 1}", SOURCE).plain() == {"<<": {"a": 1}}


def test_place_of_a_path() -> None:
    assert place(()) == ""
    assert place(("recipe", "epochs")) == "recipe.epochs"
    assert place(("blocks", 0, "channels", 1, "out")) == "blocks[0].channels[1].out"


# ----------------------------------------------------------------------- any text

_TOKENS = st.sampled_from(
    [
        *"[]{},:-?&*!|>'\"%@`#~<=.",
        *(" ", "\n", "\t", "\r\n", "  ", "\u2028", "\x85", "\ufeff", "\0", "\x1b"),
        *(
            "---",
            "...",
            "--- ",
            ": ",
            "- ",
            "? ",
            "<<",
            "!!",
            "&a",
            "*a",
            "# x",
            "\\",
            "\\x",
            "\\U",
        ),
        *(
            "%YAML 1.1\n",
            "%TAG ! x\n",
            "blocks",
            "name",
            "1e-3",
            "010",
            "null",
            "true",
            "8",
            "\ud800",
        ),
        *("{a: 1}", "[1, 2]", '"\\u12', "'it''s'", "|2-\n", ">+\n", "!<tag:x>", "!!int", "12:30"),
    ]
)
_SOUP = st.lists(_TOKENS, max_size=30).map("".join)
_ANY = st.text(st.characters(exclude_categories=[]), max_size=60)


def read_or_refused(text: str) -> None:
    """Reads `text`, and sees that a refusal is one printable sentence with its line."""
    problem = Problem("read", origin=f"{SOURCE}:1")
    try:
        parse(text, SOURCE).plain()
    except SpecError as error:
        (problem,) = error.problems
    assert problem.message
    assert problem.message.isprintable()
    assert problem.hint.isprintable()
    assert problem.origin.startswith(SOURCE)


@settings(max_examples=examples(700), derandomize=True, deadline=None, print_blob=True)
@given(_SOUP)
@example("2020-13-45")
@example("- " * 3000)
def test_soup_of_yaml_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


@settings(max_examples=examples(700), derandomize=True, deadline=None, print_blob=True)
@given(_ANY)
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="0123456789"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc_-. é", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=examples(300), derandomize=True, deadline=None, print_blob=True)
@given(_VALUES, st.sampled_from([None, True, False]))
def test_what_was_written_is_read(value: Any, flow: bool | None) -> None:
    assert parse(text_of(value, flow=flow), SOURCE).plain() == value


def test_only_events_of_pyyaml_are_used() -> None:
    """PyYAML's own reading of the same text, which is why it is not used."""
    assert yaml.safe_load("{a: 1e-3, b: no, c: 010, d: 1:30, d: 2}") == {
        "a": "1e-3",
        "b": False,
        "c": 8,
        "d": 2,
    }
