"""Numbers with their units, as the tables have them."""

from __future__ import annotations


def size_text(count: int) -> str:
    """Bytes in a unit that they fill, with three digits: `96 bytes`, `74.7 kB`, `1.43 MB`.

    A kB is 1,000 bytes, and a MB 1,000 kB.
    """
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    for unit, name in ((10**3, "kB"), (10**6, "MB"), (10**9, "GB")):
        value = count / unit
        if value < 999.5 or name == "GB":
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:,.{digits}f} {name}"
    raise AssertionError("the last unit takes all")
