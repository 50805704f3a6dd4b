"""What `--verify` tells: each digest, against what; and the secrets that an image still holds."""

import imagebuild as build
import pytest

from caveatlib import images
from caveatlib.images import checks
from caveatlib.images.secrets import PRIVATE_KEY

pytestmark = pytest.mark.beside

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n"
LOWER = [
    build.file("root/.ssh/id_rsa", KEY),
    build.file("root/.ssh/id_rsa.pub", b"ssh-rsa AAAA"),
    build.file("srv/deploy.txt", KEY),
    build.file("etc/ssl/cert.pem", b"-----BEGIN CERTIFICATE-----\nMII\n"),
    build.file("app/.env", b"PASSWORD=1\n"),
    build.file("app/.envrc", b""),
]
UPPER = [build.file("root/.ssh/.wh.id_rsa"), build.file("srv/note", b"1")]
LAYERS = [LOWER, UPPER]


def read(files, **options):
    """Return the image of an archive of these files."""
    return images.read_stream([build.archive(files)], **options)


@pytest.mark.parametrize("olives", [False, True])
def test_a_deleted_key_is_still_found(olives):
    """By its first bytes where the contents are read, else only where its name says key."""
    found = read(build.oci([{"layers": LAYERS}]), olives=olives).secrets
    rows = found.astype(object).where(found.notna(), None).to_dict("split")["data"]
    deleted = [0, "/root/.ssh/id_rsa", PRIVATE_KEY, len(KEY), 1]
    beside = [0, "/srv/deploy.txt", PRIVATE_KEY, len(KEY), None]
    settings = [0, "/app/.env", "settings", 11, None]
    assert rows == [deleted, *([beside] if olives else []), settings]


def test_a_key_that_a_package_brings_is_none_of_ours():
    """Test keys of packages are not listed."""
    packed = [
        build.file("var/lib/dpkg/status", b"Package: a\nStatus: install ok installed\nVersion: 1"),
        build.file("var/lib/dpkg/info/a.list", b"/.\n/usr/share/a/test.pem\n"),
        build.file("usr/share/a/test.pem", KEY),
        build.file("usr/share/b.pem", KEY),
    ]  # fmt: skip
    assert list(read(build.oci([{"layers": [packed]}])).secrets["path"]) == ["/usr/share/b.pem"]


def test_a_key_in_one_byte_pieces():
    """However the layer arrives, the first bytes are put together."""
    data = build.archive(build.oci([{"layers": [LOWER]}]))
    small = images.read_stream([data[i : i + 7] for i in range(0, len(data), 7)])
    assert "/root/.ssh/id_rsa" in set(small.secrets["path"])


def test_checks_of_a_layout():
    """Each part is compared with the one above; index.json with nothing."""
    image = read(build.oci([{"name": "v1", "layers": LAYERS, "codec": "gzip"}]))
    table = image.checks.set_index("part")
    assert table["against"].to_dict() == {
        "index.json": checks.NOTHING,
        "manifest": checks.INDEX,
        "config": checks.MANIFEST,
        "layer 0": checks.MANIFEST,
        "layer 0, unpacked": checks.CONFIG,
        "layer 1": checks.MANIFEST,
        "layer 1, unpacked": checks.CONFIG,
    }
    assert table.loc["manifest", "digest"] == image.digest
    assert list(table["digest"][3:]) == [
        d for row in image.layers.itertuples() for d in (row.digest, row.diff_id)
    ]
    told = checks.told(image.checked, image.digest)
    assert "nothing vouches for index.json" in told
    assert image.digest in told


def test_checks_of_an_index_in_an_index():
    """The inner index stands between index.json and the manifest."""
    image = read(build.oci([{"name": "v1", "layers": LAYERS}], nested=True))
    assert list(image.checks["part"][:3]) == ["index.json", "index", "manifest"]
    assert list(image.checks["against"][:3]) == [checks.NOTHING, checks.INDEX, checks.INDEX]


def test_checks_of_a_classic_archive():
    """A layer is vouched for by the config, the config by its name, manifest.json by nothing."""
    image = read(build.classic([{"name": "v1", "layers": LAYERS}]))
    table = image.checks.set_index("part")["against"]
    assert table.to_dict() == {
        "manifest.json": checks.NOTHING,
        "config": checks.NAME,
        "layer 0": checks.NOTHING,
        "layer 0, unpacked": checks.CONFIG,
        "layer 1": checks.NOTHING,
        "layer 1, unpacked": checks.CONFIG,
    }
    assert image.checks["digest"][1] in checks.told(image.checked, image.digest)
