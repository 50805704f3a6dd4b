"""A real browser without a window: Debian's Chromium, driven by Playwright.

`browser` starts it with a profile of its own; `visit` shows a page and says
what happened: dialogs, requests, messages, and what the page holds.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, sync_playwright

PROGRAM = "chromium"
LOAD_MS = 60_000


@dataclass
class Visit:
    """What a page did while it was watched.

    Attributes
    ----------
    dialogs : list of str
        Texts of ``alert`` and its like.
    requests : list of str
        Addresses asked for, except the page itself and ``data:``.
    messages : list of str
        What stood in the console, refusals of the page's own policy and
        uncaught errors among it.
    found : object
        Value of the expression that `visit` was asked to evaluate.
    """

    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    found: object = None


@contextmanager
def browser(*, scrollbars: bool = False) -> Iterator[Browser]:
    """Start a browser, with scroll bars as people see them or without; end all its processes."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=shutil.which(PROGRAM),
            ignore_default_args=["--hide-scrollbars"] if scrollbars else None,
        )
        try:
            yield running
        finally:
            running.close()


def visit(running: Browser, url: str, *, evaluate: str = "null", settle_s: float = 1.0) -> Visit:
    """Show a page, wait until it has loaded and settled, and say what it did."""
    seen = Visit()

    def on_dialog(dialog):
        seen.dialogs.append(dialog.message)
        dialog.accept()

    def on_request(request):
        if request.url != url and not request.url.startswith("data:"):
            seen.requests.append(request.url)

    with running.new_context() as context:  # of its own, and so are windows that the page opens
        context.on("dialog", on_dialog)
        context.on("request", on_request)
        context.on("console", lambda message: seen.messages.append(message.text))
        context.on("weberror", lambda error: seen.messages.append(str(error.error)))
        page = context.new_page()
        page.goto(url, timeout=LOAD_MS)
        page.wait_for_timeout(1000 * settle_s)
        seen.found = page.evaluate(evaluate)
    return seen
