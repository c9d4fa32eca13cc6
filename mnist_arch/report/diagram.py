"""A network drawn from its plan: its layers, what each costs, and what it sees of a digit."""

from __future__ import annotations

from markupsafe import Markup

from mnist_arch.counting.plan import Plan, Row
from mnist_arch.report.svg import picture, rect, text

_KINDS = {"Conv2d": "conv", "MaxPool2d": "pool", "AvgPool2d": "pool", "Linear": "conv"}
_BOX, _GAP, _LINE = 330, 6, 30


_COLOURS = Markup(
    "<style>text{font:12px sans-serif;fill:#1f2933}.soft{fill:#52606d}.strong{font-weight:600}"
    ".box{fill:#f1f5f9;stroke:#c3ccd5}.conv{stroke:#1f6fb2}.pool{stroke:#b4540a}</style>"
)


def standalone(plan: Plan, name: str) -> Markup:
    """The diagram as a file of its own."""
    return diagram(plan, name).replace("</title>", Markup("</title>") + _COLOURS, 1)


def diagram(plan: Plan, name: str) -> Markup:
    """Every layer of the plan from top to bottom, with its shape; blocks stand apart."""
    body: list[object] = []
    y, block = 8.0, ""
    for row in plan.rows:
        part = row.place.split(".")[0]
        if part != block:
            y += 16
            body.append(text(8, y, part, kind="strong"))
            y += 8
            block = part
        shape = "×".join(map(str, row.output_shape))
        counted = f", {row.parameters:,} parameters" if row.parameters else ""
        kind = _KINDS.get(row.layer, "other")
        tip = f"{row.place}: {row.layer} → {shape}{counted}, {row.macs:,} MACs"
        body.append(rect(8, y, _BOX, _LINE - _GAP, kind=f"box {kind}", tip=tip))
        body.append(text(16, y + 16, _what(row)))
        body.append(text(_BOX, y + 16, shape, anchor="end", kind="soft"))
        y += _LINE
    return picture(body, title=f"layers of {name}", width=_BOX + 16, height=y + 4)


def _what(row: Row) -> str:
    window = f" {row.window[0]}×{row.window[1]}" if row.window else ""
    stride = f" /{row.stride}" if row.stride and row.stride > 1 else ""
    return f"{row.layer}{window}{stride}"


def costs(plan: Plan) -> Markup:
    """Shares of parameters, MACs and memory, block by block."""
    body: list[object] = []
    parts = list(plan.parts().items())
    values = {
        "parameters": [sum(row.parameters for row in rows) for _, rows in parts],
        "MACs": [sum(row.macs for row in rows) for _, rows in parts],
        "memory of maps": [sum(row.activation_bytes for row in rows) for _, rows in parts],
    }
    for number, (what, counts) in enumerate(values.items()):
        y, x, whole = 8 + 50 * number, 8.0, sum(counts) or 1
        body.append(text(8, y + 10, f"{what}: {sum(counts):,}", kind="strong"))
        for index, ((place, _), count) in enumerate(zip(parts, counts, strict=True)):
            width = 620 * count / whole
            tip = f"{place}: {count:,}, {100 * count / whole:.1f} %"
            body.append(rect(x, y + 16, width - 1, 18, kind=f"share{index % 6}", tip=tip))
            if width > 60:
                body.append(text(x + 4, y + 29, f"{place} {100 * count / whole:.0f} %"))
            x += width
    return picture(body, title="where parameters, MACs and memory go", width=640, height=160)


def receptive_field(plan: Plan, digit: str) -> Markup:
    """The square of pixels that a value sees, from block to block, over a digit."""
    body: list[object] = []
    seen = [(place, rows[-1].receptive_field) for place, rows in plan.parts().items()]
    for number, (place, side) in enumerate(seen):
        x, scale = 8 + 130 * number, 4
        shown = min(side, 28)
        if digit:
            body.append(
                Markup('<image x="{}" y="8" width="112" height="112" href="{}"/>').format(x, digit)
            )
        else:
            body.append(rect(x, 8, 112, 112, kind="box other"))
        start = (28 - shown) / 2 * scale
        body.append(rect(x + start, 8 + start, shown * scale, shown * scale, kind="field"))
        body.append(text(x, 138, f"{place}: {side}×{side}"))
    width = 16 + 130 * len(seen)
    return picture(body, title="receptive field by block", width=width, height=148)
