"""Paths are shown without what they tell of a person, and folders appear whole."""

from pathlib import Path

import pytest

from caveatlib.errors import StorageError
from caveatlib.support import paths

pytestmark = pytest.mark.beside


def test_shown_paths(tmp_path, monkeypatch):
    """A relative path is shown as it is, one below here relative, any other by its last part."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    for path, expected in (
        ("runs/x", "runs/x"),
        (tmp_path / "runs" / "x", "runs/x"),
        ("/home/somebody/elsewhere/x", "x"),
        ("../../home/somebody/x", "x"),
        (Path("/home/somebody"), "~"),
    ):
        assert paths.display_path(path) == expected


def test_reason_without_the_path():
    """The error of a refusal gives the reason and the last part, and not the folders."""
    error = paths.storage_error(
        "read", "/home/somebody/x", FileNotFoundError(2, "No such file", "/home/x")
    )
    assert str(error) == "Cannot read 'x': No such file."


def test_folder_appears_whole_or_not(tmp_path):
    """A folder that exists and holds something is never replaced; one that does not, is whole."""
    paths.write_folder(tmp_path / "new", {"a": b"1", "b": b"2"})
    assert {p.name: p.read_bytes() for p in (tmp_path / "new").iterdir()} == {"a": b"1", "b": b"2"}
    with pytest.raises(StorageError, match="Cannot make folder 'new'"):
        paths.write_folder(tmp_path / "new", {"a": b"3"})
    with pytest.raises(StorageError, match="Cannot write"):
        paths.write_folder(tmp_path / "other", {"a": b"1", "no/b": b"2"})
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    assert (tmp_path / "new" / "a").read_bytes() == b"1"
