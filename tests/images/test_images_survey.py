"""Many images: each as it reads alone, each distinct layer read once, failures as rows.

Seen to fail: with a layer's key without its source for archives whose names are no digests,
with layers kept by path, with a failed layer's error swallowed.
"""

import errno
import itertools
import pickle
from pathlib import Path

import imagebuild as build
import pandas as pd
import pytest

from caveatlib import cli, images
from caveatlib.errors import ImageError, StorageError, UsageError
from caveatlib.images import stores, surveying

pytestmark = pytest.mark.beside

BASE = [build.file("etc/base", b"b" * 5000), build.folder("d/")]
STATUS = b"Package: a\nStatus: install ok installed\nVersion: 1\nInstalled-Size: 3\n\n"
OWN = [
    [build.file(f"own{i}", b"o" * i), build.file("var/lib/dpkg/status", STATUS)] for i in (1, 2, 3)
]


@pytest.fixture
def archives(tmp_path):
    """Return a folder of three images that share a layer."""
    folder = tmp_path / "many"
    for number, own in enumerate(OWN):
        name = f"v{number}"
        parts = build.oci([{"name": name, "layers": [BASE, own], "codec": "gzip"}])
        build.write_layout(parts, folder / name)
    return folder


def test_each_image_as_it_reads_alone(archives):
    """Rows, packages and layers are those of `images.read`."""
    found = images.survey([archives], progress=False)
    assert list(found.images["ok"]) == [True] * 3
    for path, row in zip(sorted(archives.iterdir()), found.images.to_dict("records"), strict=True):
        alone = images.read(path)
        assert row["reference"] == str(path)
        expected = alone.summary.iloc[0].to_dict()
        assert {name: row[name] for name in expected} == expected
    shared = found.layers.iloc[0]
    assert shared["images"] == 3
    assert shared["diff_id"] == images.read(archives / "v0").layers["diff_id"][0]
    assert len(found.layers) == 4
    assert found.packages.to_dict("records") == [
        {"manager": "dpkg", "name": "a", "version": "1", "images": 3}
    ]


def test_each_distinct_layer_is_read_once(archives, monkeypatch):
    """Six layers, of which four are distinct."""
    read = []
    layer = stores.Layout.layer
    monkeypatch.setattr(
        stores.Layout, "layer", lambda self, path, of: read.append(path) or layer(self, path, of)
    )
    images.survey([archives], progress=False)
    assert len(read) == len(set(read)) == 4


def test_what_cannot_be_read_is_a_row(archives, tmp_path):
    """With its reason; the others are read, also those that share a layer with it."""
    (archives / "a.tar").write_bytes(b"nonsense")
    own = images.read(archives / "v1").layers["digest"][1].partition(":")[2]
    (archives / "v1" / "blobs" / "sha256" / own).write_bytes(b"changed")
    found = images.survey([archives, archives / "v2"], progress=False).images
    by = found.set_index(found["reference"].str.rpartition("/")[2])
    assert list(by["ok"][["v0", "v2"]]) == [True, True]
    assert not by["ok"]["v1"]
    assert own[:12] in by["error"]["v1"]
    assert by["error"]["a.tar"]
    assert len(found) == 4  # that one is named twice is no second image
    assert found["layers"].isna().sum() == 2


@pytest.mark.parametrize("damage", ["changed", "no tar", "gone"])
def test_a_layer_that_is_damaged_in_one_place_is_read_in_another(archives, damage):
    """One bad copy, read first, takes no image from the survey that has a sound one."""
    base = images.read(archives / "v0").layers["digest"][0].partition(":")[2]
    blob = archives / "v0" / "blobs" / "sha256" / base
    if damage == "gone":
        blob.unlink()
    else:
        other = build.packed(build.tar([build.file("other", b"o" * 9)]), "gzip")
        blob.write_bytes(other if damage == "changed" else b"x" * blob.stat().st_size)
    found = images.survey([archives], progress=False)
    assert found.images["ok"].tolist() == [False, True, True]
    assert base[:12] in found.images["error"][0]
    assert found.layers["images"].max() == 2


def test_a_layer_that_cannot_be_read_is_not_asked_for_again(archives, monkeypatch):
    """Not in the same place: a registry that stalls would do so for each of its images."""
    asked = []

    def away(image, part, limits):
        asked.append(part.path)
        raise ImageError("away")

    monkeypatch.setattr(surveying, "_read", away)
    monkeypatch.setattr(surveying.Planned, "where", "registry://one.invalid")
    found = images.survey([archives], progress=False).images
    assert not found["ok"].any()
    assert len(asked) == len(set(asked)) == 4


def test_archives_whose_names_are_no_digests_are_not_mixed_up(tmp_path):
    """Two classic archives with a layer of the same name in each."""
    for name, own in (("a", b"1"), ("b", b"22")):
        image = {"name": name, "layers": [[build.file("f", own)]]}
        (tmp_path / f"{name}.tar").write_bytes(build.archive(build.classic([image])))
    found = images.survey([tmp_path], progress=False)
    assert list(found.images["size_bytes"]) == [1, 2]


def test_sources_that_are_none(tmp_path):
    """An empty folder, a reference that is none: one line, nothing read."""
    with pytest.raises(UsageError, match="is empty"):
        images.survey([tmp_path], progress=False)
    row = images.survey([tmp_path / "no.tar"], progress=False).images.iloc[0]
    assert not row["ok"]
    assert "does not exist" in row["error"]
    assert surveying.expand(["registry://a.invalid/x", "registry://a.invalid/x"]) == [
        surveying.Reference("registry://a.invalid/x")
    ]


def test_one_source_needs_no_list(archives):
    """A text is a sequence, too: its letters are no sources, and the first is the root folder.

    Seen to fail: with sources taken as they come.
    """
    one = str(archives)
    assert len(surveying.expand([one])) == 3
    for source in (one, Path(one), one.encode()):
        assert surveying.expand(source) == surveying.expand([one])


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    """One line, as of a file that may not be read."""

    def refused(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(surveying.Path, "iterdir", refused)
    with pytest.raises(StorageError, match="Permission denied"):
        images.survey([tmp_path], progress=False)


def test_where_nothing_can_be_written_nothing_is_read(tmp_path, monkeypatch, capsys):
    """Found before the images are read, which may take hours, and not after."""
    monkeypatch.setattr(images, "survey", lambda *_, **__: pytest.fail("was read"))
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file" / "s", tmp_path / "closed" / "s"):
        if out.parent.name == "closed":
            monkeypatch.setattr(cli.os, "access", lambda *_: False)
        monkeypatch.setattr("sys.argv", ["caveatlib", "survey", "x.tar", "--out", str(out)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith("caveatlib: Cannot ")


def test_a_survey_of_nothing_writes_nothing(tmp_path, monkeypatch, capsys):
    """So the command can be corrected and given again; one image that is read is written.

    Seen to fail: with the tables written before the error.
    """
    monkeypatch.chdir(tmp_path)

    def ended(*sources):
        monkeypatch.setattr("sys.argv", ["caveatlib", "survey", *map(str, sources)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capsys.readouterr().err

    status, err = ended("no.tar")
    assert status == 2
    assert "'no.tar' does not exist" in err
    assert err.endswith("None of the images could be read; nothing was written.\n")
    assert not list(tmp_path.iterdir())
    build.write_layout(build.oci([{"name": "a", "layers": [BASE]}]), tmp_path / "a")
    status, err = ended("no.tar", "a")
    assert status == 0
    assert "'no.tar' does not exist" in err
    assert {path.name for path in (tmp_path / "survey").iterdir()} == {
        "images.csv", "layers.csv", "packages.csv",
    }  # fmt: skip


def _finished(name, layers, packages):
    """Return what is kept of an image with these layers: digest, size, size as stored."""
    columns = ["diff_id", "size_bytes", "compressed_bytes"]
    return surveying.Finished(
        {"reference": name, "ok": True, "error": ""},
        pd.DataFrame(layers, columns=columns),
        pd.DataFrame(packages, columns=["manager", "name", "version"]),
    )


COUNTED = [
    _finished("a", [("one", 10, 5), ("two", 20, 9), ("one", 10, 5)], [("dpkg", "x", "1")] * 2),
    _finished("b", [("two", 20, 7), ("three", 30, 3)], [("dpkg", "x", "1"), ("apk", "x", "1")]),
    surveying.Finished({"reference": "c", "ok": False, "error": "gone"}),
    _finished("d", [("three", 30, 4), ("two", 20, 8)], [("dpkg", "x", "2")]),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(COUNTED)))))
def test_the_order_in_which_images_come_changes_nothing(order):
    """A layer counts once per image, at its smallest; ties stand as the images do."""
    tally = surveying.Tally()
    for number in order:
        tally.add(number, COUNTED[number])
    found = tally.survey()
    assert list(found.images["reference"]) == ["a", "b", "c", "d"]
    assert found.layers.to_dict("split")["data"] == [
        ["two", 20, 7, 3],
        ["three", 30, 3, 2],
        ["one", 10, 5, 1],
    ]
    assert found.packages.to_dict("split")["data"] == [
        ["dpkg", "x", "1", 2],
        ["apk", "x", "1", 1],
        ["dpkg", "x", "2", 1],
    ]


def test_no_image_is_three_empty_tables():
    """With their columns."""
    found = surveying.Tally().survey()
    assert [len(t) for t in (found.images, found.layers, found.packages)] == [0, 0, 0]
    assert list(found.layers.columns) == surveying.LAYERS


def test_a_tally_grows_with_what_is_distinct():
    """A thousand images of the same layers and packages are kept as rows, not as frames."""
    packages = [("dpkg", f"p{i}", "1") for i in range(300)]
    one = _finished("x", [("one", 10, 5)], packages)
    tally = surveying.Tally()
    for number in range(1000):
        tally.add(number, one)
    assert len(tally.survey().packages) == 300
    assert len(pickle.dumps(tally)) < 100_000  # the frames of all of them are 10 MB
