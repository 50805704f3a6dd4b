"""Whose the things on an engine are: judged where that can be told, else left alone."""

import hashlib
import json
import re
import socket
import tempfile
from contextlib import closing
from pathlib import Path

import left
import pytest
from fake_engine import answer, says, serving

from caveatlib import cli
from caveatlib.places.engines import belongings
from caveatlib.places.engines.endpoint import Endpoint
from caveatlib.places.engines.engine import Engine
from caveatlib.support import processes

pytestmark = pytest.mark.beside

PID, START, BOOT, SPACE = processes.owner_token().split(":")
OWNERS = {
    "living": f"{PID}:{START}:{BOOT}:{SPACE}",
    "dead": f"{PID}:1:{BOOT}:{SPACE}",
    "earlier": f"{PID}:{START}:0badcafe0bad:{SPACE}",  # before this boot, or on another machine
    "in another namespace": f"{PID}:1:{BOOT}:1",
    "later version": "7",
}
UNDECIDED = [f"{kind} {x * 12}" for kind in ("container", "network", "image") for x in "bc"]
HERE, OTHER = "1f2e3d4c5b6a7988", "8897a6b5c4d3e2f1"


def _labels(owner: str, machine: str = "") -> dict[str, str]:
    made = {"caveatlib": "1", "caveatlib.run": "0badcafe", "caveatlib.owner": owner}
    return made | ({"caveatlib.machine": machine} if machine else {})


@pytest.mark.parametrize(
    ("owner", "made_on", "here", "judged"),
    [
        ("living", HERE, HERE, "alive"),
        ("dead", HERE, HERE, "dead"),
        ("earlier", HERE, HERE, "dead"),
        ("earlier", OTHER, HERE, "unknown"),
        ("earlier", OTHER, "", "unknown"),
        ("earlier", HERE, "", "unknown"),
        # Of a version that did not name the machine, or of a machine that has no name:
        ("earlier", "", HERE, "unknown"),
        ("earlier", "", "", "unknown"),
        # One boot is one machine, unless a copy of it, with another name, went on from there.
        ("living", "", "", "alive"),
        ("dead", "", "", "dead"),
        ("dead", "", HERE, "dead"),
        ("dead", HERE, "", "dead"),
        ("dead", OTHER, HERE, "unknown"),
        ("in another namespace", HERE, HERE, "alive"),
        ("later version", HERE, HERE, "alive"),
        ("later version", OTHER, HERE, "unknown"),
    ],
)
def test_who_is_judged(monkeypatch, owner, made_on, here, judged):
    """A boot that is not this one says nothing of an owner on another machine."""
    monkeypatch.setattr(processes, "machine", lambda: here)
    labels = _labels(OWNERS[owner], made_on)
    assert belongings.is_orphaned(labels) == (judged == "dead")
    assert belongings.is_undecided(labels) == (judged == "unknown")


def test_without_a_boot_id_no_boot_is_this_one(monkeypatch):
    """Where the kernel tells none, as macOS, all machines would have the same."""
    monkeypatch.setattr(processes, "_boot_id", lambda: "")
    token = processes.owner_token().replace(":", ":1", 1)
    monkeypatch.setattr(processes, "machine", lambda: HERE)
    assert belongings.is_undecided(_labels(token, OTHER))
    assert belongings.is_undecided(_labels(token))
    assert belongings.is_orphaned(_labels(token, HERE))


def test_what_has_no_owner_is_nobodys():
    """Neither removed nor told of."""
    for labels in ({}, {"caveatlib": "1"}, {"caveatlib.image.owner": OWNERS["earlier"]}):
        assert not belongings.is_orphaned(labels)
        assert not belongings.is_undecided(labels)


def test_what_is_made_names_its_machine(monkeypatch):
    """By the label that `is_orphaned` reads; a machine without a name leaves it out."""
    monkeypatch.setattr(processes, "machine", lambda: HERE)
    assert belongings.labels("0badcafe")["caveatlib.machine"] == HERE
    assert belongings.image_labels("0badcafe")["caveatlib.image.machine"] == HERE
    monkeypatch.setattr(processes, "machine", lambda: "")
    assert "caveatlib.machine" not in belongings.labels("0badcafe")


@pytest.fixture
def listed(monkeypatch):
    """Return the address of an engine with things of this machine, another, and one unknown."""
    monkeypatch.setattr(processes, "machine", lambda: HERE)
    owners = {"a" * 64: ("living", HERE), "b" * 64: ("earlier", OTHER), "c" * 64: ("earlier", "")}
    things = [
        {"Id": name, "Labels": _labels(OWNERS[owner], machine)}
        for name, (owner, machine) in owners.items()
    ]
    things.append({"Id": "d" * 64, "Labels": {"caveatlib": "1", "caveatlib.owner": 7}})
    images = [
        {
            "Id": f"sha256:{thing['Id']}",
            "RepoTags": ["caveatlib/busybox:0badcafe"],
            "Labels": {n.replace("lib", "lib.image", 1): v for n, v in thing["Labels"].items()},
        }
        for thing in things
    ]
    lists = {"/containers/json": things, "/networks": things, "/images/json": images}
    told = {end: answer(json.dumps(found).encode()) for end, found in lists.items()}
    with tempfile.TemporaryDirectory(prefix="cv-") as folder:
        with serving(Path(folder) / "s", says(), more=told) as url:
            yield url


def test_things_of_another_machine_stay(listed):
    """A sweep, as at each opening of an engine, removes none of them; they are named."""
    with closing(Engine(Endpoint(listed, "test"))) as engine:
        assert belongings.sweep(engine) == []
        assert belongings.undecided(engine) == UNDECIDED


def test_clean_names_what_it_leaves_alone(listed, monkeypatch, capsys):
    """Else nobody learns of it; and what this machine's own dead run left is gone."""
    monkeypatch.setenv("DOCKER_HOST", listed)
    with left.state():
        cli.clean()
    told = capsys.readouterr().out
    assert f"Left alone: {', '.join(UNDECIDED)}. " in told
    assert "another machine" in told
    assert told.endswith("\nElsewhere nothing was left behind.\n")


def test_the_name_of_a_machine_tells_nothing_of_it(monkeypatch, tmp_path):
    """A hash keyed by the machine's id; clones, whose ids are equal, differ by their host name."""
    file, name = tmp_path / "machine-id", "d41c8a7be05f4a2f9c3bb7e1a6604f55"
    monkeypatch.setattr(processes, "MACHINE_ID", file)

    def machine(text, host):
        file.write_text(f"{text}\n")
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        return processes.machine()

    found = machine(name, "zephyr")
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert found == machine(name, "zephyr")
    plain = [hashlib.sha256(text).hexdigest() for text in (name.encode(), bytes.fromhex(name))]
    assert not any(found in text for text in (name, *plain))
    others = {found, machine(name, "boreas"), machine("e" + name[1:], "zephyr")}
    assert len(others) == 3


@pytest.mark.parametrize("text", [None, "", "uninitialized\n", "0" * 32, "d41c8a7b", "\xe9" * 32])
def test_a_machine_without_an_id_has_no_name(monkeypatch, tmp_path, text):
    """As a container, whose file is empty or missing, and a machine at its first boot."""
    file = tmp_path / "machine-id"
    if text is not None:
        file.write_text(text, encoding="latin-1")
    monkeypatch.setattr(processes, "MACHINE_ID", file)
    assert processes.machine() == ""
