"""What of an image was checked, and against what: from the name down to each layer.

Reading stops with an ImageError at the first digest that differs, so what is listed agrees.
What nothing vouches for is listed, too: a digest proves content, and only of what it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NOTHING, REFERENCE = "nothing", "the digest in the reference"
NAME, INDEX, MANIFEST, CONFIG = "its name in the archive", "the index", "the manifest", "the config"
AGAINST = (NOTHING, REFERENCE, NAME, INDEX, MANIFEST, CONFIG)
FILES = ("index.json", "manifest.json")
"""What an archive or a layout begins with."""


class Check(NamedTuple):
    """One part of an image.

    Attributes
    ----------
    part : str
        ``"manifest"``, ``"layer 0"``, ``"layer 0, unpacked"``.
    digest : str
        What was found; empty for a file that has none.
    against : str
        One of `AGAINST`.
    """

    part: str
    digest: str
    against: str


def told(checks: Sequence[Check], digest: str) -> str:
    """Return in two sentences at most what an image's checks come to.

    Parameters
    ----------
    checks : sequence of Check
        The topmost first.
    digest : str
        Of the manifest; empty for a classic archive, which has none: then its config's counts.
    """
    if all(check.against != NOTHING for check in checks):
        return "Every digest agrees, down from the one in the reference."
    top = checks[0].part if checks[0].part in FILES else "the tag"
    known = digest or next((c.digest for c in checks if c.part == "config"), "")
    return (
        f"Every digest agrees, but nothing vouches for {top}: whoever may change it may change "
        f"the image. Compare with what its maker says: {known}"
    )
