"""Whatever a public function returns shows itself in a line or a small table.

Seen to fail: with `repr=False` and `__repr__` taken out of `images.image.Image`,
`measuring.designs.Design` and `ports.why.Explanation` in turn, with
`repr=False` taken out of `images.layers.Scan`, with `shorten` and with
`escape_control_characters` taken out of `Image.__repr__`, and with `names.brief`
returning the whole name.
"""

import inspect
from types import SimpleNamespace

import imagebuild as build
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from caveatlib import (
    claims,
    errors,
    experiments,
    host,
    images,
    literature,
    page,
    scorecard,
    store,
    trials,
)
from caveatlib.experiments.ports import why
from caveatlib.experiments.quota import cfs
from caveatlib.measuring.designs import Design
from caveatlib.measuring.experiment import complete, tables_of

pytestmark = pytest.mark.beside

OBJECT_LINES, OBJECT_LENGTH = 4, 1_500
TABLE_LINES, TABLE_LENGTH, HTML_LENGTH = 100, 8_000, 100_000
"""Of a table: pandas shows sixty rows of twenty columns at most, 80 kB of HTML."""
LONG = 1_000_000


def assert_small(value: object, what: str) -> None:
    """Hold what a value shows to the bounds: a table's, or an object's; of a list, each item's."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            assert_small(item, f"{what}[{number}]")
        return
    text, table = repr(value), isinstance(value, (pd.DataFrame, pd.Series, page.Overview))
    lines, length = (TABLE_LINES, TABLE_LENGTH) if table else (OBJECT_LINES, OBJECT_LENGTH)
    assert len(text) <= length, f"{what} shows {len(text)} characters: {text[:200]}"
    assert text.count("\n") < lines, f"{what} shows {text.count(chr(10)) + 1} lines"
    assert " object at 0x" not in text, f"{what} shows an address: {text[:200]}"
    assert text.replace("\n", "").isprintable(), what
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    assert len(html) <= HTML_LENGTH, f"{what} shows {len(html)} characters of HTML"


def callables(module, *needs: str) -> dict:
    """Return the public functions of a module that need exactly these arguments."""
    found = {}
    for name, function in vars(module).items():
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        required = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if tuple(required) == needs and function.__module__.startswith("caveatlib."):
            found[name] = function
    return found


@pytest.mark.parametrize("module", [claims, host, literature, scorecard], ids=lambda m: m.__name__)
def test_what_needs_no_argument(module, recorded_entries, monkeypatch):
    """Ledger, figures, scorecard, and what this machine can do."""
    found = callables(module)
    assert found
    if "entries" in found:  # what a table is made of, too
        found["entries"] = lambda source=None: recorded_entries
        monkeypatch.setattr(module, "entries", found["entries"])
    for name, function in found.items():
        assert_small(function(), f"{module.__name__}.{name}()")


@pytest.mark.parametrize("experiment", experiments.recorded(), ids=lambda e: e.NAME)
@pytest.mark.slow
def test_what_an_experiment_makes_of_its_trials(experiment):
    """Its tables, verdicts, answer and figures, from the recorded data; its designs and claims."""
    version = max(store.versions(experiment.NAME))
    for table in tables_of(complete(experiment)):
        found = trials.get(experiment, source="recorded", version=version, table=table)
        assert_small(found, f"{experiment.NAME}: {table}")
    recorded = trials.get(experiment, source="recorded", version=version)
    full = complete(experiment)
    functions = callables(experiment, "trials")
    assert {"answer", "plot"} <= set(functions)
    functions |= {n: getattr(full, n) for n in ("calibrate", "summarize", "verdicts")}
    for name, function in functions.items():
        assert_small(function(recorded), f"{experiment.NAME}.{name}")
    plt.close("all")
    assert_small(full.CLAIMS, f"{experiment.NAME}.CLAIMS")
    designs, missing = trials.arms_here(experiment)
    assert all(isinstance(design, Design) for design in designs)
    assert_small([designs, *missing.items()], f"trials.arms_here({experiment.NAME})")


def test_what_is_asked_for_by_name():
    """A claim, a card, an explanation, a simulation: a few lines each."""
    assert_small(claims.from_ledger("C23", decides="a ratio"), "claims.from_ledger")
    history = claims.ledger()
    for number in history["id"][history["kind"] == "then-now"]:
        assert_small(claims.then_and_now(number), f"claims.then_and_now({number})")
    for area in literature.figures()["area"].unique():
        assert_small(literature.beside(area), f"literature.beside({area})")
    done = cfs.simulate(quota_cpus=1.0, cores=2, threads=2, busy=2, duration_s=10.0)
    assert repr(done) == "Simulation of 10 s: 0 requests, 100 of 100 periods throttled"
    assert_small(done, "cfs.simulate")
    told = why.Explanation("proxy", "own", True, ("One line.", "Another \x1b[31mline."))
    assert repr(told) == "One line.\nAnother \\x1b[31mline."


def shown(image: images.Image) -> dict[str, object]:
    """Return everything that an image has to show, by name."""
    tables = ("summary", "layers", "files", "packages", "olives")
    return {"image": image, "scans": image.scans, "shared": images.shared([image])} | {
        table: getattr(image, table) for table in tables
    }


def test_samples(tmp_path):
    """An image shows its name, platform, and how much is in it."""
    image = images.read("data/images/bloated.tar")
    assert repr(image) == (
        "Image 'sample:bloated' (linux/amd64): 4 layers, 35 entries, 146,896 bytes of files; "
        "tables: summary, layers, files, packages, olives, secrets, checks"
    )
    for name in ("bloated", "lean", "olive"):
        for what, value in shown(images.read(f"data/images/{name}.tar", olives=True)).items():
            assert_small(value, f"{name}: {what}")
    (tmp_path / "a.tar").write_bytes(build.tar([build.file("a", b"a")]))
    assert_small(images.list_tar(tmp_path / "a.tar"), "list_tar")
    assert_small(images.DEFAULTS, "Limits")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return an archive of two images with names of a million characters and 3,000 packages."""
    folder = tmp_path_factory.mktemp("hostile")
    status = "".join(
        f"Package: p{number}-{'x' * 300}\nStatus: install ok installed\nVersion: 1{'.0' * 150}\n\n"
        for number in range(3_000)
    )
    deep = "d/" * 2_000
    layer = [
        build.file("var/lib/dpkg/status", status),
        build.file(deep + "\x1b[31m\u202e", b"a"),
        build.symlink("bin/sh", deep + "\n\x9b"),
        *(build.file(f"srv/{number}", b"") for number in range(5_000)),
    ]
    command = "RUN \x1b[31m\n" + "y" * (LONG // 2)
    names = [f"{start}\x1b[31m<b>\u202e{'n' * LONG}" for start in "ab"]
    common = {"layers": [layer], "commands": [command], "platform": f"linux/{'p' * LONG}"}
    files = build.oci([common | {"name": name} for name in names])
    (folder / "hostile.tar").write_bytes(build.archive(files))
    return SimpleNamespace(path=folder / "hostile.tar", names=[images.escape(n) for n in names])


def test_a_hostile_image_shows_itself_in_a_line(hostile):
    """However long its name, its commands and its lists are; the tables still hold all of it."""
    read = images.read_all(hostile.path)
    assert [image.name for image in read] == hostile.names
    for image in read:
        assert "…" in repr(image)
        for what, value in shown(image).items():
            assert_small(value, what)
    assert_small(images.shared(read), "shared")
    assert len(read[0].packages) == 3_000
    assert len(read[0].layers["created_by"][0]) > LONG / 2


def test_an_image_made_by_hand_steers_no_terminal():
    """A name or platform that nobody has escaped is escaped where it is shown."""
    image = images.Image("a\x1b[31m\n", "", "linux\u202e", (), (), (), ())
    assert repr(image).startswith(r"Image 'a\x1b[31m\n' (linux\u202e): 0 layers, 0 entries")


def manifest(folder, **members) -> str:
    """Write a classic archive that has a config and no layer, and return its path."""
    item = {"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"]} | members
    files = {"c.json": build.config([b""]), "manifest.json": build.dumps([item])}
    path = folder / f"{len(list(folder.iterdir()))}.tar"
    path.write_bytes(build.archive(files))
    return str(path)


def test_errors_about_a_hostile_image_are_short(hostile, tmp_path):
    """An error names what is wrong, but not with all of its million characters."""
    long = "m" * LONG
    platform = {"name": hostile.names[0], "platform": f"linux/{long}"}
    refused = {
        "no name": lambda: images.read(hostile.path),
        "another name": lambda: images.read(hostile.path, name=long),
        "another platform": lambda: images.read(hostile.path, **platform),
        "no such file": lambda: images.read(long),
        "no reference": lambda: images.read(f"registry://{long}"),
        "no source": lambda: images.read(f"http://{long}"),
        "no config": lambda: images.read(manifest(tmp_path, Config=long)),
        "no layer": lambda: images.read(manifest(tmp_path, Layers=[long])),
        "no name in manifest.json": lambda: images.read(
            manifest(tmp_path, RepoTags=[long]), name="a"
        ),
    }
    for what, act in refused.items():
        with pytest.raises(errors.CaveatError) as caught:
            act()
        assert len(str(caught.value)) <= OBJECT_LENGTH, what
        assert str(caught.value).isprintable(), what
