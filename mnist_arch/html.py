"""Values as HTML, for notebooks. Whatever a user wrote is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a title. Whole numbers have commas, None is a dash."""
    from html import escape  # with a table of entities that counting can do without

    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    caption = f"<caption><b>{escape(title)}</b></caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    from html import escape

    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="text-align:right">{value:,}</td>'
    text = "–" if value is None else escape(str(value))
    return f'<td style="text-align:left">{text}</td>'
