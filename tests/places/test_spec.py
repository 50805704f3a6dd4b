"""How places are opened: each for itself, an engine once, and what cannot be opened says why."""

import contextlib
import functools
import subprocess

import pytest

from caveatlib.errors import FAILURES, MeasurementError, Unavailable, UsageError
from caveatlib.places import spec, standard
from caveatlib.places.base import Capability
from caveatlib.places.engines import choice
from caveatlib.places.spec import Spec

pytestmark = pytest.mark.beside

RAISED = [
    MeasurementError("It broke."),
    FileNotFoundError(2, "No such file", "/run/x"),
    subprocess.TimeoutExpired(["dockerd"], 30),
    subprocess.CalledProcessError(1, ["unshare"]),
]


def fail(error):
    """Return how a place is opened that cannot be."""

    def opening(session):
        raise error

    return Spec(opening)


@pytest.mark.parametrize("error", RAISED, ids=lambda e: type(e).__name__)
def test_a_place_that_cannot_be_opened_does_not_stop_the_others(error):
    """Its handle is the error, the others' are theirs."""
    assert isinstance(error, FAILURES)
    specs = {"bad": fail(error), "good": Spec(lambda session: "open")}
    with spec.opened(specs, engine="none") as handles:
        assert handles == {"bad": error, "good": "open"}


def test_a_bug_stops_everything():
    """What is no failure of a measurement comes out, and what was open is closed."""
    held = contextlib.ExitStack()
    held.callback(lambda: closed.append("a"))
    closed = []
    specs = {"a": Spec(lambda session: session.enter(held)), "b": fail(KeyError(1))}
    with pytest.raises(KeyError), spec.opened(specs, engine="none"):
        pytest.fail("opened all the same")
    assert closed == ["a"]


def test_an_engine_is_started_once(monkeypatch):
    """Places share it; one that does not start says so to each, without another try."""
    started = []

    @contextlib.contextmanager
    def starting(kind):
        started.append(kind)
        if kind == "private":
            raise MeasurementError("The private engine did not start.")
        yield "an engine"

    monkeypatch.setattr(choice, "opened", starting)
    specs = {name: Spec(lambda session: session.engine(), runtime="runc") for name in "abc"}
    with spec.opened(specs, engine="own") as handles:
        assert handles == dict.fromkeys("abc", "an engine")
    with spec.opened(specs, engine="private") as handles:
        assert {str(e) for e in handles.values()} == {"The private engine did not start."}
    assert started == ["own", "private"]


def test_missing_names_the_first_need_that_fails_and_its_fix():
    """Probes are asked in their order; the fix is in brackets."""

    def found(name, available, fix=""):
        return lambda: Capability(name, available, "reason", fix)

    def never():
        raise AssertionError("asked though a need before it fails")

    specs = {
        "all there": Spec(None, needs=(found("a", True), found("b", True))),
        "no fix": Spec(None, needs=(found("a", True), found("b", False), never)),
        "a fix": Spec(None, needs=(found("b", False, "install b"),)),
        "better with": Spec(None, better_with=(found("c", False),)),
    }
    missing = spec.missing(specs, engine="none")
    assert missing == {"no fix": "b: reason", "a fix": "b: reason (install b)"}


def engines(monkeypatch, *, own: bool, private: bool):
    """Let probes find these engines."""
    for module, name, there in (
        (choice.own_engine, "own-engine", own),
        (choice.private_engine, "private-engine", private),
    ):
        found = Capability(name, there, "" if there else f"no {name}", "" if there else "mend it")
        monkeypatch.setattr(module, "probe", lambda found=found: found)
    monkeypatch.setattr(choice.runc, "probe", lambda name: Capability(name, name != "crun", "told"))
    monkeypatch.setattr(choice, "_runtimes", lambda kind: frozenset({"crun"}))
    monkeypatch.setattr(choice, "_answers", lambda kind: None)


@pytest.mark.parametrize(
    ("own", "private", "asked", "used"),
    [
        (True, True, None, "private"),
        (True, False, None, "own"),
        (False, False, None, "none"),
        (False, False, "none", "none"),
        (False, False, "own", "own"),  # `_answers` would raise
        (False, False, "tcp://e.invalid:1", "tcp://e.invalid:1"),
        (False, True, "private", "private"),
    ],
)
def test_which_engine(monkeypatch, own, private, asked, used):
    """The one asked for; else a private one, else the reader's own, else none."""
    engines(monkeypatch, own=own, private=private)
    assert choice.checked(asked) == used


def test_an_engine_that_cannot_be_had(monkeypatch):
    """One that was asked for is refused; an unknown word is a mistake."""
    engines(monkeypatch, own=True, private=False)
    with pytest.raises(Unavailable, match=r"^No private engine: no private-engine\. mend it"):
        choice.checked("private")
    with pytest.raises(UsageError, match="Unknown engine 'mine'"):
        choice.checked("mine")


@pytest.mark.parametrize(
    ("engine", "missing"),
    [
        ("private", {"docker-crun": "crun: told"}),
        ("own", {"docker-runc": "runc: the engine lacks this runtime"}),
        ("none", dict.fromkeys(
            ("docker-runc", "docker-crun"),
            "engine: no own-engine; a private one: no private-engine (mend it)")),
    ],
)  # fmt: skip
def test_what_a_docker_place_needs_depends_on_the_engine(monkeypatch, engine, missing):
    """A private engine brings the runtimes that work here, the reader's has its own."""
    there = engine != "none"
    engines(monkeypatch, own=there, private=there)
    specs = {f"docker-{name}": standard.docker(name) for name in ("runc", "crun")}
    assert spec.missing(specs, engine=engine) == missing


def test_what_was_prepared_is_looked_for_again():
    """What was missing is asked for anew; what was there stays known.

    Seen to fail: with `forget` doing nothing.
    """
    asked, there = [], {"tool": True}

    @functools.cache
    def probe(name):
        asked.append(name)
        return Capability(name, name in there, "")

    specs = {n: Spec(lambda s: None, needs=(functools.partial(probe, n),)) for n in ("tool", "new")}
    assert list(spec.missing(specs, engine="none")) == ["new"]
    there["new"] = True
    assert list(spec.missing(specs, engine="none")) == ["new"]
    spec.forget(specs.values())
    assert spec.missing(specs, engine="none") == {}
    asked.clear()
    spec.forget(specs.values())
    assert asked == []
