"""Security updates by changelogs: what is read of them, and what an image of some age lacks."""

import gzip
import io
import tarfile
from datetime import date
from pathlib import Path

import pytest

from caveatlib.errors import MeasurementError
from caveatlib.experiments.trust import updates
from caveatlib.experiments.trust.updates import DAY_S, Read

pytestmark = pytest.mark.beside
CHANGELOG = Path(__file__).parents[2] / "samples" / "trust" / "changelog"


def test_a_real_changelog():
    """Version, suite and day of each upload; nobody's name."""
    found = list(updates.uploads(CHANGELOG.read_text()))
    assert found[0] == ("openssl", "3.5.9-1~deb13u1", "trixie", "2026-10-03")
    assert found[1] == ("openssl", "3.5.7-1~deb13u3", "trixie-security", "2026-09-29")
    assert len(found) == 5
    assert "obody" not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["", " -- A <a>  Fri, 26 Sep 2025 21:18:35 +0200\n", "a (1) b; c\n -- A <a>  no day\n",
     "a (1) b; c\n -- A <a>\n", "nonsense"],
)  # fmt: skip
def test_what_is_no_changelog_has_no_uploads(text):
    """A date of another form, or none, is left out."""
    assert list(updates.uploads(text)) == []


def test_what_an_image_lacks():
    """Counted by hand: uploads on days 10 and 12 of twenty."""
    read = Read(days=(10, 12), covered=20, today={}, rows=[])
    assert read.lacking(0) == {"lacking_share": 0.0, "lacking_mean": 0.0}
    # of days 5 to 20 those from 10 to 14 lack the first, from 12 to 16 the second
    five = read.lacking(5 * DAY_S)
    assert five == {"lacking_share": 7 / 16, "lacking_mean": 10 / 16}
    assert read.lacking(20 * DAY_S) == {"lacking_share": 1.0, "lacking_mean": 2.0}
    assert read.lacking(21 * DAY_S) == {}


STATUS = b"Package: libssl3t64\nStatus: install ok installed\nSource: openssl\nVersion: 3.5.9\n\n"


def archive(path, files):
    """Write files as tar; text is the target of a symbolic link."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, data
                tar.addfile(entry)
                continue
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_of_an_image(tmp_path):
    """Each upload once, though each of a source's packages brings the changelog."""
    log = gzip.compress(CHANGELOG.read_bytes())
    files = {"./var/lib/dpkg/status": STATUS}
    files |= {f"./usr/share/doc/{name}/changelog.Debian.gz": log for name in ("a", "b")}
    named, packages = updates.of_image(archive(tmp_path / "image.tar", files))
    assert len(named) == 5
    assert [u.on for u in named] == sorted(u.on for u in named)
    assert packages == {"libssl3t64": ("openssl", "3.5.9")}
    assert all(date.fromisoformat(u.on) for u in named)
    with pytest.raises(MeasurementError, match="no changelogs"):
        updates.of_image(archive(tmp_path / "bare.tar", {"./var/lib/dpkg/status": STATUS}))


NATIVE = b"""\
apt (3.0.4) trixie-security; urgency=medium

  * A change.

 -- Nobody <nobody@example.org>  Mon, 02 Nov 2026 10:00:00 +0100
"""
UPSTREAM = b"""\
2026-01-02  Nobody  <nobody@example.org>

\t* lib/a.c (main): Say more; say it
\tsooner.

lib (1.2) stable; a summary
 -- Nobody \xe9
"""
INSTALLED = (
    b"Package: apt\nStatus: install ok installed\nVersion: 3.0.4\n\n"
    b"Package: libapt-pkg7.0\nStatus: install ok installed\nSource: apt\nVersion: 3.0.4\n\n"
)


def test_packages_of_debians_own_are_read(tmp_path):
    """Their changelog has a shorter name; upstream's of that name names no upload, nor do links."""
    doc = "./usr/share/doc"
    files = {
        "./var/lib/dpkg/status": STATUS + INSTALLED,
        f"{doc}/libssl3t64/changelog.Debian.gz": gzip.compress(CHANGELOG.read_bytes()),
        f"{doc}/libssl3t64/changelog.gz": gzip.compress(UPSTREAM),
        f"{doc}/apt/changelog.gz": gzip.compress(NATIVE),
        f"{doc}/apt-doc/changelog.gz": "../nowhere/changelog.gz",
    }
    named, packages = updates.of_image(archive(tmp_path / "image.tar", files))
    assert len(named) == 6
    assert ("apt", "3.0.4", "trixie-security", "2026-11-02") in named
    assert packages["libapt-pkg7.0"] == ("apt", "3.0.4")


def test_the_index_sees_a_source_that_no_changelog_names(require):
    """Sources that are as new as the index has them had a security upload: all must be named."""
    require("dpkg")
    packages = updates.installed((STATUS + INSTALLED).decode())
    packages |= {"libzstd1": ("libzstd", "1.5.7-1"), "dash": ("dash", "1")}
    index = {
        "apt": ("apt", "3.0.4"),
        "libapt-pkg7.0": ("apt", "3.0.4"),
        "libssl3t64": ("openssl", "3.5.7"),  # installed is a later one
        "libzstd1": ("libzstd", "1.5.7-1+deb13u1"),  # not installed yet, so not to be named
        "bind9": ("bind9", "1"),
    }
    both = updates.beside_index(index, packages, {"apt", "openssl"})
    assert both == {"index_pending": 1.0, "index_agreement": 1.0, "index_named": 1.0}
    # what was read when native packages were passed over
    missed = updates.beside_index(index, packages, {"openssl"})
    assert missed == {"index_pending": 1.0, "index_agreement": 1.0, "index_named": 0.5}
    assert "index_named" not in updates.beside_index({}, packages, set())


def test_versions_as_dpkg_has_them(require):
    """A tilde is older than nothing."""
    require("dpkg")
    assert updates._newer("1.0", "1.0~deb13u1")
    assert not updates._newer("1.0~deb13u1", "1.0")
    assert not updates._newer("1.0", "1.0")
