"""Generated images: exact to the byte, alike in all but size."""

import gzip

import pytest

from caveatlib import images
from caveatlib.experiments.layers import generated

pytestmark = pytest.mark.beside

NAMES = {kind: f"there/2:{kind}" for kind in generated.DEPTHS}


@pytest.fixture(scope="module")
def archive():
    return generated.archive(2, NAMES)


def test_sizes_as_the_reader_sees_them(archive):
    """Each layer's files have the stated bytes; the two images share the lower layer."""
    whole = images.read_stream([archive], name=NAMES["whole"])
    base = images.read_stream([archive], name=NAMES["base"])
    assert whole.layers["size_bytes"].tolist() == [
        generated.content_bytes(2, "base"), generated.content_bytes(2, "rest"),
    ]  # fmt: skip
    assert whole.layers["files"].sum() == generated.content_bytes(2) // generated.FILE_BYTES
    assert base.layers["diff_id"].tolist() == whole.layers["diff_id"].tolist()[:1]
    assert sum(generated.content_bytes(2, part) for part in generated.PARTS) == 2 << 20


def test_even_layers_hold_the_same_files(archive):
    """Eight layers of as many bytes, together the files of the two."""
    even, whole = (images.read_stream([archive], name=NAMES[kind]) for kind in ("even", "whole"))
    share = generated.content_bytes(2) // generated.EVEN
    assert even.layers["size_bytes"].tolist() == [share] * generated.EVEN
    both = [image.files[image.files["type"] == "file"] for image in (even, whole)]
    one, other = (dict(zip(f["path"], f["size_bytes"], strict=True)) for f in both)
    assert one == other


def test_the_same_everywhere(archive):
    """The same bytes each time, other bytes in another layer or size."""
    assert generated.archive(2, NAMES) == archive
    first = [next(generated.files(s, p))[1] for s, p in ((2, "base"), (3, "base"), (2, "rest"))]
    assert len(set(first)) == 3


def test_compressibility_does_not_depend_on_size():
    """Half of each layer compresses away, within a few percent."""
    shares = []
    for size, part in ((1, "rest"), (1, "base"), (3, "base")):
        data = generated.layers(size)["whole"][list(generated.PARTS).index(part)]
        shares.append(len(gzip.compress(data, 6)) / generated.content_bytes(size, part))
    assert all(0.48 < share < 0.56 for share in shares)
    assert max(shares) / min(shares) < 1.01


def test_tree_holds_the_same_files(tmp_path):
    """The files of a disk are those of the two layers."""
    generated.tree(1, tmp_path)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(sizes) == generated.content_bytes(1)
    path, data = next(generated.files(1, "rest"))
    assert (tmp_path / path).read_bytes() == data


def test_packed_beside_the_disk(tmp_path):
    """The gzip file unpacks to the disk."""
    raw = tmp_path / "1.raw"
    raw.write_bytes(b"disk" * 1000)
    packed = generated.packed(raw)
    assert packed.name == "1.raw.gz"
    assert gzip.decompress(packed.read_bytes()) == raw.read_bytes()
