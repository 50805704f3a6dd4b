"""Talking to an engine that stalls, drips, cuts or lies."""

import contextlib
import gc
import http.server
import json
import os
import socketserver
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import fake_engine
import pytest
from fake_engine import CONTAINER, JSON_CALLS, STREAMS, serving

from caveatlib.errors import DeadlineExceeded, EngineError, Unavailable
from caveatlib.places.engines import deadline
from caveatlib.places.engines.containers import EngineInstance
from caveatlib.places.engines.endpoint import Endpoint
from caveatlib.places.engines.engine import Engine
from caveatlib.support.privacy import scrub

pytestmark = pytest.mark.beside

DEADLINE_S = 0.15
SLACK_S = 5.0
TOOK_S = []
"""Seconds of every call that `_fails_in_time` made."""


@pytest.fixture(scope="module", autouse=True)
def _slowest(bars):
    """Show the slowest of all calls beside the bar."""
    yield
    if TOOK_S:
        name = f"engine that misbehaves: slowest of {len(TOOK_S)} calls"
        bars.append((name, f"{max(TOOK_S):.2f} s", f"< {DEADLINE_S + SLACK_S:g} s"))


@pytest.fixture
def path():
    """Return a short path for a socket: pytest's own folders are too long for one."""
    with tempfile.TemporaryDirectory(prefix="cv-") as folder:
        yield Path(folder) / "s"


@contextlib.contextmanager
def talking(path, behaviour, **where):
    """Yield an engine that behaves so; it is closed afterwards."""
    with (
        serving(path, behaviour, **where) as url,
        contextlib.closing(Engine(Endpoint(url, "test"))) as engine,
    ):
        yield engine


def _fails_in_time(call):
    """Assert that a call ends in a typed one-line error within its deadline."""
    start = time.monotonic()
    with pytest.raises((EngineError, DeadlineExceeded)) as caught:
        call()
    TOOK_S.append(time.monotonic() - start)
    assert TOOK_S[-1] < DEADLINE_S + SLACK_S
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", JSON_CALLS)
def test_json_call(path, name):
    """A call for JSON ends in a typed error within the deadline, whatever the engine does."""
    with talking(path, JSON_CALLS[name]) as engine:
        _fails_in_time(lambda: engine.info(timeout_s=DEADLINE_S))


@pytest.mark.parametrize("name", ["silence", "drip in head", "endless header", "endless chunks"])
def test_opening(path, name):
    """An engine that misbehaves at the first byte cannot hold up its opening."""
    with serving(path, JSON_CALLS[name], first=True) as url:
        _fails_in_time(lambda: Engine(Endpoint(url, "test"), timeout_s=DEADLINE_S))


@pytest.mark.parametrize("name", ["unwanted gzip", "no json", "500", "cut body"])
def test_a_first_answer_that_makes_no_sense(path, name):
    """The first answer of all may be refused: an error in time, whose causes are no circle."""
    with serving(path, JSON_CALLS[name], at="/version") as url:
        error = _fails_in_time(lambda: Engine(Endpoint(url, "test"), timeout_s=DEADLINE_S))
    causes = []
    while error is not None:
        assert error not in causes
        causes.append(error)
        error = error.__cause__


@pytest.mark.parametrize("name", STREAMS)
def test_stream(path, name):
    """A command in a container ends in a typed error within one deadline for all its calls."""
    with talking(path, STREAMS[name], at="/start") as engine:
        _fails_in_time(lambda: engine.exec(CONTAINER, ["true"], timeout_s=DEADLINE_S))


@pytest.mark.parametrize("name", ["refused", "endless head", "close", "garbage"])
def test_attach(path, name):
    """Attaching to a container ends in a typed error when no stream comes of it."""
    with talking(path, STREAMS[name], at="/attach") as engine:
        _fails_in_time(lambda: engine.attach(CONTAINER, timeout_s=DEADLINE_S))


@pytest.mark.parametrize(
    ("at", "body", "call"),
    [
        ("/wait", b'{"StatusCode": "0"}', lambda e: e.wait(CONTAINER)),
        ("/wait", b'{"StatusCode": true}', lambda e: e.wait(CONTAINER)),
        ("/json", b'{"NetworkSettings": {"Ports": [1]}}', lambda e: e.published(CONTAINER)),
        ("/json", b'{"NetworkSettings": null}', lambda e: e.published(CONTAINER)),
        ("/containers/json", b'{"Id": "x"}', lambda e: e.containers()),
        ("/create", b'{"Id": 7}', lambda e: e.create(["true"], image="busybox")),
        ("/create", b'{"Warnings": []}', lambda e: e.create(["true"], image="busybox")),
    ],
)
def test_wrong_shape(path, at, body, call):
    """Valid JSON of the wrong shape is an error and never a value."""
    with talking(path, fake_engine.says(fake_engine.answer(body)), at=at) as engine:
        with pytest.raises(EngineError, match=r"^(inspect: t|T)he engine"):
            call(engine)


@pytest.mark.parametrize(
    ("behaviour", "at", "call"),
    [
        (JSON_CALLS["endless chunks"], "/info", lambda e: e.info(timeout_s=60)),
        (STREAMS["endless head"], "/attach", lambda e: e.attach(CONTAINER, timeout_s=60)),
        (STREAMS["frame of 4 GiB"], "/start", lambda e: e.exec(CONTAINER, [""], timeout_s=20)),
        (STREAMS["endless frames"], "/start", lambda e: e.exec(CONTAINER, [""], timeout_s=60)),
    ],
)
def test_size_ends_it_too(path, behaviour, at, call):
    """What is too long is given up for its size, long before a generous deadline."""
    with talking(path, behaviour, at=at) as engine:
        with pytest.raises(EngineError):
            call(engine)


@pytest.mark.parametrize(
    ("behaviour", "at", "call", "status"),
    [
        (JSON_CALLS["unwanted gzip"], "/info", lambda e: e.info(), None),
        (JSON_CALLS["500"], "/info", lambda e: e.info(), 500),
        (JSON_CALLS["500"], "/exec", lambda e: e.exec(CONTAINER, ["true"]), 500),
        (STREAMS["refused"], "/start", lambda e: e.exec(CONTAINER, ["true"]), None),
        (STREAMS["refused"], "/attach", lambda e: e.attach(CONTAINER), None),
        (JSON_CALLS["unwanted gzip"], "/get", lambda e: list(e.saved("busybox")), None),
        (JSON_CALLS["500"], "/get", lambda e: list(e.saved("busybox")), 500),
    ],
)
def test_an_error_of_ours_is_not_its_own_cause(path, behaviour, at, call, status):
    """It keeps docker-py's error, if it came from one, with the status that the engine gave."""
    with talking(path, behaviour, at=at) as engine:
        with pytest.raises(EngineError) as caught:
            call(engine)
    cause = caught.value.__cause__
    assert cause is not caught.value
    assert getattr(getattr(cause, "response", None), "status_code", None) == status


GO_SAID = 'Get "http://registry.invalid/v2/": dial tcp: \x1b[31mconnection\nrefused\x1b[0m\x07'


@pytest.mark.parametrize(
    ("at", "call"),
    [
        ("/build", lambda e: e.build("x", b"")),
        ("/load", lambda e: e.load(b"x")),
        ("/create", lambda e: e.pull("busybox:1")),
        ("/push", lambda e: e.push("busybox:1")),
    ],
)
def test_what_an_engine_reports_on_its_way_keeps_its_words(path, at, call):
    """The error in a stream of progress is a sentence and stays one, in a line, cut at 500."""
    for said, kept in [
        (GO_SAID, 'Get "http://registry.invalid/v2/": dial tcp: connection refused'),
        ("word " * 1000, ("word " * 100)[:499] + "…"),
        ({"odd": 1}, "{'odd': 1}"),
    ]:
        body = b'{"status": "begun"}\r\n' + json.dumps({"error": said}).encode() + b"\r\n"
        with talking(path, fake_engine.says(fake_engine.chunked(body)), at=at) as engine:
            with pytest.raises(EngineError) as caught:
                call(engine)
        assert str(caught.value).partition(": ")[2] == kept
        path.unlink()
        assert "registry.invalid" not in scrub(caught.value)  # as it is kept in a row


def test_a_circle_of_causes_ends():
    """Others may make one; the innermost is the last that was not seen before."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert deadline.root(first) is second


def test_unlabelled_is_never_ours(path):
    """An engine that ignores the label asked for loses nothing by it."""
    body = b'[{"Id": "x", "Labels": {}}, {"Id": "y", "Labels": null}, {"Id": "z"}]'
    with talking(path, fake_engine.says(fake_engine.answer(body)), at="/containers/json") as engine:
        assert engine.containers() == []


def test_a_container_that_is_not_removed_keeps_no_stream_open(path):
    """Where the engine fails to remove it, its stream is closed, and it can be tried again."""
    tried = []

    def refuse(conn, stop):
        tried.append(conn)
        JSON_CALLS["500"](conn, stop)

    with talking(path, refuse, at=f"/containers/{CONTAINER}") as engine:
        instance = EngineInstance(engine, CONTAINER, 0)
        stream = instance.output
        for times in (1, 2):
            with pytest.raises(EngineError, match="something broke"):
                instance.remove()
            assert len(tried) == times
            assert instance.output == -1
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(stream)


def test_a_mistake_of_ours_is_no_answer_of_the_engine(path):
    """An argument that docker-py does not know, or not of this type, ends a run as a bug."""
    with talking(path, JSON_CALLS["500"], at="/create") as engine:
        for host in ({"cpu_qouta": 1}, {"cpu_quota": "1"}):
            with pytest.raises(TypeError):
                engine.create(["true"], image="busybox", host=host)
        with pytest.raises(EngineError, match="something broke"):
            engine.create(["true"], image="busybox", host={"cpu_quota": 1})


def test_an_engine_too_old_for_a_setting_is_an_engines_error(path):
    """Which docker-py finds out before it asks."""
    old = json.dumps(fake_engine.VERSION | {"ApiVersion": "1.24"}).encode()
    with talking(path, fake_engine.says(fake_engine.answer(old)), at="/version") as engine:
        with pytest.raises(EngineError, match=r"create: init .* version"):
            engine.create(["true"], image="busybox", host={"init": True})


def test_no_api_version(path):
    """An engine that tells no version of its API is refused."""
    behaviour = fake_engine.says(fake_engine.answer(b'{"Version": "26"}'))
    with serving(path, behaviour, at="/version") as url:
        with pytest.raises(EngineError, match="no API version"):
            Engine(Endpoint(url, "test"))


def test_dead_socket(path):
    """A socket file that nobody serves is named, with what to do."""
    with pytest.raises(Unavailable, match=r"s \(test\): no engine answers"):
        Engine(Endpoint(f"unix://{path}", "test"))


def test_an_engine_that_ends_idle_connections(path):
    """A connection that the engine closes when it is taken up again fails no call."""

    class OnceEach(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answered = False

        def do_GET(self):
            self.close_connection = self.answered or self.close_connection
            if not self.answered:
                self.answered = True
                body = json.dumps(fake_engine.VERSION).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                if self.close_connection:  # asked for: said, as Go's server does
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with socketserver.ThreadingUnixStreamServer(str(path), OnceEach) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            with contextlib.closing(Engine(Endpoint(f"unix://{path}", "test"))) as engine:
                assert [engine.info()["Version"] for _ in range(3)] == ["26.1.5"] * 3
        finally:
            server.shutdown()


def test_engine_explains_itself(path):
    """What the engine says about its failure is in the message."""
    with talking(path, JSON_CALLS["500"]) as engine:
        assert "something broke" in str(_fails_in_time(engine.info))


@pytest.mark.slow
def test_nothing_leaks(path, bars):
    """200 failed calls leave no descriptor and no thread."""
    fast = [name for name in JSON_CALLS if _is_fast(JSON_CALLS[name])]
    assert len(fast) >= 12

    def cycles(count):
        for number in range(count):
            name = fast[number % len(fast)]
            with pytest.raises(EngineError):
                engines[name].info(timeout_s=5)
            engine = Engine(Endpoint(urls[name], "test"))
            with pytest.raises(EngineError):
                engine.exec(CONTAINER, ["true"], timeout_s=5)
            engine.close()

    with ExitStack() as stack:
        urls, engines = {}, {}
        for number, name in enumerate(fast):
            place = path.with_name(f"s{number}")
            urls[name] = stack.enter_context(serving(place, JSON_CALLS[name]))
            engines[name] = Engine(Endpoint(urls[name], "test"))
            stack.callback(engines[name].close)
        cycles(len(fast))
        before = _held()
        cycles(200)
        after = _held()
    for what, was, now in zip(("descriptors", "threads"), before, after, strict=True):
        bars.append((f"{what} after 200 failed cycles", f"{was} -> {now}", "<= 1 more"))
        assert now <= was + 1


def _is_fast(behaviour) -> bool:
    # Those that send and close; not those that stall, drip or flood.
    free = behaviour.__closure__ and [cell.cell_contents for cell in behaviour.__closure__]
    return behaviour.__qualname__.startswith("says") and "close" in free


def _held() -> tuple[int, int]:
    gc.collect()
    until = time.monotonic() + 5
    # The fake engine's own ends close a moment later.
    while True:
        held = len(os.listdir("/proc/self/fd")), threading.active_count()
        time.sleep(0.25)
        if held == (len(os.listdir("/proc/self/fd")), threading.active_count()):
            return held
        assert time.monotonic() < until


def test_budgets_nest():
    """An inner budget never outlives the outer one, and the outer one comes back."""
    with deadline.budgeted(0.5) as outer:
        with deadline.budgeted(100) as inner:
            assert inner.until == outer.until
        with deadline.budgeted(0.1) as inner:
            assert inner.until < outer.until
        assert outer.left_s() > 0.1
