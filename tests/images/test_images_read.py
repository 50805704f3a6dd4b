"""Whole images: every format, the samples, and sources that cannot be read."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import imagebuild as build
import make_samples
import pandas as pd
import pytest
from little_image import IMAGE, LOWER, SAMPLES, UPPER, expect_lower_and_upper, from_bytes

from caveatlib import images
from caveatlib.errors import CaveatError, ImageError, UsageError
from caveatlib.images import find

pytestmark = pytest.mark.beside

LAYERS_CSV = (
    "layer,digest,diff_id,created_by,media_type,compressed_bytes,size_bytes,files,"
    "wasted_bytes,verified"
)
OTHER = {"name": "two:2", "layers": [LOWER]}


@pytest.mark.parametrize("codec", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("manifest_json", [False, True])
def test_oci_in_every_packing(codec, nested, manifest_json, tmp_path):
    """An OCI layout reads the same as folder, archive, packed archive and stream."""
    files = build.oci([IMAGE | {"codec": codec}], nested=nested, manifest_json=manifest_json)
    build.write_layout(files, tmp_path / "layout")
    data = build.archive(files)
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.tar.zst").write_bytes(build.packed(data, "zstd"))
    tables = []
    for name in ("layout", "a.tar", "a.tar.gz", "a.tar.zst"):
        image = images.read(tmp_path / name)
        expect_lower_and_upper(image)
        tables.append(image.layers)
    for stream in (io.BytesIO(data), io.BytesIO(gzip.compress(data)), [data[:7], data[7:]]):
        tables.append(images.read_stream(stream).layers)
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    plain = tables[0]["digest"] == tables[0]["diff_id"]
    assert plain.all() == (codec == "plain")


def test_classic_archive_with_shared_layers(tmp_path):
    """A classic archive of two images: named, listed, read from file and stream."""
    files = build.classic([IMAGE, OTHER])
    # As Docker does it, the second image's copy is a link to the first one's.
    shared = next(name for name in files if name.endswith("/layer.tar"))
    items = json.loads(files["manifest.json"])
    items[1]["Layers"] = ["ff/layer.tar"]
    files["manifest.json"] = build.dumps(items)
    data = build.tar(
        [build.file(n, d) for n, d in files.items()]
        + [build.symlink("ff/layer.tar", "../" + shared)]
    )
    path = tmp_path / "two.tar"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"holds 2 images.*one:1.*two:2"):
        images.read(path)
    expect_lower_and_upper(images.read(path, name="one:1"))
    expect_lower_and_upper(images.read(f"{path}#one:1"))
    expect_lower_and_upper(images.read_stream(io.BytesIO(data), name="one:1"))
    both = images.read_all(path)
    assert [image.name for image in both] == ["one:1", "two:2"]
    with pytest.raises(UsageError, match="no image 'three'"):
        images.read(path, name="three")
    table = images.shared(both)
    assert table["images"].tolist() == [2, 1]
    assert table["used_by"].tolist() == ["one:1, two:2", "one:1"]
    assert table["size_bytes"].tolist() == [710, 5]


def test_platforms_and_attestations(tmp_path):
    """This machine's platform is the default; attestations are skipped."""
    attestation = {
        "layers": [LOWER],
        "descriptor": {
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        },
    }
    arm = {"layers": [UPPER], "platform": "linux/arm64", "architecture": "arm64"}
    here = {"layers": [LOWER, UPPER], "platform": find.default_platform()}
    for nested in (False, True):
        folder = tmp_path / str(nested)
        build.write_layout(build.oci([attestation, arm, here], nested=nested), folder)
        expect_lower_and_upper(images.read(folder))
        assert images.read(folder, platform="linux/arm64/v8").platform == "linux/arm64"
        with pytest.raises(UsageError, match="Must be one of: linux/amd64, linux/arm64"):
            images.read(folder, platform="linux/s390x")
    build.write_layout(build.oci([attestation, arm]), tmp_path / "only-arm")
    assert images.read(tmp_path / "only-arm").platform == "linux/arm64"


def test_a_platform_that_only_the_config_states(tmp_path):
    """An image for another one is not taken for the one that was asked for."""
    only = {"name": "x", "layers": [LOWER], "architecture": "arm64"}
    (tmp_path / "oci.tar").write_bytes(build.archive(build.oci([only])))
    (tmp_path / "classic.tar").write_bytes(build.archive(build.classic([IMAGE])))
    for name, right, wrong in (
        ("oci.tar", "linux/arm64", "linux/amd64"),
        ("classic.tar", "linux/amd64", "linux/arm64/v8"),
    ):
        for asked in (None, right):
            assert images.read(tmp_path / name, platform=asked).platform == right
        with pytest.raises(UsageError, match=f"not available for '{wrong}'.*one of: {right}"):
            images.read(tmp_path / name, platform=wrong)
    rows = images.survey([tmp_path], platform="linux/amd64", progress=False).images
    assert rows["ok"].tolist() == [True, False]


def test_each_of_several_images_has_the_limits_of_one(tmp_path):
    """Ten images of a fifth of the entries that one may have are no image of twice as many."""
    layers = [[build.file(f"f{n}{i}") for i in range(5)] for n in (1, 2)]
    many = [{"name": f"n{n}", "layers": [layer]} for n, layer in enumerate(layers)]
    build.write_layout(build.oci(many), tmp_path)
    limits = images.Limits(entries=5)
    assert [len(one.files) for one in images.read_all(tmp_path, limits=limits)] == [5, 5]
    with pytest.raises(ImageError, match=r"At least 5 entries\. Must be at most 4"):
        images.read_all(tmp_path, limits=images.Limits(entries=4))


def test_samples_are_what_their_script_makes():
    """The committed samples are byte for byte those of make_samples, each at most 200 KB."""
    made = make_samples.samples()
    for name, data in made.items():
        assert (SAMPLES / name).read_bytes() == data, name
        assert len(data) <= 200_000
    assert {path.name for path in SAMPLES.glob("*.tar")} == set(made)


def test_bloated_sample_to_the_byte():
    """The layers table of bloated.tar is exact, and its columns are those that others rely on."""
    table = images.read(SAMPLES / "bloated.tar").layers
    assert table.to_csv(index=False).splitlines()[0] == LAYERS_CSV
    numbers = table[["layer", "compressed_bytes", "size_bytes", "files", "wasted_bytes"]]
    assert numbers.to_numpy().tolist() == [
        [0, 78848, 57896, 28, 0],
        [1, 72192, 69000, 3, 69000],
        [2, 22528, 20000, 2, 0],
        [3, 2048, 0, 0, 0],
    ]
    assert table["created_by"].tolist()[1] == "RUN fetch && build"
    assert (table["digest"] == table["diff_id"]).all()
    assert (table["verified"] == "true").all()


def test_lean_sample():
    """lean.tar is one gzip layer without waste, whose digest differs from its diff_id."""
    image = images.read(SAMPLES / "lean.tar")
    row = image.layers.iloc[0]
    assert (row["compressed_bytes"], row["size_bytes"], row["wasted_bytes"]) == (20199, 20000, 0)
    assert row["digest"] != row["diff_id"]
    assert image.summary["efficiency"].item() == 1


def test_olive_sample():
    """A shell that is a script is always listed, changed contents with ``olives=True``."""
    quick = images.read(SAMPLES / "olive.tar").olives
    assert quick["path"].tolist() == ["/usr/bin/dash"]
    assert quick["found"].tolist() == ["/bin/sh leads to a script"]
    full = images.read(SAMPLES / "olive.tar", olives=True).olives
    assert full["path"].tolist() == ["/usr/bin/dash", "/usr/bin/dash", "/usr/bin/ls"]
    assert full["package"].tolist() == ["", "dash", "util"]
    assert full["layer"].tolist() == [1, 1, 1]
    assert images.read(SAMPLES / "bloated.tar", olives=True).olives.empty


def test_tampered_and_cut_samples():
    """The error names the layer with a flipped bit; a cut archive is reported as cut."""
    with pytest.raises(ImageError, match=r"Layer 2.* has the digest sha256:.* Must be sha256:"):
        images.read(SAMPLES / "tampered.tar")
    with pytest.raises(ImageError, match="cut off"):
        images.read(SAMPLES / "cut.tar")


def test_sources_that_cannot_be_read():
    """A missing path, a folder without index, a device, an unknown scheme: a UsageError."""
    for source in ("/nonexistent", "/proc", "/dev/null", "ftp://x/y", "registry://x", "a\0b"):
        with pytest.raises(UsageError):
            images.read(source)


def test_pipe_is_refused_without_waiting(tmp_path):
    """A named pipe without a writer is refused, alone and as a blob of a layout."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        images.read(tmp_path / "pipe")
    files = build.oci([IMAGE])
    build.write_layout(files, tmp_path / "layout")
    blob = tmp_path / "layout" / next(name for name in files if name.startswith("blobs/"))
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(ImageError, match="is missing from the image"):
        images.read(tmp_path / "layout")


@pytest.mark.parametrize("climb", ["../../", "/"])
def test_a_layout_is_not_left(climb, tmp_path):
    """A path in ``manifest.json`` leads to a file of the layout, whatever it looks like."""
    (tmp_path / "config.json").write_bytes(build.config([]))
    where = climb + ("config.json" if climb != "/" else f"{tmp_path}/config.json")
    item = {"Config": where, "RepoTags": ["a:1"], "Layers": []}
    files = {"index.json": b'{"manifests": null}', "manifest.json": build.dumps([item])}
    build.write_layout(files, tmp_path / "some" / "layout")
    with pytest.raises(ImageError, match="is missing from the image"):
        images.read(tmp_path / "some" / "layout")
    long = build.dumps([item | {"Config": "c" * 5000}])
    build.write_layout(files | {"manifest.json": long}, tmp_path / "long")
    with pytest.raises(ImageError, match="is missing from the image"):
        images.read(tmp_path / "long")


def test_links_in_a_loop():
    """Links of the outer archive that form a loop are an error."""
    data = build.tar([build.symlink("manifest.json", "b"), build.symlink("b", "manifest.json")])
    with pytest.raises(ImageError, match="form a loop"):
        from_bytes(data)


def test_nothing_is_written(tmp_path):
    """Reading opens nothing for writing, creates, moves and deletes nothing, and runs nothing."""
    build.write_layout(build.oci([IMAGE]), tmp_path / "layout")
    code = """
import os, sys
from caveatlib import frames, images
images.read(sys.argv[1]).summary
seen = []
def hook(event, args):
    if event == "open":
        mode, flags = args[1], args[2]
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & writes:
            seen.append((event, args))
    elif event.split(".")[0] in ("os", "shutil", "subprocess", "socket", "tempfile"):
        if event not in ("os.listdir", "os.scandir"):
            seen.append((event, args))
sys.addaudithook(hook)
for source in sys.argv[1:]:
    image = images.read(source, olives=True)
    image.summary, image.files, image.packages, image.olives, image.layers
    with open(source, "rb") if source.endswith(".tar") else open("/dev/null") as stream:
        if source.endswith(".tar"):
            images.read_stream(stream).summary
print(seen)
"""
    sources = [str(SAMPLES / f"{n}.tar") for n in ("lean", "bloated", "olive")]
    done = subprocess.run(
        [sys.executable, "-c", code, *sources, str(tmp_path / "layout")],
        check=True, timeout=60, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_foreign_archives_of_go_containerregistry(require):
    """Every archive and layout in the tests of this Go package is read or refused cleanly."""
    root = Path("/var/cache/caveatlib/golang-github-google-go-containerregistry-dev")
    require(str(root))
    read = 0
    found = [p for p in root.rglob("*") if p.suffix in (".tar", ".tgz", ".gz")]
    found += [p.parent for p in root.rglob("index.json")]
    assert len(found) >= 5
    for path in found:
        try:
            for image in images.read_all(path):
                image.summary  # noqa: B018
                read += 1
        except CaveatError:
            continue
    assert read >= 3
