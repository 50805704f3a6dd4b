"""What may be written in free text."""

import getpass
import os
import socket

import pytest

from caveatlib.support import privacy

pytestmark = pytest.mark.beside


@pytest.mark.parametrize(
    "secret",
    [
        "10.11.12.13",
        "fe80::1ff:fe23:4567:890a",
        "2001:db8::8a2e:370:7334",
        "02:42:ac:11:00:02",
        "http://user:pass@proxy.example:3128",
        "registry.example.com:5000/team/app",
        "build01.corp",
        "jane.doe@example.org",
        "4d0a1c3f5e6b7a8c9d0e1f2a3b4c5d6e",
        "GITHUB_TOKEN=ghp_abcdef",
        "password: hunter2",
        "/home/janedoe",
        "0f2b6c1e-77aa-4c15-9e0d-5b1de9a3c8f4",
        "ghp_abcdefghijklmnopqrstuvwx",
        "AKIAABCDEFGHIJKLMNOP",
        "glpat-abcdefghijklmnopqrst",
        "Authorization: Bearer abcdefghijklmnopqrst",
    ],
)
def test_known_shapes_are_taken_out(secret):
    """An error that quotes one is written without it."""
    text = privacy.scrub(f"It broke at {secret} today")
    assert secret.split("=")[-1].split(": ")[-1] not in text
    assert text.startswith("It broke at")
    assert text.endswith("today")


def test_what_was_private_is_marked():
    """Each kind is named once, a secret without the name of what it is of; other text has none."""
    told = privacy.marks("10.0.0.1 and 10.0.0.2 with api_key=x of a.corp")
    assert told == ["<address>", "<host>", "<secret>"]
    assert privacy.marks("It broke after 3 s at layer 2.") == []
    long = "word " * 200  # scrub cuts it, and nothing in it is private
    assert privacy.marks(long) == []


@pytest.fixture
def names(monkeypatch):
    """Return a function that gives machine, user and whoever called sudo their names."""

    def name(host, user, caller=""):
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        monkeypatch.setattr(getpass, "getuser", lambda: user)
        monkeypatch.setenv("SUDO_USER", caller)
        privacy._known.cache_clear()

    yield name
    privacy._known.cache_clear()


def test_this_machine_is_not_named(names, monkeypatch):
    """Host, user and home are replaced wherever they stand."""
    monkeypatch.setenv("HOME", "/home/janedoe")
    names("buildhost77", "janedoe")
    text = privacy.scrub("/home/janedoe/x of janedoe on buildhost77")
    assert not {"janedoe", "buildhost77"} & set(text.replace("/", " ").split())


def test_short_names_are_taken_out_as_whole_words(names):
    """They go wherever they stand alone, and no word that only holds one is torn."""
    names("nas1", "ann", "bob")
    text = "ann: /home/ann/x, 'bob' at nas1-2 (nas1.fritz.box): cannot be bobbed by Hannah, annual."
    assert privacy.scrub(text) == (
        "<user>: /home/<user>/x, '<user>' at <host>-2 (<host>.fritz.box): "
        "cannot be bobbed by Hannah, annual."
    )


def test_the_first_part_of_a_machines_whole_name_is_its_name_too(names):
    """A machine that calls itself by its domain is not named without it either."""
    names("buildhost77.corp.example", "root")
    assert privacy.scrub("buildhost77.corp.example, buildhost77") == "<host>, <host>"


def test_names_of_nobody_stay(names):
    """What a thousand machines and users are called is no secret, and figures are none."""
    names("vm", "root", "dev")
    text = "Not 2: /dev/kvm cannot be opened in the vm. Run as root."
    assert privacy.scrub(text) == text
    names("2", "user")
    assert privacy.scrub(text) == text


def test_one_short_line_without_control_characters():
    """Whatever a program printed becomes one line."""
    text = privacy.scrub("a\nb\x1b[31m\u202e" + "x" * 1000)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) == privacy.LONGEST


def test_what_steers_a_terminal_hides_nothing():
    """Colours around an address, or a character of no width in it."""
    coloured = "from \x1b[31m192.168.1.5\x1b[0m and \x1b[1;32mbuild.corp.example\x1b[m"
    assert privacy.scrub(coloured) == "from <address> and <host>"
    assert privacy.scrub("from 192.168.\u200b1.5") == "from <address>"
    assert privacy.marks(coloured) == ["<address>", "<host>"]


def test_ordinary_sentences_stay():
    """Words, figures and times survive."""
    text = "Still running after 10 s: exit status 137, 12:30:01, runc 1.1.15+ds1."
    assert privacy.scrub(text) == text


def test_scrubbing_needs_no_home(monkeypatch):
    """A user without a name or home is no error."""
    monkeypatch.setattr(getpass, "getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    privacy._known.cache_clear()
    assert privacy.scrub("fine") == "fine"
    privacy._known.cache_clear()
