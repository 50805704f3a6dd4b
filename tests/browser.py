"""A real browser without a window, told what to do over two pipes (DevTools protocol).

`browser` starts Chromium with a profile of its own; `Browser.open` shows a page
and says what happened: dialogs, requests, messages, and what the page holds.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
START_S, CALL_S, LOAD_S = 30, 20, 60
PROGRAM = "chromium"


@dataclass
class Page:
    """What a page did while it was watched.

    Attributes
    ----------
    dialogs : list of str
        Texts of ``alert`` and its like.
    requests : list of str
        Addresses asked for, but for the page itself and ``data:``.
    messages : list of str
        What the console was told, refusals of the page's own policy among it.
    found : object
        What the expression gave that `Browser.open` was asked to evaluate.
    """

    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    found: object = None


@contextmanager
def browser():
    """Start a browser and end it with all its processes."""
    profile = tempfile.mkdtemp(prefix="caveatlib-browser-")
    to_child, from_us = (_high(end) for end in os.pipe())
    to_us, from_child = (_high(end) for end in os.pipe())

    def take_pipes():  # Chromium reads from descriptor 3 and writes to 4
        os.dup2(to_child, 3)
        os.dup2(from_child, 4)

    process = subprocess.Popen(
        [shutil.which(PROGRAM), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,  # 3 and 4 must stay; everything else of ours closes by itself
        preexec_fn=take_pipes,
        start_new_session=True,
    )
    os.close(to_child)
    os.close(from_child)
    try:
        yield Browser(to_us, from_us)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(timeout=10)
        os.close(to_us)
        os.close(from_us)
        shutil.rmtree(profile, ignore_errors=True)


def _high(descriptor: int) -> int:
    """Return a copy of a descriptor that is neither 3 nor 4; close the original."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return copy


class Browser:
    """A running browser, spoken to with one JSON text per message, each ended by NUL."""

    def __init__(self, reads: int, writes: int):
        self._reads, self._writes = reads, writes
        self._buffer, self._number = b"", 0
        self.call("Browser.getVersion", wait_s=START_S)

    def call(self, method: str, *, session: str = "", wait_s: float = CALL_S, on=None, **params):
        """Call a method of the protocol and return its result; `on` sees events meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        number = self._number
        for said in self._said(wait_s):
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]
            if on:
                on(said)
        raise AssertionError(f"The browser did not answer {method} within {wait_s} s.")

    def open(self, url: str, *, evaluate: str = "null", settle_s: float = 1.0) -> Page:
        """Show a page, wait until it has loaded and settled, and say what it did."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page, loaded = Page(), []

        def on(said):
            method, params = said.get("method"), said.get("params", {})
            if method == "Page.javascriptDialogOpening":
                page.dialogs.append(params["message"])
                self._tell("Page.handleJavaScriptDialog", session, accept=True)
            elif method == "Network.requestWillBeSent":
                asked = params["request"]["url"]
                if asked != url and not asked.startswith("data:"):
                    page.requests.append(asked)
            elif method in ("Log.entryAdded", "Runtime.consoleAPICalled"):
                page.messages.append(json.dumps(params.get("entry", params))[:400])
            elif method == "Page.loadEventFired":
                loaded.append(True)

        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable", session=session, on=on)
        self.call("Page.navigate", session=session, on=on, wait_s=LOAD_S, url=url)
        self._watch(on, LOAD_S, lambda: bool(loaded))
        assert loaded, f"{url} did not load within {LOAD_S} s."
        self._watch(on, settle_s, lambda: False)
        answer = self.call(
            "Runtime.evaluate", session=session, on=on, expression=evaluate, returnByValue=True
        )
        page.found = answer["result"].get("value")
        self.call("Target.closeTarget", targetId=target)
        return page

    def _tell(self, method: str, session: str, **params) -> None:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, "sessionId": session}
        os.write(self._writes, json.dumps(message).encode() + b"\0")

    def _watch(self, on, seconds: float, done) -> None:
        for said in self._said(seconds):
            on(said)
            if done():
                return

    def _said(self, seconds: float):
        """Yield messages until the time is over."""
        until = time.monotonic() + seconds
        while True:
            while b"\0" in self._buffer:
                message, _, self._buffer = self._buffer.partition(b"\0")
                yield json.loads(message)
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._reads], [], [], left)[0]:
                return
            part = os.read(self._reads, 1 << 16)
            assert part, "The browser ended."
            self._buffer += part
