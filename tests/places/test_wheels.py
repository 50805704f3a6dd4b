"""Parts of wheels: one file, or a folder, written where they are wanted."""

import zipfile

import pytest

from caveatlib.errors import MeasurementError
from caveatlib.places import wheels

pytestmark = pytest.mark.beside


@pytest.fixture
def file(tmp_path):
    """Return a wheel with two folders whose names begin alike."""
    path = tmp_path / "it-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("it/data/", b"")
        package.writestr("it/data/index.json", b"{}")
        package.writestr("it/data/blobs/a", b"a")
        package.writestr("it/database/other", b"b")
    return path


def test_a_folder_is_taken_as_it_is(file, tmp_path):
    """What lies in it, at any depth; not what lies beside it."""
    wheels.take_folder(file, "it/data", tmp_path / "out")
    taken = {p.relative_to(tmp_path / "out"): p for p in (tmp_path / "out").rglob("*")}
    assert {str(name) for name in taken} == {"index.json", "blobs", "blobs/a"}
    assert (tmp_path / "out/blobs/a").read_bytes() == b"a"
    wheels.take(file, "it/database/other", tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == b"b"


def test_a_folder_that_is_not_there(file, tmp_path):
    """One line names the file and the folder."""
    with pytest.raises(MeasurementError, match=r"it-1-py3-none-any\.whl has no folder 'it/no'\."):
        wheels.take_folder(file, "it/no", tmp_path / "out")
