"""The search for private facts finds them in every form that it claims to."""

import base64
import gzip
import json
from urllib.parse import quote

import canaries
import pytest

pytestmark = pytest.mark.beside

VALUES = canaries.planted()


def test_thirty_distinct_facts():
    """There are 30, each is found by itself, and none is found in nothing."""
    assert len(set(VALUES.values())) == 30
    assert canaries.found(b"", VALUES) == []
    for name, value in VALUES.items():
        assert name in canaries.found(value.encode(), VALUES)


def test_every_fact_is_planted_somewhere():
    """The environment and the fake inputs hold every fact, so that its absence says something."""
    sources = [
        canaries.environment(VALUES),
        canaries.engine_info(VALUES),
        canaries.inspected(VALUES),
        canaries.image_config(VALUES),
        canaries.iperf3(VALUES),
    ]
    everything = json.dumps(sources).encode()
    unplanted = set(VALUES) - set(canaries.found(everything, VALUES))
    assert unplanted == {"machine id", "boot id"}  # these are read from files


@pytest.mark.parametrize("name", VALUES)
def test_encoded_facts_are_found(tmp_path, name):
    """A fact in a file, encoded, packed, or in a file's name, fails with where it is."""
    value = VALUES[name]
    raw = value.encode()
    forms = [
        raw.upper(),
        b"x" + json.dumps({"a": value}).encode(),
        quote(value, safe="").encode(),
        gzip.compress(b"a " + raw),
        *(base64.b64encode(b"abc"[:k] + raw + b"tail") for k in range(3)),
    ]
    for content in forms:
        (tmp_path / "file.csv").write_bytes(content)
        with pytest.raises(AssertionError, match=r"in file\.csv"):
            canaries.assert_absent(tmp_path, VALUES)
    (tmp_path / "file.csv").unlink()
    (tmp_path / ("x" + value.replace("/", "-").replace(" ", "-"))).mkdir()
    with pytest.raises(AssertionError):
        canaries.assert_absent(tmp_path, VALUES)


def test_clean_folder_passes(tmp_path):
    """A folder without any fact passes, and the number of files searched is told."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "trials.csv").write_text("run,place\n2026,docker-runc\n")
    assert canaries.assert_absent(tmp_path, VALUES | canaries.machine()) == 1
