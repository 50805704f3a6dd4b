"""Each tampering changes the bytes that it says, and no others; words are told apart."""

import csv
import gzip
import json
import random
from pathlib import Path

import pytest

from caveatlib import images
from caveatlib.errors import DataError, ImageError, MeasurementError
from caveatlib.experiments.trust import bench, made, planted, schema, tampering, tools, words
from caveatlib.experiments.trust.made import CURRENT, EVIL, OLDER, image
from caveatlib.experiments.trust.site import Site
from caveatlib.experiments.trust.tampering import ARCHIVE, DIGEST, LAYOUT, OF_FORM, TAG
from caveatlib.experiments.trust.tools import Asked, Held, Refused

pytestmark = pytest.mark.beside
SAMPLES = Path(__file__).parents[2] / "samples" / "trust"
OFFERS = [(form, what) for form, whats in OF_FORM.items() for what in whats]


def test_the_images_differ_by_digests_alone():
    """Their parts are of one size, so no check of a size can tell one from another."""
    all_made = [image(name) for name in (*made.TAGGED, EVIL)]
    assert len({len(part) for one in all_made for part in one.packed}) == 1
    assert len(image(EVIL).config) == len(image(CURRENT).config)
    assert len({one.digest for one in all_made}) == len(all_made)
    upper, evil = image(CURRENT).payloads[1], image(EVIL).payloads[1]
    assert tampering.differing(upper, evil) == 1
    assert image(CURRENT).digest == image.__wrapped__(CURRENT).digest  # made anew, it is the same


@pytest.fixture
def site(tmp_path):
    """Return a site whose registry is a folder that nobody serves."""
    folder = tmp_path / "tools"
    folder.mkdir()
    here = Site(0, tmp_path / "registry", folder)
    for name, data in made.in_registry().items():
        here.path(name).parent.mkdir(parents=True, exist_ok=True)
        here.path(name).write_bytes(data)
    return here


def stored(site) -> dict[str, bytes]:
    """Return what lies in the registry's folder, and what was written for a tool to read."""
    files = {f"stored/{p.relative_to(site.storage)}": p for p in site.storage.rglob("*")}
    files |= {f"offered/{p.relative_to(site.folder)}": p for p in site.folder.rglob("*")}
    return {name: path.read_bytes() for name, path in files.items() if path.is_file()}


SAID = {
    "nothing": 0,
    "nothing, index": 0,
    "layer-damaged": 1,
    "layers-swapped": 2,
    "names-exchanged": 1,
    **dict.fromkeys(["layer-replaced", "config-replaced", "index-other-manifest"], 1),
    **dict.fromkeys(["manifest-annotated", "manifest-other-layer"], 1),
    **dict.fromkeys(["tag-older", "tag-unsigned", "tag-other-key"], 1),
}
"""How many files of the store each changes; one that is rewritten whole has new files."""
BLOBS = {
    "layer": {made.digest(layer) for layer in image(CURRENT).packed},
    "config": {made.digest(image(CURRENT).config)},
    "manifest": {image(CURRENT).digest},
    "index": {made.digest(made.index())},
}


@pytest.mark.parametrize(("form", "what"), [o for o in OFFERS if o[0] in (TAG, DIGEST)])
def test_a_registry_is_changed_where_it_is_said(site, form, what):
    """The stored blob has other bytes, no other file has, and afterwards it is as it was."""
    before = stored(site)
    with bench._offered(site, form, what) as (asked, altered):
        now = stored(site)
        changed = [name for name in before if before[name] != now[name]]
        assert set(now) == set(before)
        assert len(changed) == SAID[what]
        assert altered == sum(tampering.differing(before[n], now[n]) for n in changed)
        part = tampering.PART[what]
        if part in BLOBS:  # the file is still named after what it held
            hexes = {digest[7:] for digest in BLOBS[part]}
            assert all(any(h in name for h in hexes) for name in changed)
            for name in changed:
                found = next(h for h in hexes if h in name)
                assert made.digest(now[name]) != f"sha256:{found}"
                assert len(now[name]) == len(before[name])
        elif part.startswith("tag"):
            assert changed == [f"stored/docker/registry/v2/repositories/{made.NAME}/_manifests"
                               "/tags/current/current/link"]  # fmt: skip
            named = now[changed[0]].decode()
            assert named in {made.digest(data) for data in now.values()}
        assert asked.name == site.repository + tampering.reference(form, what)
    assert stored(site) == before


@pytest.mark.parametrize(("form", "what"), [o for o in OFFERS if o[0] in (ARCHIVE, LAYOUT)])
def test_an_archive_is_changed_where_it_is_said(site, form, what):
    """In an archive and in a layout just the parts that are named are others."""
    whole = tampering.files_of(form)
    changes = tampering.changes(form, what)
    old = {name: data for name, data in changes.items() if name in whole}
    assert all(whole[name] != data for name, data in old.items())
    if what in SAID:
        assert len(changes) == len(old) == SAID[what]
    else:
        assert len(changes) > len(old) == 1  # what names all else
    with bench._offered(site, form, what) as (asked, altered):
        path = Path(asked.name)
        assert path.is_file() if form == ARCHIVE else path.is_dir()
        assert (altered > 0) == (what not in tampering.CONTROLS)
    assert not path.exists()


@pytest.mark.parametrize("form", [ARCHIVE, LAYOUT])
def test_rewritten_whole_every_digest_is_as_it_must_be(tmp_path, form):
    """A reader that checks each of them finds nothing wrong, and another image."""
    path = tmp_path / "offered"
    name = f"{made.NAME}:{CURRENT}" if form == ARCHIVE else CURRENT
    found = []
    for what in (tampering.NOTHING, tampering.REWRITTEN, tampering.RENAMED):
        tools.write(
            Asked(form, str(path)), tampering.files_of(form) | tampering.changes(form, what)
        )
        found.append(list(images.read(path, name=name).layers["diff_id"]))
        bench._remove(path)
    diff_ids = [[made.digest(layer) for layer in image(n).layers] for n in (CURRENT, EVIL, OLDER)]
    assert found == diff_ids


def test_a_damaged_blob_differs_in_one_byte():
    """Of any blob."""
    data = random.Random(1).randbytes(1001)
    assert tampering.differing(data, tampering.damaged(data)) == 1
    assert tampering.differing(b"abc", b"xbcd") == 2


with (SAMPLES / "refusals.csv").open(encoding="utf-8") as file:
    REFUSALS = list(csv.DictReader(file))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda r: f"{r['tool']}, {r['tampering']}")
def test_words_of_every_tool(row):
    """What tools really said is told apart by the check that spoke."""
    assert words.check_of(row["words"]) == row["check"]
    assert row["check"] in words.CHECKS


@pytest.mark.parametrize(
    "said",
    [
        "skopeo failed: pinging container registry: connection refused",
        'skopeo failed: level=fatal msg="writing blob: unexpected EOF"',
        "pull: received unexpected HTTP status: 500 Internal Server Error",
        "cosign failed: GET manifests: EOF",
        "pull: manifest unknown",
        "umoci failed: no space left on device",
        "",
    ],
)
def test_a_failure_of_something_else_is_no_refusal(site, said):
    """A registry that is down, or a full disk, has noticed no tampering: the trial fails."""

    def tool(site, asked, out):
        raise Refused(said)

    before = stored(site)
    with pytest.raises(MeasurementError, match="none of the image's"):
        bench.Bench(site, tool).fetch(TAG, "layer-damaged")
    assert stored(site) == before


def test_what_a_bench_tells(site):
    """Accepted or refused, the same or not, what was left; cleared after each, put back always."""
    cleared = []
    current, evil = image(CURRENT), image(EVIL)

    def tool(site, asked, out):
        blob = site.path(made.blob(current.packed[1])).read_bytes()
        (out / "layer").write_bytes(blob)
        if made.digest(blob) != made.digest(current.packed[1]):
            raise Refused("Layer 1 has the digest sha256:0. Must be sha256:1.")
        return Held(current.payloads[1], current.command)

    asked = bench.Bench(site, tool, clear=lambda: cleared.append(1))
    good = asked.fetch(TAG, tampering.NOTHING)
    assert (good["accepted"], good["same_content"], good["altered_bytes"]) == (1, 1, 0)
    assert "check" not in good
    bad = asked.fetch(DIGEST, "layer-damaged")
    assert (bad["accepted"], bad["check"], bad["left_files"]) == (0, words.LAYER, 1)
    assert bad["altered_bytes"] == 1
    other = bench.Bench(site, lambda *_: Held(evil.payloads[1])).fetch(TAG, "layer-replaced")
    assert (other["accepted"], other["same_content"]) == (1, 0)
    assert len(cleared) == 2
    assert not list((site.folder / "out").iterdir())


@pytest.mark.parametrize(
    ("what", "altered", "accepted", "check", "words"),
    [
        ("nothing", 3.0, 1.0, None, "changed 3"),
        ("tag-older", 0.0, 1.0, None, "changed 0"),
        ("tag-older", 9.0, 0.0, None, "refused"),
        ("tag-older", 9.0, 1.0, "signature", "accepted"),
    ],
)
def test_rows_that_cannot_be(what, altered, accepted, check, words):
    """A control that was changed, a tampering that changed nothing, a check without a refusal."""
    row = {"work": schema.FETCH, "tampering": what, "altered_bytes": altered, "check": check}
    with pytest.raises(DataError, match=words):
        schema.check_row(row | {"accepted": accepted})


@pytest.mark.parametrize("history", planted.HISTORIES)
@pytest.mark.parametrize("plant", [*planted.PLANTS, planted.CLEAN])
def test_our_reader_names_what_was_planted(tmp_path, plant, history):
    """Each thing by the table that it belongs in, whatever the history says; else nothing."""
    path = tmp_path / "planted.tar"
    path.write_bytes(planted.archive(plant, history))
    by = {planted.SECRET: "secrets", planted.SHELL: "olives", planted.SETUID: "files",
          planted.BASE: "packages", planted.CLEAN: ""}  # fmt: skip
    assert planted.named(planted.by_reader(None, path), plant) == by[plant]


def test_a_made_up_history_has_no_trace():
    """The commands in the config name the planted file, and do not where they are made up."""
    for plant in (planted.SECRET, planted.SHELL, planted.SETUID):
        of = planted.OF[plant]
        texts = [planted.archive(plant, history) for history in planted.HISTORIES]
        told = [of.lines[0].encode() in text for text in texts]
        assert told == [True, False]


def test_copies_are_read_as_a_container_would_see_them(tmp_path):
    """The last layer's file counts, packed or not."""
    current = image(CURRENT)
    for layer in (current.layers[1], gzip.compress(current.layers[1])):
        assert tools._payload(layer) == current.payloads[1]
    assert tools._payload(made.tar({"else": b""})) is None
    (tmp_path / "layer").write_bytes(current.packed[0])
    (tmp_path / "small").write_bytes(b"{}")
    assert tools.left_in(tmp_path) == 1


def test_a_broken_index_is_no_published_image(tmp_path, monkeypatch):
    """Readable or not, each is a row; of what somebody named no name is kept."""
    from caveatlib.experiments.trust import published

    good, bad = tmp_path / "good.tar", tmp_path / "my-secret-name.tar"
    good.write_bytes(planted.archive(planted.SHELL, planted.STEPS))
    bad.write_bytes(b"no tar")
    monkeypatch.setattr(published, "SHIPPED", tmp_path / "none")
    monkeypatch.setattr(published, "CARRIED", ())
    monkeypatch.setenv(published.NAMED, f"{good}:{bad}")
    rows = published.read()
    assert [(row["image"], row["readable"]) for row in rows] == [("named 1", 1), ("named 2", 0)]
    assert (rows[0]["packages"], rows[0]["shell_scripts"]) == (1, 1)
    assert "secret-name" not in json.dumps(rows)
    with pytest.raises(ImageError):
        images.read(bad)
