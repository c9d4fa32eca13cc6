"""A headless Chromium without a network, driven through its own protocol over two pipes."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
PHONE = (390, 844)
DESK = (1280, 900)


class Page:
    """One page, with all that it has said on its console."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest, self._last, self._session = b"", 0, ""
        self.said: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> Any:
        """What the browser answers; raises AssertionError where it refuses."""
        return self.answer(self.send(method, **parameters))

    def send(self, method: str, **parameters: Any) -> int:
        """Sends a command; its answer is read by `answer`."""
        self._last += 1
        content: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            content["sessionId"] = self._session
        data = json.dumps(content).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        return self._last

    def answer(self, number: int) -> Any:
        """The answer to that command, which comes after those to earlier ones."""
        while (message := self._read()).get("id") != number:
            assert "error" not in message, message
        assert "error" not in message, message
        return message["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._back, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._keep(message.get("method"), message.get("params", {}))
        return message

    def _keep(self, method: str | None, given: dict[str, Any]) -> None:
        match method:
            case "Runtime.consoleAPICalled":
                self.said += [str(it.get("value", it.get("description"))) for it in given["args"]]
            case "Runtime.exceptionThrown":
                self.said.append(json.dumps(given["exceptionDetails"]))
            case "Log.entryAdded":
                self.said.append(given["entry"]["text"])
            case "Network.requestWillBeSent" if given["request"]["url"][:5] not in _OWN:
                self.said.append(f"asked for {given['request']['url']}")

    def open(self, path: Path, size: tuple[int, int] = DESK, *, touch: bool = False) -> None:
        """Opens a file in a window of that size, in pixels of CSS."""
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.call("Page.navigate", url=path.as_uri())
        self.run(_LOADED)
        self.shown()  # else a finger may come before the browser knows what it would be on

    def run(self, script: str) -> Any:
        """The value of an expression; that of a promise, once it has one."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def shown(self) -> None:
        """Waits until what has changed is on the screen."""
        self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def key(self, name: str, *, text: str = "", modifiers: int = 0) -> None:
        """Presses a key, by its name in `KeyboardEvent.key`, and lets it go."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "Backspace": 8, "Delete": 46, "Escape": 27}
        codes |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        given: dict[str, Any] = {"key": name, "windowsVirtualKeyCode": codes.get(name, 0)}
        text = {" ": " ", "Enter": "\r"}.get(name, text)
        down = {"type": "keyDown" if text else "rawKeyDown", "modifiers": modifiers, **given}
        self.call("Input.dispatchKeyEvent", **down, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **given)

    def stroke(self, points: Sequence[tuple[float, float]], *, touch: bool) -> None:
        """Draws a line through points of the window, with the mouse or with a finger."""
        if touch:
            kinds = ["touchStart", *["touchMove"] * (len(points) - 1), "touchEnd"]
            places = [*([{"x": x, "y": y}] for x, y in points), []]
            (first, start), *rest = zip(kinds, places, strict=True)
            # What a finger may do is decided where it begins, so that its moves wait for that.
            self.call("Input.dispatchTouchEvent", type=first, touchPoints=start)
            sent = [
                self.send("Input.dispatchTouchEvent", type=kind, touchPoints=place)
                for kind, place in rest
            ]
        else:
            kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
            sent = [
                self.send(
                    "Input.dispatchMouseEvent",
                    type=kind,
                    x=x,
                    y=y,
                    button="left",
                    buttons=0 if kind == "mouseReleased" else 1,
                    clickCount=1,
                    pointerType="mouse",
                )
                for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True)
            ]
        self.answer(sent[-1])

    def picture(self) -> bytes:
        """What is on the screen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def violations(self) -> list[str]:
        """What axe finds against WCAG 2.1 A and AA; skips the test where axe is not installed."""
        if (found := importlib.util.find_spec("axe_core_python")) is None:
            pytest.skip("axe is not installed: pip install axe-core-python")
        assert found.origin is not None
        self.run((Path(found.origin).parent / "axe.min.js").read_text("utf-8") + ";0")
        broken = self.run("axe.run().then((found) => found.violations)")
        return [
            f"{it['id']}: {it['help']}: {[node['html'][:120] for node in it['nodes'][:3]]}"
            for it in broken
        ]


_LOADED = """new Promise((done) =>
  document.readyState === "complete" ? done() : addEventListener("load", done))"""
_OWN = ("file:", "data:", "about", "blob:")


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A page of a new browser, whose profile is below a folder; ends the browser."""
    assert CHROMIUM is not None
    read_by_it, to = os.pipe()
    back, written_by_it = os.pipe()
    options = [*_OPTIONS, f"--user-data-dir={folder / 'chromium'}"]
    script = f'exec "$@" 3<&{read_by_it} 4>&{written_by_it}'
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, "bash", CHROMIUM, *options],
        pass_fds=(read_by_it, written_by_it),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_by_it)
    os.close(written_by_it)
    try:
        yield Page(to, back)
    finally:
        process.terminate()
        process.wait(30)
        os.close(to)
        os.close(back)
