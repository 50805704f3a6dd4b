"""Limits of what an image may unpack to, keep and link; damaged compression.

Seen to fail: with one link too few followed.
"""

import imagebuild as build
import make_samples
import pytest
from little_image import IMAGE, LOWER, UPPER, expect_lower_and_upper, from_bytes

from caveatlib import images
from caveatlib.errors import ImageError
from caveatlib.images import codecs, stores
from caveatlib.images.limits import Budget, Limits

pytestmark = pytest.mark.beside


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
