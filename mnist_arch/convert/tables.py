"""Printed tables of torchsummary, torchinfo and Keras: from text to rows, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mnist_arch.convert.graph import Shape
from mnist_arch.convert.questions import refusal
from mnist_arch.counting.plan import Plan
from mnist_arch.errors import Origin

Tool = Literal["torchsummary", "torchinfo", "Keras"]
MAX_ROWS: Final = 1_000

_NUMBER: Final = r"\d{1,3}(?:,\d{3})+|\d+"
_TORCHSUMMARY: Final = re.compile(
    rf"^[\s|>#]*([A-Za-z_]\w*)-(\d+)[\s|]+(\[[-\d,\s\[\]]*\])[\s|]+({_NUMBER})(?:[\s|].*)?$"
)
"""A row, after which people write what they will."""
_WHOLE_ROWS: Final = "its lines may be cut off: copy the whole table"
_HEAD: Final = re.compile(r"^[\s|│┃]*Layer \(type\)")
_TORCHINFO_HEAD: Final = re.compile(r"^[\s|]*Layer \(type")
_TREE: Final = re.compile(r"^([\s│|]*)[├└]─+\s*")
_TREE_NAME: Final = re.compile(r"([A-Za-z_]\w*)(?: \(([^)]*)\))?(?:: (\d+)(?:-(\d+))?)?$")
_KERAS_NAME: Final = re.compile(r"^(.*?)\s*\(\s*([A-Za-z_]\w*…?)\s*\)?$")
_TOTAL: Final = re.compile(
    rf"^[\s|>#*]*(Total|Trainable|Non-trainable) params:?[\s|*]*({_NUMBER})", re.I
)


@dataclass(frozen=True)
class TableRow:
    """One line of a table."""

    name: str
    """`Conv2d-1`, of torchinfo `Conv2d-1-1`, or the name that Keras gives the layer."""
    layer: str
    """Name of the class; it may end in `…`."""
    shape: Shape | None
    """Output without the batch: of torch (channels, height, width)."""
    parameters: int | None
    origin: Origin
    depth: int = 0
    recursive: bool = False
    kernel: tuple[int, ...] | None = None
    inputs: tuple[str, ...] = ()
    """What it is connected to, where the table says so; names may end in `…`."""


@dataclass(frozen=True)
class Table:
    """A printed table, row by row."""

    tool: Tool
    rows: tuple[TableRow, ...]
    total: int | None
    """Of all parameters, as it is printed."""
    has_inputs: bool = False
    """Whether it says what is connected to what."""

    @property
    def origin(self) -> Origin:
        return self.rows[0].origin


def find_tables(lines: Sequence[Origin]) -> list[Table]:
    """Every table in a text, in order. Raises SpecError for one that is damaged."""
    found: list[Table] = []
    at = 0
    while at < len(lines):
        for read in (_torchsummary, _torchinfo, _keras):
            if (one := read(lines, at)) is not None:
                table, at = one
                if len(table.rows) > MAX_ROWS:
                    raise refusal(f"a table of more than {MAX_ROWS:,} rows", table.origin)
                found.append(table)
                break
        else:
            _check_is_whole(lines, at)
            at += 1
    return found


def _check_is_whole(lines: Sequence[Origin], at: int) -> None:
    """Refuses the head of a table whose last column is cut off, or wrapped to the next line."""
    head, below = (it.quoted.strip() for it in (*lines[at : at + 2], Origin(""))[:2])
    is_head = _HEAD.match(head) and "Param" not in head
    if is_head and (not below.strip("─━═┼╇╪├┤┡┩└┘┴_=-+│ ") or below.startswith("Param")):
        message = "the lines of the table are cut off or wrapped: it has no column `Param #`"
        hint = "copy its whole lines, or print it wider: model.summary(line_length=120)"
        raise refusal(message, lines[at], hint)


def _number(text: str) -> int:
    return int(text.replace(",", "")[:18])


def _total(lines: Sequence[Origin], start: int) -> int | None:
    """The total below a table."""
    for line in lines[start : start + 6]:
        if (it := _TOTAL.match(line.quoted)) and it[1].lower() == "total":
            return _number(it[2])
    return None


# ------------------------------------------------------------------------------------ torchsummary


def _torchsummary(lines: Sequence[Origin], start: int) -> tuple[Table, int] | None:
    if not _TORCHSUMMARY.match(lines[start].quoted):
        return None
    rows: list[TableRow] = []
    at = start
    while at < len(lines):
        line = lines[at]
        if it := _TORCHSUMMARY.match(line.quoted):
            if rows and int(it[2][:9]) == 1:
                break  # the next table
            shape = _shape(it[3])
            rows.append(TableRow(f"{it[1]}-{it[2]}", it[1], shape, _number(it[4]), line))
        elif line.quoted.strip(" \t|-=:>#"):
            if rows and not _TOTAL.match(line.quoted) and re.search(r"-\d+\s.*\[", line.quoted):
                raise refusal("a row of the table cannot be read", line)
            break
        at += 1
    expected = [number + 1 for number in range(len(rows))]
    numbers = [int(row.name.rpartition("-")[2][:9]) for row in rows]
    if numbers != expected:
        index = next(i for i, (a, b) in enumerate(zip(numbers, expected, strict=True)) if a != b)
        message = f"the rows are numbered up to {expected[index] - 1}, then {numbers[index]}"
        raise refusal(message, rows[index].origin, "copy the whole table")
    return Table("torchsummary", tuple(rows), _total(lines, at)), at


def _shape(text: str) -> Shape | None:
    """A printed shape without its batch; None where it is none, or one of several values."""
    if text.count("[") + text.count("(") != 1:
        return None
    sides = re.findall(r"-?\d+|None", text)
    if not sides or not all(it.isdecimal() and len(it) < 8 for it in sides[1:]):
        return None
    return tuple(int(it) for it in sides[1:])


# --------------------------------------------------------------------------------------- torchinfo


def _torchinfo(lines: Sequence[Origin], start: int) -> tuple[Table, int] | None:
    head = lines[start].quoted
    if not _TORCHINFO_HEAD.match(head) or not re.search("depth-idx|var_name", head):
        return None
    titles = [it.strip() for it in re.split(r"\s{2,}", head.strip()) if it.strip()]
    rows: list[TableRow] = []
    at = start + 1
    while at < len(lines):
        line = lines[at]
        plain = line.quoted.strip()
        if not plain.strip("=-_ "):
            at += 1
            if len(rows) > 0 and plain.startswith(("===", "---")):
                break
            continue
        if _TOTAL.match(line.quoted):
            break
        rows.append(_torchinfo_row(line, titles))
        at += 1
    if not rows:
        return None
    # The root, of depth 0, is the network itself.
    rows = rows[1:] if rows[0].depth == 0 and len(rows) > 1 and rows[1].depth > 0 else rows
    return Table("torchinfo", tuple(rows), _total(lines, at)), at


def _torchinfo_row(line: Origin, titles: Sequence[str]) -> TableRow:
    text = line.quoted
    tree = _TREE.match(text)
    depth = 0 if tree is None else 1 + len(tree[1]) // 5  # a level is five columns
    rest = text[tree.end() :] if tree else text.strip()
    cells = [it.strip() for it in re.split(r"\s{2,}", rest.strip())]
    name = _TREE_NAME.match(cells[0])
    if name is None:
        raise refusal("a row of the table cannot be read", line)
    if name[3] and name[4]:
        depth = int(name[3][:4])
    values = dict(zip(titles[1:], cells[1:], strict=False))
    if len(cells) > len(titles):
        raise refusal("a row of the table has more columns than its head", line)
    count = values.get("Param #", "--")
    counted = _number(count) if re.fullmatch(_NUMBER, count) else None
    kernel = values.get("Kernel Shape", "--")
    sides = tuple(int(it[:7]) for it in re.findall(r"\d+", kernel)) or None
    return TableRow(
        "-".join(it for it in (name[1], name[3], name[4]) if it),
        name[1],
        _shape(values.get("Output Shape", "--")),
        counted,
        line,
        depth,
        "recursive" in count,
        sides,
    )


# ------------------------------------------------------------------------------------------- Keras


def _keras(lines: Sequence[Origin], start: int) -> tuple[Table, int] | None:
    head = re.split(r"[│┃|]|\s{2,}", lines[start].quoted.strip(" │┃|"))
    titles = [it.strip() for it in head if it.strip()]
    if len(titles) < 3 or not titles[0].startswith("Layer (type"):
        return None
    if not titles[1].startswith("Output Shape") or "Param" not in titles[2]:
        return None
    if any(_TORCHSUMMARY.match(line.quoted) for line in lines[start : start + 4]):
        return None  # whose head is the same
    rows: list[TableRow] = []
    entry: list[Origin] = []
    boxed = "│" in lines[start].quoted or "┃" in lines[start].quoted
    at = start + 1
    columns = _columns(lines[start].quoted, boxed=boxed)
    while at < len(lines):
        line = lines[at]
        plain = line.quoted.strip()
        if _TOTAL.match(line.quoted):
            break
        ends = not plain.strip("─━═┼╇╪├┤┡┩└┘┴_=-+│ ")
        if ends or (not boxed and entry and not line.quoted[:1].isspace()):
            if entry:
                rows.append(_keras_row(entry, columns, boxed=boxed))
                entry = []
            if ends and plain.startswith("└"):
                at += 1
                break
            if not ends:
                entry.append(line)
        elif plain:
            entry.append(line)
        at += 1
        if len(rows) > MAX_ROWS:
            break
    if entry:
        rows.append(_keras_row(entry, columns, boxed=boxed))
    if not rows:
        return None
    return Table("Keras", tuple(rows), _total(lines, at), len(titles) > 3), at


def _columns(head: str, *, boxed: bool) -> list[int]:
    """Where the columns of a table without lines between them begin."""
    return (
        []
        if boxed
        else [it.start() for it in re.finditer(r"(?<!\S)(?:Layer|Output|Param|Connected)", head)]
    )


def _keras_row(entry: Sequence[Origin], columns: Sequence[int], *, boxed: bool) -> TableRow:
    """A row, whose cells may be wrapped over several lines."""
    split = []
    for line in entry:
        if boxed:
            split.append([it.strip() for it in re.split(r"[│┃|]", line.quoted.strip())[1:-1]])
        else:
            ends = [*columns[1:], None]
            split.append([line.quoted[a:b].strip() for a, b in zip(columns, ends, strict=True)])
    width = max(map(len, split))
    if width < 3 or any(len(it) != width for it in split):
        raise refusal("a row of the table cannot be read", entry[0], _WHOLE_ROWS)
    join = " " if boxed else ""
    name, shape, count = (
        (join if index == 0 else " ").join(it[index] for it in split if it[index])
        for index in range(3)
    )
    known = _KERAS_NAME.match(name)
    own, layer = (known[1].strip() or known[2], known[2]) if known else (name, "…")
    if not re.fullmatch(_NUMBER, count.split(" ")[0] or "-"):
        raise refusal("a row of the table cannot be read", entry[0], _WHOLE_ROWS)
    inputs = tuple(it[3] for it in split if width > 3 and it[3] and it[3] != "-")
    text = re.sub(r"\s", "", shape)
    sides = _shape(text.removeprefix("[").removesuffix("]") if text.startswith("[(") else text)
    return TableRow(
        own,
        layer,
        sides,
        _number(count.split(" ")[0]),
        entry[0],
        inputs=tuple(part.strip() for it in inputs for part in it.split(",") if part.strip()),
    )


# -------------------------------------------------------------------------------------------- back


def as_torchsummary(plan: Plan) -> str:
    """A counted network as torchsummary prints it, so that both can be compared line by line."""
    line = "-" * 64
    lines = [line, f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}", "=" * 64]
    for row in plan.rows:
        sides = row.output_shape if row.layer not in ("Flatten", "Linear") else row.output_shape[:1]
        shape = str([-1, *sides])
        lines.append(f"{f'{row.layer}-{row.index}':>20}  {shape:>25} {row.parameters:>15,}")
    return "\n".join([*lines, "=" * 64, f"Total params: {plan.parameters:,}", ""])


def leaves(table: Table) -> Iterator[tuple[str, Shape | None, int]]:
    """Class, output and parameters of each row, as two tables are compared."""
    for row in table.rows:
        yield row.layer, row.shape, row.parameters or 0
