"""The page to draw on: what is in it, who may fetch it, and what a person does with it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import DESK, PHONE, Page, browser, needs_chromium
from numpy.typing import NDArray
from thinned import Point, strokes
from tiny_runs import make_run, tiny
from typer.testing import CliRunner
from waiting import wait_until

from mnist_arch.data.catalog import INFO
from mnist_arch.data.framing import framed
from mnist_arch.data.load import load_split
from mnist_arch.evaluation.metrics import predict
from mnist_arch.network.weights import build_with, read_weights
from mnist_arch.play.page import page_of
from mnist_arch.play.serving import address_of, server_of
from mnist_arch.runs.find import find
from mnist_arch_cli.app import app

DIGITS = 100
"""Of the test split, half of them drawn with the mouse and half with a finger."""


def s6_page(folder: Path, times: int = 1) -> Path:
    path = folder / "play.html"
    path.write_text(page_of([find("zoo/s6", runs=folder)] * times), "utf-8")
    return path


# ----------------------------------------------------------------------------------------- the file


@pytest.mark.slow
def test_two_networks_are_one_file_that_stands_alone_and_escapes_names(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    run = make_run(tmp_path, tiny("evil"))
    found = find(str(run.folder), runs=tmp_path)
    experiment = found.experiment.model_copy(update={"name": evil})
    text = page_of([find("zoo/s6", runs=tmp_path), type(found)(found.weights, experiment, "mnist")])
    assert len(text.encode()) < 300_000
    assert "alert(1)</script>" not in text
    assert text.count("<script") == text.count("</script") == 3
    assert "default-src 'none'" in text
    assert not re.search(r"\b(?:src|href)=|@import|url\(", text)
    assert text.count('<section class="network"') == 2


@pytest.mark.slow
def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", tiny("mine"))
    result = CliRunner().invoke(app, ["play", "zoo/s6", "mine", "--out", "play.html"])
    assert result.exit_code == 0, result.output
    size = (tmp_path / "play.html").stat().st_size
    assert f"wrote        play.html, {size:,} bytes" in result.output
    result = CliRunner().invoke(app, ["play", "--out", "latest.html"])
    assert result.exit_code == 0, result.output
    assert ">mine, seed 0</h2>" in (tmp_path / "latest.html").read_text("utf-8")


def test_what_has_no_weights_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", tiny("begun"), finished=False)
    result = CliRunner().invoke(app, ["play", "begun", "--out", "play.html"])
    assert result.exit_code == 2
    assert "no run of begun in runs is finished" in result.output
    assert not (tmp_path / "play.html").exists()


def test_the_page_is_for_browsers_of_this_machine() -> None:
    with server_of("<p>äh</p>") as server:
        assert server.server_address[0] == "127.0.0.1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = address_of(server)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address) as answer:
            assert answer.read().decode() == "<p>äh</p>"
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        elsewhere = urllib.request.Request(address, headers={"Host": "example.org:80"})
        for request, code in ((elsewhere, 403), (f"{address}other", 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                opener.open(request)
            assert refused.value.code == code
            refused.value.close()
        server.shutdown()


@pytest.mark.slow
def test_the_command_shows_the_page_until_it_is_interrupted(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", tiny("mine"))
    fetched = tmp_path / "fetched.html"
    save = "import sys, urllib.request as u; "
    save += (
        "open(sys.argv[1], 'wb').write(u.build_opener(u.ProxyHandler({})).open(sys.argv[2]).read())"
    )
    browser_ = f'{sys.executable} -c "{save}" {fetched} %s'
    # A shell starts its background jobs with SIGINT ignored, and this test may be in one.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{heeding}; from mnist_arch_cli.app import app; app(['play', 'mine'])"
    command = [sys.executable, "-c", start]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "BROWSER": browser_},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert re.fullmatch(r"draw at +http://127\.0\.0\.1:\d+/ until Ctrl-C\n", line), line
            wait_until(lambda: fetched.exists() and b"</html>" in fetched.read_bytes())
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == ""
            assert process.wait(60) == 0
        finally:
            process.kill()  # else leaving waits for it, whatever failed


# ------------------------------------------------------------------------------------ in a browser


class Desk:
    """A page to draw on, open in a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def draw(
        self,
        lines: list[list[Point]],
        *,
        touch: bool,
        size: float = 1,
        at: Point = (0.5, 0.5),
    ) -> None:
        """Draws lines, in shares of the board around its middle, smaller and elsewhere."""
        left, top, width = self.page.run(
            "(({left, top, width}) => [left, top, width])(board.getBoundingClientRect())"
        )
        for line in lines:
            shares = [(at[0] + size * (x - 0.5), at[1] + size * (y - 0.5)) for x, y in line]
            points = [(left + width * x, top + width * y) for x, y in shares]
            self.page.stroke(points, touch=touch)
        self.page.shown()

    def answers(self) -> list[str | None]:
        found: list[str | None] = self.page.run(
            "panels.map((it) => it.querySelector('.answer strong')?.textContent || null)"
        )
        return found

    def board(self) -> NDArray[np.uint8]:
        """What is drawn, as (280, 280)."""
        text = self.page.run(
            "btoa(String.fromCharCode(...ink.getImageData(0, 0, 280, 280).data"
            ".filter((_, at) => at % 4 === 0 && at < 4 * 140 * 280)))"
            "+ ',' + btoa(String.fromCharCode(...ink.getImageData(0, 0, 280, 280).data"
            ".filter((_, at) => at % 4 === 0 && at >= 4 * 140 * 280)))"
        )
        data = b"".join(map(base64.b64decode, text.split(",")))
        return np.frombuffer(data, np.uint8).reshape(280, 280)

    def seen(self) -> NDArray[np.uint8]:
        """The 28×28 pixels that the page shows."""
        values = self.page.run(
            "[...document.querySelector('.seen').getContext('2d').getImageData(0, 0, 28, 28).data]"
        )
        return np.array(values, np.uint8).reshape(28, 28, 4)[..., 0]

    def fits(self) -> bool:
        found: bool = self.page.run("document.documentElement.scrollWidth <= innerWidth")
        return found


@pytest.mark.gate
@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.mnist
@needs_chromium
def test_digits_drawn_with_mouse_and_finger_are_recognised(tmp_path: Path) -> None:
    it = find("zoo/s6", runs=tmp_path)
    tensors, _ = read_weights(it.weights)
    model = build_with(it.experiment, tensors, it.weights)
    split, right, seen = load_split("mnist", "test"), 0, []
    with browser(tmp_path) as page:
        desk = Desk(page)
        for number in range(DIGITS):
            touch = number >= DIGITS // 2
            if number % (DIGITS // 2) == 0:
                page.open(s6_page(tmp_path), PHONE if touch else DESK, touch=touch)
                assert desk.fits()
            page.run("clear()")
            # Of every size, and off the middle.
            where: dict[str, Any] = [{}, {"size": 0.6, "at": (0.7, 0.35)}][number % 2]
            desk.draw(strokes(split.images[number, 0].numpy()), touch=touch, **where)
            right += desk.answers() == [str(int(split.labels[number]))]
            if number % 10 == 0:
                seen.append(desk.seen())
                assert (seen[-1] == framed(desk.board(), "mnist").pixels).all()
        assert page.run("document.documentElement.scrollHeight > innerHeight")
        assert page.run("scrollY") == 0  # a finger on the board draws, and does not scroll
        images = np.stack([*seen, *split.images[:50, 0].numpy()])
        text = json.dumps([base64.b64encode(image.tobytes()).decode() for image in images])
        logits = page.run(
            f"{text}.map((it) => [...logitsOf(networks[0], "
            "Uint8Array.from(atob(it), (letter) => letter.charCodeAt(0)))])"
        )
        assert page.said == []
    by_torch = predict(model, torch.from_numpy(images)[:, None], INFO["mnist"]).numpy()
    assert np.abs(by_torch - np.array(logits)).max() < 1e-4
    assert right >= 95


@pytest.mark.browser
@pytest.mark.slow
@needs_chromium
def test_the_page_is_used_by_keys_and_is_readable(tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        desk = Desk(page)
        page.open(s6_page(tmp_path, times=2))
        assert desk.answers() == [None, None]
        reached = []
        for _ in range(4):
            page.key("Tab")
            reached.append(page.run("document.activeElement.id"))
        assert reached == ["theme", "board", "undo", "clear"]
        page.run("board.focus()")
        for _ in range(10):
            page.key("ArrowUp")
        page.key(" ")
        for _ in range(18):
            page.key("ArrowDown")
        page.key(" ")
        page.key("ArrowDown")  # with the pen up
        page.shown()
        assert desk.answers() == ["1", "1"]
        assert page.run("strokes.length") == 1
        page.key("Backspace")
        page.shown()
        assert desk.answers() == [None, None]
        desk.draw([[(0.5, 0.2), (0.5, 0.8)], [(0.2, 0.2), (0.3, 0.3)]], touch=False)
        page.run("document.getElementById('undo').click()")
        page.shown()
        assert page.run("strokes.length") == 1
        assert desk.answers() == ["1", "1"]
        papers = set()
        for _ in range(2):
            papers.add(page.run("getComputedStyle(document.body).backgroundColor"))
            assert page.violations() == []
            page.run("theme.click()")
        assert len(papers) == 2
        page.open(s6_page(tmp_path, times=2), PHONE, touch=True)
        assert desk.fits()
        # As where a browser does not know `touch-action`, or not yet.
        page.run("board.style.touchAction = 'auto'")
        page.shown()
        desk.draw([[(0.5, 0.9 - 0.05 * step) for step in range(16)]], touch=True)
        assert page.run("strokes.map((it) => it.length > 1)") == [True]
        assert page.run("scrollY") == 0
        assert page.said == []
