"""Nothing that a user has configured decides what is drawn, and nothing global stays changed."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from mnist_arch.drawing import FORMATS, Format, drawing, file_bytes, format_of, new_figure
from mnist_arch.errors import PictureError

SCRIPT = """
import hashlib, json, os, sys
import contourpy, dateutil.rrule, kiwisolver, numpy, PIL.Image, pyparsing  # once for all cases
from mnist_arch.drawing import drawing, file_bytes, new_figure
readers = []
for case in json.load(sys.stdin):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.chdir(case["folder"])
        os.environ.update(case["set"])
        kept = dict(os.environ)
        with drawing():
            figure = new_figure(2, 2, "a_$b$")
            figure.subplots().plot([1, 2])
            picture = file_bytes(figure)
        here = [os.getcwd() == case["folder"], dict(os.environ) == kept or "MPLCONFIGDIR"]
        drawn = hashlib.sha256(picture).hexdigest()
        os.write(writer, json.dumps([drawn, *here, "matplotlib.pyplot" in sys.modules]).encode())
        sys.exit()
    os.close(writer)
    readers.append(reader)
print(json.dumps([json.loads(os.fdopen(reader).read() or "null") for reader in readers]))
"""
BROKEN = b"text.usetex: True\nfigure.dpi: \xff\n"
STRANGE = (
    b"backend: nowhere\ntext.usetex: True\nfont.family: No Such Font\nlines.linewidth: 9\n"
    b"nonsense\nfigure.facecolor: red\nsavefig.format: jpg\nno.such.key: 1\n"
    b"axes.formatter.use_locale: True\n"
)


@pytest.mark.slow
def test_nothing_of_the_users_decides_what_is_drawn(tmp_path: Path) -> None:
    def case(name: str, file: bytes | None = None, **variables: str) -> dict[str, Any]:
        folder = tmp_path / name
        folder.mkdir()
        if file is not None:
            (folder / "matplotlibrc").write_bytes(file)
        return {"folder": str(folder), "set": variables}

    home = tmp_path / "home/.config/matplotlib"
    home.mkdir(parents=True)
    (home / "matplotlibrc").write_bytes(BROKEN)
    cases = {
        "nothing": case("nothing"),
        "a backend of notebooks": case(
            "notebook", MPLBACKEND="module://matplotlib_inline.backend_inline"
        ),
        "a file here": case("strange", STRANGE, MPLBACKEND="qtagg", LC_ALL="xx_YY"),
        "a broken file here": case("broken", BROKEN, MPLBACKEND="frobnicate"),
        "a broken file at home": case("homely", HOME=str(tmp_path / "home"), XDG_CONFIG_HOME=""),
        "no home": case("homeless", HOME="/proc/nowhere", XDG_CACHE_HOME="", XDG_CONFIG_HOME=""),
    }
    # A cache of fonts of their own, which is made once.
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "no config")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(cases.values())),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found = dict(zip(cases, json.loads(done.stdout), strict=True))
    plain = found["nothing"]
    assert plain is not None
    expected = {name: [plain[0], True, True, False] for name in cases}
    expected["no home"][2] = "MPLCONFIGDIR"  # which is how matplotlib tells its children
    assert found == expected


def test_what_the_user_has_set_stays_set(capfd: pytest.CaptureFixture[str]) -> None:
    def state() -> tuple[str, int]:
        return repr(matplotlib.rcParams.copy()), logging.getLogger("matplotlib").level

    with matplotlib.rc_context({"figure.facecolor": "red", "text.usetex": True}):
        before = state()
        with drawing():
            figure = new_figure(
                2, 2, r"$x_ [b] \frac", "ö 数 \N{PILE OF POO}"
            )  # no glyphs for some
            picture = file_bytes(figure)
        assert state() == before
    with drawing():
        assert file_bytes(new_figure(2, 2, r"$x_ [b] \frac", "ö 数 \N{PILE OF POO}")) == picture
    assert "matplotlib.pyplot" not in sys.modules
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_the_same_bytes_again(kind: Format) -> None:
    def picture() -> bytes:
        with drawing():
            return file_bytes(new_figure(3, 2, "title", "facts"), kind)

    first = picture()
    assert first == picture()
    begins = {"png": rb"\x89PNG", "svg": rb"<\?xml[^>]*>\s*<!DOCTYPE svg", "pdf": rb"%PDF-1"}
    assert re.match(begins[kind], first)


def test_the_format_is_that_of_the_name() -> None:
    found = [
        format_of(Path(name)) for name in ("a.png", "b.SVG", "c.d.pdf", "e.jpg", "png", ".svg")
    ]
    assert found == ["png", "svg", "pdf", None, None, None]


def test_a_long_title_is_smaller() -> None:
    with drawing():
        short, long = new_figure(4, 2, "short"), new_figure(4, 2, "long " * 20)
        size = long.texts[0].get_window_extent().width
    assert short.texts[0].get_fontsize() == 15
    assert size <= long.get_size_inches()[0] * long.dpi


def test_whatever_goes_wrong_is_a_picture_that_cannot_be_drawn() -> None:
    with pytest.raises(PictureError, match="cannot draw: ZeroDivisionError: division by zero"):
        with drawing():
            1 / 0  # noqa: B018
