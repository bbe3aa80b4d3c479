"""Headless Chromium through its DevTools protocol: what a page loads, shows and complains about; and its picture.

As a program it takes the README's screenshot: python tests/report/devtools.py reports/report.html docs/report.png
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --remote-debugging-port=0 --hide-scrollbars"
)


def find_chromium() -> str | None:
    """The first of the usual programs that is installed."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@dataclass
class Findings:
    """What a page did while it was shown. A sound report has only `images` with a width, and nothing else."""

    images: list[dict[str, Any]] = field(default_factory=list)  # alt, width (natural, 0 is broken), in page order
    requests: list[str] = field(default_factory=list)  # URLs beside the page itself and data:
    errors: list[str] = field(default_factory=list)  # console errors and warnings, exceptions, log entries
    overflow: int = 0  # CSS pixels by which the page is wider than the screen

    @property
    def broken_images(self) -> list[str]:
        return [image["alt"] for image in self.images if not image["width"]]


class Page:
    """One tab, driven by commands; events that arrive meanwhile are kept."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run one command and return its result. RuntimeError where Chromium refuses it."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait_for(self, event: str) -> None:
        while not any(message.get("method") == event for message in self.events):
            self.events.append(json.loads(self._socket.recv()))

    def evaluate(self, expression: str) -> Any:
        result = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["text"])
        return result["result"].get("value")

    def open(self, url: str, width: int, height: int, scheme: str = "light", media: str = "") -> None:
        """Show `url` on a screen of this size (CSS pixels) and wait until all of its images are decided."""
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", media=media, features=[feature])
        self.send("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")
        # decode() fails for a broken image, which is then found by its width.
        self.evaluate("Promise.allSettled([...document.images].map(i => i.decode())).then(() => 0)")

    def findings(self, url: str) -> Findings:
        """What the page opened last as `url` has done so far."""
        images = self.evaluate("[...document.images].map(i => ({alt: i.alt, width: i.naturalWidth}))")
        overflow = self.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        found = Findings(images=images, overflow=max(0, overflow))
        for event in self.events:
            parameters = event.get("params", {})
            match event.get("method"):
                case "Network.requestWillBeSent":
                    address = parameters["request"]["url"]
                    if address != url and not address.startswith("data:"):
                        found.requests.append(address)
                case "Runtime.exceptionThrown":
                    found.errors.append(parameters["exceptionDetails"]["text"])
                case "Runtime.consoleAPICalled" if parameters["type"] in {"error", "warning", "assert"}:
                    found.errors.append(str([item.get("value") for item in parameters["args"]]))
                case "Log.entryAdded" if parameters["entry"]["level"] in {"error", "warning"}:
                    found.errors.append(parameters["entry"]["text"])
        return found

    def screenshot(self, height: int | None = None) -> bytes:
        """PNG of the page's top `height` pixels, or of all of it."""
        width = self.evaluate("window.innerWidth")
        height = height or self.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        result = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(result["data"])

    def pdf(self) -> bytes:
        """The page as printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=False)["data"])


@contextmanager
def browser(program: str) -> Iterator[Page]:
    """A headless Chromium with one empty tab, ended (by its process group) on exit."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield Page(_tab_address(Path(profile) / "DevToolsActivePort", process))
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _tab_address(port_file: Path, process: subprocess.Popen[bytes], patience_s: float = 60) -> str:
    """The websocket address of the first tab, once Chromium has written which port it listens on."""
    deadline = time.monotonic() + patience_s
    while not port_file.exists() or not port_file.read_text().strip():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args[0]!r} did not start (exit code {process.poll()})")
        time.sleep(0.05)
    port = int(port_file.read_text().split()[0])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = json.load(answer)
    return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    program = find_chromium()
    if program is None:
        sys.exit("error: no Chromium on the PATH; install it with: apt-get install chromium")
    with browser(program) as page:
        page.open(source.resolve().as_uri(), width=1100, height=900)
        target.write_bytes(page.screenshot(height=900))


if __name__ == "__main__":
    main()
