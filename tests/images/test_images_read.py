"""Whole images: every format, verification, and hostile input.

Seen to fail: with digests never compared, and with one link too few followed.
"""

import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import imagebuild as build
import make_samples
import pandas as pd
import pytest

from caveatlib import frames, images
from caveatlib.errors import CaveatError, ImageError, UsageError
from caveatlib.images import assemble, codecs, documents, find, stores, tables
from caveatlib.images.limits import Budget, Limits

pytestmark = pytest.mark.beside

MUTANT_S = 2
"""Seconds of processor time that any image may take."""
SAMPLES = Path(__file__).parents[2] / "data" / "images"
LAYERS_CSV = (
    "layer,digest,diff_id,created_by,media_type,compressed_bytes,size_bytes,files,"
    "wasted_bytes,verified"
)
LOWER = [build.folder("a/"), build.file("a/f", b"1" * 700), build.file("b", b"2" * 10)]
UPPER = [build.file("a/.wh.f"), build.file("c", b"3" * 5)]
IMAGE = {"name": "one:1", "layers": [LOWER, UPPER]}
OTHER = {"name": "two:2", "layers": [LOWER]}


def from_bytes(data: bytes, **options) -> images.Image:
    """Read an archive in memory by random access, as `read` does with a file."""
    limits = options.pop("limits", images.DEFAULTS)
    store = stores.Archive(
        lambda size, offset: data[offset : offset + size], len(data), budget=Budget(limits)
    )
    found = find.find(store, limits)
    return assemble.load(store, find.pick(found, None, None, "bytes"), limits)


def expect_lower_and_upper(image: images.Image) -> None:
    assert image.layers["size_bytes"].tolist() == [710, 5]
    assert image.layers["wasted_bytes"].tolist() == [700, 0]
    assert image.layers["files"].tolist() == [3, 1]
    assert image.layers["verified"].tolist() == ["true", "true"]
    assert image.files["path"].tolist() == ["/a", "/a/f", "/b", "/c"]
    assert image.files["hidden_by"].fillna(-1).tolist() == [-1, 1, -1, -1]


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


def test_300_bit_flips_are_found_by_digest(bars):
    """Single bits flipped in manifest, config or layers are all found, by digest (seeded)."""
    rng = random.Random(6)
    files = build.oci([IMAGE | {"codec": "gzip"}])
    plain = build.oci([IMAGE])
    blobs = [(files, name) for name in files if name.startswith("blobs/")]
    blobs += [(plain, name) for name in plain if name.startswith("blobs/")]
    for number in range(300):
        source, name = blobs[number % len(blobs)]
        changed = bytearray(source[name])
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        with pytest.raises(ImageError, match=r"has the digest sha256:\w+\. Must be sha256:"):
            from_bytes(build.archive(source | {name: bytes(changed)}))
    bars.append(("image: single-bit flips found by digest", "300 of 300", "300"))


def test_200_cuts_are_noticed(bars):
    """An archive cut anywhere is an ImageError, from file and from stream (seeded)."""
    rng = random.Random(8)
    for data in (build.archive(build.oci([IMAGE])), build.archive(build.classic([IMAGE]))):
        for size in rng.sample(range(1, len(data)), 100):
            with pytest.raises(ImageError):
                from_bytes(data[:size])
            with pytest.raises(ImageError):
                images.read_stream(io.BytesIO(data[:size]))
    bars.append(("image: cut archives noticed", "200 of 200", "200"))


def index_with(value) -> dict[str, bytes]:
    return {"index.json": value if isinstance(value, bytes) else build.dumps(value)}


def manifest_with(size: int = 0, **changes) -> dict[str, bytes]:
    """Return a layout whose manifest is changed or padded to a size, its digest put right."""
    files = build.oci([IMAGE])
    index = json.loads(files["index.json"])
    path = "blobs/" + index["manifests"][0]["digest"].replace(":", "/")
    manifest = json.loads(files.pop(path)) | changes
    data = build.dumps(manifest).ljust(size)
    files["blobs/" + build.digest(data).replace(":", "/")] = data
    index["manifests"] = [build.descriptor(data, build.OCI + ".manifest.v1+json")]
    return files | index_with(index)


def config_with(data: bytes) -> dict[str, bytes]:
    """Return a layout with this config."""
    files = build.oci([IMAGE])
    files["blobs/" + build.digest(data).replace(":", "/")] = data
    layers = json.loads(files["manifest.json"]) if "manifest.json" in files else None
    assert layers is None
    changed = manifest_with(config=build.descriptor(data, build.OCI + ".config.v1+json"))
    return files | changed


def indexes(depth: int) -> dict[str, bytes]:
    """Return a layout with this number of nested indexes above the image."""
    files = build.oci([IMAGE])
    for _ in range(depth):
        inner = files["index.json"]
        files["blobs/" + build.digest(inner).replace(":", "/")] = inner
        files["index.json"] = build.dumps(
            {"manifests": [build.descriptor(inner, build.OCI + ".index.v1+json")]}
        )
    return files


CONFIG = json.loads(build.config([build.tar(LOWER), build.tar(UPPER)]))
MALFORMED = {
    "nothing in it": {},
    "manifests null": index_with({"manifests": None}),
    "manifests a string": index_with({"manifests": "x"}),
    "manifests of numbers": index_with({"manifests": [1]}),
    "index null": index_with(b"null"),
    "index not UTF-8": index_with(b'{"manifests": "\xff"}'),
    "index empty": index_with(b""),
    "duplicate keys": index_with(b'{"manifests": [], "manifests": []}'),
    "NaN": index_with(b'{"manifests": NaN}'),
    "deep nesting": index_with(b"[" * 100_000),
    "huge number": index_with(b'{"manifests": [{"size": ' + b"9" * 6000 + b"}]}"),
    "size a string": manifest_with(config={"digest": "sha256:" + "0" * 64, "size": "10"}),
    "size negative": manifest_with(config={"digest": "sha256:" + "0" * 64, "size": -1}),
    "size a float": manifest_with(config={"digest": "sha256:" + "0" * 64, "size": 1.5}),
    "size true": manifest_with(config={"digest": "sha256:" + "0" * 64, "size": True}),
    "digest climbs out": manifest_with(config={"digest": "sha256:../../etc/passwd", "size": 1}),
    "digest md5": manifest_with(config={"digest": "md5:" + "0" * 32, "size": 1}),
    "config null": manifest_with(config=None),
    "config is missing": manifest_with(config={"digest": "sha256:" + "0" * 64, "size": 1}),
    "layers a number": manifest_with(layers=3),
    "layers are fewer than diff_ids": manifest_with(layers=[]),
    "diff_ids of numbers": config_with(build.dumps(CONFIG | {"rootfs": {"diff_ids": [1, 2]}})),
    "diff_ids of another": config_with(
        build.dumps(CONFIG | {"rootfs": {"diff_ids": ["sha256:" + "0" * 64] * 2}})
    ),
    "history of numbers": config_with(build.dumps(CONFIG | {"history": [1, 2]})),
    "architecture a list": config_with(build.dumps(CONFIG | {"architecture": ["x"]})),
    "cycle of indexes": build.cycle(),
    "manifest.json null": {"manifest.json": b"null"},
    "manifest.json an object": {"manifest.json": b"{}"},
    "manifest.json of strings": {"manifest.json": b'["a"]'},
    "manifest.json layers of numbers": {
        "manifest.json": b'[{"Config": "c", "Layers": [1]}]',
        "c": b"{}",
    },
    "manifest.json without layers there": {
        "manifest.json": b'[{"Config": "c", "Layers": ["l"]}]',
        "c": b"{}",
    },
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_documents(name):
    """Each ends at once in one line of error, from file and from stream."""
    data = build.archive(MALFORMED[name])
    start = time.process_time()
    for read in (from_bytes, lambda data: images.read_stream(io.BytesIO(data))):
        with pytest.raises(ImageError) as caught:
            read(data)
        text = str(caught.value)
        assert text.isprintable()
        assert 10 < len(text) < 400
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": {"b": 1, "b": 2}}', "has the key 'b' twice"),
        (b'{"a": NaN}', "contains the number NaN"),
        (b'{"a": -Infinity}', "contains the number -Infinity"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a": ' + b"9" * 6000 + b"}", "not valid JSON"),
    ],
)
def test_malformed_json(text, message):
    """JSON that is ambiguous or malformed is refused with its reason."""
    with pytest.raises(ImageError, match=message):
        documents.parse(text, "It")


@pytest.mark.parametrize("size", ["10", True, 1.5, -1, 1 << 63, [], {}])
def test_sizes_of_descriptors(size):
    """A size is a whole number of bytes, never a string, a bool or a float."""
    value = {"digest": "sha256:" + "0" * 64, "size": size}
    with pytest.raises(ImageError, match="'size' of it is"):
        documents.descriptor(value, "it")
    assert documents.descriptor(value | {"size": 7}, "it").size == 7


def test_documented_nulls():
    """What Docker 25 writes reads: null manifests beside manifest.json, null tags, null history."""
    files = build.oci([{"layers": [LOWER, UPPER]}], manifest_json=True)
    files["index.json"] = b'{"schemaVersion":2,"manifests":null}'
    expect_lower_and_upper(from_bytes(build.archive(files)))
    config = CONFIG | {"history": None, "config": None}
    image = from_bytes(build.archive(config_with(build.dumps(config))))
    expect_lower_and_upper(image)
    assert image.layers["created_by"].tolist() == ["", ""]


def test_not_checkable():
    """A classic archive whose config has no diff_ids says that nothing could be checked."""
    files = build.classic([IMAGE])
    item = json.loads(files["manifest.json"])[0]
    files |= {"c.json": b"{}", "manifest.json": build.dumps([item | {"Config": "c.json"}])}
    image = from_bytes(build.archive(files))
    assert image.layers["verified"].tolist() == ["not checkable"] * 2


def test_index_of_an_index_of_itself_is_a_cycle(monkeypatch):
    """If digests were broken, a cycle would still be noticed, not followed."""
    monkeypatch.setattr(find.layers, "check", lambda *_: None)
    files = build.cycle()
    for name in files:
        if name != "index.json":
            files[name] += b" " * (100 - len(files[name]))
    index = json.loads(files["index.json"])
    for name, data in list(files.items()):
        files[name] = data
    index["manifests"][0]["size"] = len(files["blobs/sha256/" + "1" * 64])
    files["index.json"] = build.dumps(index)
    with pytest.raises(ImageError, match=r"contains itself|has \d+ bytes"):
        from_bytes(build.archive(files))


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limits_of_documents(more):
    """Manifest, index, config, manifest.json, depth and layers: limit - 1, limit, limit + 1."""
    index = indexes(0)["index.json"]
    padded = index + b" " * (5000 + more - len(index))
    manifest = build.oci([IMAGE], manifest_json=True)
    manifest.pop("index.json")
    listing = manifest["manifest.json"]
    manifest["manifest.json"] = listing + b" " * (5000 + more - len(listing))
    config = build.dumps(CONFIG)
    config = config + b" " * (5000 + more - len(config))
    cases = [
        (build.oci([IMAGE]) | {"index.json": padded}, Limits(document_bytes=5000)),
        (manifest, Limits(manifest_json_bytes=5000)),
        (config_with(config), Limits(document_bytes=5000)),
        (manifest_with(5000 + more), Limits(document_bytes=5000)),
        (indexes(3 + more), Limits(index_depth=3)),
        (build.oci([IMAGE]), Limits(layers=2 - more)),
        (build.oci([IMAGE]), Limits(members=6 - more)),
        (build.oci([IMAGE]), Limits(output_free_bytes=0, output_bytes=2048 + 1024 * 2 - more)),
    ]
    sizes = sum(len(build.tar(part)) for part in (LOWER, UPPER))
    cases[-1] = (cases[-1][0], Limits(output_free_bytes=0, output_bytes=sizes - more))
    for number, (files, limits) in enumerate(cases):
        data = build.archive(files)
        if more > 0:
            with pytest.raises(ImageError):
                from_bytes(data, limits=limits)
        else:
            expect_lower_and_upper(from_bytes(data, limits=limits)), number


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_the_zstd_window(more):
    """A frame that asks for a larger window than the limit is refused."""
    zstd = build.zstd
    parameter = zstd.CompressionParameter
    log = 15 + more
    options = {parameter.window_log: log, parameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(make_samples.noise("z", 200_000)) + compressor.flush()
    pairs = codecs.unpack([packed], "zstd", Limits(zstd_window_log=15))
    if more > 0:
        with pytest.raises(ImageError, match="zstd data are corrupt"):
            list(pairs)
    else:
        assert sum(len(out) for _, out in pairs) == 200_000


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_the_ratio(more):
    """Output beyond the free bytes is checked against the ratio, which the error states."""
    data = build.packed(build.tar([build.file("zeros", bytes(600_000))]), "gzip")
    unpacked = len(build.tar([build.file("zeros", bytes(600_000))]))
    budget = Budget(Limits(output_free_bytes=unpacked - 1 - more, output_ratio=1))
    if more < 0:
        stores.layers.scan([data], budget=budget)
    else:
        with pytest.raises(ImageError, match=r"\(\d+:1\)\. Must be at most 1 times"):
            stores.layers.scan([data], budget=budget)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_at_most_250_bytes_of_each(more):
    """All layers together may unpack to 250 times the stored bytes, not one byte more."""
    budget = Budget(Limits(output_free_bytes=0))
    budget.spend_output(90_000, 1000)
    if more > 0:
        with pytest.raises(ImageError, match=r"\(250:1\)\. Must be at most 250 times"):
            budget.spend_output(160_000 + more)
    else:
        budget.spend_output(160_000 + more)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_at_most_250_bytes_of_each_of_a_layer(more):
    """A gzip layer of 250 times its stored size is read; with one byte less stored, refused."""
    layer = build.tar([build.file("zeros", bytes(250 * 5120 - 3 * build.BLOCK))])
    # Zeros after the last member are padding, which gives any stored size.
    data = build.packed(layer, "gzip").ljust(5120 - more, b"\0")
    assert (len(layer), len(data)) == (250 * 5120, 5120 - more)
    budget = Budget(Limits(output_free_bytes=0))
    if more > 0:
        with pytest.raises(ImageError, match=r"5119 stored bytes .* Must be at most 250 times"):
            stores.layers.scan([data], budget=budget)
    else:
        assert stores.layers.scan([data], budget=budget).compressed_bytes == 5120 - more


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_all_small_members(more):
    """The small members of a stream are kept up to a limit on their sum; a file's are not kept."""
    files = build.oci([IMAGE])
    is_layer = {build.tar(LOWER), build.tar(UPPER)}
    size = sum(len(data) for data in files.values() if data not in is_layer)
    data, limits = build.archive(files), Limits(documents_bytes=size - more)
    expect_lower_and_upper(from_bytes(data, limits=limits))
    if more > 0:
        with pytest.raises(ImageError, match=f"Small members take {size} bytes. Must be at"):
            images.read_stream([data], limits=limits)
    else:
        expect_lower_and_upper(images.read_stream([data], limits=limits))


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_links(more):
    """Links of the archive are followed up to the limit, not beyond."""
    files = build.oci([IMAGE])
    index = files.pop("index.json")
    count = 5 + more
    links = [build.symlink(f"l{n}", f"l{n + 1}") for n in range(1, count)]
    links.append(build.symlink("index.json", "l1"))
    data = build.tar(
        [*(build.file(n, d) for n, d in files.items()), build.file(f"l{count}", index), *links]
    )
    limits = Limits(link_hops=5)
    for read in (from_bytes, lambda data, limits: images.read_stream([data], limits=limits)):
        if more > 0:
            with pytest.raises(ImageError, match="form a loop"):
                read(data, limits=limits)
        else:
            expect_lower_and_upper(read(data, limits=limits))


@pytest.mark.parametrize("damage", ["cut", "garbage", "checksum", "bzip2", "xz"])
@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_damaged_compression(damage, codec):
    """Cut, followed by garbage, with a wrong checksum, or of another format: an error."""
    data = build.packed(build.tar(LOWER), codec)
    data = {
        "cut": data[:-5],
        "garbage": data + b"garbage",
        "checksum": data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],
        "bzip2": b"BZh91AY&SY",
        "xz": b"\xfd7zXZ\0",
    }[damage]
    if codec == "zstd" and damage == "checksum":
        data = data[:-3] + bytes([data[-3] ^ 255]) + data[-2:]
    with pytest.raises(ImageError):
        stores.layers.scan([data], budget=Budget(), small=True)


def test_gzip_may_be_padded_with_zeros():
    """Zeros after the last member are padding, as for gzip itself."""
    data = build.packed(build.tar(LOWER), "gzip") + bytes(700)
    scan = stores.layers.scan([data[:100], data[100:-300], data[-300:]], budget=Budget())
    assert scan.compressed_bytes == len(data)
    assert scan.diff_id == build.digest(build.tar(LOWER))


CHILD = """
import pathlib, re, sys, time
from caveatlib import frames, images
from caveatlib.errors import ImageError
try:
    images.read(sys.argv[1]).summary
except ImageError as problem:
    print(problem)
print(time.process_time())
# Not ru_maxrss: a child starts with its parent's at the fork.
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1))
"""


@pytest.mark.parametrize("name", ["bomb", "tampered", "cut", "cycle", "null"])
def test_hostile_images_cost_little(name, tmp_path):
    """One line each, within 2 s of processor time and 256 MiB, imports included."""
    path = tmp_path / "hostile.tar"
    if name == "bomb":
        path.write_bytes(build.archive(build.bomb()))
        assert path.stat().st_size < 2_200_000
    elif name in ("tampered", "cut"):
        path = SAMPLES / f"{name}.tar"
    else:
        files = build.cycle() if name == "cycle" else MALFORMED["manifests null"]
        path.write_bytes(build.archive(files))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    message, seconds, kib = done.stdout.splitlines()
    assert done.stderr == ""
    assert float(seconds) < 2
    assert int(kib) < 256 * 1024
    if name == "bomb":
        assert ":1). Must be at most 250 times the stored bytes." in message


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


def unchecked() -> dict[str, bytes]:
    """Return a classic archive whose config has no diff_ids, so that no digest is checked."""
    status = b"Package: p\nStatus: install ok installed\nVersion: 1\nInstalled-Size: 7\n"
    lower = [
        *LOWER[:2],
        build.file("var/lib/dpkg/status", status),
        build.file("bin/dash", b"#!", mode=0o4755),
        build.symlink("bin/sh", "dash"),
        build.hardlink("a/g", "a/f"),
        build.file("n" * 101),
    ]
    files = build.classic([{"name": "m:1", "layers": [lower, UPPER[:1]]}])
    item = json.loads(files["manifest.json"])[0] | {"Config": "c.json"}
    return files | {"c.json": b"{}", "manifest.json": build.dumps([item])}


HEADER = re.compile(rb"(?s)(?=.{257}ustar)")
TELLING = (*range(8), *range(100, 116), *range(124, 136), 156, *range(157, 165), 257, 345)
"""Where a header has its name, mode, owner, size, type, link, magic and prefix."""


def mutants(seed: int, count: int):
    """Yield mutated archives: bytes changed, removed, doubled, or replaced by odd ones."""
    rng = random.Random(seed)
    oci = build.oci([{"layers": [LOWER[:2], UPPER[:1]]}], manifest_json=True)
    packed = build.oci([{"layers": [LOWER[1:2]], "codec": "gzip"}])
    bases = [
        build.archive(oci),
        build.archive(packed),
        build.archive(build.classic([{"name": "m:1", "layers": [LOWER[1:2]]}])),
    ]
    # Only these give other frames when changed, which take most of the time.
    bases += [*bases, build.archive(unchecked())]
    odd = [b"\xff", b"\0", b"-", b"null", b"9" * 12, b"\x80" + bytes(11), b"../", b'"', b"[{"]
    for _ in range(count):
        data = bytearray(rng.choice(bases))
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(data))
            kind = rng.randrange(5)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                piece = rng.choice(odd)
                data[at : at + len(piece)] = piece
            elif kind == 2:
                del data[at : at + rng.choice([1, 512, 700])]
            elif kind == 3:
                data[at:at] = data[at : at + rng.choice([1, 512, 1024])]
            else:
                # A header that is wrong behind a checksum that is right.
                start = rng.choice([m.start() for m in HEADER.finditer(data)] or [0])
                block = bytearray(data[start : start + 512])
                if len(block) == 512:
                    place = rng.choice([rng.randrange(512), *TELLING])
                    block[place] = rng.choice([rng.randrange(256), *b"01234567"])
                    data[start : start + 512] = build.sealed(bytes(block))
            if not data:
                break
        yield bytes(data)


def try_mutants(seed: int, count: int, bars) -> int:
    """Read mutants from file and stream, and make the tables of those that are still images.

    The tables depend only on the names and digests in `key`, so they are made
    once for all mutants that share them. Return how many were read.
    """
    good, texts, keys, worst = 0, set(), set(), 0.0
    for number, data in enumerate(mutants(seed, count)):
        start = time.process_time()
        try:
            image = images.read_stream([data]) if number % 2 else from_bytes(data)
            good += 1
            scans = tuple((s.digest, s.diff_id, s.codec, s.compressed_bytes) for s in image.scans)
            key = (image.name, image.digest, image.platform, image.created_by, image.media_types,
                   image.verified, scans)  # fmt: skip
            if key not in keys:
                keys.add(key)
                for name in ("layers", "files", "packages", "olives", "summary"):
                    frames.validate(getattr(image, name), getattr(tables, name.title()))
        except CaveatError as problem:
            texts.add(str(problem))
        worst = max(worst, time.process_time() - start)
    assert all(text.isprintable() for text in texts)
    row = f"{good} read, {len(keys)} kinds"
    bars.append((f"image: of {count:,} mutants, uncaught exceptions", f"0 ({row})", "0"))
    bars.append((f"image: the slowest of {count:,} mutants", f"{worst:.2f} s", "<= 2 s"))
    assert worst <= MUTANT_S
    assert len(keys) > count / 500
    return good


def test_5000_mutants(bars):
    """A mutated archive is a CaveatError or an image, nothing else (seeded)."""
    assert 0 < try_mutants(1, 5000, bars) < 4000


@pytest.mark.slow
@pytest.mark.long
def test_100000_mutants(bars):
    """The same, 100,000 of them."""
    assert try_mutants(2, 100_000, bars) > 0
