"""Documents of images: malformed ones end at once, and are no longer than allowed."""

import io
import json
import time

import imagebuild as build
import pytest
from little_image import IMAGE, LOWER, UPPER, expect_lower_and_upper, from_bytes

from caveatlib import images
from caveatlib.errors import ImageError
from caveatlib.images import documents, find, stores
from caveatlib.images.limits import Budget, Limits

pytestmark = pytest.mark.beside


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


def many_times(count: int, *, inner: int) -> dict[str, bytes]:
    """Return a layout whose index names one other index so often, which names as many images."""
    kind = build.OCI + ".index.v1+json"
    image = build.descriptor(b"x", build.OCI + ".manifest.v1+json")
    nested = build.dumps({"manifests": [image] * inner})
    files = {"blobs/" + build.digest(nested).replace(":", "/"): nested}
    index = {"manifests": [build.descriptor(nested, kind)] * count}
    return files | {"index.json": build.dumps(index)}


def test_an_index_that_names_another_many_times():
    """Each time counts: two small files must not keep the reader busy for hours."""
    data = build.archive(many_times(15_000, inner=15_000))
    start = time.process_time()
    with pytest.raises(ImageError, match="Must be at most"):
        from_bytes(data)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limits_of_what_indexes_list(more):
    """Entries and bytes: limit - 1, limit, limit + 1."""
    files = many_times(3, inner=2)
    size = len(files["index.json"]) + 3 * len(next(iter(files.values())))
    data = build.archive(files)
    store = stores.Archive(lambda n, at: data[at : at + n], len(data), budget=Budget())
    for limits in (Limits(listed=3 + 6 - more), Limits(indexes_bytes=size - more)):
        if more > 0:
            with pytest.raises(ImageError, match="Must be at most"):
                find.find(store, limits)
        else:
            assert len(find.find(store, limits)) == 6


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
