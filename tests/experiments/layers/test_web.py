"""The application's images, built and run for real."""

from pathlib import Path

import pytest

from caveatlib.errors import UsageError
from caveatlib.experiments.layers import web, workloads
from caveatlib.instruments import contents
from caveatlib.support import processes

pytestmark = [pytest.mark.engine, pytest.mark.beside]


@pytest.fixture(scope="module")
def places(require):
    """Return a function that opens an image's place once; afterwards nothing is left."""
    require("private-engine")
    require("fanotify")
    with pytest.MonkeyPatch.context() as patch:
        # As for users: the engine does not see what others have below /run.
        patch.delenv("CAVEATLIB_STATE", raising=False)
        open_now = {}

        def opener(kind):
            if kind not in open_now:
                manager = web.web_place(kind)
                open_now[kind] = (manager.__enter__(), manager)
            return open_now[kind][0]

        yield opener
        for _, manager in open_now.values():
            manager.__exit__(None, None, None)
        kept = Path("/var/lib/caveatlib").glob("*/lease.json")
        assert [p for p in kept if processes.owner_token() in p.read_text()] == []


def test_scratch_opens_program_and_page(places):
    """The static program serves its page and opens these two files, twice over."""
    for _ in range(2):
        page, found = places("scratch").serve()
        assert page == 1
        assert set(found) == {"/bin/busybox", "/www/index.html"}


def test_scratch_holds_nothing_else(places):
    """Two files, no shell, no package, and the sizes of what was copied in."""
    summary = places("scratch").image.summary.iloc[0]
    _, found = places("scratch").serve()
    assert summary["visible_bytes"] == sum(found.values())
    assert (summary["executables"], summary["packages"], summary["shells"]) == (1, 0, 0)


def test_no_shell_to_replace(places):
    """Nothing can be planted on scratch."""
    with pytest.raises(UsageError, match="no /bin/sh"):
        places("scratch").planted()


def test_unknown_image():
    """An image that is none of the three is refused before anything starts."""
    with pytest.raises(UsageError, match="'alpine'"), web.web_place("alpine"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", web.BASES)
def test_debian_opens_libraries_and_little_else(places, require, kind):
    """The linked program serves the same page; it opens libc, and most is never opened."""
    require("web-bases")
    outcome = workloads.served(places(kind))
    paths = {row["path"].rpartition("/")[2] for row in outcome.tables["opened"]}
    assert outcome.measures["served"] == 1
    assert {"busybox", "index.html", "libc.so.6"} <= paths
    assert outcome.measures["opened_file_share"] < 0.01
    assert len(outcome.tables["opened"]) == outcome.measures["opened_files"]


def test_a_planted_shell_is_found(places, require):
    """The script in the place of /bin/sh is found, and was not there before."""
    require("web-bases")
    minimal = places("minimal")
    assert workloads.planted(minimal.image)["shell_olives"] == 0
    assert workloads.planted(minimal.planted())["shell_olives"] == 1


@pytest.mark.slow
def test_full_holds_more_than_minimal(places, require):
    """The full Debian has the minimal one's packages and more; packages own most bytes."""
    require("web-bases")
    full, minimal = (places(kind).image for kind in web.BASES)
    assert set(minimal.packages["name"]) < set(full.packages["name"])
    assert contents.counts(full)["owned_share"] > 0.5
